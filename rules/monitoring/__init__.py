"""The state of runs and deployments: summary and page of a run, alerts, liveness, schedule. Pure functions."""
