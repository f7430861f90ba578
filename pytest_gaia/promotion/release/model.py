"""A release: images, deploy files, commit and migration, with an ID that depends on all of them."""

from typing import Literal

import msgspec

from pytest_gaia.promotion.ledger.statements import SHORT, Subject, sha256_of

FORMAT: Literal["gaia-bundle/1"] = "gaia-bundle/1"


class Component(msgspec.Struct, frozen=True, order=True):
    """The image of one service."""

    service: str
    image: str
    """reference with a digest: ``registry/name@sha256:…``; the digest of a local image is its ID"""
    digest: str
    """``sha256:…``"""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that are released together. The ID depends on all of them, except the time of creation."""

    format: Literal["gaia-bundle/1"] = FORMAT
    created: str
    kind: Literal["registry", "local"]
    """``local``: the images exist on this machine only, and can be promoted to local and dev only"""
    commit: str
    authors: tuple[str, ...]
    """email addresses of the authors of its new commits, who cannot approve it"""
    migration_head: str = ""
    components: tuple[Component, ...]
    configs: dict[str, str] = {}
    """deploy file → SHA-256"""

    @property
    def id(self) -> str:
        """SHA-256 (hex) of the content, independent of the order of its parts."""
        content = msgspec.to_builtins(self)
        del content["created"]
        content["components"] = msgspec.to_builtins(sorted(self.components))
        content["authors"] = sorted(self.authors)
        return sha256_of(msgspec.json.encode(content, order="deterministic"))

    @property
    def short(self) -> str:
        """The abbreviated ID for output."""
        return self.id[:SHORT]

    @property
    def digests(self) -> dict[str, str]:
        """service → digest."""
        return {component.service: component.digest for component in self.components}

    def subjects(self) -> tuple[Subject, ...]:
        """Return the subjects of statements about this release."""
        parts = ((each.service, each.digest.partition(":")) for each in sorted(self.components))
        return tuple(Subject(service, {kind: value}) for service, (kind, _, value) in parts)
