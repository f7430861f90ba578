"""Rollouts for tests: deploy files on the disk, a clock without waiting, and a listener that records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_gaia.deploy.fly._hook import FlyHook
from pytest_gaia.deploy.fly.operations import FlyTool
from pytest_gaia.rollout.model import Progress, Rollout, Step
from pytest_gaia.rollout.step import Pace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.rollout.model import StepResult

FLY_FILE = """\
app = "gaia-{service}-{environment}"
primary_region = "lhr"

[http_service]
  internal_port = 8000
  force_https = true
  auto_stop_machines = "{autostop}"
  auto_start_machines = true
  min_machines_running = {machines}

  [[http_service.checks]]
    method = "GET"
    path = "/health"
    interval = "15s"
    timeout = "5s"
    grace_period = "10s"

[[vm]]
  memory = "2gb"
  cpu_kind = "shared"
  cpus = 1
"""


def image(service: str, number: int, environment: str = "staging") -> str:
    """A reference with a digest; another number is another image."""
    return f"registry.fly.io/gaia-{service}-{environment}@sha256:{number:064x}"


def write_fly_files(folder: Path, environment: str, *services: str) -> None:
    """Write one deploy file a service, as they should be."""
    folder.mkdir(parents=True, exist_ok=True)
    for service in services:
        stays = environment == "production"
        text = FLY_FILE.format(
            service=service,
            environment=environment,
            autostop="off" if stays else "suspend",
            machines=2 if stays else 1,
        )
        (folder / f"fly.{service}.{environment}.toml").write_text(text, encoding="utf-8")


def fly_rollout(root: Path, *services: str, environment: str = "staging", **images: str) -> Rollout:
    """A rollout of ``services`` to Fly in this order, with deploy files in ``root/deploy``."""
    write_fly_files(root / "deploy", environment, *services)
    steps = tuple(
        Step(
            service,
            f"gaia-{service}-{environment}",
            root / "deploy" / f"fly.{service}.{environment}.toml",
            images.get(service),
        )
        for service in services
    )
    return Rollout(environment, root, steps)


def going_back(rollout: Rollout) -> Rollout:
    """The same as a rollback."""
    return replace(rollout, action="rollback")


def fly_hook() -> FlyHook:
    """The hook ``fly``, which asks again at once where it would wait."""
    return FlyHook(FlyTool(wait=lambda _: None))


class Clock:
    """Time passes by waiting, and by nothing else."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)

    def pace(self, stretch: float = 1.0) -> Pace:
        """The shortest of all waits, times ``stretch``: fewer looks where a test waits for nothing to happen."""
        return Pace(self, self.wait, lambda least, _: least * stretch)


@dataclass
class Listener(Progress):
    """Records the progress, and calls the functions of a test meanwhile."""

    told: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    steps: list[StepResult] = field(default_factory=list)
    when_waiting: Callable[[str, str], None] = lambda service, text: None
    when_line: Callable[[str, str], None] = lambda service, text: None

    def begun(self, rollout: Rollout) -> None:
        self.told.append(f"begun {rollout.action} of {rollout.environment}")

    def waiting(self, service: str, text: str) -> None:
        self.told.append(f"{service}: {text}")
        self.when_waiting(service, text)

    def line(self, service: str, text: str) -> None:
        self.lines.append(text)
        self.when_line(service, text)

    def ended(self, step: StepResult) -> None:
        self.told.append(f"{step.service} ended: {step.outcome}")
        self.steps.append(step)

    def note(self, text: str) -> None:
        self.told.append(f"note: {text}")
