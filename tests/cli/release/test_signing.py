"""``gaia signoff`` and ``gaia waive``: what counts is written, and what would not is refused before it is."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.ledger.statements import SIGNOFF, WAIVER, SignoffPredicate, WaiverPredicate
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE
from tests.cli.release.test_keys import secrets_of, ssh_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

    Gaia = Callable[..., Outcome]

REVIEW = ("signoff", "security-review", "--env", "production")
WAIVE = ("waive", "rollback-ready", "--env", "production", "--why", "partner launch")


@pytest.fixture
def refused(gaia: Gaia, pipeline: Underway) -> Callable[..., str]:
    """Run a command that is refused, and writes nothing; return what it says."""

    def call(*arguments: str, release: str | None = None) -> str:
        before = [entry.sha256 for entry in pipeline.entries()]
        code, out, err = gaia(*arguments, "--bundle", release or pipeline.id)
        assert (code, out) == (4, "")
        assert [entry.sha256 for entry in pipeline.entries()] == before
        return err

    return call


def test_a_signoff_is_signed_in_its_role_and_opens_the_gate(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.all_but("ready_for_production", "into_production")
    pipeline.roll_back("staging")
    pipeline.wait(25)
    held = pipeline.hold("sam", monkeypatch)

    code, out, err = gaia(*REVIEW, "--bundle", pipeline.id, "--why", "report SEC-88", "--until", "3d")

    entry = pipeline.entries()[-1]
    assert (code, err) == (0, "")
    assert out == (
        f"security-review for production, bundle {pipeline.id}: written as entry {entry.sequence}, signed by sam\n"
        f"next: gaia gate production --bundle {pipeline.id} --edge\n"
    )
    says = entry.predicate
    assert isinstance(says, SignoffPredicate)
    assert (entry.kind, entry.problem, [key.name for key in entry.signers]) == (SIGNOFF, "", ["sam"])
    assert (says.check, says.role, says.signer, says.reason) == ("security-review", "security", "sam", "report SEC-88")
    assert says.release == pipeline.release.id
    assert entry.subjects == pipeline.release.subjects()
    assert datetime.fromisoformat(says.until) - datetime.fromisoformat(says.time) == timedelta(days=3)
    assert not any(line in pipeline.entry_file(entry.sequence).read_text() for line in held.splitlines())

    pipeline.hold("rita", monkeypatch)
    assert gaia("gate", "production", "--bundle", pipeline.id, "--edge").code == 11
    assert gaia("signoff", "release", "--env", "production", "--bundle", pipeline.id).code == 0
    assert gaia("gate", "production", "--bundle", pipeline.id, "--edge").code == 0


def test_a_waiver_lets_an_item_go(gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.hold("rita", monkeypatch)

    code, out, _ = gaia(*WAIVE, "--until", "2d", "--bundle", pipeline.id)

    entry = pipeline.entries()[-1]
    assert code == 0
    assert "signed by rita" in out
    assert entry.kind == WAIVER
    assert isinstance(entry.predicate, WaiverPredicate)
    assert entry.predicate.reason == "partner launch"
    assert "waived" in gaia("checklist", "production", "--bundle", pipeline.id).out


def test_an_ssh_key_signs_through_ssh_keygen(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    key = ssh_key(project)
    gaia("key", "trust", "sue", f"{key}.pub", "--role", "security", "--identity", "sue@example.org")

    for path in (key, f"{key}.pub"):
        # Of the public file, ssh-keygen finds the private one beside it, or asks the agent.
        code, out, err = gaia(*REVIEW, "--bundle", pipeline.id, "--ssh-key", str(path))
        assert (code, err) == (0, "")
        assert "signed by sue" in out
    assert [entry.problem for entry in pipeline.entries()] == ["", ""]
    assert "approved" in gaia("checklist", "production", "--bundle", pipeline.id).out


def test_ssh_keys_that_do_not_sign(
    refused: Callable[..., str], gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = ssh_key(project), ssh_key(project, "ecdsa")
    gaia("key", "trust", "sue", f"{key}.pub", "--role", "security", "--identity", "sue@example.org")
    (project / "alone").write_bytes(key.read_bytes())
    (project / "mixed").mkdir()
    mixed = ssh_key(project / "mixed")
    mixed.with_suffix(".pub").write_bytes(key.with_suffix(".pub").read_bytes())

    assert "alone.pub cannot be read: No such file" in refused(*REVIEW, "--ssh-key", "alone")
    assert "no Ed25519 key" in refused(*REVIEW, "--ssh-key", str(other))
    assert "not signed: Public key" in refused(*REVIEW, "--ssh-key", str(mixed))
    key.unlink()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert "not signed: " in refused(*REVIEW, "--ssh-key", f"{key}.pub")
    monkeypatch.setenv("PATH", str(project))
    assert "ssh-keygen is not installed" in refused(*REVIEW, "--ssh-key", f"{key}.pub")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("signoff", "security-revue", "--env", "production"), "did you mean security-review? Known: release, security-review."),
        (("signoff", "security-review", "--env", "dev"), "belongs to the way into production; --env production"),
        (("signoff", "core-verified", "--env", "production"), "is proved by evidence, and cannot be signed"),
        (("signoff", "release", "--env", "dev"), "'release': nothing of that name is signed there (dev)"),
        (("waive", "soaked", "--env", "production", "--why", "x", "--until", "2d"), "nothing of that name can be waived there"),
        (("waive", "not-rejected", "--env", "dev", "--why", "x", "--until", "2d"), "nothing of that name can be waived there"),
        (("waive", "not-rejected", "--env", "staging", "--why", "x", "--until", "2d"), "not-rejected is signed by release-manager; sam"),
        (("waive", "release", "--env", "production", "--why", "x", "--until", "2d"), "nothing of that name can be waived"),
        (("signoff", "security-review", "--env", "prod"), "no stage is named 'prod'; did you mean production?"),
        ((*REVIEW, "--until", "2020-01-01"), "--until 2020-01-01: has passed"),
        ((*REVIEW, "--until", "0d"), "--until 0d: has passed"),
        ((*REVIEW, "--until", "soon"), "--until soon: no time; write 7d, 12h, 2027-01-31, or 2027-01-31T12:00Z"),
        ((*REVIEW, "--until", "-1d"), "--until -1d: no time"),
        ((*WAIVE, "--until", "31d"), "--until 31d: a waiver holds 30 days at most"),
        ((*WAIVE,), "Missing option '--until'"),
        (("waive", "rollback-ready", "--env", "production", "--until", "2d"), "Missing option '--reason'"),
        ((*WAIVE[:4], "--why", " \n", "--until", "2d"), "--why: a waiver needs its reason"),
        ((*REVIEW, "--role", "product"), "security-review is signed by security; sam has security"),
        (("signoff", "release", "--env", "production"), "release is signed by release-manager; sam has security"),
        ((*WAIVE, "--until", "2d"), "rollback-ready is signed by release-manager; sam has security"),
    ],
)  # fmt: skip
def test_what_would_not_count_is_not_written(
    refused: Callable[..., str],
    pipeline: Underway,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    pipeline.hold("sam", monkeypatch)

    assert said in refused(*arguments)


def test_an_author_cannot_sign_nor_waive(
    refused: Callable[..., str], pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.hold("dev", monkeypatch)

    for arguments in (REVIEW, ("signoff", "release", "--env", "production"), (*WAIVE, "--until", "2d")):
        assert "dev (dev@example.org) wrote a part of bundle" in refused(*arguments)


def test_a_key_without_an_identity_approves_nothing(
    refused: Callable[..., str], pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.keys["anon"] = pipeline.keyring.make("anon", "security", "release-manager")
    pipeline.hold("anon", monkeypatch)

    for arguments in (REVIEW, ("signoff", "release", "--env", "production"), (*WAIVE, "--until", "2d")):
        assert "anon: this key has no identity" in refused(*arguments)


def test_a_key_that_is_not_trusted_or_not_in_force_cannot_sign(
    refused: Callable[..., str], pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, pipeline.keyring.private_pem())
    assert "is not trusted by the project: no file in keys/ holds it" in refused(*REVIEW)

    for line in (f"not_after = {datetime.now(UTC) - timedelta(days=1)}", "not_before = 2999-01-01T00:00:00Z"):
        pipeline.keys["old"] = pipeline.keyring.make("old", "security", extra=line)
        pipeline.hold("old", monkeypatch)
        assert "old: this key is not in force now" in refused(*REVIEW)


def test_without_a_key_nothing_is_signed_where_signatures_are_asked_for(
    refused: Callable[..., str], gaia: Gaia, pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "production takes only what is signed, and there is no key here" in refused(*REVIEW)
    dev = ("signoff", "feature-complete", "--env", "dev", "--role", "product")
    assert "the ledger (.gaia/ledger) takes only what is signed, and there is no key here" in refused(*dev)

    # In a project that trusts no key, and whose ledger nobody has signed.
    shutil.rmtree(project / "keys")
    monkeypatch.setenv("USER", "somebody")
    code, out, _ = gaia("signoff", "feature-complete", "--env", "dev", "--bundle", pipeline.id, "--role", "product")

    says = pipeline.entries()[-1].predicate
    assert code == 0
    assert "signed by nobody's key: this environment asks for none" in out
    assert isinstance(says, SignoffPredicate)
    assert (says.signer, says.role) == ("somebody", "product")


def test_keys_and_releases_that_cannot_be_read(
    refused: Callable[..., str], pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no bundle has an id that begins so" in refused(*REVIEW, release="0123456789")
    monkeypatch.setenv(KEY_FILE_VARIABLE, "gone.pem")
    assert "GAIA_SIGNING_KEY_FILE=gone.pem" in refused(*REVIEW)
    private = ssh_key(project)
    private.write_text(private.read_text().replace("OPENSSH", "OPENSSL"))
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(private))
    said = refused(*REVIEW)
    assert "no private key that can be read" in said
    assert not any(secret in said for secret in secrets_of(private))


def test_nothing_is_written_after_a_damaged_entry(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.through_local()
    pipeline.entry_file(2).write_text("{}")
    pipeline.hold("sam", monkeypatch)

    code, out, err = gaia(*REVIEW, "--bundle", pipeline.id)

    assert (code, out) == (4, "")
    assert "the ledger is not whole, and shows nothing any more: entry 2: cannot be read" in err
    assert not pipeline.entry_file(4).exists()


def test_a_ledger_that_cannot_be_written(
    refused: Callable[..., str], pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.hold("sam", monkeypatch)
    (project / "file").write_text("")
    with (project / "gaia.toml").open("a") as file:
        file.write('[ledger]\npath = "file/ledger"\n')

    assert "file/ledger: the ledger cannot be" in refused(*REVIEW)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_ledger(refused: Callable[..., str], pipeline: Underway, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.through_local()
    pipeline.hold("sam", monkeypatch)
    pipeline.folder.chmod(0o500)
    try:
        assert ".gaia/ledger: the ledger cannot be written: Permission denied. Nothing was changed." in refused(*REVIEW)
    finally:
        pipeline.folder.chmod(0o700)


def test_a_reason_is_one_line_wherever_it_is_shown(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.hold("rita", monkeypatch)

    gaia(*WAIVE[:4], "--why", "first\nproved  deployed \x1b[31m", "--until", "2d", "--bundle", pipeline.id)

    says = pipeline.entries()[-1].predicate
    assert isinstance(says, WaiverPredicate)
    assert says.reason == "first proved deployed \\x1b[31m"


def test_without_the_package_that_signs_it_is_said_which(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.hold("sam", monkeypatch)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "pytest_gaia.promotion.ledger._ed25519", raising=False)

    code, out, err = gaia(*REVIEW, "--bundle", pipeline.id)

    assert (code, out) == (4, "")
    assert "pip install 'pytest-gaia[sign]'" in err
