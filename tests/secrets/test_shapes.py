"""Secrets that are known by their shape, what only looks like one, and texts built to keep a search busy."""

from __future__ import annotations

import base64
import random

import pytest

from pytest_gaia.secrets.masks import MASK, unkeyed
from pytest_gaia.secrets.redaction import Redactor
from pytest_gaia.secrets.shapes import joined, looks_random, private_keys, tokens, url_secrets


def shown(text: str) -> str:
    """Return ``text`` as a run shows it, with one mask for all secrets."""
    return unkeyed(Redactor().text(text))


URLS = [
    # a password that is not encoded
    ("postgresql://gaia:Top@Secret99@127.0.0.1:5432/db", "postgresql://gaia:***@127.0.0.1:5432/db"),
    ("postgresql://gaia:To:p@Sec:ret@h/db", "postgresql://gaia:***@h/db"),
    ("postgresql://gaia:a/b?c#d@h/db", "postgresql://gaia:***@h/db"),
    ("postgresql://gaia@server:Secret@h/db", "postgresql://gaia@server:***@h/db"),
    ("postgresql+asyncpg://u:p@ss@[::1]:5432/db", "postgresql+asyncpg://u:***@[::1]:5432/db"),
    ("at nats://tok@en@h:4222, then nats://u:p@q@h", "at nats://***@h:4222, then nats://u:***@h"),
    ("nats://a:b@c@h1,nats://d:e@f@h2", "nats://a:***@h1,nats://d:***@h2"),
    ("amqp://u:p:q@h, http://proxy:p@w@h:3128", "amqp://u:***@h, http://proxy:***@h:3128"),
    ('{"dsn_of": "mysql://u:a\\"b@c@h/d", "mail": "a@b"}', '{"dsn_of": "mysql://u:***@h/d", "mail": "a@b"}'),
    ("'redis://:p@ss@h:6379/0'", "'redis://:***@h:6379/0'"),
    # a key in the place of the user
    ("https://sk_abcSecret99:@api.example.org/v1", "https://***:@api.example.org/v1"),
    ("https://q3Xv8LmPz1TkW9dYb4Rg7s:x-oauth-basic@github.com/a/b", "https://***@github.com/a/b"),
    ("https://deploy-user-of-staging:hunter2@h/x", "https://deploy-user-of-staging:***@h/x"),
    # one whose end was cut off
    ("postgresql://gaia:Top", "postgresql://gaia:***"),
    ("see 'postgresql://gaia:Top...'", "see 'postgresql://gaia:***'"),
    # none
    ("postgresql://gaia@127.0.0.1:5432/db", None),
    ("postgresql://gaia@127.0.0.1:5432/db?application_name=a@b", None),
    ("http://127.0.0.1:8000/users/me@example.com", None),
    ("http://localhost:4873/@scope/name", None),
    ("waiting for http://localhost:8000...", None),
    ("ready: http://[::1]:8000", None),
    ('{"url":"http://h:1/x","mail":"a@b"}', None),
    ("file:///C:/x@y and https://r/x:tag@sha256:abc", None),
    ("http://{host}:{port}", None),
    ("nats://u:@h and nats://@h", None),
    # random words in a path
    ("GET http://h/s/q3Xv-8LmPz1_TkW9dYb4Rg/events?a=1", "GET http://h/s/***/events?a=1"),
    ("http://h/s/" + "5f" * 16, "http://h/s/***"),
    ("http://h/personas/3fa85f64-5717-4562-b3fc-2c963f66afa6", None),
    ("https://h/commit/" + "ab12" * 10, None),
    ("http://h/my-very-long-persona-name-2024/security-review-of-release-12", None),
    ("http://gaia-gateway-staging-1a2b3c4d5e6f7g8h9.fly.dev/health", None),
]


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_what_is_secret_in_a_url_is_masked_to_its_last_character(text: str, expected: str | None) -> None:
    assert shown(text) == (expected or text)


