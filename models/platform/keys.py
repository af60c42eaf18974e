"""Reading rows of the platform by their keys, some at a time: a statement takes a limited number of them."""

from collections.abc import Collection, Iterator

AT_A_TIME = 1000


def portions(keys: Collection[str]) -> Iterator[list[str]]:
    """Yield the keys, each once, at most `AT_A_TIME` together."""
    each = list(dict.fromkeys(keys))
    for start in range(0, len(each), AT_A_TIME):
        yield each[start : start + AT_A_TIME]
