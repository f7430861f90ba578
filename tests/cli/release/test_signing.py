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

REVIEW = ("release", "approve", "security-review", "--env", "production")
WAIVE = ("release", "waive", "rollback-ready", "--env", "production", "--reason", "partner launch")


@pytest.fixture
def refused(gaia: Gaia, pipeline: Underway) -> Callable[..., str]:
    """Run a command that is refused and writes nothing; return its output."""

    def call(*arguments: str, release: str | None = None) -> str:
        before = [entry.sha256 for entry in pipeline.entries()]
        code, out, err = gaia(*arguments[:2], release or pipeline.id, *arguments[2:])
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

    code, out, err = gaia(*REVIEW[:2], pipeline.id, *REVIEW[2:], "--reason", "report SEC-88", "--until", "3d")

    entry = pipeline.entries()[-1]
    assert (code, err) == (0, "")
    assert out == (
        f"approved security-review for production, release {pipeline.id}: entry {entry.sequence}, signed by sam\n"
        f"next: gaia release check {pipeline.id} -e production --pre-deploy\n"
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
    assert gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy").code == 11
    assert gaia("release", "approve", pipeline.id, "release", "--env", "production").code == 0
    assert gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy").code == 0


def test_a_waiver_lets_an_item_go(gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.hold("rita", monkeypatch)

    code, out, _ = gaia(*WAIVE[:2], pipeline.id, *WAIVE[2:], "--until", "2d")

    entry = pipeline.entries()[-1]
    assert code == 0
    assert "signed by rita" in out
    assert entry.kind == WAIVER
    assert isinstance(entry.predicate, WaiverPredicate)
    assert entry.predicate.reason == "partner launch"
    assert "waived" in gaia("release", "check", pipeline.id, "--env", "production").out


def test_an_ssh_key_signs_through_ssh_keygen(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    key = ssh_key(project)
    gaia("key", "add", "sue", f"{key}.pub", "--role", "security", "--identity", "sue@example.org")

    for path in (key, f"{key}.pub"):
        # With a public file, ssh-keygen uses the private one next to it, or the agent.
        code, out, err = gaia(*REVIEW[:2], pipeline.id, *REVIEW[2:], "--ssh-key", str(path))
        assert (code, err) == (0, "")
        assert "signed by sue" in out
    assert [entry.problem for entry in pipeline.entries()] == ["", ""]
    assert "approved" in gaia("release", "check", pipeline.id, "--env", "production").out


def test_ssh_keys_that_do_not_sign(
    refused: Callable[..., str], gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = ssh_key(project), ssh_key(project, "ecdsa")
    gaia("key", "add", "sue", f"{key}.pub", "--role", "security", "--identity", "sue@example.org")
    (project / "alone").write_bytes(key.read_bytes())
    (project / "mixed").mkdir()
    mixed = ssh_key(project / "mixed")
    mixed.with_suffix(".pub").write_bytes(key.with_suffix(".pub").read_bytes())

    assert "alone.pub cannot be read: No such file" in refused(*REVIEW, "--ssh-key", "alone")
    assert "not an Ed25519 key" in refused(*REVIEW, "--ssh-key", str(other))
    assert "not signed: Public key" in refused(*REVIEW, "--ssh-key", str(mixed))
    key.unlink()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    assert "not signed: " in refused(*REVIEW, "--ssh-key", f"{key}.pub")
    monkeypatch.setenv("PATH", str(project))
    assert "ssh-keygen is not installed" in refused(*REVIEW, "--ssh-key", f"{key}.pub")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("release", "approve", "security-revue", "--env", "production"), "did you mean security-review? Known: release, removed-operations, security-review."),
        (("release", "approve", "security-review", "--env", "dev"), "this is a check of production. Pass -e production"),
        (("release", "approve", "core-verified", "--env", "production"), "test results decide this check"),
        (("release", "approve", "release", "--env", "dev"), "'release': no check of that name can be approved in dev"),
        (("release", "waive", "soaked", "--env", "production", "--reason", "x", "--until", "2d"), "no check of that name can be waived"),
        (("release", "waive", "not-rejected", "--env", "dev", "--reason", "x", "--until", "2d"), "no check of that name can be waived"),
        (("release", "waive", "not-rejected", "--env", "staging", "--reason", "x", "--until", "2d"), "not-rejected needs the role release-manager; the key sam"),
        (("release", "waive", "release", "--env", "production", "--reason", "x", "--until", "2d"), "no check of that name can be waived"),
        (("release", "approve", "security-review", "--env", "prod"), "no stage is named 'prod'; did you mean production?"),
        ((*REVIEW, "--until", "2020-01-01"), "--until 2020-01-01: this time is in the past"),
        ((*REVIEW, "--until", "0d"), "--until 0d: this time is in the past"),
        ((*REVIEW, "--until", "soon"), "--until soon: not a time. Write 7d, 12h, 2027-01-31, or 2027-01-31T12:00Z"),
        ((*REVIEW, "--until", "-1d"), "--until -1d: not a time"),
        ((*WAIVE, "--until", "31d"), "--until 31d: waivers are limited to 30 days"),
        ((*WAIVE,), "Missing option '--until'"),
        (("release", "waive", "rollback-ready", "--env", "production", "--until", "2d"), "Missing option '--reason'"),
        ((*WAIVE[:5], "--reason", " \n", "--until", "2d"), "--reason: a waiver needs a reason"),
        ((*REVIEW, "--role", "product"), "security-review needs the role security; the key sam has security"),
        (("release", "approve", "release", "--env", "production"), "release needs the role release-manager; the key sam has security"),
        ((*WAIVE, "--until", "2d"), "rollback-ready needs the role release-manager; the key sam has security"),
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

    for arguments in (REVIEW, ("release", "approve", "release", "--env", "production"), (*WAIVE, "--until", "2d")):
        assert "dev (dev@example.org) is an author of release" in refused(*arguments)


def test_a_key_without_an_identity_approves_nothing(
    refused: Callable[..., str], pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.keys["anon"] = pipeline.keyring.make("anon", "security", "release-manager")
    pipeline.hold("anon", monkeypatch)

    for arguments in (REVIEW, ("release", "approve", "release", "--env", "production"), (*WAIVE, "--until", "2d")):
        assert "anon: this key has no identity" in refused(*arguments)


def test_a_key_that_is_not_trusted_or_not_in_force_cannot_sign(
    refused: Callable[..., str], pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, pipeline.keyring.private_pem())
    assert "is not trusted: no file in keys/ has it" in refused(*REVIEW)

    for line in (f"not_after = {datetime.now(UTC) - timedelta(days=1)}", "not_before = 2999-01-01T00:00:00Z"):
        pipeline.keys["old"] = pipeline.keyring.make("old", "security", extra=line)
        pipeline.hold("old", monkeypatch)
        assert "old: this key is not valid now" in refused(*REVIEW)


def test_without_a_key_nothing_is_signed_where_signatures_are_asked_for(
    refused: Callable[..., str], gaia: Gaia, pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "production requires signatures, and no key is configured" in refused(*REVIEW)
    dev = ("release", "approve", "feature-complete", "--env", "dev", "--role", "product")
    assert "the ledger (.gaia/ledger) requires signatures, and no key is configured" in refused(*dev)

    # In a project without trusted keys and with an unsigned ledger.
    shutil.rmtree(project / "keys")
    monkeypatch.setenv("USER", "somebody")
    code, out, _ = gaia("release", "approve", pipeline.id, "feature-complete", "--env", "dev", "--role", "product")

    says = pipeline.entries()[-1].predicate
    assert code == 0
    assert "not signed, because this environment does not require it" in out
    assert isinstance(says, SignoffPredicate)
    assert (says.signer, says.role) == ("somebody", "product")


def test_keys_and_releases_that_cannot_be_read(
    refused: Callable[..., str], pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no release has an ID that begins so" in refused(*REVIEW, release="0123456789")
    monkeypatch.setenv(KEY_FILE_VARIABLE, "gone.pem")
    assert "GAIA_SIGNING_KEY_FILE=gone.pem" in refused(*REVIEW)
    private = ssh_key(project)
    private.write_text(private.read_text().replace("OPENSSH", "OPENSSL"))
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(private))
    said = refused(*REVIEW)
    assert "not a readable private key" in said
    assert not any(secret in said for secret in secrets_of(private))


def test_nothing_is_written_after_a_damaged_entry(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.through_local()
    pipeline.entry_file(2).write_text("{}")
    pipeline.hold("sam", monkeypatch)

    code, out, err = gaia(*REVIEW[:2], pipeline.id, *REVIEW[2:])

    assert (code, out) == (4, "")
    assert "the ledger is corrupt, and proves nothing: entry 2: is not readable" in err
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

    gaia(*WAIVE[:2], pipeline.id, *WAIVE[2:5], "--reason", "first\nproved  deployed \x1b[31m", "--until", "2d")

    says = pipeline.entries()[-1].predicate
    assert isinstance(says, WaiverPredicate)
    assert says.reason == "first proved deployed \\x1b[31m"


def test_without_the_package_that_signs_it_is_said_which(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.hold("sam", monkeypatch)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "pytest_gaia.promotion.ledger._ed25519", raising=False)

    code, out, err = gaia(*REVIEW[:2], pipeline.id, *REVIEW[2:])

    assert (code, out) == (4, "")
    assert "pip install 'pytest-gaia[sign]'" in err
