"""The ledger: signed statements, each naming the one before it. Whatever is changed in it is found.

A statement carries its place (ledger, number, hash of the envelope before it) inside of what is signed. Changing a byte
breaks a signature or the next link; leaving out, moving or repeating an entry breaks the chain. Once an entry is signed,
every later one has to be. Only the removal of the newest entries leaves a whole chain: compare the head with the one that
a report or a CI log holds (``--head``).
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.promotion.ledger._dsse import PAYLOAD_TYPE, Envelope, Signer, signed_by, wrap
from pytest_gaia.promotion.ledger._git_reference import Taken
from pytest_gaia.promotion.ledger.keys import TrustedKey
from pytest_gaia.promotion.ledger.statements import PREDICATES, STATEMENT, Chain, Predicate, Subject, sha256_of
from pytest_gaia.promotion.ledger.stores import Store

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
    doubt: str = ""
    """why it is no evidence although the chain is whole: it is not signed, and the project trusts keys"""

    @property
    def word(self) -> str:
        """What kind of evidence it is, in a word."""
        return self.predicate.word if self.predicate else "unknown"

    def __str__(self) -> str:
        return str(self.predicate) if self.predicate else self.kind


class Ledger:
    """Entries in a store, and the keys that are trusted to have signed them."""

    def __init__(self, store: Store, keys: Sequence[TrustedKey]) -> None:
        self.store = store
        self.keys = tuple(keys)

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries in their order, each checked by itself and against the one before it."""
        found: list[Entry] = []
        signed = False
        for position, (number, content) in enumerate(self.store.read().items(), 1):
            entry = _read(number, content, self.keys)
            problem = entry.problem or _misplaced(entry, position, found[-1] if found else None, found[:1])
            if not problem and signed and not entry.signed:
                problem = "is not signed, and entries before it are: its signature was removed, or it never had one"
            doubt = "is not signed, and the project trusts keys" if self.keys and not entry.signed else ""
            found.append(replace(entry, problem=problem, doubt=doubt))
            signed = signed or entry.signed
        return tuple(found)

    @property
    def must_sign(self) -> bool:
        """Whether an entry without a signature would break the ledger, or be no evidence."""
        return bool(self.keys) or any(entry.signed for entry in self.entries())

    def problems(self, head: str | None = None) -> tuple[str, ...]:
        """Return what is wrong with the ledger; nothing where it is whole. ``head`` is a hash that it must contain."""
        return problems_of(self.entries(), head)

    @property
    def head(self) -> str:
        """SHA-256 of the newest envelope; empty for an empty ledger."""
        stored = self.store.read()
        return sha256_of(stored[max(stored)]) if stored else ""

    def append(
        self, kind: str, subjects: Iterable[Subject], predicate: Predicate, *, signers: Sequence[Signer]
    ) -> Entry:
        """Write one statement, signed by ``signers``, after the newest; return it as it is read back.

        Raises ``ConfigError`` where the store cannot be written, and without ``signers`` where every entry has to be
        signed. Nothing is ever half-written.
        """
        if not signers and self.must_sign:
            raise ConfigError(
                f"{self.store.name}: every entry of this ledger has to be signed, and there is no key here: set "
                "GAIA_SIGNING_KEY_FILE. Nothing was written."
            )
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


def counted(entries: Sequence[Entry]) -> str:
    """Return how many of ``entries`` were signed, and by how many keys: ``24 entries, 24 signed by 3 keys``."""
    if not entries:
        return "0 entries"
    keys = {key.keyid for entry in entries for key in entry.signers}
    signed = sum(bool(entry.signers) for entry in entries)
    by = f" by {len(keys)} {'key' if len(keys) == 1 else 'keys'}" if keys else ""
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {signed} signed{by}"


def unsigned_of(entries: Sequence[Entry]) -> str:
    """Return which of ``entries`` nobody has signed; empty where all are. Those that are a problem are left out."""
    numbers = [entry.sequence for entry in entries if not entry.signed and not entry.problem]
    if not numbers:
        return ""
    # Whatever follows a signed entry is a problem, so that these are the first ones.
    which = "entry 1 is" if len(numbers) == 1 else f"entries {numbers[0]} to {numbers[-1]} are"
    return f"{which} not signed: nothing shows who wrote {'it' if len(numbers) == 1 else 'them'}"


def _next_place(stored: Mapping[int, bytes]) -> Chain:
    if not stored:
        return Chain(secrets.token_hex(16), 1, "")
    last = max(stored)
    before = _read(last, stored[last], ())
    return Chain(before.chain.ledger if before.chain else "", last + 1, sha256_of(stored[last]))


def _body(kind: str, subjects: Iterable[Subject], predicate: dict[str, Any]) -> bytes:
    return msgspec.json.encode(Statement(subject=tuple(subjects), predicate_type=kind, predicate=predicate))


def _read(number: int, content: bytes, keys: Sequence[TrustedKey]) -> Entry:
    digest = sha256_of(content)
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
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Entry(number, digest, problem=f"cannot be read: {error}")
    then = tuple(found for key in signers if (found := key.at(time)))
    problem = "" if predicate is not None else f"of an unknown type {statement.predicate_type}"
    if not problem and envelope.signatures and not then:
        problem = _unsound(signers, time)
    signed = bool(envelope.signatures)
    kind, subjects = statement.predicate_type, statement.subject
    return Entry(number, digest, kind, subjects, predicate, then, time, chain, signed, problem)


def _unsound(signers: Sequence[TrustedKey], time: datetime | None) -> str:
    if not signers or time is None:
        return "signed, but by no key that is trusted; or what was signed has been changed"
    limits = "; ".join(f"{key.name} {key.limits}" for key in signers)
    return f"dated {time.isoformat(timespec='seconds')}, and signed by a key that was not in force then: {limits}"


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


def _time(predicate: Predicate | None) -> datetime | None:
    if predicate is None or not predicate.time:
        return None
    moment = datetime.fromisoformat(predicate.time)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
