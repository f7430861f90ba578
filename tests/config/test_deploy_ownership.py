"""Whose an app of a deploy file is: a run never reaches that of another environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.errors import ConfigError, EnvironmentUnavailable
from tests.config.deploying import HTTP

if TYPE_CHECKING:
    from tests.config.deploying import Deployed


def test_an_app_of_another_environment_is_refused(deployed: Deployed) -> None:
    deployed.write("deploy/fly.gateway.staging.toml", f'app = "gaia-gateway-production"\n{HTTP}')

    with pytest.raises(EnvironmentUnavailable) as error:
        deployed.resolve()

    assert str(error.value).startswith(
        "staging: urls.gateway (source: deploy/fly.gateway.staging.toml:1 app) is gaia-gateway-production.fly.dev, "
        "which belongs to production. Nothing was sent."
    )


def test_two_environments_whose_files_name_one_app_are_both_refused(deployed: Deployed) -> None:
    deployed.settings('[env.staging]\nfrom = "fly"\n[env.production]\nfrom = "fly"\n')
    for name in ("staging", "production"):
        deployed.write(f"deploy/fly.{name}.toml", f'app = "acme-production"\n{HTTP}')

    for name, other in (("staging", "production"), ("production", "staging")):
        with pytest.raises(EnvironmentUnavailable, match=f"belongs to {other}"):
            deployed.resolve(name)


def test_the_project_may_say_whose_the_app_is(deployed: Deployed) -> None:
    deployed.settings(
        '[env.staging]\nfrom = "fly"\n[env.production]\nfrom = "fly"\nhosts = ["acme-production.fly.dev"]\n'
    )
    for name in ("staging", "production"):
        deployed.write(f"deploy/fly.{name}.toml", f'app = "acme-production"\n{HTTP}')

    assert deployed.resolve("production").urls["gateway"] == "https://acme-production.fly.dev"
    with pytest.raises(EnvironmentUnavailable):
        deployed.resolve("staging")


def test_what_is_guarded_without_files_stays_guarded_with_them(deployed: Deployed) -> None:
    deployed.full()

    with pytest.raises(EnvironmentUnavailable, match="belongs to staging"):
        deployed.resolve("dev", urls=("https://gaia-gateway-staging.fly.dev",))
    with pytest.raises(EnvironmentUnavailable, match="belongs to staging"):
        deployed.resolve("dev", urls=("https://acme-auth-staging.fly.dev",))


def test_a_broken_file_of_another_environment_stops_no_run(deployed: Deployed) -> None:
    deployed.settings('[env.staging]\nfrom = "fly"\n[env.production]\nfrom = "fly"\n')
    deployed.full()
    deployed.write("deploy/fly.production.toml", "not = [toml")

    assert deployed.resolve().source == "fly"
    with pytest.raises(ConfigError, match=r"deploy/fly\.production\.toml:1: not valid TOML"):
        deployed.resolve("production")
    assert isinstance(resolve_each(Options(project=Project(deployed.root), environ={}))["production"], ConfigError)
