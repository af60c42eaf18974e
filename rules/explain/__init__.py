"""Why a user has a badge or not: the history of one user and achievement, and its diagnosis."""
