import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from credly.errors import (
    AlreadyIssued,
    AlreadyReplaced,
    CredlyError,
    NotConnected,
    NotFound,
    Refused,
    Throttled,
    Unclear,
    UnsafeFilterValue,
)
from credly.queries import filter_expression, is_last_page, matches_look_up, may_match_look_up, next_query, path_segment
from credly.replies import Call, Reply, error_for, one, parse_retry_after, readable_id, several
from credly.wire import Badge

NOW = datetime(2026, 11, 2, 9, 0, 0, tzinfo=UTC)
CALL = Call(operation="issue_badge", request_id="request-1", personal=("ada@example.org", "Muster"))
DUPLICATE = "Validation failed: User already has this badge"
REPLACED = "Validation failed: This badge cannot be replaced because it has already been replaced."


def a_reply(status: int = 422, *, body: object = None, retry_after: str | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Reply(call=CALL, status=status, body=raw, retry_after=retry_after)


def saying(message: object, *, metadata: object = None) -> dict[str, Any]:
    return {"data": {"message": message}, "metadata": metadata}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (301, NotFound, "redirected"),
        (302, NotFound, "redirected"),
        (307, NotFound, "redirected"),
        (308, NotFound, "redirected"),
        (303, Unclear, "http_303"),
        (304, Unclear, "http_304"),
        (201, Unclear, "http_201"),
        (202, Unclear, "http_202"),
        (400, Refused, "http_400"),
        (401, NotConnected, "token_refused"),
        (403, NotConnected, "forbidden"),
        (404, NotFound, "not_found"),
        (410, NotFound, "not_found"),
        (408, Unclear, "http_408"),
        (409, Refused, "http_409"),
        (413, Refused, "http_413"),
        (422, Refused, "http_422"),
        (423, Refused, "http_423"),
        (425, Refused, "http_425"),
        (429, Throttled, "throttled"),
        (500, Unclear, "http_500"),
        (503, Unclear, "http_503"),
        (599, Unclear, "http_599"),
    ],
)
def test_a_status_decides_what_to_do_next(status: int, kind: type[CredlyError], code: str) -> None:
    error = error_for(a_reply(status, body=saying("Something is wrong")), now=NOW)

    assert type(error) is kind
    assert error.in_credly_form is (code != "redirected")  # that is a gateway's, whatever its body
    assert (error.status, error.code, error.request_id, error.operation) == (
        status,
        code,
        "request-1",
        "issue_badge",
    )


HTML = b"<html><body>Forbidden</body></html>"


@pytest.mark.parametrize("body", [HTML, b"", b"null", b"[]", {"message": "Forbidden"}, {"data": []}, {"data": None}])
@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Unclear), (409, Unclear), (421, Unclear), (425, Unclear), (403, NotConnected), (404, NotFound)],
)
def test_without_credlys_envelope_an_answer_says_nothing_about_the_badge(
    status: int, kind: type[CredlyError], body: object
) -> None:
    error = error_for(a_reply(status, body=body), now=NOW)

    assert type(error) is kind
    assert not error.in_credly_form


@pytest.mark.parametrize(("body", "believed"), [(HTML, False), (b"HTTP Basic: Access denied.", True), (b"", True)])
def test_a_refused_token_is_believed_in_any_form_but_html(body: bytes, believed: bool) -> None:
    error = error_for(a_reply(401, body=body), now=NOW)

    assert (type(error), error.in_credly_form) == (NotConnected, believed)


def test_a_validation_is_believed_with_a_message_only() -> None:
    assert type(error_for(a_reply(422, body={"error": "Name is too long"}), now=NOW)) is Refused
    assert type(error_for(a_reply(422), now=NOW)) is Unclear
    assert type(error_for(a_reply(422, body=HTML), now=NOW)) is Unclear


def test_credlys_own_request_id_is_kept() -> None:
    reply = Reply(call=CALL, status=503, body=b"", credly_request_id="credly-7")

    assert error_for(reply, now=NOW).credly_request_id == "credly-7"
    assert reply.unclear("incomplete_reply").credly_request_id == "credly-7"


