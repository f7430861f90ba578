"""The parts of a rollout: plan, result, and progress reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_gaia.deploy.contract import Observation
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable

Action: TypeAlias = Literal["deploy", "rollback"]

DOING: Mapping[Action, str] = {"deploy": "deploying", "rollback": "going back to"}
"""as people say it while it is done"""

StepOutcome: TypeAlias = Literal[
    "deployed",
    "unchanged",
    "deployed_with_tool_error",
    "phantom",
    "failed",
    "split",
    "unavailable",
    "in doubt",
    "not begun",
    "planned",
]
"""The result of one service: its outcome (``deploy.outcome``), or the reason why there is none.

``unavailable``: the tool was rate-limited or did not respond; ``in doubt``: the rollout ended during it;
``not begun``: it ended before; ``planned``: only the commands were requested.
"""

GOOD: frozenset[StepOutcome] = frozenset({"deployed", "unchanged", "deployed_with_tool_error", "planned"})

_INTERRUPTED = 130
"""exit code of a command that was ended by Ctrl-C"""


@dataclass(frozen=True, slots=True)
class Step:
    """One service of a rollout."""

    service: str
    app: str
    config: Path | None = None
    """its deploy file; None for a hook that needs none"""
    image: str | None = None
    """what to deploy or to go back to; None: what the deploy file builds or names"""
    origin: str = ""
    """for a rollback: how ``image`` was found"""
    checks_required: bool = True
    """whether a machine without a health check is not well"""
    beside: tuple[str, ...] | None = None
    """names of the tool for what is started together with ``app``; None: all that it depends on"""
    groups: Mapping[str, bool] = field(default_factory=dict)
    """process group on Fly → the same for its machines, by the deploy file"""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Which services are deployed, or rolled back, in which order and how."""

    environment: str
    rootdir: Path
    """folder of gaia.toml; the journal is kept in ``.gaia/deployments`` of it"""
    steps: tuple[Step, ...]
    action: Action = "deploy"
    region: str | None = None
    rebuild: bool = False
    remote_only: bool = True
    deadline: float = 600.0
    """seconds for one service"""
    refused: str = ""
    """why this may only be looked at (a dry run), not done"""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one service."""

    service: str
    app: str
    outcome: StepOutcome
    reason: str = ""
    """one sentence, for every outcome that is not plainly good"""
    elapsed: float = 0.0
    """seconds"""
    attempts: int = 0
    """how many times the tool was asked to deploy"""
    version: int | None = None
    image: str | None = None
    digests: tuple[str, ...] = ()
    """of all machines that serve, each once; more than one is a split deployment"""
    commands: tuple[tuple[str, ...], ...] = ()
    """the exact command lines that ran, or that would"""
    before: Observation | None = None
    after: Observation | None = None
    tail: tuple[str, ...] = ()
    """the tool's last lines, secrets masked"""

    @property
    def good(self) -> bool:
        """Whether the rollout may continue with the next service."""
        return self.outcome in GOOD


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """The result of a rollout, with one step per requested service, in order."""

    environment: str
    action: Action
    steps: tuple[StepResult, ...]
    started: str
    """ISO 8601, UTC"""
    elapsed: float
    """seconds"""
    dry_run: bool = False
    go_on: str = ""
    """the command line that goes on where this stopped; empty where all is done"""
    notes: tuple[str, ...] = field(default=())
    """notes for people, such as an interrupted earlier rollout"""
    refused: str = ""
    """why a dry run showed commands that would not be run"""

    @property
    def good(self) -> bool:
        """Whether every service is where it should be."""
        return not self.refused and all(step.good for step in self.steps)

    @property
    def exit_code(self) -> int:
        """0 all there, 4 refused, 12 the tool was not available, 130 interrupted, 1 anything else."""
        if self.refused:
            return ConfigError.exit_code
        outcomes = {step.outcome for step in self.steps}
        if self.good:
            return 0
        if "in doubt" in outcomes or outcomes <= GOOD | {"not begun"}:
            return _INTERRUPTED
        return DeployUnavailable.exit_code if "unavailable" in outcomes else DeployFailed.exit_code

    @property
    def problem(self) -> str:
        """What stopped it, in one sentence; empty where nothing did."""
        if self.refused:
            return self.refused
        stopped = next((step for step in self.steps if not step.good), None)
        return "" if stopped is None else f"{stopped.service} ({stopped.app}): {stopped.outcome}: {stopped.reason}"


class RolloutInterrupted(KeyboardInterrupt):
    """Ctrl-C or a similar signal during a rollout; ``result`` has the steps so far, and how to continue."""

    def __init__(self, result: RolloutResult) -> None:
        super().__init__(f"interrupted; to go on: {result.go_on}")
        self.result = result


class Progress:
    """Receives the progress of a rollout. This class does nothing; override its methods."""

    def begun(self, rollout: Rollout) -> None:
        """The rollout has begun."""

    def waiting(self, service: str, text: str) -> None:
        """``service`` is in progress; ``text`` describes the current work. Called often."""

    def line(self, service: str, text: str) -> None:
        """The tool has written one line, secrets masked."""

    def ended(self, step: StepResult) -> None:
        """One service has come to its end."""

    def note(self, text: str) -> None:
        """Something that people should know, and that stops nothing."""
