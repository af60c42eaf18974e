"""The folder of a mapping: its parameters, and what is said where a file is wrong."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from models.errors import PlatformNotUsable
from models.platform.engine import Source, _address_and_arguments, platform_engine
from models.platform.mapping import NATIVE_MAPPING, READY_MADE, RELATIONS, Mapping, mapping_of
from settings import Settings


def a_folder(folder: Path, toml: str = "", **queries: str) -> str:
    for relation in RELATIONS:
        (folder / f"{relation}.sql").write_text(queries.get(relation, "SELECT 1"))
    (folder / "mapping.toml").write_text(toml)
    return f"{folder}/"


def engine_of(url: str, mapping: Mapping = NATIVE_MAPPING) -> Engine:
    return platform_engine(Source(url=url, mapping=mapping), lambda _url: pytest.fail("not PostgreSQL"))


def test_parameters_become_parts_of_names_and_literals(tmp_path: Path) -> None:
    toml = '[parameters]\nprefix = "mdl_"\nroot = ""\n'
    query = "SELECT x::text, '12:30', :root, ':other', {not} FROM {prefix}user -- :root;\n;"
    name = a_folder(tmp_path, toml, users=query)

    found = mapping_of(name, 'root="https://o\'hara.example.org/a b" prefix=m_')

    value = "'https://o''hara.example.org/a b'"
    assert (
        found.queries["users"]
        == f"SELECT x::text, '12:30', {value}, ':other', {{not}} FROM m_user -- {value};\n".strip()
    )


@pytest.mark.parametrize(
    ("toml", "given", "said"),
    [
        ('[parameters]\nroot = ""', "", "The mapping needs a value for root: LAUREL_MAPPING_PARAMETERS='root=…'."),
        ('[parameters]\nroot = ""', "root=", "The mapping needs a value for root"),
        ('[parameters]\nroot = ""', "root=x roof=y", "roof is no parameter of the mapping (root)"),
        ('[parameters]\nroot = ""', "root='x", "quotation mark that is not closed"),
        ('[parameters]\nroot = ""', "root=a\\\\b", "root may have no backslash"),
        ('[parameters]\nprefix = "a; DROP TABLE b"', "", "prefix is part of a name"),
        ("moments = 'Berlin'", "", "moments is Berlin, and must be aware, epoch, or a time zone"),
        ("moment = 'UTC'", "", "moment: Extra inputs are not permitted"),
        ("integer_keys = ['user']", "", "integer_keys names user, for which there is no query"),
        ("moments = ", "", "is not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, toml: str, given: str, said: str) -> None:
    name = a_folder(tmp_path, toml, users="SELECT :root, {prefix}x")

    with pytest.raises(PlatformNotUsable) as caught:
        mapping_of(name, given)

    assert said in str(caught.value)


def test_files_that_are_missing_or_misnamed_are_named(tmp_path: Path) -> None:
    name = a_folder(tmp_path)
    (tmp_path / "companies.sql").unlink()
    assert "companies" not in mapping_of(name, "").queries

    (tmp_path / "users.sql").rename(tmp_path / "user.sql")
    with pytest.raises(PlatformNotUsable, match=r"user\.sql is none of the relations achievement_awards"):
        mapping_of(name, "")

    (tmp_path / "user.sql").unlink()
    with pytest.raises(PlatformNotUsable, match=r"has no users\.sql"):
        mapping_of(name, "")


@pytest.mark.parametrize("name", ["no-such", "./no/such"])
def test_an_unknown_mapping_is_answered_with_those_that_exist(name: str) -> None:
    with pytest.raises(
        PlatformNotUsable, match="native, csv, moodle, moodle-completions, openedx, parquet, or the path"
    ):
        mapping_of(name, "")


def test_parameters_of_native_are_refused() -> None:
    with pytest.raises(PlatformNotUsable, match="`native` has none"):
        mapping_of("native", "prefix=x")


@pytest.mark.parametrize("name", sorted(each.name for each in READY_MADE.iterdir()))
def test_each_ready_made_mapping_is_complete(name: str) -> None:
    parameter = {"openedx": "lms=https://x", "csv": "folder=/x", "parquet": "folder=/x"}
    found = mapping_of(name, parameter.get(name, "wwwroot=https://x"))

    assert set(RELATIONS) - set(found.queries) <= {"companies", "projects"}
    assert not any("{" in query or ":wwwroot" in query or ":lms" in query for query in found.queries.values())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuchdb://u:s3cret@h/d", "No SQLAlchemy dialect `nosuchdb` is installed"),
        ("mysql+mysqldb://u:s3cret@h/d", "The driver `MySQLdb` is not installed"),
        ("mysql+pymysql://u:s3cret@h:port/d", "is not an address that can be used"),
        ("mysql+pymysql://u:s3cret@h/d?ssl_mode=maybe", "is not an address that can be used"),
        ("sqlite:////no/such/file", "names the file /no/such/file, which does not exist"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(url: str, said: str) -> None:
    with pytest.raises(PlatformNotUsable) as caught:
        engine_of(url)

    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ("", {"read_timeout": 70}),
        ("?ssl_mode=REQUIRED", {"read_timeout": 70, "ssl": {"check_hostname": False, "verify_mode": "none"}}),
        ("?ssl=true&charset=utf8mb4", {"read_timeout": 70, "ssl": {"check_hostname": False, "verify_mode": "none"}}),
        (
            "?ssl-mode=VERIFY_IDENTITY&ssl_ca=/ca.pem",
            {"read_timeout": 70, "ssl": {"check_hostname": True, "verify_mode": "required", "ca": "/ca.pem"}},
        ),
        ("?ssl_mode=disabled&read_timeout=5", {"ssl_disabled": True}),
    ],
)
def test_the_usual_parameters_of_mysql_reach_its_driver(query: str, passed: dict[str, object]) -> None:
    url, more = _address_and_arguments(
        make_url(f"mysql+pymysql://u@h/d{query}"), Source(url="", mapping=NATIVE_MAPPING)
    )

    assert more == {"connect_args": passed}
    assert not {"ssl", "ssl_mode", "ssl-mode"} & set(url.query)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("mysql://u@db/moodle?charset=utf8mb4", "mysql+pymysql://u@db/moodle?charset=utf8mb4"),
        ("mariadb://u@db/moodle", "mysql+pymysql://u@db/moodle"),
        ("mysql+mysqldb://u@db/moodle", "mysql+mysqldb://u@db/moodle"),
        ("postgres://u@db/x?ssl=require", "postgresql+psycopg://u@db/x?sslmode=require"),
        ("mssql+pyodbc://u@db/x?driver=a", "mssql+pyodbc://u@db/x?driver=a"),
        ("", ""),
    ],
)
def test_a_plain_address_of_the_platform_gets_its_driver(given: str, used: str) -> None:
    assert Settings(platform_url=given).platform_url == used


def test_zones_and_epoch_are_read_from_the_file(tmp_path: Path) -> None:
    zoned = mapping_of(a_folder(tmp_path, "moments = 'Europe/Berlin'"), "")
    assert (zoned.zone, zoned.epoch) == (ZoneInfo("Europe/Berlin"), False)

    counted = mapping_of(a_folder(tmp_path, "moments = 'epoch'"), "")
    assert (counted.zone, counted.epoch) == (None, True)