@pytest.mark.parametrize(
    "body",
    [
        saying(DUPLICATE),
        saying(DUPLICATE.upper()),
        {"data": {"errors": [{"attribute": "base", "messages": ["User already has this badge"]}]}},
        {"data": {"message": "Validation failed", "errors": [{"messages": [DUPLICATE]}]}},
        {"message": DUPLICATE},
        {"error": DUPLICATE},
    ],
)
def test_a_duplicate_is_known_by_its_words_wherever_they_stand(body: object) -> None:
    assert type(error_for(a_reply(422, body=body), now=NOW)) is AlreadyIssued


def test_the_words_of_a_duplicate_count_in_a_422_only() -> None:
    assert type(error_for(a_reply(409, body=saying(DUPLICATE)), now=NOW)) is Refused
    assert type(error_for(a_reply(409, body=saying(REPLACED)), now=NOW)) is Refused


@pytest.mark.parametrize(
    ("metadata", "badge_id"),
    [({"current_badge_id": "badge-9"}, "badge-9"), ({"current_badge_id": 9}, None), ({}, None), (None, None)],
)
def test_a_replaced_badge_names_the_last_of_its_chain_if_credly_does(metadata: object, badge_id: str | None) -> None:
    error = error_for(a_reply(422, body=saying(REPLACED, metadata=metadata)), now=NOW)

    assert isinstance(error, AlreadyReplaced)
    assert error.current_badge_id == badge_id


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (saying("Invalid or missing Badge Template ID: T"), "Invalid or missing Badge Template ID: T"),
        (saying("ada@example.org is not ok, Muster"), "… is not ok, …"),
        (
            {"data": {"errors": [{"attribute": "expires_at", "messages": ["is past", "is odd", 3]}, "x"]}},
            "expires_at: is past, is odd",
        ),
        ({"data": {"message": " ", "errors": {}}, "message": "Odd"}, "Odd"),
        ({"data": {"errors": [{"messages": "odd"}]}}, ":"),
        ({"data": None, "error": "Odd"}, "Odd"),
        ({"data": [], "error": {"message": "Odd"}}, None),
        (saying(["Odd"]), None),
        (["Odd"], None),
        ("Odd", None),
        (b"<html>502 Bad Gateway</html>", None),
        (b"\xff\xfe\xfa", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_credlys_words_are_kept_if_there_are_any(body: object, kept: str | None) -> None:
    assert error_for(a_reply(400, body=body), now=NOW).credly_message == kept


def test_a_reply_that_was_too_long_to_read_is_unclear_whatever_its_status() -> None:
    error = error_for(Reply(call=CALL, status=201, body=None), now=NOW)

    assert (type(error), error.code, error.status) == (Unclear, "reply_too_large", 201)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("1e3", None),
        ("30", timedelta(seconds=30)),
        (" 1.5 ", timedelta(seconds=1.5)),
        ("0", timedelta(0)),
        ("-5", timedelta(0)),
        ("9" * 400, timedelta(hours=24)),
        ("Mon, 02 Nov 2026 09:01:00 GMT", timedelta(minutes=1)),
        ("Mon, 02 Nov 2026 09:01:00 -0000", timedelta(minutes=1)),
        ("Mon, 02 Nov 2026 08:00:00 GMT", timedelta(0)),
        ("Mon, 09 Nov 2026 09:00:00 GMT", timedelta(hours=24)),
        ("Mon, 99 Nov 2026 09:00:00 GMT", None),
        ("Mon, 02 Nov 99999999999999999999 09:00:00 GMT", None),
        ("Mon, 02 Nov 2026 09:00:00 +24000000000000", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(header: str | None, wait: timedelta | None) -> None:
    assert parse_retry_after(header, now=NOW) == wait


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        (" an id, of two ", "an id, of two"),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("é", None),
        ("a\tb", None),
        ("a\n", "a"),
        ("a\nb", None),
        (" ", None),
        ("", None),
        (None, None),
    ],
)
def test_a_request_id_is_kept_if_it_can_be_one(header: str | None, kept: str | None) -> None:
    assert readable_id(header) == kept


