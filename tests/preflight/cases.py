"""A change of the corrected set that a check is tried with, and the lines that many of them change."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tests.preflight.sets import Change

if TYPE_CHECKING:
    from collections.abc import Iterable

G_STAGING, G_PRODUCTION = "fly.gateway.staging.toml", "fly.gateway.production.toml"
A_STAGING, A_PRODUCTION = "fly.auth.staging.toml", "fly.auth.production.toml"
C_PRODUCTION, N_PRODUCTION = "fly.chat.production.toml", "fly.nats.production.toml"
COMPOSE, DEPLOY, GITLAB = "docker-compose.yml", ".github/workflows/deploy.yml", ".gitlab-ci.yml"

REGION = 'primary_region = "lax"'
APP = 'app = "gaia-auth-production"'
NATS_URL = 'NATS_URL = "nats://gaia-nats-production.internal:4222"'
AUTH_URL = 'AUTH_SERVICE_URL = "https://gaia-auth-production.fly.dev"'
CHAT_URL = 'CHAT_SERVICE_URL = "https://gaia-chat-production.fly.dev"'
ENV = 'ENVIRONMENT = "production"'
CHECK = """[[http_service.checks]]
method = "GET"
path = "/health"
interval = "15s"
timeout = "5s"
grace_period = "20s"
"""
DIGEST = "@sha256:" + "2" * 64
IMAGE = f'image = "registry.fly.io/gaia-auth-dev{DIGEST}"'
BARE_DEV = """app = "gaia-gateway-dev"
primary_region = "ord"

[http_service]
internal_port = 8000
force_https = true

[[http_service.checks]]
path = "/health"
interval = "15s"
timeout = "5s"
grace_period = "20s"
"""
POSTGRES = f"""app = "gaia-postgres-production"
{REGION}

[[services]]
internal_port = 5432
protocol = "tcp"

[[services.tcp_checks]]
interval = "15s"
timeout = "5s"
grace_period = "5s"
"""
URL = "postgresql://gaia@{}/gaia"
TOML_SECRETS = 'secrets = ["DATABASE_URL", "SUPABASE_JWT_SECRET"]'


class Case(NamedTuple):
    """A change that a check finds, at the line that is marked ``# wrong``; or one that it does not."""

    check: str
    changes: tuple[Change, ...]


def case(check: str, *changes: tuple[str, str, str]) -> Case:
    return Case(check, tuple(Change(*each) for each in changes))


def variable(check: str, name: str, value: str, file: str = G_PRODUCTION) -> Case:
    """Give the app of ``file`` one more variable."""
    line = 'ENVIRONMENT = "' + file.split(".")[-2] + '"'
    return case(check, (file, line, f'{line}\n{name} = "{value}"  # wrong'))


def step(check: str, command: str, job: str = "production") -> Case:
    """Put one more command into a job of GitHub's, before the deployment."""
    deploy = f"gaia deploy-and-test {job}"
    new = f"- run: {command}  # wrong\n      - run: {deploy}"
    old = f"- run: {deploy}" if job == "production" else "- run: |\n          gaia config check --format github"
    after = new if job == "production" else f"- run: {command}  # wrong\n      {old}"
    return case(check, (DEPLOY, old, after))


def numbered(checks: Iterable[str]) -> list[str]:
    """Return a test ID for each case of these checks."""
    seen: Counter[str] = Counter()
    names = []
    for check in checks:
        seen[check] += 1
        names.append(f"{check}-{seen[check]}")
    return names
