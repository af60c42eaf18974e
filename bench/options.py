"""How large the measures are: environment variables, so that `make bench ROWS=10000000` works."""

import os


def number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


def words(name: str, default: str) -> list[str]:
    return [word for word in (os.environ.get(name) or default).split(",") if word]
