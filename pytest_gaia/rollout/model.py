"""The parts of a rollout: its plan, its results, and the interface for progress."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_gaia.deploy.contract import Observation
from pytest_gaia.errors import ConfigError, DeployFailed, DeployUnavailable

Action: TypeAlias = Literal["deploy", "rollback"]

DOING: Mapping[Action, str] = {"deploy": "deploying", "rollback": "rolling back to"}
"""for messages while it runs"""

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
"""The result of one service: its outcome (``deploy.outcome``), or why it has none.

``unavailable``: the tool was rate-limited or did not respond. ``in doubt``: the rollout ended while the service was
being deployed. ``not begun``: it ended before that. ``planned``: only the commands were requested.
"""

GOOD: frozenset[StepOutcome] = frozenset({"deployed", "unchanged", "deployed_with_tool_error", "planned"})

_INTERRUPTED = 130
"""exit code of a command that Ctrl-C ended, as in a shell"""


@dataclass(frozen=True, slots=True)
class Step:
    """One service of a rollout."""

    service: str
    app: str
    config: Path | None = None
    """its deploy file; None for a hook that needs none"""
    image: str | None = None
    """image to deploy or to return to; None: the image that the deploy file builds or names"""
    origin: str = ""
    """for a rollback: how ``image`` was found"""
    checks_required: bool = True
    """whether a machine without a health check is unhealthy"""
    needs: tuple[str, ...] = ()
    """names, in the tool, of what it depends on directly or indirectly"""
    groups: Mapping[str, bool] = field(default_factory=dict)
    """process group on Fly → whether its machines need a health check, from the deploy file"""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The services to deploy or to roll back, in order, and the settings."""

    environment: str
    rootdir: Path
    """folder of gaia.toml; the history is stored in its ``.gaia/deployments``"""
    steps: tuple[Step, ...]
    action: Action = "deploy"
    region: str | None = None
    rebuild: bool = False
    remote_only: bool = True
    deadline: float = 600.0
    """time limit for one service, in seconds"""
    stable_for: float = 10.0
    """seconds that a machine must run after its start, if the tool reports that"""
    context: str | None = None
    namespace: str | None = None
    """where the hook kubernetes deploys"""
    refused: str = ""
    """why only a dry run is allowed; empty if the rollout may run"""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one service."""

    service: str
    app: str
    outcome: StepOutcome
    reason: str = ""
    """one sentence, for every outcome other than success"""
    elapsed: float = 0.0
    """seconds"""
    attempts: int = 0
    """how often the tool was started to deploy"""
    version: int | None = None
    image: str | None = None
    digests: tuple[str, ...] = ()
    """of all machines that serve, each once; more than one means mixed versions"""
    commands: tuple[tuple[str, ...], ...] = ()
    """the exact command lines that ran, or would run"""
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
    """The result of a rollout: one step for each requested service, in order."""

    environment: str
    action: Action
    steps: tuple[StepResult, ...]
    started: str
    """ISO 8601, UTC"""
    elapsed: float
    """seconds"""
    dry_run: bool = False
    go_on: str = ""
    """the command line that continues; empty if all is done"""
    notes: tuple[str, ...] = field(default=())
    """notes for the user, such as an earlier rollout that was interrupted"""
    refused: str = ""
    """why the commands of a dry run would be refused"""

    @property
    def good(self) -> bool:
        """Whether every service reached its target."""
        return not self.refused and all(step.good for step in self.steps)

    @property
    def exit_code(self) -> int:
        """0 success, 4 refused, 12 the tool was unavailable, 130 interrupted, 1 anything else."""
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
        """What stopped the rollout, in one sentence; empty if nothing did."""
        if self.refused:
            return self.refused
        stopped = next((step for step in self.steps if not step.good), None)
        return "" if stopped is None else f"{stopped.service} ({stopped.app}): {stopped.outcome}: {stopped.reason}"


class RolloutInterrupted(KeyboardInterrupt):
    """Ctrl-C or a similar signal during a rollout; ``result`` holds the results and the command that continues."""

    def __init__(self, result: RolloutResult) -> None:
        super().__init__(f"interrupted; to continue: {result.go_on}")
        self.result = result


class Progress:
    """Receives the progress of a rollout. The methods do nothing; override those that you need."""

    def begun(self, rollout: Rollout) -> None:
        """The rollout begins."""

    def waiting(self, service: str, text: str) -> None:
        """``service`` is in progress; ``text`` is the current activity. Called often."""

    def line(self, service: str, text: str) -> None:
        """The tool wrote one line; secrets are masked."""

    def ended(self, step: StepResult) -> None:
        """One service has a result."""

    def note(self, text: str) -> None:
        """A note for the user that stops nothing."""