LINE = base64.b64encode(bytes(range(48))).decode()
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{LINE}\n{LINE}\nQUJDRA==\n-----END RSA PRIVATE KEY-----"
TOKENS = [
    ("key ghp_0123456789abcdefghijABCDEFGHIJ012345, used", "key ***, used"),
    ("github_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz", "***"),
    ("glpat-abcdefghij1234567890.", "***."),
    ("x=sk_live_abcdef0123456789", "x=***"),
    ("xoxb-123456789012-abcdef", "***"),
    ("AKIAIOSFODNN7EXAMPLE", "***"),
    ("AIzaSyA-1234567890abcdefghijklmnopqrstu", "***"),
    ("token is FlyV1 fm2_lJPECAAA==,fm2_b/c+d", "token is ***"),
    ("old one: fo1_Zxcv-bnm_1", "old one: ***"),
    ("-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.abc-_d is it", "-*** is it"),
    ("ghp_abcdefgh...", "***..."),
    ("eyJhbGciOiJIUz…", "***…"),
    ("glpat-abcdefgh", "***"),
    ("Authorization: Bearer q3Xv8LmPz1TkW9dYb4Rg", "Authorization: Bearer ***"),
    ("sent Bearer q3Xv8LmPz1TkW9dYb4Rg to it", "sent Bearer *** to it"),
    (f"before {PEM} after", "before *** after"),
    (repr({"pem": PEM}), "{'pem': '***'}"),
    (PEM[:120], "***"),
    (f"E   {PEM[:120]}".replace("\n", "\nE   ") + "\nE   and so on", "E   *** so on"),
    (repr(PEM)[:90] + "...'", "'***...'"),
    (PEM[60:] + " after", "*** after"),
    *(
        (text, text)
        for text in (
            *(
                "npm_lifecycle_event",
                "hf_transfer",
                "format fm, form_1, info1_x",
                "SCHEDULING",
                "eyJpZCI6MTB9 is a cursor",
            ),
            *(
                "ghp_ is how they begin",
                "Basic authentication",
                'if "-----BEGIN CERTIFICATE-----" in text:',
                "task-sk-learn",
            ),
        )
    ),
]


@pytest.mark.parametrize(("text", "expected"), TOKENS)
def test_tokens_and_private_keys_are_known_by_their_shape(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_random_words_look_random() -> None:
    # One of 75,000 such words does not, so these are the same in each run.
    source = random.Random(0)
    assert all(looks_random(base64.urlsafe_b64encode(source.randbytes(32)).decode().rstrip("=")) for _ in range(100))
    assert all(looks_random(source.randbytes(16).hex()) for _ in range(100))


HOSTILE = {
    "backslashes": '{"token":"' + "\\" * 1_000_000,
    "pairs of them": '{"detail":"bad","token":"' + "\\\\d\\\\w" * 170_000,
    "strings without an end": '"token": "' * 100_000,
    "strings in strings": "".join('\\' * depth + '"token":' + '\\' * depth + '"' for depth in range(1000)),
    "names": "token" * 200_000,
    "hyphens": "a-" * 500_000,
    "blanks": '"token"' + " " * 1_000_000,
    "tokens": "-eyJ" * 250_000,
    "prefixes": "ghp_" * 250_000,
    "URLs in URLs": "http://a:" * 110_000,
    "URLs in quotes": '"http://a ' * 100_000,
    "URLs with passwords": "nats://u:p@," * 80_000,
    "slashes": "http://h/" + "a1/" * 330_000,
    "beginnings of keys": "-----BEGIN PRIVATE KEY-----" * 37_000,
    "ends of keys": "-----END PRIVATE KEY-----" * 40_000,
    "dots": "." * 1_000_000,
    "cuts": "secret-value...9000-secret" * 38_000,
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_hostile_text_is_searched_to_its_end(text: str) -> None:
    # What grows with the square of the text, or worse, does not come to an end here.
    redactor = Redactor(["secret-value-9000-secret"])

    assert "secret-value-9000" not in redactor.exchanged(text)


@pytest.mark.parametrize("text", [each for each, expected in (*URLS, *TOKENS) if expected != each])
def test_spans_lie_in_the_text(text: str) -> None:
    spans = [*url_secrets(text), *private_keys(text), *((start, end) for start, end, _ in tokens(text))]

    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert MASK not in "".join(text[start:end] for start, end in joined(spans))
