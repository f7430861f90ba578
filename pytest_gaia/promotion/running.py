"""What is seen to run in an environment, as a promotion needs it: before it claims anything, and after the last test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_gaia.config.addresses import host_of, is_loopback
from pytest_gaia.config.deployfiles.read import compose_file
from pytest_gaia.config.environment import DeploySettings, Environment
from pytest_gaia.deploy.outcome import digests
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.images import look
from pytest_gaia.promotion.project import Promotion


def environment_of(promotion: Promotion, name: str) -> tuple[Environment, bool]:
    """Return the environment as it can be observed, and whether a promotion deploys it.

    One without deploy settings is not deployed. If all of its addresses are on this machine, Docker Compose is asked
    what runs; raises ``ConfigError`` for any other: nobody could say that what was tested is the bundle.
    """
    environment = promotion.resolve(name)
    if environment.deploy is not None:
        return environment, True
    if _here(environment) and compose_file(promotion.project.deploy_folder.path) is not None:
        return replace(environment, deploy=DeploySettings("compose")), False
    raise ConfigError(
        f"{name}: has no deployment, so nobody could say that what is tested there is the bundle. Set [env.{name}] from "
        f'= "fly" or "compose", or [env.{name}.deploy] hook = … in gaia.toml. Nothing was done.'
    )


def observed(environment: Environment, rootdir: Path, services: Sequence[str]) -> dict[str, str]:
    """Return service → digest of every one of ``services`` that was seen to run one image; others are left out."""
    found = {}
    for sight in look(environment, rootdir, services):
        seen = sight.observation
        # A machine that does not say what it runs could run anything.
        if seen is not None and all(machine.digest for machine in seen.machines) and len(digests(seen)) == 1:
            (found[sight.service],) = digests(seen)
    return found


def _here(environment: Environment) -> bool:
    return bool(environment.urls) and all(is_loopback(host_of(url)) for url in environment.urls.values())
