"""What makes a database unusable, as one sentence with the remedy."""

from rules.forms.inputs import InvalidInput


class NotUsable(InvalidInput):
    """A database cannot be reached, refuses the connection, or has no such table; the message contains the remedy."""


class TableMissing(NotUsable):
    """A table that Laurel reads or writes does not exist."""


class PlatformNotUsable(NotUsable):
    """The platform's database cannot be read now, or its mapping is wrong. The ledger can be used."""
