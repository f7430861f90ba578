from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.deploy.outcome import difference, images

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def machine(number: int = 1, **changes: Any) -> Machine:
    return Machine(**{"id": f"m{number}", "state": "started", "digest": A, **changes})


def seen(*machines: Machine, **changes: Any) -> Observation:
    return Observation(**{"app": "gaia-auth-dev", "exists": True, "machines": machines, "version": 4, **changes})


@dataclass(frozen=True)
class Case:
    before: Observation
    after: Observation


@pytest.mark.parametrize(
    "case",
    [
        Case(seen(machine()), seen(machine())),
        Case(seen(machine()), seen(machine(), machine(2))),
        Case(seen(machine(), machine(2)), seen(machine(2))),
        Case(seen(machine()), seen(machine(state="suspended"))),
        Case(seen(machine()), seen(machine(checks=1, critical=1))),
        Case(seen(machine()), seen(machine(), taken="2030-01-01T00:00:00Z")),
        Case(seen(machine(), version=None), seen(machine(9), version=None)),
        Case(seen(machine(), version=None), seen(machine())),
        Case(seen(exists=False), seen(exists=False)),
        Case(seen(machine(digest=None, image="r/a:1")), seen(machine(digest=None, image="r/a:1"))),
    ],
)
def test_what_is_no_other_release(case: Case) -> None:
    assert difference(case.before, case.after) == ""


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (Case(seen(machine()), seen(machine(), version=5)), "gaia-auth-dev has release 5, but had release 4 before"),
        (Case(seen(machine()), seen(machine(digest=B))), "gaia-auth-dev runs sha256:bbbbbbbbbbbb, but ran sha256:aaaaaaaaaaaa before"),
        (
            Case(seen(machine()), seen(machine(), machine(2, digest=B))),
            "gaia-auth-dev runs sha256:aaaaaaaaaaaa, sha256:bbbbbbbbbbbb, but ran sha256:aaaaaaaaaaaa before",
        ),
        (Case(seen(machine()), seen()), "gaia-auth-dev runs nothing, but ran sha256:aaaaaaaaaaaa before"),
        (Case(seen(machine()), seen(exists=False)), "gaia-auth-dev no longer exists"),
        (Case(seen(exists=False), seen(machine())), "gaia-auth-dev was deployed meanwhile"),
        (
            Case(seen(machine(digest=None, image="r/a:1")), seen(machine(digest=None, image="r/a:2"))),
            "gaia-auth-dev runs r/a:2, but ran r/a:1 before",
        ),
    ],
)  # fmt: skip
def test_what_is_another_release(case: Case, sentence: str) -> None:
    assert difference(case.before, case.after) == sentence


def test_images_are_named_once_and_by_what_is_known_of_them() -> None:
    several = seen(
        machine(digest=B), machine(2), machine(3), machine(4, digest=None, image="r/a:1"), machine(5, digest=None)
    )

    assert images(several) == ("an unknown image", "r/a:1", A, B)
