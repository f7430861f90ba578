"""What is deployed is looked at before the first test and after the last: a change between the two is no evidence."""

from __future__ import annotations

import pytest

from tests.plugin.deployer import Deployer, deployer
from tests.slow import with_workers

__all__ = ["deployer"]

REDEPLOYING = """
import json, pathlib
state = pathlib.Path(__file__).parents[2] / "ci" / "state.json"

def test_one(): pass

def test_two():
    state.write_text(json.dumps({changed}))
"""
RELEASE = {"release": 9, "digest": "sha256:" + "9" * 64}
SAME_RELEASE = {"release": 1, "digest": "sha256:" + "9" * 64}


def meanwhile(deployer: Deployer, changed: object) -> None:
    path = deployer.project.path / "suites" / "health" / "test_health.py"
    path.write_text(REDEPLOYING.replace("{changed}", repr(changed)))


@pytest.mark.parametrize(
    "way", [(), with_workers("-n", "2"), ("--gaia-deploy",), with_workers("--gaia-deploy", "-n", "2")], ids=" ".join
)
def test_a_release_that_changes_during_the_run_holds(deployer: Deployer, way: tuple[str, ...]) -> None:
    meanwhile(deployer, RELEASE)
    version = 2 if "--gaia-deploy" in way else 1

    result = deployer.run(*way)

    assert result.ret == 11
    sentence = f"gateway changed during the run: gateway has release 9, but had release {version} before"
    result.stdout.fnmatch_lines([f"gaia verdict: HOLD on stage: {sentence}, 2 passed"])
    assert deployer.verdict["changed"] == [sentence]


def test_another_image_of_the_same_release_holds(deployer: Deployer) -> None:
    meanwhile(deployer, SAME_RELEASE)

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 11
    result.stdout.fnmatch_lines(["*gateway runs sha256:999999999999, but ran sha256:000000000000 before*"])


def test_what_cannot_be_seen_at_the_end_holds(deployer: Deployer) -> None:
    path = deployer.project.path / "suites" / "health" / "test_health.py"
    path.write_text(
        "import json, pathlib\n"
        "def test_one():\n"
        "    script = pathlib.Path(__file__).parents[2] / 'ci' / 'script.json'\n"
        "    script.write_text(json.dumps({'observe': {'exit': 4, 'message': 'login expired'}}))\n"
    )

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 11
    result.stdout.fnmatch_lines(["gaia verdict: HOLD on stage: gateway could not be observed at the end: *"])
    result.stdout.fnmatch_lines(["*login expired*"])


def test_what_could_never_be_seen_is_a_note(deployer: Deployer) -> None:
    deployer.tell("observe", exit=4, message="not logged in")

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["gaia: note: deployed version unknown for gateway: gateway cannot be observed: not logged in"]
    )
    (gateway,) = deployer.verdict["deployment"]["services"]
    assert gateway["reason"] == "gateway cannot be observed: not logged in"
    assert "machines" not in gateway


def test_a_hook_that_is_not_there_is_a_note(deployer: Deployer) -> None:
    (deployer.folder / "deploy").unlink()

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: note: deployed version unknown for gateway: deploy.command: * not found*"])


def test_nobody_is_kept_waiting_after_ctrl_c(deployer: Deployer) -> None:
    path = deployer.project.path / "suites" / "health" / "test_health.py"
    path.write_text("def test_one(): raise KeyboardInterrupt\n")

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 2
    assert deployer.phases == ["observe"]
