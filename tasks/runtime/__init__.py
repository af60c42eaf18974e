"""What every run needs: its context, heartbeats, the Credly organization, its recorded client and rate limiter."""
