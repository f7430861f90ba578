"""What holds of every text and every secret."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote_plus

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gaia.secrets.forms import SHORTEST, forms_of
from pytest_gaia.secrets.masks import MASK, MASKED, mask_of, unkeyed
from pytest_gaia.secrets.redaction import Redactor

# Without stars: a part of a mask cannot be distinguished from a mask.
TEXT = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), max_size=40)
SECRET = st.text(st.characters(exclude_characters="*", exclude_categories=("Cs", "Cc")), min_size=SHORTEST, max_size=40)
# Pieces of what a pattern looks for, so that texts are often nearly one.
PIECE = st.sampled_from(
    ['"password": "', '"token": ', '"', "\\", "?api_key=", "&", "nats://", "postgresql://me:", "@", "h/d", "eyJ", "..."]
)
MIXED = st.lists(TEXT | PIECE, max_size=8).map("".join)


@given(st.lists(SECRET, min_size=1, max_size=3), st.lists(MIXED, min_size=1, max_size=4))
def test_what_was_learnt_does_not_stay(secrets: list[str], between: list[str]) -> None:
    redactor = Redactor(secrets)
    text = "".join(before + secret for before in between for secret in secrets)
    masked = redactor.text(text)
    for secret in secrets:
        # A mask may come to stand between two halves that are a secret by accident, never the other way round.
        assert secret not in MASKED.sub(" \0 ", masked)


@given(SECRET, MIXED, MIXED)
def test_masking_again_changes_nothing(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    once = redactor.text(f"{before}{secret}{after}")
    assert redactor.text(once) == once


@given(SECRET, TEXT)
def test_a_text_without_secrets_stays_as_it_is(secret: str, text: str) -> None:
    assume(not any(form[:6] in text or form[-6:] in text for form in forms_of(secret)))
    assume("://" not in text and "eyJ" not in text and "=" not in text)
    assert Redactor([secret]).text(text) == text


@given(SECRET, SECRET)
def test_equal_secrets_have_equal_masks_and_others_others(one: str, other: str) -> None:
    assume(one != other)
    assert mask_of(one) == mask_of(one) != mask_of(other)
    assert unkeyed(mask_of(one)) == unkeyed(mask_of(other)) == MASK


@given(
    st.text(
        st.characters(min_codepoint=33, exclude_characters="*", exclude_categories=("Cs", "Cc")),
        min_size=9,
        max_size=40,
    )
)
def test_every_form_of_a_secret_has_its_mask(secret: str) -> None:
    redactor, mask = Redactor([secret]), mask_of(secret)
    for form in (secret, quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1], repr(f"{secret}'\"")[1:-4]):
        assert redactor.known(f"<{form}>") == f"<{mask}>"


@given(st.binary(max_size=8), SECRET.filter(lambda text: len(text.encode()) >= 9), st.binary(max_size=8))
def test_base64_shows_none_wherever_it_begins(before: bytes, secret: str, after: bytes) -> None:
    code = base64.b64encode(before + secret.encode() + after).decode()
    masked = Redactor([secret]).known(code)
    assert masked != code
    left = MASKED.sub("", masked)
    # The remainder contains the neighbors, and some bits of its ends.
    assert len(left) <= (len(before) + len(after)) * 4 / 3 + 8


LONG = st.text(st.characters(exclude_characters="*.:", exclude_categories=("Cs", "Cc", "Z")), min_size=30, max_size=60)


@given(LONG, st.integers(8, 12), st.integers(8, 12))
def test_what_is_cut_shows_neither_beginning_nor_end(secret: str, head: int, tail: int) -> None:
    masked = Redactor([secret]).known(f"x = {secret[:head]}...{secret[-tail:]}")
    assert masked == f"x = {mask_of(secret)}...{mask_of(secret)}"
