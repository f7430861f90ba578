"""One process reads each of the project's files once, whichever command or run it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.plan import environment_of, observed
from tests.fake_tools import fake_tools
from tests.plugin.conftest import add_suite, project, server
from tests.plugin.deployer import CONFTEST
from tests.plugin.test_deploy_compose import FILE, PROJECT
from tests.promotion.promote.test_promote_observed import release_of
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_tools import FakeTools
    from tests.plugin.conftest import ScriptedServer

__all__ = ["fake_tools", "project", "server"]

FLY = """\
[env.dev]
from = "fly"
[env.staging]
from = "fly"
"""
GATEWAY = 'app = "acme-gateway-{0}"\n[http_service]\ninternal_port = 8000\n[[http_service.checks]]\npath = "/health"\n'
FILES = {"gaia.toml", ".env", "docker-compose.yml", "fly.gateway.dev.toml", "fly.gateway.staging.toml"}

COUNTING = """
import json, os, sys
opened = []
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.append(os.path.abspath(arguments[0]))
sys.addaudithook(note)
log, *words = sys.argv[1:]
code = 1
try:
    if words[0] == "pytest":
        import pytest
        code = pytest.main(words[1:])
    else:
        from pytest_gaia.cli.app import run
        code = run(words[1:])
finally:
    with open(log, "w") as file:
        json.dump(opened, file)
sys.exit(code)
"""


@pytest.fixture
def here(
    project: pytest.Pytester, server: ScriptedServer, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project with a compose file that runs, two environments on Fly, and a ``.env``."""
    folder = project.path
    (folder / "gaia.toml").write_text(PROJECT + FLY)
    (folder / "docker-compose.yml").write_text(FILE)
    for name in ("dev", "staging"):
        (folder / f"fly.gateway.{name}.toml").write_text(GATEWAY.format(name))
    (folder / ".env").write_text(f"GAIA_LOCAL_GATEWAY_URL={server.url}\n")
    project.makeconftest(CONFTEST)
    add_suite(project, "health", "def test_one(gaia_deployments): pass\n")
    monkeypatch.chdir(folder)
    subprocess.run(["docker", "compose", "up", "-d", "--wait"], check=True, capture_output=True)
    return folder


def reads(folder: Path, *words: str, code: int = 0) -> Counter[str]:
    """Return file of the project → how often the process opened it; ``code`` is what it ends with."""
    log = folder / "opened.json"
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, log, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return Counter(
        path.removeprefix(f"{folder}/") for path in json.loads(log.read_text()) if path.startswith(str(folder))
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("pytest", "-p", "no:xdist", "--gaia-env=local"), 0),
        (("gaia", "status", "local"), 0),
        (("gaia", "env", "show", "local"), 0),
        (("gaia", "config", "check"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_reads_each_file_once(here: Path, words: tuple[str, ...], code: int) -> None:
    found = reads(here, *words, code=code)

    assert {name: found[name] for name in FILES} == dict.fromkeys(FILES, 1) | {".env": int("check" not in words)}


@pytest.mark.parametrize(
    "words",
    [("pytest", "-p", "no:xdist", "--gaia-env=local", "--gaia-deploy"), ("gaia", "deploy", "local")],
    ids=" ".join,
)
def test_a_roll_out_reads_each_file_once_and_keeps_what_the_tool_gets(here: Path, words: tuple[str, ...]) -> None:
    found = reads(here, *words)

    # For each of the two services, the journal keeps the file as it is at that moment.
    assert {name: found[name] for name in FILES} == dict.fromkeys(FILES, 1) | {"docker-compose.yml": 1 + 2}


def test_a_promotion_reads_each_file_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, _ = environment_of(Promotion.here(here), "local")
    images = observed(environment, here, ("auth", "gateway"))
    repository = Repository(here, monkeypatch)
    repository.write(".gitignore", ".gaia/\n__pycache__/\n.env\nopened.json\n")
    release = release_of(here, images, repository.commit())

    found = reads(here, "gaia", "promote", "local", release.short)

    # The file on the disk is also compared with the commit of the release, by its hash.
    assert {name: found[name] for name in FILES} == dict.fromkeys(FILES, 1) | {"gaia.toml": 1 + 1}


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (("gaia", "env", "show", "local"), 1),
        (("gaia", "status", "local"), 1),
        (("gaia", "deploy", "local"), 1),
        (("gaia", "env", "show", "staging"), 0),
        (("gaia", "config", "check"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_compose_reads_its_files_once_and_only_for_an_environment_that_it_deploys(
    here: Path, fake_tools: FakeTools, words: tuple[str, ...], times: int
) -> None:
    reads(here, *words, code=int("check" in words))

    # `config --hash` is about what a deployment changes.
    assert sum({"config", "json"} <= set(each.argv) for each in fake_tools.calls("docker", "compose")) == times
