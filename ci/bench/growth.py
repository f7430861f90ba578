"""Measure whether the work grows with its input: the CPU time for an input, and for one that is four times as large."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pytest_gaia.config.platform import Platform
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.config.stages import Stage
from pytest_gaia.config.tolerance import tolerance_of
from pytest_gaia.expectations.expectation import Expectation
from pytest_gaia.expectations.lint import lint
from pytest_gaia.expectations.subjects import Match, Subject, parse_selector
from pytest_gaia.promotion.gate.gate import evaluate
from pytest_gaia.promotion.gate.situation import Declared, Situation
from pytest_gaia.promotion.ledger._signatures import signed_by, wrap
from pytest_gaia.promotion.ledger.keys import SigningKey, TrustedKey, key_id
from pytest_gaia.promotion.ledger.ledger import Entry, Ledger
from pytest_gaia.promotion.ledger.lock import GitPlace, Lock
from pytest_gaia.promotion.ledger.statements import CHECK, CheckPredicate, DeploymentPredicate
from pytest_gaia.promotion.ledger.stores import FolderStore, GitReference, GitStore
from pytest_gaia.promotion.release.kept import Component, Release

GROWTH = 4
_LINEAR = 5.0
"""largest ratio of the times that counts as linear, with some noise"""
_ROUNDS = 5
_NOW = datetime.now(UTC)

Work: TypeAlias = Callable[[], object]
Prepared: TypeAlias = contextlib.AbstractContextManager[Work]
"""the work to measure, with an input that is made before and removed afterwards"""


@dataclass(frozen=True)
class Row:
    """Two times of one run, and the largest ratio of the second to the first."""

    what: str
    sizes: tuple[str, str]
    times: tuple[float, float]
    """seconds of CPU time, of this process and of those that it started"""
    at_most: float

    @property
    def ratio(self) -> float:
        """The second time relative to the first."""
        return self.times[1] / self.times[0]


def rows() -> Iterator[Row]:
    """Yield the rows as they are measured."""
    yield _compared("ledger in git: 400 entries are read", ("git", "gaia"), (_bare_git(400), _read_git(400)), 3)
    yield _grown("ledger in git: one more entry", 100, _append_git)
    yield _grown("ledger in a folder: one more entry", 500, _append_folder)
    yield _grown("one of many locks in git", 25, _lock_git)
    yield _compared("signers of an entry: trusted keys", ("5", "50"), (_signers(5), _signers(50)), 1.5)
    yield _grown("gate: entries about one release", 500, _gate)
    yield _grown("lint: tests, and 5% stale selectors", 500, _stale)
    yield _grown("environments", 50, _environments)
    yield _grown("environments with deploy files", 50, _deployed)


def _grown(what: str, size: int, prepare: Callable[[int], Prepared]) -> Row:
    """Measure the input of ``size``, and of ``GROWTH`` times that."""
    sizes = size, GROWTH * size
    return _compared(what, (str(sizes[0]), str(sizes[1])), (prepare(sizes[0]), prepare(sizes[1])), _LINEAR)


def _compared(what: str, sizes: tuple[str, str], prepared: tuple[Prepared, Prepared], at_most: float) -> Row:
    with prepared[0] as one, prepared[1] as other:
        # In turn, because the speed of a busy machine changes.
        times = [(_seconds(one), _seconds(other)) for _ in range(_ROUNDS)]
    return Row(what, sizes, (min(each[0] for each in times), min(each[1] for each in times)), at_most)


def _seconds(work: Work) -> float:
    # Short work is repeated, because the times of single processes of git vary.
    repeated, started, begun = 0, _used(), time.perf_counter()
    while repeated < 1 or time.perf_counter() - begun < 0.05:
        work()
        repeated += 1
    return (_used() - started) / repeated


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextlib.contextmanager
def _repository(entries: int) -> Iterator[tuple[Path, list[str]]]:
    """Yield a repository with signed ``entries`` in ``refs/gaia/ledger``, and the IDs of their objects."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _git(folder, "init", "-q")
        with tempfile.TemporaryDirectory() as plain:
            _filled(Path(plain), entries)
            paths = sorted(Path(plain).iterdir())
            given = "".join(f"{each}\n" for each in paths)
            blobs = _git(folder, "hash-object", "-w", "--stdin-paths", given=given).split()
        listing = "".join(f"100644 blob {blob}\t{path.name}\n" for blob, path in zip(blobs, paths, strict=True))
        commit = _git(folder, "commit-tree", _git(folder, "mktree", given=listing), "-m", "entries")
        _git(folder, "update-ref", "refs/gaia/ledger", commit)
        yield folder, blobs


@contextlib.contextmanager
def _bare_git(entries: int) -> Iterator[Work]:
    with _repository(entries) as (folder, blobs):
        command = ["git", "-C", str(folder), "cat-file", "--batch"]
        given = "\n".join(blobs).encode()
        yield lambda: subprocess.run(command, input=given, capture_output=True, check=True)


@contextlib.contextmanager
def _read_git(entries: int) -> Iterator[Work]:
    with _repository(entries) as (folder, _):
        yield lambda: GitStore(GitReference(folder, "refs/gaia/ledger")).read()


@contextlib.contextmanager
def _append_git(entries: int) -> Iterator[Work]:
    with _repository(entries) as (folder, _):
        yield lambda: _append(Ledger(GitStore(GitReference(folder, "refs/gaia/ledger")), _TRUSTED[:1]))


