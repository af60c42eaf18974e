"""Liveness of runs: the events that a run sends, and how long they may be missing."""

from datetime import timedelta

HEARTBEAT = "laurel.run.heartbeat"
PROGRESS = "laurel.run.progress"
"""Sent in place of a heartbeat if the run has made progress since the one before."""
RUN_ENDED = "laurel.run.ended"
BEATS = {HEARTBEAT, PROGRESS}
PREFECTS_HEARTBEAT = "prefect.flow-run.heartbeat"
"""Sent by Prefect as well; runs of an earlier Laurel, on a worker that is not upgraded yet, send no other one."""

START_WITHIN = timedelta(seconds=150)
"""How long a run may take from *Pending* to its first heartbeat; on a busy machine half a minute is usual."""
_BEATS_MISSED = 4
_SHORTEST = timedelta(seconds=10)  # the shortest of Prefect's triggers


def silent_for(heartbeat: timedelta) -> timedelta:
    """Return how long a run may send no heartbeat before its process counts as dead."""
    return max(_BEATS_MISSED * heartbeat, _SHORTEST)
