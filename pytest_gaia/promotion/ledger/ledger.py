"""The ledger: a chain of signed statements, in which every later change is found.

The signature of a statement also covers its position: the ledger, the number, and the hash of the previous envelope. A
changed byte breaks a signature or the next link. A removed, moved or repeated entry breaks the chain. After the first
signed entry, all entries must be signed. Only the removal of the newest entries leaves an intact chain. To find that,
compare the head with the one in a report or a CI log (``--head``).
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.promotion.ledger._signatures import Envelope, Signer, Statement, signed_by
from pytest_gaia.promotion.ledger.keys import UNTRUSTED, TrustedKey, valid_at
from pytest_gaia.promotion.ledger.statements import PREDICATES, Chain, Predicate, Subject, sha256_of
from pytest_gaia.promotion.ledger.stores import Store, Taken
from pytest_gaia.verdict.results_log import time_of

_CHAIN = "urn:pytest-gaia:chain/1"
_CLOCK_SKEW = timedelta(minutes=5)
"""maximum difference between the clocks of two machines"""
_TRIES = 20


class _Statement(Statement, frozen=True, kw_only=True):
    """A statement of any type, with its position in the predicate."""

    predicate_type: str
    predicate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read. It is evidence only if ``problem`` is empty, and only for the roles of ``signers``."""

    sequence: int
    sha256: str
    """hash of the stored bytes of the envelope"""
    kind: str = ""
    """predicateType"""
    subjects: tuple[Subject, ...] = ()
    predicate: Predicate | None = None
    signers: tuple[TrustedKey, ...] = ()
    """trusted keys that signed it and were valid at that time"""
    time: datetime | None = None
    chain: Chain | None = None
    signed: bool = False
    """whether it has any signature"""
    problem: str = ""
    doubt: str = ""
    """reason why it is no evidence in an intact chain: it is not signed, and the project trusts keys"""

    @property
    def word(self) -> str:
        """The kind of evidence, as one word."""
        return self.predicate.word if self.predicate else "unknown"

    def __str__(self) -> str:
        return str(self.predicate) if self.predicate else self.kind


