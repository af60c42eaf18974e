"""Operating Laurel: health check, audit, revoking, alerts, reports, retention, and cleaning up dead runs."""