@contextlib.contextmanager
def _append_folder(entries: int) -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as folder:
        _filled(Path(folder), entries)
        yield lambda: _append(Ledger(FolderStore(Path(folder), "ledger"), _TRUSTED[:1]))


@contextlib.contextmanager
def _lock_git(locks: int) -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as folder:
        _git(Path(folder), "init", "-q")
        reference = GitReference(Path(folder), "refs/gaia/locks")
        names = [f"environment-{number}" for number in range(locks)]
        reference.put("", {f"{name}.json": b'{"environment": "e", "fence": 1}' for name in names}, "locks")
        yield lambda: Lock(GitPlace(reference, names[0]), names[0], "bench", timedelta(0)).acquire(_NOW)


@contextlib.contextmanager
def _signers(keys: int) -> Iterator[Work]:
    envelopes = [wrap(b"%d" % number * 100, [_SIGNING[number % 5]]) for number in range(20)]
    yield lambda: [signed_by(each, _TRUSTED[:keys]) for each in envelopes]


@contextlib.contextmanager
def _gate(entries: int) -> Iterator[Work]:
    # Each promotion took the lock once, so its token only increases.
    found = tuple(
        Entry(
            number,
            "",
            subjects=_RELEASE.subjects(),
            time=_NOW,
            predicate=DeploymentPredicate(
                environment="staging",
                release=_RELEASE.id,
                outcome="deployed",
                services=_RELEASE.digests,
                time=_NOW.isoformat(),
                fence=number,
            ),
        )
        for number in range(1, entries + 1)
    )
    declared = Declared("staging", Platform())
    yield lambda: evaluate(Situation("staging", declared, Stage(), _RELEASE, found, _NOW))


@contextlib.contextmanager
def _stale(tests: int) -> Iterator[Work]:
    subjects = [Subject(f"suites/s{n // 100:03}/test_a.py::test_thing[{n % 100}]") for n in range(tests)]
    stale = [_expectation(n, subjects[20 * n].node.replace("thing", "thign")) for n in range(tests // 20)]
    yield lambda: lint(stale, subjects, {"staging": tolerance_of("staging", {})}, date(2026, 11, 1))


def _expectation(number: int, selector: str) -> Expectation:
    return Expectation(
        id=f"e{number}",
        place=f"expectations/e{number}.toml",
        reason="fails",
        issue=f"BENCH-{number}",
        owner="@bench",
        created=date(2026, 11, 1),
        expires=date(2026, 11, 20),
        environments=("staging",),
        selectors=(parse_selector(selector),),
        match=Match(status=(503,)),
    )


@contextlib.contextmanager
def _environments(count: int) -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as folder:
        tables = (
            f'[env.e{number}]\nhosts = ["e{number}.example.org"]\n'
            f'[env.e{number}.urls]\napi = "https://api.e{number}.example.org"\nshop = "http://127.0.0.1:1{number:04}"\n'
            for number in range(count)
        )
        services = "[services.api]\n[services.shop]\n"
        (Path(folder) / "gaia.toml").write_text(f"[gaia]\n{services}{''.join(tables)}", encoding="utf-8")
        variables = {f"GAIA_E{number}_SHOP_URL": f"https://shop.e{number}.example.com" for number in range(count)}
        yield lambda: resolve_each(Options(project=Project(Path(folder)), environ=variables))


@contextlib.contextmanager
def _deployed(count: int) -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = (f'[env.e{number}]\nfrom = "fly"\n' for number in range(count))
        (folder / "gaia.toml").write_text(f"[services.api]\n[services.shop]\n{''.join(tables)}", encoding="utf-8")
        for number in range(count):
            for service in ("api", "shop"):
                text = f'app = "bench-{service}-e{number}"\n[http_service]\ninternal_port = 8000\n'
                (folder / f"fly.{service}.e{number}.toml").write_text(text, encoding="utf-8")
        yield lambda: resolve_each(Options(project=Project(folder), environ={}))


def _filled(folder: Path, entries: int) -> None:
    """Write signed ``entries`` to the ledger in ``folder``."""
    ledger = Ledger(FolderStore(folder, "ledger"), _TRUSTED[:1])
    for _ in range(entries):
        _append(ledger)


def _append(ledger: Ledger) -> None:
    predicate = CheckPredicate(
        environment="staging",
        release=_RELEASE.id,
        check="security-review",
        status="proved",
        reason="a reason of some length, as tools give it",
        time=_NOW.isoformat(),
    )
    ledger.append(CHECK, _RELEASE.subjects(), predicate, signers=_SIGNING[:1])


def _git(folder: Path, *words: str, given: str = "") -> str:
    person = ("-c", "user.name=gaia", "-c", "user.email=gaia@localhost")
    command = ["git", "-C", str(folder), *person, *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout.strip()


def _keys(count: int) -> tuple[list[SigningKey], list[TrustedKey]]:
    private = [Ed25519PrivateKey.generate() for _ in range(count)]
    raw = [each.public_key().public_bytes_raw() for each in private]
    trusted = [TrustedKey(f"key-{number}", key_id(each), each, ("ci",)) for number, each in enumerate(raw)]
    return [SigningKey(each.keyid, "", key) for each, key in zip(trusted, private, strict=True)], trusted


_SIGNING, _TRUSTED = _keys(50)
_RELEASE = Release(
    created=_NOW.isoformat(),
    kind="registry",
    commit="1" * 40,
    authors=("ada@example.org",),
    components=tuple(
        Component(service, f"registry.example.org/{service}@sha256:{'a' * 64}", f"sha256:{'a' * 64}")
        for service in ("api", "chat", "shop")
    ),
)
