"""What runs, named so that exactly that can be deployed again."""

from __future__ import annotations

import pytest

from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.deploy.outcome import digests, pinned, running_image


def machine(image: str | None, digest: str | None) -> Machine:
    return Machine(id="1", state="started", image=image, digest=digest)


@pytest.mark.parametrize(
    ("image", "digest", "reference"),
    [
        ("registry.fly.io/auth:v7", "sha256:ab", "registry.fly.io/auth@sha256:ab"),
        ("registry.fly.io/auth:v7@sha256:ab", "sha256:ab", "registry.fly.io/auth@sha256:ab"),
        ("localhost:5000/auth", "sha256:ab", "localhost:5000/auth@sha256:ab"),
        ("nats:2.11", "sha256:ab", "nats@sha256:ab"),
        ("nats:2.11", None, "nats:2.11"),
        (None, "sha256:ab", ""),
    ],
)
def test_a_digest_takes_the_place_of_a_tag(image: str | None, digest: str | None, reference: str) -> None:
    assert pinned(machine(image, digest)) == reference


def test_an_app_has_an_image_only_if_all_its_machines_run_the_same() -> None:
    one, other = machine("auth:v1", "sha256:aa"), machine("auth:v1", "sha256:bb")

    assert running_image(Observation(app="a", exists=True, machines=(one, one))) == "auth@sha256:aa"
    assert running_image(Observation(app="a", exists=True, machines=(one, other))) == ""
    assert running_image(Observation(app="a", exists=False)) == ""
    assert digests(Observation(app="a", exists=True, machines=(other, one, other))) == ("sha256:aa", "sha256:bb")
