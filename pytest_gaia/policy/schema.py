"""The file of one rule as a type. What a type cannot say is in :mod:`pytest_gaia.policy.checks`."""

from __future__ import annotations

# At run time, because msgspec reads the annotations.
from datetime import date
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

# No patterns on strings: msgspec 0.22 breaks the interpreter's last garbage collection when such a type met a mistake.
Texts: TypeAlias = str | list[str]
Status: TypeAlias = Annotated[int, Meta(ge=100, le=599)]
Service: TypeAlias = Literal["gateway", "auth", "asset", "chat", "nats", "postgres"]
Via: TypeAlias = Literal["direct", "gateway"]
Method: TypeAlias = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
Kind: TypeAlias = Literal["assertion", "http", "timeout", "unreachable", "error"]
Phase: TypeAlias = Literal["setup", "call", "teardown"]


class WhenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``when``: what must have been observed (``chat``) or not (``!chat``)."""

    capability: Texts = []


class MatchTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``match``: the signature of the failure; of a list, one value has to fit."""

    kind: Kind | list[Kind] = []
    status: Status | list[Status] = []
    service: Service | list[Service] = []
    via: Via | list[Via] = []
    route: Texts = []
    method: Method | list[Method] = []
    message: Texts = []
    sqlstate: Texts = []
    nats: Texts = []


class RuleTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    why: str
    issue: str
    owner: str
    added: date
    expires: date
    environments: list[str]
    tests: list[str]
    expect: Literal["fails", "flaky", "passes", "skips"] = "fails"
    phase: Phase | list[Phase] | None = None
    when: WhenTable = WhenTable()
    match: MatchTable = MatchTable()
    max_tests: Annotated[int, Meta(ge=1)] | None = None
    widened: str | None = None
