"""References of images: what was seen to run, named so that exactly that can be deployed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gaia.deploy.contract import Machine, Observation


def running_image(observation: Observation) -> str:
    """Return what all machines run, pinned to its digest; empty where they differ or say nothing."""
    images = {pinned(machine) for machine in observation.machines}
    return images.pop() if len(images) == 1 else ""


def pinned(machine: Machine) -> str:
    """Return the reference of a machine's image: by digest where that is known, since a tag can move.

    >>> from pytest_gaia.deploy.contract import Machine
    >>> pinned(Machine(id="1", state="started", image="registry.fly.io/gaia-auth-dev:v7", digest="sha256:ab"))
    'registry.fly.io/gaia-auth-dev@sha256:ab'
    """
    image = machine.image or ""
    if not image or not machine.digest:
        return image
    head, slash, last = image.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{machine.digest}"


def digests(observation: Observation) -> tuple[str, ...]:
    """Return the digests of all machines, each once."""
    return tuple(sorted({machine.digest for machine in observation.machines if machine.digest}))