def test_every_error_of_a_reply_carries_credlys_id_of_the_request() -> None:
    for status in (200, 301, 401, 404, 422, 429, 503):
        reply = Reply(call=CALL, status=status, body=b"", credly_request_id="credly-1")

        errors = [error_for(reply, now=NOW), reply.unclear("incomplete_reply")]

        assert {(error.credly_request_id, error.request_id) for error in errors} == {("credly-1", "request-1")}
        assert not [error for error in errors if "credly-1" in str(error)]


def test_throttled_carries_what_credly_asked_for() -> None:
    assert error_for(a_reply(429, retry_after="7"), now=NOW).retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "unparsable_reply"),
        (b"<html></html>", "unparsable_reply"),
        ({"badge": {"id": "badge-1"}}, "incomplete_reply"),
        ({"data": None}, "incomplete_reply"),
        ({"data": {"state": "pending"}}, "incomplete_reply"),
    ],
)
def test_a_success_that_cannot_be_read_is_unclear(body: object, code: str) -> None:
    reply = a_reply(201, body=body)

    for read in (one, several):
        with pytest.raises(Unclear) as unclear:
            read(Badge, reply)

        assert (unclear.value.code, unclear.value.status) == (code, 201)
        assert unclear.value.__context__ is None


def test_one_row_without_an_id_makes_a_list_unclear() -> None:
    with pytest.raises(Unclear):
        several(Badge, a_reply(200, body={"data": [{"id": "badge-1"}, {}]}))


def test_calls_and_replies_do_not_show_people() -> None:
    text = repr(a_reply(422, body=saying("ada@example.org")))

    assert "ada" not in text
    assert "Muster" not in text


@pytest.mark.parametrize("value", ["a|b", "a,b", "a::b", "a\nb", "a\x00", "\ud800", "\u200b", ""])
def test_a_value_that_the_filter_would_misread_is_refused_and_not_repeated(value: str) -> None:
    for terms, states in (({"query": value}, ()), ({}, (value,))):
        with pytest.raises(UnsafeFilterValue) as refused:
            filter_expression(terms, states=states)

        assert str(refused.value) == (
            f"{next(iter(terms), 'state')} is empty or holds |, a comma, :: or a control character"
        )


def test_a_filter_joins_terms_with_a_bar_and_states_with_a_comma() -> None:
    filters = {"recipient_email": "a+b@example.org", "badge_template_id": "T"}

    expression = filter_expression(filters, states=("pending", "accepted"))

    assert expression == "recipient_email::a+b@example.org|badge_template_id::T|state::pending,accepted"


ROW = Badge(
    id="badge-1",
    badge_template_id="T",
    issuer_earner_id="person-0042",
    recipient_email="Ada@Example.org",
    state="pending",
)


@pytest.mark.parametrize(
    ("filters", "states", "answers"),
    [
        ({"issuer_earner_id": "person-0042"}, (), True),
        ({"issuer_earner_id": "PERSON-0042"}, (), False),
        ({"recipient_email": "ada@example.ORG"}, (), True),
        ({"recipient_email": "eda@example.org"}, (), False),
        ({"recipient_email": "ada@example.org", "issuer_earner_id": "person-0043"}, (), False),
        ({"recipient_email_all": "eda@example.org"}, (), True),
        ({"recipient_email_all": "ada@example.org", "badge_template_id": "U"}, (), False),
        ({"issuer_earner_id": "person-0042"}, ("pending", "accepted"), True),
        ({"issuer_earner_id": "person-0042"}, ("accepted",), False),
    ],
)
def test_a_row_answers_only_what_was_asked(filters: dict[str, str], states: tuple[str, ...], answers: bool) -> None:
    assert matches_look_up(ROW, filters={"badge_template_id": "T"} | filters, states=states) is answers


@pytest.mark.parametrize("field", ["badge_template_id", "issuer_earner_id", "recipient_email", "state"])
def test_a_row_that_does_not_say_whose_it_is_is_a_strangers(field: str) -> None:
    filters = {"badge_template_id": "T", "issuer_earner_id": "person-0042", "recipient_email": "ada@example.org"}

    assert matches_look_up(ROW, filters=filters, states=("pending",))
    assert not matches_look_up(ROW.model_copy(update={field: None}), filters=filters, states=("pending",))


