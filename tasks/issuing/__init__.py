"""From an award to its badge: planning, dispatch, preflight, batches, single badges, and the run's report."""
