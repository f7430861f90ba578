"""``gaia promote``: usage errors are reported before anything is done, with exit code 4 and what to do."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.cli.app import run
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import check_environ
from pytest_gaia.promotion.promote.plan import environment_of, plan_promotion
from pytest_gaia.system.processes import KEY_VARIABLE
from tests.plugin.conftest import project, server
from tests.plugin.deployer import OLD, deployer
from tests.promotion.conftest import Keyring
from tests.promotion.promotable import IGNORED, promotable

if TYPE_CHECKING:
    from tests.promotion.promotable import Promotable

__all__ = ["deployer", "project", "promotable", "server"]

USAGE_ERROR, HOLD = 4, 11
SIGNED = "\n[env.stage.stage]\nrequire_signed = true\n"


def refused(promotable: Promotable, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that must be refused before any change; return its output."""
    assert run(["promote", *arguments]) == USAGE_ERROR
    assert promotable.runs() == OLD
    assert promotable.kinds == []
    assert promotable.marks == ()
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def _here(promotable: Promotable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(promotable.rootdir)


def test_usage_errors_name_what_there_is(promotable: Promotable, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean stage" in refused(promotable, capsys, "stagee", promotable.release.short)
    assert promotable.release.short in refused(promotable, capsys, "stage", "ffffffff")
    assert "stage" in refused(promotable, capsys, "stage", promotable.release.short, "--confirm", "dev")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--gaia-url=gateway=http://127.0.0.1:1"], "--gaia-url"),
        (["--gaia-plan", "x"], "--gaia-plan"),
        (["--rootdir=/"], "--rootdir"),
        (["--config-file", "x"], "--config-file"),
        (["-c", "x"], "-c"),
        (["-cx"], "-c"),
        (["-p", "evil"], "-p"),
        (["-pevil"], "-p"),
        (["-vxpevil"], "-p"),
        (["-p", "no:threadexception"], "-p"),
        (["-x", "-o", "addopts=-p evil"], "-o"),
        (["-vofoo=bar"], "-o"),
        (["--override-ini=python_files=x"], "--override-ini"),
        (["--override", "python_files=x"], "--override"),
        (["--confcutdir=/"], "--confcutdir"),
        (["--noconftest"], "--noconftest"),
        (["--noconf"], "--noconf"),
        (["--import-mode=importlib"], "--import-mode"),
        (["--disable-plugin-autoload"], "--disable-plugin-autoload"),
        (["--pdbcls=evil:Debugger"], "--pdbcls"),
        (["-n2", "--tx", "popen//python=/tmp/python"], "--tx"),
        (["@options"], "@options"),
        (["-k", "-pevil"], "-p"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_what_is_loaded_and_tested_cannot_be_changed(
    promotable: Promotable,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    named: str,
) -> None:
    said = refused(promotable, capsys, "stage", promotable.release.short, "--", *words)
    assert f"{named} is not allowed in a promotion" in said

    monkeypatch.setenv("PYTEST_ADDOPTS", shlex.join(words))
    said = refused(promotable, capsys, "stage", promotable.release.short)
    assert f"PYTEST_ADDOPTS: {named} is not allowed in a promotion" in said


def test_a_deadline_is_allowed_because_it_can_only_hold() -> None:
    check_environ({"PYTEST_ADDOPTS": "-x --gaia-deadline=600"}, Path())


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("PYTEST_PLUGINS", "evil", "PYTEST_PLUGINS"),
        ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"),
        ("PYTHONSTARTUP", "/tmp/evil.py", "PYTHONSTARTUP"),
        ("PYTHONPYCACHEPREFIX", "/tmp/evil", "PYTHONPYCACHEPREFIX"),
        ("PYTHONPATH", "suites:/tmp/evil", "PYTHONPATH=/tmp/evil"),
        ("PYTHONPATH", "..", "PYTHONPATH=.."),
    ],
)
def test_variables_that_change_what_is_loaded_are_refused(
    promotable: Promotable,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    named: str,
) -> None:
    monkeypatch.setenv(name, value)

    said = refused(promotable, capsys, "stage", promotable.release.short)

    assert f"{named} is not allowed in a promotion" in said


def test_ignored_code_on_the_path_of_python_is_compared_with_the_commit(
    promotable: Promotable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promotable.repository.write(".gitignore", f"{IGNORED}build/\n")
    promotable.create_release()
    promotable.repository.write("build/lib/sitecustomize.py", "raise SystemExit('loaded')\n")
    words = ("promote", "stage", promotable.release.short, "--dry-run")
    assert run(words) == 0

    monkeypatch.setenv("PYTHONPATH", os.path.join("build", "lib"))  # noqa: PTH118 - a text is asked for
    assert run(words) == HOLD
    assert "build/lib/sitecustomize.py is new" in capsys.readouterr().out


def test_other_options_and_variables_are_passed_on(promotable: Promotable, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "-n", "4", "-n2", "-xvv", "-kpco", "-mnot p", "-rpP", "-Wignore", "--co", "--cov=x", "--pdb", "--junitxml=o.xml",
        "--alluredir", "out", "--maxfail=2", "-p", "no:cacheprovider", "-pno:randomly", "--provider=c", "-s", "--durations=5",
    )  # fmt: skip
    monkeypatch.setenv("PYTEST_PLUGINS", "")
    monkeypatch.setenv("PYTHONPATH", "suites")
    promotion = Promotion.here(promotable.rootdir, os.environ)

    planned = plan_promotion(promotion, "stage", promotable.release, words)

    assert planned.commands.run[-len(words) :] == words


def test_a_stage_that_asks_for_signatures_needs_a_trusted_key(
    promotable: Promotable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promotable.configure(SIGNED)
    keyring = Keyring(promotable.rootdir / "keys")
    keyring.make("ci", "ci")
    release = promotable.release.short
    assert "no key is configured" in refused(promotable, capsys, "stage", release)

    monkeypatch.setenv(KEY_VARIABLE, Keyring.private_pem())
    assert "is not trusted" in refused(promotable, capsys, "stage", release)


def test_a_key_that_is_no_longer_in_force_signs_nothing(
    promotable: Promotable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = Keyring.private_pem()
    monkeypatch.setattr(Keyring, "private_pem", staticmethod(lambda: pem))
    Keyring(promotable.rootdir / "keys").make("ci", "ci", extra="not_after = 2026-01-01T00:00:00Z")
    monkeypatch.setenv(KEY_VARIABLE, pem)

    assert "not valid now" in refused(promotable, capsys, "stage", promotable.release.short)


def test_a_ledger_that_cannot_be_written_is_told_before_the_deployment(
    promotable: Promotable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_gaia.promotion.ledger.stores import FolderStore

    # A folder that root may not write either.
    monkeypatch.setattr(FolderStore, "read", lambda self: {})
    (promotable.rootdir / ".gaia" / "ledger").write_text("", encoding="utf-8")

    said = refused(promotable, capsys, "stage", promotable.release.short)

    assert "the ledger cannot be written" in said


def test_deploy_files_of_another_commit_hold(promotable: Promotable, capsys: pytest.CaptureFixture[str]) -> None:
    (promotable.rootdir / "docker-compose.yml").write_text("services: {}\n", encoding="utf-8")
    (promotable.rootdir / "deploy").mkdir()
    (promotable.rootdir / "deploy" / "docker-compose.yml").write_text("services: {}\n", encoding="utf-8")

    assert run(["promote", "stage", promotable.release.short]) == 11

    assert "docker-compose.yml is new" in capsys.readouterr().out
    assert promotable.runs() == OLD


@pytest.mark.parametrize(
    "name",
    [
        "suites/health/conftest.py",
        "suites/local/conftest.py",
        "suites/expectations/notes.md",
        "keys/notes.txt",
        "pytest.ini",
    ],
)
def test_files_that_are_not_of_the_releases_commit_hold(
    promotable: Promotable, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    promotable.repository.write("keys/README", "")
    release = promotable.create_release()
    promotable.repository.write(name, "")

    assert run(["promote", "stage", release.short]) == 11

    said = capsys.readouterr().out
    assert f"these files differ from the commit of the release: {name} is new" in said
    assert f"git switch --detach {release.commit[:12]}" in said
    assert promotable.runs() == OLD
    assert promotable.kinds == []


def test_what_the_gate_does_not_let_in_is_not_deployed(
    promotable: Promotable, capsys: pytest.CaptureFixture[str]
) -> None:
    promotable.configure('\n[env.stage.stage]\npromote_from = "local"\n')

    assert run(["promote", "stage", promotable.release.short]) == 11

    said = capsys.readouterr().out
    assert "previous-stage" in said
    assert f"next: gaia promote local {promotable.release.short}" in said
    assert promotable.runs() == OLD
    assert promotable.marks == ()

    assert run(["promote", "stage", promotable.release.short, "--dry-run"]) == 11
    assert "Blocked: previous-stage" in capsys.readouterr().out
    assert run(["promote", "stage", promotable.release.short, "--dry-run", "--json"]) == 11
    document = json.loads(capsys.readouterr().out)
    assert (document["good"], document["exit_code"], document["dry_run"]) == (False, 11, True)
    assert document["notes"][0].startswith("previous-stage")


def test_an_environment_that_cannot_be_observed_is_not_promoted(
    promotable: Promotable, capsys: pytest.CaptureFixture[str]
) -> None:
    promotable.configure('\n[env.far]\nurl = "https://far.example"\n')
    said = refused(promotable, capsys, "far", promotable.release.short)
    assert "no deploy tool is configured" in said


def test_this_machine_is_observed_through_its_compose_file(promotable: Promotable) -> None:
    (promotable.rootdir / "docker-compose.yml").write_text("services: {}\n", encoding="utf-8")
    environment, deploys = environment_of(Promotion.here(promotable.rootdir, {}), "local")
    assert environment.deploy is not None
    assert (environment.deploy.hook, deploys) == ("compose", False)