BY_EARNER, BY_ADDRESS = {"issuer_earner_id": "person-0042"}, {"recipient_email": "ada@example.org"}


@pytest.mark.parametrize("filters", [BY_EARNER, BY_ADDRESS], ids=["by earner", "by address"])
@pytest.mark.parametrize(
    ("changes", "may_be"),
    [
        ({}, False),
        ({"badge_template_id": None}, True),
        ({"state": None}, True),
        ({"issuer_earner_id": None, "recipient_email": None}, True),
        ({"issuer_earner_id": None}, False),
        ({"recipient_email": None}, False),
        ({"badge_template_id": None, "state": "revoked"}, False),
        ({"state": None, "badge_template_id": "U"}, False),
        ({"state": None, "issuer_earner_id": "person-0043", "recipient_email": "eda@example.org"}, False),
    ],
    ids=str,
)
def test_a_row_that_leaves_out_what_it_is_may_be_the_one(
    filters: dict[str, str], changes: dict[str, str | None], may_be: bool
) -> None:
    row = ROW.model_copy(update=changes)

    assert may_match_look_up(row, filters={"badge_template_id": "T"} | filters, states=("pending",)) is may_be


@pytest.mark.parametrize(
    ("metadata", "is_last"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"current_page": "1"}, None),
        ({"next_page_url": None}, True),
        ({"next_page_url": "https://api.credly.com/x?page=2"}, False),
        ({"current_page": 1, "total_pages": 2}, False),
        ({"current_page": 1, "total_pages": 2, "next_page_url": None}, True),
        ({"current_page": 2, "total_pages": 2, "next_page_url": "https://api.credly.com/x?page=3"}, True),
        ({"current_page": 1, "total_pages": 0}, True),
    ],
)
def test_a_list_ends_where_its_metadata_says_so(metadata: object, is_last: bool | None) -> None:
    assert is_last_page(metadata) is is_last


@pytest.mark.parametrize(
    ("metadata", "query"),
    [
        ({"next_page_url": None}, None),
        ({}, None),
        (
            {"next_page_url": "https://elsewhere.example/x?cursor=a%2Bb&filter=state%3A%3Apending"},
            (("badge_format", "minimal"), ("cursor", "a+b"), ("filter", "state::pending")),
        ),
        ({"next_page_url": "/x?cursor=2&empty="}, (("badge_format", "minimal"), ("cursor", "2"), ("empty", ""))),
        (
            {"next_page_url": "/x?search_after[]=2&badge_format=default&search_after%5B%5D=1"},
            (("badge_format", "minimal"), ("search_after[]", "2"), ("search_after[]", "1")),
        ),
    ],
)
def test_only_the_query_of_the_next_page_is_taken(metadata: object, query: object) -> None:
    reply = a_reply(200, body={"data": [], "metadata": metadata})

    assert next_query(reply, own={"badge_format": "minimal"}) == query


@pytest.mark.parametrize(
    "metadata", [None, [], {"next_page_url": ""}, {"next_page_url": "https://[x"}, {"next_page_url": 2}]
)
def test_a_bulk_list_without_a_readable_end_is_unclear(metadata: object) -> None:
    with pytest.raises(Unclear) as unclear:
        next_query(a_reply(200, body={"data": [], "metadata": metadata}), own={"badge_format": "minimal"})

    assert unclear.value.code == "incomplete_reply"


@pytest.mark.parametrize("value", ["", ".", "..", "a..b", "a/b", "a\\b", "a?b", "a#b", "a\nb", "\ud800"])
def test_an_id_that_would_lead_elsewhere_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ValueError) as refused:
        path_segment(value, name="badge_id")

    assert str(refused.value) == "badge_id must be an id as Credly shows it: not empty, without / ? # or .."


def test_an_odd_id_is_quoted() -> None:
    assert path_segment("a b%c:d@é", name="badge_id") == "a%20b%25c%3Ad%40%C3%A9"
