"""What is masked, and what must stay readable."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.clients.known_secrets import mint, redactor_of
from pytest_gaia.secrets.forms import FormIndex
from pytest_gaia.secrets.masks import MASKED, Secret, mask_of, unkeyed
from pytest_gaia.secrets.redaction import Redactor
from tests.clients.conftest import environment

KEY = "secret-value-9000"
MASK = mask_of(KEY)
JWT = mint(Secret("a-secret-that-is-long-enough-for-hs256"), "somebody")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"api_key": KEY}),
        json.dumps({"a": [{"Password": KEY}]}, indent=2),
        json.dumps({"detail": json.dumps({"refresh_token": KEY})}),
        json.dumps({"detail": json.dumps({"detail": json.dumps({"client_secret": KEY})})}),
        json.dumps({"password": f'with "quotes" and \\ {KEY}'}),
        f'{{"api_key": "{KEY}", "cut": "he',
        '{"pin": 1, "token": 9000}',
        f"https://host/x?api_key={KEY}&a=1",
        f"access_token={KEY}&grant_type=password",
        f"postgresql://gaia:{KEY}@db.internal/gaia",
        f"Authorization: Bearer {JWT}",
    ],
)
def test_a_secret_is_masked_by_its_name_or_its_form(text: str) -> None:
    clear = Redactor().text(text)
    assert KEY not in clear
    assert JWT not in clear
    assert "9000" not in clear
    assert "***" in clear


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"total_tokens": 12, "max_tokens": 3, "tokens_used": 4}),
        json.dumps({"persona_cache_keys": ["a"], "has_password": True, "api_keys": 2}),
        json.dumps({"token": None, "secret": False}),
        '{"error": "No valid authentication credentials provided"}',
        "http://127.0.0.1:8000/health",
        "gaia.service.ready",
    ],
)
def test_what_only_looks_like_a_secret_stays_readable(text: str) -> None:
    assert Redactor().text(text) == text


def test_json_stays_json() -> None:
    body = {"a": 1, "api_key": KEY, "b": [{"token": KEY, "c": 'x"y'}], "detail": json.dumps({"secret": KEY})}
    clear = json.loads(Redactor().text(json.dumps(body)))
    assert clear == {
        "a": 1,
        "api_key": MASK,
        "b": [{"token": MASK, "c": 'x"y'}],
        "detail": json.dumps({"secret": MASK}),
    }


def test_every_secret_of_the_environment_is_masked_wherever_it_turns_up() -> None:
    secrets = {
        "api_key": "k-111111",
        "jwt_secret": "j-222222",
        "token": "t-333333",
        "database": "postgresql://me:p-444444@h/d",
    }
    where = environment("sandbox", **{name: Secret(value) for name, value in secrets.items()})
    clear = redactor_of(where).text(" and ".join(secrets.values()))
    assert clear == " and ".join(map(mask_of, secrets.values()))


def test_a_learnt_value_is_masked_and_a_short_one_is_not() -> None:
    redactor = Redactor()
    redactor.learn("made-in-a-test")
    redactor.learn("ok")
    redactor.learn("made-in-a-test-too")
    assert (
        redactor.text("ok: made-in-a-test, made-in-a-test-too")
        == f"ok: {mask_of('made-in-a-test')}, {mask_of('made-in-a-test-too')}"
    )


def test_headers_are_masked_by_name_and_by_value() -> None:
    headers = [("X-API-Key", "k"), ("Authorization", "Bearer x"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    clear = Redactor([KEY]).headers([*headers, ("X-Echo", KEY), ("Accept", "a"), ("Accept", "b")])
    assert clear == {
        "x-api-key": mask_of("k"),
        "authorization": mask_of("x"),
        "set-cookie": f"{mask_of('a=1')}, {mask_of('b=2')}",
        "x-echo": MASK,
        "accept": "a, b",
    }


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_surrounds_it_a_named_secret_does_not_show(surroundings: object) -> None:
    text = json.dumps({"before": surroundings, "password": KEY, "after": surroundings})
    assert KEY not in Redactor().text(text)


def test_half_of_a_surrogate_pair_is_shown_in_a_form_that_can_be_written() -> None:
    shown = Redactor([KEY]).text(f"caf\u00e9 \ud83d \N{GRINNING FACE} {KEY}")
    assert shown.encode().decode() == f"caf\u00e9 \\ud83d \N{GRINNING FACE} {mask_of(KEY)}"


NAMED = [
    # headers, as libraries log them and people write them
    ("[(b'Set-Cookie', b'session=abc; HttpOnly'), (b'Content-Length', b'2')]", "[(b'Set-Cookie', b'***'), (b'Content-Length', b'2')]"),
    ("[('x-internal-auth', 'abc'), ('x-author', 'abc')]", "[('x-internal-auth', '***'), ('x-author', 'abc')]"),
    ("Set-Cookie: session=abc; HttpOnly", "Set-Cookie: ***"),
    ("Authorization: Bearer abc", "Authorization: Bearer ***"),
    ("{'set-cookie': ['a=1', 'b=2'], 'etag': ['c']}", "{'set-cookie': ['***', '***'], 'etag': ['c']}"),
    # parameters
    ("http://h/x?sig=abc&signature=def&a=1#code=ghi", "http://h/x?sig=***&signature=***&a=1#code=***"),
    ("/x?X-Auth=abc&amp;sid=def", "/x?X-Auth=***&amp;sid=***"),
    ('{"link": "/x?code=abc"}', '{"link": "/x?code=***"}'),
    # fields of JSON, and of what Python shows
    ("{'password': 'hunter2', 'user': 'me'}", "{'password': '***', 'user': 'me'}"),
    ("{'token': b'hunter2'}", "{'token': b'***'}"),
    ('{"signature": "q3Xv8LmPz1TkW9dY", "sid": "abc"}', '{"signature": "***", "sid": "abc"}'),
    ("User(name='me', password='hunter2')", "User(name='me', password='***')"),
    ("GAIA_API_KEY=hunter --api-key=hunter2", "GAIA_API_KEY=*** --api-key=***"),
    # command lines, and what they are given
    ("+ psql --password hunter2 --user me", "+ psql --password *** --user me"),
    ("Command '['psql', '--db-password', 'hunter2']' returned", "Command '['psql', '--db-password', '***']' returned"),
    ("curl -H 'X-Api-Key: hunter2' -H \"Authorization: Bearer abc\" h", "curl -H 'X-Api-Key: ***' -H \"Authorization: Bearer ***\" h"),
    ('"Env": ["POSTGRES_PASSWORD=hunter", "PATH=/bin"]', '"Env": ["POSTGRES_PASSWORD=***", "PATH=/bin"]'),
    # strings whose end was cut off
    ('{"token": "hunter', '{"token": "***'),
    ('{"detail": "{\\"token\\": \\"hunter"}', '{"detail": "{\\"token\\": \\"***"}'),
    ('{"token": "a\\\\\\"b', '{"token": "***'),
    # what has such a name, and is no secret
    *(
        (text, text)
        for text in (
            *('{"code": "NOT_FOUND", "auth": "healthy", "signature": "(int) -> str"}', "exit code=1, code: 404"),
            *("token = await login(gateway)", "token = tokens[0]", "def login(token: str) -> None:", 'body = {"password": {"type": "string"}}'),
            *("test_token.py:12: AssertionError", "tests/test_a.py::TestToken::test_v2_is_new", "expected one of ['password', 'token']"),
            *("--password is required", "use --api-key KEY", "--token-file /run/2024/token", "'--password', 'and more'", "f'token={token}'"),
            *("GAIA_API_KEY: api_key: contains a line break", "set GAIA_TOKEN=$TOKEN", "token: expired", "author=Rita-Roe-1"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NAMED)
def test_names_give_values_away_in_all_that_writes_them(text: str, expected: str) -> None:
    assert unkeyed(Redactor().text(text)) == expected


def test_the_first_cookie_is_masked_in_a_log_that_is_written_before_anybody_knows_it() -> None:
    line = "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', [(b'set-cookie', b'session=8d5e957f297893487bd98fa830fa6413')])"

    assert "8d5e957f" not in Redactor().text(line)


def test_headers_are_masked_whose_names_speak_of_credentials() -> None:
    shown = Redactor().headers([("X-Internal-Auth", "abc"), ("X-Hub-Signature-256", "def"), ("X-Author", "ghi")])

    assert {name: unkeyed(value) for name, value in shown.items()} == {
        "x-internal-auth": "***",
        "x-hub-signature-256": "***",
        "x-author": "ghi",
    }


@pytest.mark.parametrize(
    "form",
    ["hex", "HEX", "base32", "base32 within", "upper", "lower", "cut off at the end of the text", "cut in the middle"],
)
def test_a_known_value_is_found_in_every_form(form: str) -> None:
    value = "Correct-Horse_9000-battery"
    texts = {
        "hex": value.encode().hex(),
        "HEX": value.encode().hex().upper(),
        "base32": base64.b32encode(value.encode()).decode(),
        "base32 within": base64.b32encode(f"me:{value}!".encode()).decode()[5:-6],
        "upper": value.upper(),
        "lower": value.lower(),
        "cut off at the end of the text": value[:20],
        "cut in the middle": f"{value[:9]}...{value[-9:]}",
    }
    shown = unkeyed(Redactor([value]).text(f"it is {texts[form]}"))

    assert not re.search("[0-9A-Za-z]{4}", shown.removeprefix("it is "))
    assert "***" in shown


def test_each_form_is_indexed_once_however_many_are_learnt_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    add = FormIndex.add

    def counted(index: FormIndex, form: str, *, head: bool = True) -> None:
        added.append(form)
        add(index, form, head=head)

    monkeypatch.setattr(FormIndex, "add", counted)
    redactor = Redactor()

    for number in range(100):
        redactor.exchanged(json.dumps({"access_token": f"made-by-a-machine-{number:04}"}))

    assert len(redactor.values) == 100
    assert len(added) == len(set(added))
    assert all(sum(value in form for form in added) == 1 for value in redactor.values)


@pytest.mark.parametrize("place", ["", "x" * 90, "x" * 95, "x" * 101, "x" * 250])
def test_at_a_limit_a_secret_is_shown_whole_or_not_at_all(place: str) -> None:
    redactor = Redactor([KEY])
    for secret in (
        KEY,
        f"postgresql://me:{KEY[::-1]}@h",
        f'"token": "{KEY[::-1]}"',
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    ):
        shown = redactor.exchanged(f"{place} {secret} {'y' * 300}", 100)
        clear = MASKED.sub("", shown)

        assert len(clear) <= 100
        assert KEY[:4] not in clear
        assert KEY[::-1][:4] not in clear
        assert "ghp_01" not in clear


def test_a_password_with_an_at_sign_is_known_in_the_pieces_that_libraries_make_of_it() -> None:
    where = environment("sandbox", database=Secret("postgresql://me:Top1@Secret99@127.0.0.1/d"))
    shown = redactor_of(where).text('could not translate host name "Secret99@127.0.0.1"')

    assert unkeyed(shown) == 'could not translate host name "***@127.0.0.1"'


def test_an_address_without_a_password_is_shown() -> None:
    dsn = "postgresql://gaia@127.0.0.1:5432/db"

    assert redactor_of(environment("sandbox", database=Secret(dsn))).text(dsn) == dsn


def test_what_is_escaped_takes_nothing_from_a_text_below_its_limit() -> None:
    text = "\x1b]0;t\x07 \u202e\nthe reason"
    assert Redactor().exchanged(text, 4000) == r"\x1b]0;t\x07 \u202e" + "\nthe reason"
    assert len(Redactor().exchanged("\x00" * 5000, 4000)) == 4000
