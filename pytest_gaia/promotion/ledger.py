"""The ledger: signed statements, each naming the one before it. Whatever is changed in it is found.

A statement carries its place (ledger, number, hash of the envelope before it) inside of what is signed. Changing a byte
breaks a signature or the next link; leaving out, moving or repeating an entry breaks the chain. Only the removal of the
newest entries leaves a whole chain: compare the head with the one that a report or a CI log holds (``--head``).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_gaia.errors import DeployUnavailable
from pytest_gaia.promotion.dsse import PAYLOAD_TYPE, Envelope, signed_by, wrap
from pytest_gaia.promotion.git_reference import Taken
from pytest_gaia.promotion.statements import PREDICATES, STATEMENT, Chain, Predicate, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_gaia.promotion.dsse import Signer
    from pytest_gaia.promotion.keys import TrustedKey
    from pytest_gaia.promotion.stores import Store

_CHAIN = "urn:pytest-gaia:chain/1"
_CLOCK_SKEW = timedelta(minutes=5)
"""by how much clocks of two machines may differ before an entry is said to be older than the one before it"""
_TRIES = 20


class Statement(msgspec.Struct, frozen=True, kw_only=True, rename={"kind": "_type", "predicate_type": "predicateType"}):
    """in-toto Statement v1."""

    kind: str = STATEMENT
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read. What it says counts only if ``problem`` is empty, and ``signers`` are who may say it."""

    sequence: int
    sha256: str
    """of the envelope's bytes as they are stored"""
    kind: str = ""
    """predicateType"""
    subjects: tuple[Subject, ...] = ()
    predicate: Predicate | None = None
    signers: tuple[TrustedKey, ...] = ()
    """trusted keys that have signed it and were in force at its time"""
    time: datetime | None = None
    chain: Chain | None = None
    signed: bool = False
    """whether it carries any signature at all"""
    problem: str = ""


class Ledger:
    """Entries in a store, and the keys that are trusted to have signed them."""

    def __init__(self, store: Store, keys: Sequence[TrustedKey]) -> None:
        self.store = store
        self.keys = tuple(keys)

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries in their order, each checked by itself and against the one before it."""
        found: list[Entry] = []
        for position, (number, content) in enumerate(self.store.read().items(), 1):
            entry = _read(number, content, self.keys)
            problem = entry.problem or _misplaced(entry, position, found[-1] if found else None, found[:1])
            found.append(_with_problem(entry, problem))
        return tuple(found)

    def problems(self, head: str | None = None) -> tuple[str, ...]:
        """Return what is wrong with the ledger; nothing where it is whole. ``head`` is a hash that it must contain."""
        return problems_of(self.entries(), head)

    @property
    def head(self) -> str:
        """SHA-256 of the newest envelope; empty for an empty ledger."""
        stored = self.store.read()
        return _digest(stored[max(stored)]) if stored else ""

    def append(
        self, kind: str, subjects: Iterable[Subject], predicate: Predicate, *, signers: Sequence[Signer]
    ) -> Entry:
        """Write one statement, signed by ``signers``, after the newest; return it as it is read back.

        Raises ``ConfigError`` where the store cannot be written. Nothing is ever half-written.
        """
        values = msgspec.to_builtins(predicate)
        for _ in range(_TRIES):
            stored = self.store.read()
            chain = _next_place(stored)
            body = _body(kind, subjects, values | {_CHAIN: msgspec.to_builtins(chain)})
            content = msgspec.json.encode(wrap(body, signers)) + b"\n"
            try:
                self.store.add(chain.sequence, content)
            except Taken:
                continue
            return _read(chain.sequence, content, self.keys)
        raise DeployUnavailable(f"{self.store.name}: {_TRIES} others wrote into the ledger first. Nothing was written.")


def problems_of(entries: Sequence[Entry], head: str | None = None) -> tuple[str, ...]:
    """Return what is wrong with ``entries``, as :meth:`Ledger.problems` does."""
    wrong = [f"entry {entry.sequence}: {entry.problem}" for entry in entries if entry.problem]
    if head and not any(entry.sha256.startswith(head) for entry in entries):
        wrong.append(f"no entry has the hash {head}: entries were removed, or it is another ledger's head")
    return tuple(wrong)


def _next_place(stored: Mapping[int, bytes]) -> Chain:
    if not stored:
        return Chain(secrets.token_hex(16), 1, "")
    last = max(stored)
    before = _read(last, stored[last], ())
    return Chain(before.chain.ledger if before.chain else "", last + 1, _digest(stored[last]))


def _body(kind: str, subjects: Iterable[Subject], predicate: dict[str, Any]) -> bytes:
    return msgspec.json.encode(Statement(subject=tuple(subjects), predicate_type=kind, predicate=predicate))


def _read(number: int, content: bytes, keys: Sequence[TrustedKey]) -> Entry:
    digest = _digest(content)
    try:
        envelope = msgspec.json.decode(content, type=Envelope)
        signers = signed_by(envelope, keys)
        if envelope.payload_type != PAYLOAD_TYPE:
            return Entry(number, digest, problem=f"holds {envelope.payload_type}, not an in-toto statement")
        statement = msgspec.json.decode(envelope.body(), type=Statement)
        chain = msgspec.convert(statement.predicate.get(_CHAIN), Chain)
        known = PREDICATES.get(statement.predicate_type)
        predicate = msgspec.convert(statement.predicate, known) if known else None
        time = _time(predicate)
    except (msgspec.MsgspecError, ValueError) as error:
        return Entry(number, digest, problem=f"cannot be read: {error}")
    in_force = tuple(key for key in signers if time is None or key.valid_at(time))  # type: ignore[attr-defined]  # the keys given are trusted keys
    unknown = "" if predicate is not None else f"of an unknown type {statement.predicate_type}"
    entry = Entry(number, digest, statement.predicate_type, statement.subject, predicate, in_force, time, chain)  # type: ignore[arg-type]  # as above
    return _with_problem(entry, unknown or _unsound(envelope, keys, in_force), signed=bool(envelope.signatures))


def _unsound(envelope: Envelope, keys: Sequence[TrustedKey], in_force: Sequence[object]) -> str:
    if envelope.signatures and keys and not in_force:
        return "signed, but by no key that is trusted and was in force then; or what was signed has been changed"
    return ""


def _misplaced(entry: Entry, position: int, before: Entry | None, first: Sequence[Entry]) -> str:
    chain = entry.chain
    if chain is None or chain.sequence != entry.sequence:
        return "stands at another place than it was written for: moved, or written twice"
    if entry.sequence != position:
        return f"follows entry {before.sequence if before else 0}: entries between them were removed"
    if chain.previous != (before.sha256 if before else ""):
        return "does not follow the entry before it, which was changed, replaced or removed"
    if first and first[0].chain and chain.ledger != first[0].chain.ledger:
        return "belongs to another ledger"
    if before and before.time and entry.time and entry.time < before.time - _CLOCK_SKEW:
        return f"is dated {entry.time.isoformat()}, before the entry that it follows"
    return ""


def _with_problem(entry: Entry, problem: str, *, signed: bool | None = None) -> Entry:
    from dataclasses import replace

    return replace(entry, problem=problem, signed=entry.signed if signed is None else signed)


def _time(predicate: Predicate | None) -> datetime | None:
    for name in ("time", "finished", "time_created"):
        text = getattr(predicate, name, None) or getattr(getattr(predicate, "details", None), name, None)
        if text:
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
