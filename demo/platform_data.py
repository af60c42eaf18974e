"""An invented learning platform: lifelike, the same every time, with each kind of bad data in it.

Every e-mail address is under a domain that is reserved for examples. Moments are relative to `now`.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from models.base import Model
from models.platform.tables import Achievement, AchievementAward, Company, Portal, Project, User, UserEmail

Row = dict[str, Any]

USERS = 300
AWARDS = 600
SEED = 20
DOMAINS = ("example.org", "example.com", "example.net")

PORTALS = (
    ("portal-northwind", "Northwind Academy", "https://northwind.example.org/"),
    ("portal-harbour", "Harbour Skills", "https://harbour.example.com/learn"),
    ("portal-meridian", "Méridien · école ouverte", "https://meridien.example.net/"),
    ("portal-lumen", "Lumen Campus", "https://lumen.example.org/"),
)
NOT_CONNECTED = "portal-lumen"

# id, portal, name, how often it is awarded
ACHIEVEMENTS = (
    ("achievement-forklift", "portal-northwind", "Forklift Operation, Level 2", 9),
    ("achievement-first-aid", "portal-northwind", "First Aid at Work", 9),
    ("achievement-warehouse-lead", "portal-northwind", "Warehouse Team Lead", 6),
    ("achievement-welcome", "portal-northwind", "Welcome on Board", 5),
    ("achievement-crane", "portal-harbour", "Crane Signalling", 7),
    ("achievement-customs", "portal-harbour", "Customs & Documents", 7),
    ("achievement-safety-2019", "portal-harbour", "Harbour Safety (2019)", 2),
    ("achievement-data-stories", "portal-meridian", "Raconter les données", 8),
    ("achievement-mentoring", "portal-meridian", "Mentoring", 6),
    ("achievement-archive-skills", "portal-meridian", "Archivistique, 1re partie", 4),
    ("achievement-lighting", "portal-lumen", "Stage Lighting", 5),
    ("achievement-rigging", "portal-lumen", "Rigging", 2),
)

COMPANIES = (
    ("company-atlas", "Atlas Freight & Sons", "https://atlas.example.com/"),
    ("company-boreal", "Boréal Énergie", "https://boreal.example.net/qui-sommes-nous?lang=fr"),
    ("company-kitami", "北見物流株式会社", "https://kitami.example.org/会社"),
    ("company-sahara", "الصحراء للتجارة", "https://sahara.example.com/"),
    ("company-small", "Two People and a Van", None),
    ("company-vostok", "ООО «Восток»", "http://vostok.example.org/about"),
)

PROJECTS = (
    ("project-depot", "Depot 7: zero accidents", "https://projects.example.org/depot-7"),
    ("project-night-shift", "Night shift rota", "https://projects.example.org/night-shift#results"),
    ("project-atlas-map", "Atlas of small harbours", "https://projects.example.net/atlas?view=map&zoom=4"),
    ("project-handbook", "Handbook, not published", None),
    ("project-blank-link", "Survey of 2024", "   "),
    ("project-old-server", "Tide tables", "ftp://files.example.org/tides.csv"),
    ("project-script", "Interactive timetable", "javascript:alert(1)"),
    ("project-lesekreis", "Lesekreis Straßenbahn", "https://projects.example.com/stra%C3%9Fenbahn"),
)

# One user for each line; what is wrong with the user is what is given here.
USER_FAULTS: tuple[Row, ...] = (
    {"addresses": ()},
    {"addresses": ("private.address@example.org",), "primary": False},
    {"addresses": ("lena.sommer.example.org",)},
    {"addresses": ("juan@@example.com",)},
    {"addresses": ("mei lin@example.net",)},
    {"addresses": ("ida.@example.org",)},
    {"first_name": ""},
    {"first_name": "   "},
    {"first_name": None},
    {"first_name": "Suharto", "last_name": ""},  # mononyms, as platforms that ask for two names hold them
    {"first_name": "Björk", "last_name": None},
    {"first_name": "ธงชัย", "last_name": "\u200b"},
    {"first_name": "Hubert " + "Blaine " * 37, "last_name": "Wolfeschlegelsteinhausen"},
    {"profile_url": "javascript:void(0)"},
    {"profile_url": "ftp://people.example.org/card"},
    {"profile_url": None},
)
FAULTY_FROM = 120  # users with faults are somewhere in the middle, as in life
FAULTY_USERS = range(FAULTY_FROM, FAULTY_FROM + len(USER_FAULTS))
# Achievements that are sure to be sent to Credly, so that each fault is met.
ISSUED_ACHIEVEMENTS = ("achievement-forklift", "achievement-crane", "achievement-data-stories")
FUTURE_AWARDS = 4
REPEATED_AWARDS = 6
WITHDRAWN_AWARDS = 3


@dataclass(frozen=True, kw_only=True)
class AwardKey:
    """What may be awarded only once in the random part: an achievement and a user."""

    achievement_id: str
    user_id: str


def platform_rows(*, now: datetime) -> dict[type[Model], list[Row]]:
    """Return the rows of the platform's tables, in an order in which they can be inserted."""
    chance = random.Random(SEED)
    users, emails = _people(chance)
    return {
        Portal: [{"id": key, "name": name, "url": url} for key, name, url in PORTALS],
        Company: [{"id": key, "name": name, "url": url} for key, name, url in COMPANIES],
        Project: [{"id": key, "name": name, "url": url} for key, name, url in PROJECTS],
        Achievement: [{"id": key, "portal_id": portal, "name": name} for key, portal, name, _ in ACHIEVEMENTS],
        User: users,
        UserEmail: emails,
        AchievementAward: _awards(chance, now),
    }


