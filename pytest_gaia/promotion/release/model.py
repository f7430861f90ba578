"""A release: everything that is released together, under one name that changes if any part of it does."""

from typing import Literal

import msgspec

from pytest_gaia.promotion.ledger.statements import SHORT, Subject, sha256_of

FORMAT: Literal["gaia-bundle/1"] = "gaia-bundle/1"


class Component(msgspec.Struct, frozen=True, order=True):
    """The image of one service."""

    service: str
    image: str
    """a reference that names the digest: ``registry/name@sha256:…``; of a local image, the digest is its id"""
    digest: str
    """``sha256:…``"""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """What is released together. Its id is derived from all that it holds, but for when it was made."""

    format: Literal["gaia-bundle/1"] = FORMAT
    created: str
    kind: Literal["registry", "local"]
    """``local``: images that only this machine has; they go no further than dev"""
    commit: str
    authors: tuple[str, ...]
    """e-mail addresses of who wrote what is new in it; they cannot approve it"""
    migration_head: str = ""
    components: tuple[Component, ...]
    configs: dict[str, str] = {}
    """deploy file → SHA-256"""

    @property
    def id(self) -> str:
        """SHA-256 (hex) over the content, whatever the order in which it was given."""
        content = msgspec.to_builtins(self)
        del content["created"]
        content["components"] = msgspec.to_builtins(sorted(self.components))
        content["authors"] = sorted(self.authors)
        return sha256_of(msgspec.json.encode(content, order="deterministic"))

    @property
    def short(self) -> str:
        """The id as people are shown it."""
        return self.id[:SHORT]

    @property
    def digests(self) -> dict[str, str]:
        """service → digest."""
        return {component.service: component.digest for component in self.components}

    def subjects(self) -> tuple[Subject, ...]:
        """Return what statements about this release are about."""
        parts = ((each.service, each.digest.partition(":")) for each in sorted(self.components))
        return tuple(Subject(service, {kind: value}) for service, (kind, _, value) in parts)