class Ledger:
    """The entries in a store, with the trusted keys.

    Every method reads the store again, because other processes write to it. Bytes that were verified once are not verified
    again: the result depends on nothing else.
    """

    def __init__(self, store: Store, keys: Sequence[TrustedKey]) -> None:
        self.store = store
        self.keys = tuple(keys)
        self._verified: dict[tuple[int, str], Entry] = {}
        """number and SHA-256 of an envelope → the entry, verified alone"""

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries in order, each verified alone and against the previous one."""
        found: list[Entry] = []
        signed = False
        for position, (number, content) in enumerate(self.store.read().items(), 1):
            entry = self._entry(number, content)
            problem = entry.problem or _misplaced(entry, position, found[-1] if found else None, found[:1])
            if not problem and signed and not entry.signed:
                problem = "is not signed, but earlier entries are: its signature was removed, or never existed"
            doubt = "is not signed, and the project trusts keys" if self.keys and not entry.signed else ""
            found.append(replace(entry, problem=problem, doubt=doubt))
            signed = signed or entry.signed
        return tuple(found)

    def _entry(self, number: int, content: bytes) -> Entry:
        place = number, sha256_of(content)
        if place not in self._verified:
            self._verified[place] = _read(number, content, self.keys)
        return self._verified[place]

    @property
    def must_sign(self) -> bool:
        """Whether an entry without a signature breaks the ledger, or is no evidence."""
        return bool(self.keys) or any(entry.signed for entry in self.entries())

    def problems(self, head: str | None = None) -> tuple[str, ...]:
        """Return the problems of the ledger; none if it is intact. ``head`` is a hash that it must contain."""
        return problems_of(self.entries(), head)

    @property
    def head(self) -> str:
        """SHA-256 of the newest envelope; empty for an empty ledger."""
        last = self.store.last()
        return sha256_of(last[1]) if last else ""

    def append(
        self, kind: str, subjects: Iterable[Subject], predicate: Predicate, *, signers: Sequence[Signer]
    ) -> Entry:
        """Append one statement, signed by ``signers``, and return it as a reader sees it.

        Raises ``ConfigError`` if the store cannot be written, or if there are no ``signers`` and entries must be signed.
        An entry is written completely or not at all.
        """
        if not signers and self.must_sign:
            raise ConfigError(
                f"{self.store.name}: every entry of this ledger must be signed, and no signing key is set. Set "
                "GAIA_SIGNING_KEY_FILE. Nothing was written."
            )
        subject, values = tuple(subjects), msgspec.to_builtins(predicate)
        for _ in range(_TRIES):
            chain = _next_place(self.store.last())
            place = {_CHAIN: msgspec.to_builtins(chain)}
            statement = _Statement(subject=subject, predicate_type=kind, predicate=values | place)
            content = statement.signed(signers)
            try:
                self.store.add(chain.sequence, content)
            except Taken:
                continue
            return self._entry(chain.sequence, content)
        raise DeployUnavailable(
            f"{self.store.name}: other processes wrote to the ledger first, {_TRIES} times. Nothing was written; try again."
        )


def problems_of(entries: Sequence[Entry], head: str | None = None) -> tuple[str, ...]:
    """Return the problems of ``entries``, as :meth:`Ledger.problems` does."""
    wrong = [f"entry {entry.sequence}: {entry.problem}" for entry in entries if entry.problem]
    if head and not any(entry.sha256.startswith(head) for entry in entries):
        wrong.append(f"no entry has the hash {head}: entries were removed, or it is the head of another ledger")
    return tuple(wrong)


def counted(entries: Sequence[Entry]) -> str:
    """Return the number of signed ``entries`` and of their keys: ``24 entries, 24 signed by 3 keys``."""
    if not entries:
        return "0 entries"
    keys = {key.keyid for entry in entries for key in entry.signers}
    signed = sum(bool(entry.signers) for entry in entries)
    by = f" by {len(keys)} {'key' if len(keys) == 1 else 'keys'}" if keys else ""
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {signed} signed{by}"


def unsigned_of(entries: Sequence[Entry]) -> str:
    """Return a sentence about unsigned ``entries``; empty if there are none. Entries with a problem do not count."""
    numbers = [entry.sequence for entry in entries if not entry.signed and not entry.problem]
    if not numbers:
        return ""
    # An unsigned entry after a signed one is a problem, so these are the first entries.
    which = "entry 1 is" if len(numbers) == 1 else f"entries {numbers[0]} to {numbers[-1]} are"
    return f"{which} not signed: nothing shows who wrote {'it' if len(numbers) == 1 else 'them'}"


def _next_place(last: tuple[int, bytes] | None) -> Chain:
    if last is None:
        return Chain(secrets.token_hex(16), 1, "")
    number, content = last
    before = _read(number, content, ())
    return Chain(before.chain.ledger if before.chain else "", number + 1, sha256_of(content))


def _read(number: int, content: bytes, keys: Sequence[TrustedKey]) -> Entry:
    digest = sha256_of(content)
    try:
        envelope = msgspec.json.decode(content, type=Envelope)
        signers = signed_by(envelope, keys)
        statement = envelope.statement(_Statement)
        chain = msgspec.convert(statement.predicate.get(_CHAIN), Chain)
        known = PREDICATES.get(statement.predicate_type)
        predicate = msgspec.convert(statement.predicate, known) if known else None
        time = time_of(predicate.time) if predicate and predicate.time else None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Entry(number, digest, problem=f"is not readable: {error}")
    then: tuple[TrustedKey, ...] = ()
    signed = bool(envelope.signatures)
    problem = UNTRUSTED if signed and not signers else ""
    try:
        then = valid_at(time, signers)
    except ValueError as error:
        problem = str(error)
    if predicate is None:
        problem = f"has the unknown type {statement.predicate_type}"
    kind, subjects = statement.predicate_type, statement.subject
    return Entry(number, digest, kind, subjects, predicate, then, time, chain, signed, problem)


def _misplaced(entry: Entry, position: int, before: Entry | None, first: Sequence[Entry]) -> str:
    chain = entry.chain
    if chain is None or chain.sequence != entry.sequence:
        return "is not at its original position: it was moved or copied"
    if entry.sequence != position:
        return f"follows entry {before.sequence if before else 0}: entries between them were removed"
    if chain.previous != (before.sha256 if before else ""):
        return "does not follow the previous entry, which was changed, replaced or removed"
    if first and first[0].chain and chain.ledger != first[0].chain.ledger:
        return "belongs to another ledger"
    if before and before.time and entry.time and entry.time < before.time - _CLOCK_SKEW:
        return f"is dated {entry.time.isoformat()}, earlier than the previous entry"
    return ""
