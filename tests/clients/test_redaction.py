"""What is masked, and what must stay readable."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gaia.clients.redaction import Redactor
from pytest_gaia.clients.tokens import mint
from pytest_gaia.config.secrets import Secret, mask_of
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
        "database": "postgresql://h/d-444444",
    }
    where = environment("sandbox", **{name: Secret(value) for name, value in secrets.items()})
    clear = Redactor.of(where).text(" and ".join(secrets.values()))
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


@pytest.mark.parametrize("text", ["x" * 300_000, "\\" * 300_000 + '"', "http://a:" * 30_000, '"token": "' * 30_000])
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    started = time.process_time()
    Redactor([KEY]).text(text)
    assert time.process_time() - started < 5


def test_half_of_a_surrogate_pair_is_shown_in_a_form_that_can_be_written() -> None:
    shown = Redactor([KEY]).text(f"caf\u00e9 \ud83d \N{GRINNING FACE} {KEY}")
    assert shown.encode().decode() == f"caf\u00e9 \\ud83d \N{GRINNING FACE} {mask_of(KEY)}"
