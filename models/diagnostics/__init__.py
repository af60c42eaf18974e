"""Checks of the platform's and Laurel's tables, and the explanation of one user's badge."""