def _user_id(number: int) -> str:
    return f"user-{number:04d}"


def _people(chance: random.Random) -> tuple[list[Row], list[Row]]:
    names: dict[str, dict[str, dict[str, str]]] = json.loads(
        Path(__file__).with_name("names.json").read_text(encoding="utf-8")
    )
    users: list[Row] = []
    emails: list[Row] = []
    taken: set[str] = set()
    for number in range(1, USERS + 1):
        script = chance.choice(sorted(names))
        first_name, first_mailbox = chance.choice(list(names[script]["first"].items()))
        last_name, last_mailbox = chance.choice(list(names[script]["last"].items()))
        address = _address(number, f"{first_mailbox}.{last_mailbox}", taken)
        person = {
            "first_name": first_name,
            "last_name": last_name,
            "profile_url": f"https://people.example.org/{number:04d}",
            "addresses": (address,),
            "primary": True,
        }
        if number in FAULTY_USERS:
            person |= USER_FAULTS[number - FAULTY_FROM]
        elif number % 9 == 0:
            person["addresses"] = (address, f"home.{number}@example.net")
        user, of_user = _user_rows(number, person)
        users.append(user)
        emails.extend(of_user)
    return users, emails


def _address(number: int, mailbox: str, taken: set[str]) -> str:
    """Return an address nobody has yet; some have a plus part, some are written in capitals."""
    if mailbox in taken:
        mailbox = f"{mailbox}{number}"
    taken.add(mailbox)
    if number % 15 == 0:
        mailbox += "+badges"
    address = f"{mailbox}@{DOMAINS[number % len(DOMAINS)]}"
    if number % 17 == 0:
        return address.upper()
    return address.title() if number % 23 == 0 else address


def _user_rows(number: int, person: Row) -> tuple[Row, list[Row]]:
    user = {"id": _user_id(number)} | {key: person[key] for key in ("first_name", "last_name", "profile_url")}
    emails = [
        {
            "id": f"email-{number:04d}-{place}",
            "user_id": user["id"],
            "address": address,
            "is_primary": person["primary"] and place == 1,
        }
        for place, address in enumerate(person["addresses"], start=1)
    ]
    return user, emails


def _awards(chance: random.Random, now: datetime) -> list[Row]:
    keys = _award_keys(chance)
    faulty = [
        AwardKey(achievement_id=chance.choice(ISSUED_ACHIEVEMENTS), user_id=_user_id(number)) for number in FAULTY_USERS
    ]
    special = {(key.achievement_id, key.user_id) for key in faulty}
    ordinary = (key for key in keys if (key.achievement_id, key.user_id) not in special)
    chosen = faulty + [next(ordinary) for _ in range(AWARDS - REPEATED_AWARDS - len(faulty))]
    awards = [_award(chance, key, now) for key in chosen]
    _date_in_future(_of_issued(awards, start=100, count=FUTURE_AWARDS), now)
    for award in _of_issued(awards, start=200, count=WITHDRAWN_AWARDS):
        award["withdrawn_at"] = award["awarded_at"] + timedelta(minutes=50)
    for award in _of_issued(awards, start=300, count=REPEATED_AWARDS):
        again = award["awarded_at"] + (now - award["awarded_at"]) / 3
        awards.append(award | {"awarded_at": again, "project_id": None})
    awards.sort(key=lambda award: award["awarded_at"])
    return [{"id": f"award-{number:05d}"} | award for number, award in enumerate(awards, start=1)]


def _award_keys(chance: random.Random) -> Iterator[AwardKey]:
    weights = [weight for *_, weight in ACHIEVEMENTS]
    seen: set[tuple[str, str]] = set()
    while True:
        achievement_id = chance.choices(ACHIEVEMENTS, weights)[0][0]
        user_id = _user_id(chance.randint(1, USERS))
        if (achievement_id, user_id) not in seen:
            seen.add((achievement_id, user_id))
            yield AwardKey(achievement_id=achievement_id, user_id=user_id)


def _award(chance: random.Random, key: AwardKey, now: datetime) -> Row:
    company_id = chance.choice(COMPANIES)[0] if chance.random() < 0.6 else None
    project_id = chance.choice(PROJECTS)[0] if chance.random() < 0.5 else None
    return {
        "achievement_id": key.achievement_id,
        "user_id": key.user_id,
        "awarded_at": now - timedelta(seconds=chance.randint(600, 30 * 86_400 - 600)),
        "company_id": company_id,
        "project_id": project_id,
        "withdrawn_at": None,
    }


def _of_issued(awards: list[Row], *, start: int, count: int) -> list[Row]:
    # Awards without any other fault, so that each fault is seen by itself.
    faulty = {_user_id(number) for number in FAULTY_USERS}
    issued = [
        award
        for award in awards[start:]
        if award["achievement_id"] in ISSUED_ACHIEVEMENTS and award["user_id"] not in faulty
    ]
    return issued[:count]


def _date_in_future(awards: Iterable[Row], now: datetime) -> None:
    for days, award in enumerate(awards, start=1):
        award["awarded_at"] = now + timedelta(days=days)
