"""The HTTP endpoint with which a platform starts a run at once, in place of waiting for the schedule.

`python -m tasks.trigger` serves it (docs/how-to/trigger.md).
"""
