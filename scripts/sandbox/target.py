"""Where the questions go, and what they may use there: the variables LAUREL_SANDBOX_*."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr

from credly.arguments import checked_base_url, checked_token
from rules.forms.inputs import BASE_URLS, Environment

_TRUE = ("1", "true", "yes", "on")


class Unusable(Exception):
    """The variables name nothing that the questions can be put to; the text is for the terminal."""


@dataclass(frozen=True)
class Target:
    """A sandbox, and the objects in it that were named for the questions. What is None is not available."""

    url: str
    token: str = field(repr=False)
    organization: str
    template: str | None = None
    duplicates_template: str | None = None
    archived_template: str | None = None
    foreign_template: str | None = None
    foreign_organization: str | None = None
    read_only_token: str | None = field(default=None, repr=False)
    probes_limit: bool = False
    calls_per_second: float = 3

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no report may show."""
        return tuple(each for each in (self.token, self.read_only_token) if each)


def target_in(environment: Mapping[str, str]) -> Target:
    """Return the target that the variables describe.

    Raises:
        Unusable: one is missing, or has a value that cannot be meant.
    """
    found = {name: environment.get(f"LAUREL_SANDBOX_{name}", "").strip() or None for name in _NAMES}
    token, organization = found["TOKEN"], found["ORGANIZATION"]
    if token is None or organization is None:
        raise Unusable("Set LAUREL_SANDBOX_TOKEN and LAUREL_SANDBOX_ORGANIZATION: see tests/contract/README.md.")
    try:
        return Target(
            url=_checked_url(found["URL"] or BASE_URLS[Environment.SANDBOX]),
            token=checked_token(SecretStr(token)),
            organization=organization,
            template=found["TEMPLATE"],
            duplicates_template=found["TEMPLATE_DUPLICATES"],
            archived_template=found["TEMPLATE_ARCHIVED"],
            foreign_template=found["TEMPLATE_FOREIGN"],
            foreign_organization=found["ORGANIZATION_FOREIGN"],
            read_only_token=found["TOKEN_READ_ONLY"],
            probes_limit=(found["PROBE_LIMIT"] or "").lower() in _TRUE,
            calls_per_second=_above_zero(found["CALLS_PER_SECOND"] or "3"),
        )
    except ValueError as error:
        raise Unusable(f"A variable LAUREL_SANDBOX_… cannot be used: {error}.") from None


_NAMES = (
    *("URL", "TOKEN", "TOKEN_READ_ONLY", "ORGANIZATION", "ORGANIZATION_FOREIGN"),
    *("TEMPLATE", "TEMPLATE_DUPLICATES", "TEMPLATE_ARCHIVED", "TEMPLATE_FOREIGN"),
    *("PROBE_LIMIT", "CALLS_PER_SECOND"),
)


def _above_zero(text: str) -> float:
    rate = float(text)
    if not rate > 0:
        raise ValueError("LAUREL_SANDBOX_CALLS_PER_SECOND must be above 0")
    return rate


def _checked_url(url: str) -> str:
    host = (urlsplit(url).hostname or "").lower()
    if host.endswith(("credly.com", "youracclaim.com")) and not host.startswith("sandbox"):
        raise ValueError("LAUREL_SANDBOX_URL is Credly's production, where nothing is to be tried out")
    return checked_base_url(url)
