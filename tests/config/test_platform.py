"""Services in the order in which they need each other."""

from __future__ import annotations

import itertools

import pytest

from pytest_gaia.config.platform import in_order

PLATFORM = ("nats", "postgres", "auth", "asset", "chat", "gateway")


@pytest.mark.parametrize("given", [PLATFORM[::-1], ("gateway", "nats", "chat"), ("asset",), ()])
def test_what_others_need_comes_first(given: tuple[str, ...]) -> None:
    assert in_order(given) == tuple(each for each in PLATFORM if each in given)


def test_the_order_does_not_depend_on_how_it_was_asked_for() -> None:
    assert {in_order(each) for each in itertools.permutations(PLATFORM)} == {PLATFORM}


def test_a_service_is_there_once() -> None:
    assert in_order(["auth", "gateway", "auth"]) == ("auth", "gateway")


def test_a_service_of_another_kind_comes_with_the_backends() -> None:
    assert in_order(["gateway", "worker", "nats", "chat"]) == ("nats", "chat", "worker", "gateway")
