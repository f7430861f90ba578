"""Planning a roll-out: which services, in which order, with which deploy file and image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.run.rollout_model import Rollout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import Deployment
    from pytest_gaia.config.environment import Environment


def plan_rollout(
    environment: Environment,
    deployment: Deployment | None,
    *,
    rootdir: Path,
    services: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
    region: str | None = None,
    rebuild: bool = False,
    remote_only: bool = True,
    check: bool = True,
) -> Rollout:
    """Return what a deployment of ``services`` (empty: those of the settings; ``all``: every one) comes to.

    ``deployment`` is what the deploy files say; None where the hook needs none (a command, a plugin). ``images`` is
    service → reference. With ``check`` a deploy file that no deployment may use (no effective health check on a served
    port) is refused; without, it is left to the dry run that it is for.

    Raises ``ConfigError``: the environment has no deployment, an unknown service, one without a deploy file, an image
    for a service that is not deployed, a refused deploy file.
    """
    raise NotImplementedError
