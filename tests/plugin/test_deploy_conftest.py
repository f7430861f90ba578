"""``pytest_gaia_deploy`` of a ``conftest.py``: asked where the user is, and for nothing that it does not say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugin.deployer import CONFTEST, Deployer, deployer

__all__ = ["deployer"]

ALONE, WORKERS = ("-p", "no:xdist"), ("-n", "2")

IMPLEMENTED = (
    CONFTEST
    + """
import json, os, pathlib

release = [1]

def pytest_gaia_deploy(request, log):
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with open(pathlib.Path(__file__).parent / "ci" / "calls", "a") as calls:
        print(json.dumps({"phase": request.phase, "worker": worker}), file=calls)
    if request.phase == "deploy":
        log("deploying with TOKEN=correct-horse")
        release[0] += 1
    machine = {"id": "m", "state": "started", "checks": 1, "passing": 1, "digest": f"sha256:{release[0]}"}
    return {"observation": {"machines": [machine], "release": release[0]}}
"""
)


def plugin(deployer: Deployer, conftest: str) -> None:
    deployer.settings('hook = "plugin"')
    (deployer.project.path / "conftest.py").write_text(conftest)


def answering(**phases: str) -> str:
    """A hook that replies with these Python expressions, or runs these statements; other phases reply normally."""
    body = "".join(f"    if request.phase == {phase!r}: {what}\n" for phase, what in phases.items())
    return IMPLEMENTED.replace("    if request.phase ==", f"{body}    if request.phase ==", 1)


@pytest.mark.parametrize("way", [(), ("-n", "2"), ("-n", "2", "--dist", "loadfile"), ("-p", "no:xdist")], ids=" ".join)
def test_it_is_asked_to_deploy_once_and_on_no_worker(deployer: Deployer, way: tuple[str, ...]) -> None:
    plugin(deployer, IMPLEMENTED)

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 0
    calls = [call for call in deployer.calls if call["phase"] != "test"]
    assert [call["phase"] for call in calls].count("deploy") == 1
    assert {call["worker"] for call in calls} == {"main"}
    result.stdout.fnmatch_lines(["  gateway: deployed", "gaia: stage: deployed by this run (plugin)"])


def test_without_the_option_it_is_only_asked_what_runs(deployer: Deployer) -> None:
    plugin(deployer, IMPLEMENTED)

    result = deployer.run("-n", "2")

    assert result.ret == 0
    assert [call["phase"] for call in deployer.calls if call["phase"] != "test"] == ["observe", "observe"]


def test_its_lines_are_shown_without_secrets(deployer: Deployer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIP_TOKEN", "correct-horse")
    plugin(deployer, IMPLEMENTED)

    result = deployer.run("--gaia-deploy", "-v", "-p", "no:xdist")

    result.stdout.fnmatch_lines(["  gateway | deploying with *"])
    assert "correct-horse" not in result.stdout.str()


@pytest.mark.parametrize(
    ("what", "said", "way"),
    [
        (
            'raise ValueError("no quota left")',
            "pytest_gaia_deploy raised ValueError: no quota left (at *conftest.py:*",
            ALONE,
        ),
        ('import pytest; pytest.skip("not today")', "*a test's outcome, Skipped: not today*", WORKERS),
        ('import pytest; pytest.fail("not today")', "*a test's outcome, Failed: not today*", ALONE),
        ('return {"status": "failed", "message": "no quota left"}', "no quota left", ALONE),
    ],
    ids=["raises", "skips", "fails", "replies"],
)
def test_what_fails_in_it_rejects(deployer: Deployer, what: str, said: str, way: tuple[str, ...]) -> None:
    plugin(deployer, answering(deploy=what))

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 1
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(
        [f"  gateway: failed: {said}*", "gaia verdict: REJECT on stage: the deployment failed:*"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    ("phases", "complaint", "way"),
    [
        (
            {"observe": "return True"},
            "invalid reply for `observe` of gateway in stage: bool is neither",
            ALONE,
        ),
        ({"observe": 'return {"status": "ok"}'}, "Invalid enum value 'ok'", ALONE),
        ({"observe": "return None"}, "every implementation returned None for `observe` of gateway in stage", ALONE),
        (
            {"deploy": "return 0"},
            "invalid reply for `deploy` of gateway in stage: int is neither",
            WORKERS,
        ),
    ],
    ids=["true", "status", "none", "zero"],
)
def test_nonsense_from_it_is_a_usage_error(
    deployer: Deployer, phases: dict[str, str], complaint: str, way: tuple[str, ...]
) -> None:
    plugin(deployer, answering(**phases))

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert text.count("ERROR: pytest_gaia_deploy: ") == 1
    assert complaint in text
    assert "Traceback" not in text
    assert "test" not in deployer.phases


def test_it_goes_on_with_pytest_which_alone_can_ask_it(deployer: Deployer) -> None:
    plugin(deployer, answering(deploy='return {"status": "failed"}'))
    options = ("--gaia-deploy-services=gateway", "--gaia-deploy-image=gateway=r/g:2", "--gaia-deploy-region=fra")

    result = deployer.run("--gaia-deploy", *options, "-p", "no:xdist")

    assert result.ret == 1
    assert f"  to continue: pytest --gaia-env=stage --gaia-deploy {' '.join(options)}" in result.outlines


def test_nonsense_is_a_note_where_it_only_looks(deployer: Deployer) -> None:
    plugin(deployer, answering(observe="return True"))

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["gaia: note: deployed version unknown for gateway: pytest_gaia_deploy: *"])


def test_to_end_the_run_in_it_is_no_pass(deployer: Deployer) -> None:
    plugin(deployer, answering(deploy='import pytest; pytest.exit("enough", returncode=0)'))

    result = deployer.run("--gaia-deploy", "-p", "no:xdist")

    assert result.ret == 1
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(["  gateway: failed: pytest_gaia_deploy raised Exit: enough (at *conftest.py:*"])


@pytest.mark.parametrize(("arguments", "code"), [(("--gaia-deploy",), 4), ((), 0)], ids=["deploy", "look"])
def test_a_hook_that_nobody_implements(deployer: Deployer, arguments: tuple[str, ...], code: int) -> None:
    plugin(deployer, CONFTEST)

    result = deployer.run(*arguments, "-p", "no:xdist")

    assert result.ret == code
    text = result.stdout.str()
    assert 'env.stage.deploy.hook is "plugin", but pytest_gaia_deploy is not implemented here' in text


def test_an_implementation_that_is_not_asked_is_mentioned(deployer: Deployer) -> None:
    (deployer.project.path / "conftest.py").write_text(IMPLEMENTED)

    result = deployer.run("-p", "no:xdist")

    assert result.ret == 0
    assert {call.get("worker") for call in deployer.calls} == {None}
    result.stdout.fnmatch_lines(
        ["gaia: note: pytest_gaia_deploy is not called, because the deploy hook of stage is command"]
    )
    assert len(deployer.verdict["deployment"]["notes"]) == 1


def test_one_that_takes_the_request_alone_is_enough(deployer: Deployer) -> None:
    plugin(deployer, IMPLEMENTED.replace("(request, log)", "(request)").replace("log(", "str("))

    assert deployer.run("--gaia-deploy", "-p", "no:xdist").ret == 0


def test_a_misspelt_argument_is_named(deployer: Deployer) -> None:
    plugin(deployer, IMPLEMENTED.replace("(request, log)", "(requst)"))

    result = deployer.run("--gaia-deploy", "-p", "no:xdist")

    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert "ERROR: a hook has wrong arguments: Plugin " in text
    assert "conftest.py' for hook 'pytest_gaia_deploy'" in text
    assert "{'requst'} are declared in the hookimpl but can not be found in the hookspec" in text
    assert "Traceback" not in text
    assert deployer.calls == []


def test_the_request_is_that_of_the_contract(deployer: Deployer) -> None:
    told: dict[str, Any]
    plugin(
        deployer,
        answering(
            deploy="import msgspec; open(pathlib.Path(__file__).parent / 'request', 'wb').write(msgspec.json.encode(request))"
        ),
    )

    deployer.run("--gaia-deploy", f"--gaia-deploy-image=gateway=r/g@sha256:{'2' * 64}", "-p", "no:xdist")

    told = json.loads((deployer.project.path / "request").read_text())
    assert (told["environment"], told["service"], told["image"]) == ("stage", "gateway", f"r/g@sha256:{'2' * 64}")
