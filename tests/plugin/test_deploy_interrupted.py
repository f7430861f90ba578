"""An interrupted deployment reports what was done and how to continue, and leaves nothing running."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.deploy.test_command import has_ended
from tests.plugin.deployer import Deployer, deployer
from tests.slow import in_full

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["deployer"]


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (signal.SIGINT, ("-p", "no:xdist")),
        (signal.SIGTERM, ("-p", "no:xdist")),
        in_full(signal.SIGHUP, ("-p", "no:xdist")),
        in_full(signal.SIGINT, ("-n", "2")),
        in_full(signal.SIGTERM, ("-n", "2")),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP", "SIGINT workers", "SIGTERM workers"],
)
def test_an_interrupted_deployment_says_how_to_go_on(
    deployer: Deployer, number: signal.Signals, way: Sequence[str]
) -> None:
    deployer.tell("deploy", signal=int(number))

    result = deployer.run("--gaia-deploy", *way)

    assert result.ret == 2
    assert has_ended(int((deployer.folder / "pid").read_text()))
    assert "test" not in deployer.phases
    result.stdout.fnmatch_lines(
        [
            "gaia: the deployment of stage was interrupted; no test ran.",
            "  gateway: in doubt: the rollout was interrupted while it was being deployed",
            "  to continue: gaia deploy stage --services gateway",
            "gaia verdict: HOLD on stage: the run was interrupted*",
        ]
    )
    (gateway,) = deployer.verdict["deployment"]["services"]
    assert gateway["outcome"] == "in doubt"


def test_after_the_deployment_signals_mean_what_they_meant(deployer: Deployer) -> None:
    path = deployer.project.path / "suites" / "health" / "test_health.py"
    path.write_text(
        "import signal\n"
        "def test_signals():\n"
        "    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
        "    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL\n"
    )

    result = deployer.run("--gaia-deploy", "-p", "no:xdist")

    assert result.ret == 0
