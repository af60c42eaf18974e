"""How it is told that a run is alive: the events that it sends, and how long they may be missing."""

from datetime import timedelta

HEARTBEAT = "laurel.run.heartbeat"
PROGRESS = "laurel.run.progress"
"""Sent in place of a heartbeat where the run took a step since the one before."""
RUN_ENDED = "laurel.run.ended"
BEATS = {HEARTBEAT, PROGRESS}
PREFECTS_HEARTBEAT = "prefect.flow-run.heartbeat"
"""Sent by Prefect as well; runs of an earlier Laurel, on a worker that is not upgraded yet, send no other one."""

START_WITHIN = timedelta(seconds=150)
"""How long a run may take from *Pending* to its first heartbeat; on a busy machine half a minute is usual."""
_BEATS_MISSED = 4
_SHORTEST = timedelta(seconds=10)  # Prefect's triggers take nothing shorter


def silent_for(heartbeat: timedelta) -> timedelta:
    """Return how long a run may send no heartbeat before its process is taken for dead."""
    return max(_BEATS_MISSED * heartbeat, _SHORTEST)
