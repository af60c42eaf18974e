"""What surrounds the work of every run: its heartbeat, and the end of a run that makes no progress."""
