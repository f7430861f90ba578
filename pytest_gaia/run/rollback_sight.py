"""What a rollback sees: what runs now, by the hook, and earlier releases, by a tool that keeps a list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.run.backoff import Pace
from pytest_gaia.run.rollback import Eyes
from pytest_gaia.run.rollout_model import Progress, Rollout
from pytest_gaia.run.rollout_plan import settings_of
from pytest_gaia.run.rollout_step import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Environment
    from pytest_gaia.deploy.contract import DeployHook, Observation
    from pytest_gaia.deploy.fly_shapes import Release


def sight(environment: Environment, hook: DeployHook, rootdir: Path) -> Eyes:
    """Return the eyes for a rollback of ``environment``. Nothing is changed by looking."""
    rollout = Rollout(environment.name, rootdir, (), "rollback", deadline=settings_of(environment).deadline)
    worker = Worker(rollout, hook, Progress(), Pace())
    return Eyes(worker.look, _on_fly if hook.name == "fly" else _nowhere)


def _nowhere(app: str, now: Observation) -> None:
    return None


def _on_fly(app: str, now: Observation) -> tuple[str, str] | None:
    from pytest_gaia.deploy import fly_apps

    # Fly's list names images by tag; of what runs, both are known.
    running = {(machine.image or "").partition("@")[0] for machine in now.machines}
    for release in fly_apps.releases(app):
        if _is_earlier(release, now) and release.image_ref.partition("@")[0] not in running:
            return release.image_ref, f"release {release.version}, the newest complete one with another image"
    return None


def _is_earlier(release: Release, now: Observation) -> bool:
    newest = now.release
    return release.complete and bool(release.image_ref) and (newest is None or release.version < newest)
