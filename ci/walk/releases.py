"""``python -m ci.walk --releases``: two releases from a desk to production, with signed evidence; the second goes back.

Local is Docker Compose, the others are Fly.io; both are fakes of ``ci/fakes``. The commands are those of the
template in ``ci/github``. The suites are three of the real ones, on sandboxes without known bugs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import yaml

from ci.fakes.replay.fly_shapes import REGISTRY
from ci.walk.project import PYTEST, ROOT, write_deploy_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ci.walk.commands import Commands

ENVIRONMENTS = ("local", "dev", "staging", "production")
SERVICES = ("gateway",)
SUITES = ("health", "messaging", "database")
PEOPLE = {"ci": "ci", "rita": "release-manager", "sam": "security"}
USAGE_ERROR, REJECTED = 4, 1
SHARDS = ("1/3", "2/3", "3/3")
"""the matrix of the template that runs tests in shards"""
SIGNED = {
    "dev": [("rita", ("approve", "feature-complete", "dev", "--role=release-manager"))],
    "production": [
        ("sam", ("approve", "security-review", "production", "--role=security")),
        ("rita", ("approve", "release", "production", "--role=release-manager")),
    ],
}
"""job of the template → who signs what before it"""

# The demo has no soak time; tests of the gate cover it.
SETTINGS = """\
[gaia]
platform = "gaia"
suites = ["suites"]
deploy_files = "deploy"
allowed_differences = ["app", "min_machines", "memory", "autostop", "env.LOG_LEVEL"]

[env.local]
from = "compose"
suites = ["health", "messaging", "database"]
[env.local.deploy]
services = ["gateway"]
stable_for = 0
[env.dev.stage]
promote_from = "local"
[env.staging.stage]
promote_from = "dev"
soak = "0h"
[[env.staging.slo]]
route = "GET /health"
percentile = 95
fail_ms = 2000
min_samples = 5
[env.production.stage]
promote_from = "staging"
soak = "0h"
required_approvals = ["release-manager"]
"""
# A sandbox on this machine stands in for each of them.
ENVIRONMENT = """
[env.{name}]
from = "fly"
suites = {suites}
writes = true
core_only = false
loopback = true
[env.{name}.deploy]
services = ["gateway"]
[env.{name}.tolerance]
min_tests = 5
# No release before the first one shows what was offered.
baseline = "optional"
"""
COMPOSE = """\
services:
  gateway:
    image: {image}
    ports: ["127.0.0.1:8666:8000"]
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8000/health"]
      interval: 10s
      timeout: 3s
"""


def image_of(release: int) -> str:
    """Return the image of the gateway in a release, by digest."""
    return f"{REGISTRY}/gaia-gateway-dev@sha256:{str(release) * 64}"


def write(folder: Path) -> None:
    """Write the project, with keys of its own, as a git repository."""
    tables = "".join(ENVIRONMENT.format(name=each, suites=json.dumps(SUITES)) for each in ENVIRONMENTS[1:])
    (folder / "gaia.toml").write_text(SETTINGS + tables, encoding="utf-8")
    (folder / "pyproject.toml").write_text(PYTEST, encoding="utf-8")
    (folder / ".gitignore").write_text(".gaia/\n__pycache__/\nrelease.json\n", encoding="utf-8")
    shutil.copytree(ROOT / "suites", folder / "suites", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "deploy").mkdir()
    (folder / "ci").mkdir()
    shutil.copy(ROOT / "ci" / "gate", folder / "ci" / "gate")


def walk(commands: Commands, found: Mapping[str, Mapping[str, str]], say: Callable[[str], None]) -> None:
    """Release twice, and go back. Raise ``Unexpected`` at the first step that ends otherwise."""
    commands.environ |= _variables(found) | {"GITHUB_STEP_SUMMARY": str(commands.folder.parent / "summary.md")}
    say("keys: one for the pipeline, one for each who signs")
    for name, role in PEOPLE.items():
        key = commands.folder.parent / f"{name}.pem"
        commands.gaia(
            "key", "generate", name, "--role", role, "--identity", f"{name}@example.org", "--output", str(key)
        )
    for release in (1, 2):
        _release(commands, release, say)

    say("production goes back to the first release, and the second is blocked")
    commands.environ |= {"ENVIRONMENT": "production", "CONFIRM": "production"}
    for line in _steps("rollback.yml")["rollback"]:
        commands.run(["sh", "-ec", line])
    commands.gaia("promote", "production", "release.json", "--confirm", "production", expect=REJECTED)
    commands.gaia("ledger", "list")
    commands.gaia("ledger", "verify")
    commands.gaia("status")
    print("\nwalk: the first release is in production again, the second is blocked, and the ledger is intact.")


def _release(commands: Commands, release: int, say: Callable[[str], None]) -> None:
    """Run every step of the template for GitHub, job by job, and let people sign between them."""
    for environment in ENVIRONMENTS[1:]:
        write_deploy_files(commands.folder, environment, {"gateway": image_of(release)}, SERVICES)
    compose = COMPOSE.format(image=image_of(release))
    (commands.folder / "deploy" / "docker-compose.yml").write_text(compose, encoding="utf-8")
    _commit(commands.folder, release)
    commands.environ["IMAGES"] = f"gateway={image_of(release)}"
    for job, lines in _steps("promote.yml").items():
        say(f"release {release}: {job}")
        for who, words in SIGNED.get(job, ()):
            _sign(commands, who, words)
        if (job, release) == ("staging", 2):
            _in_shards(commands, say)
            continue
        _as(commands, "ci")
        for line in lines:
            # The first release has no rollback target, and a release manager waives the check.
            first = release == 1 and "--drill" in line
            commands.run(["sh", "-ec", line], expect=USAGE_ERROR if first else 0)
            if first:
                _sign(commands, "rita", ("waive", "rollback-ready", "production", "--until=1d", "--reason=the first"))
    commands.gaia("release", "check", "release.json")


def _in_shards(commands: Commands, say: Callable[[str], None]) -> None:
    """Run every step of the template that runs the tests of staging in shards."""
    for job, lines in _steps("promote-shards.yml").items():
        for shard in SHARDS if job == "shard" else ("",):
            say(f"release 2: staging, {job} {shard}".rstrip())
            _as(commands, "ci")
            if job == "plan":
                del commands.environ["GAIA_SIGNING_KEY_FILE"]
            commands.environ["SHARD"] = shard
            for line in lines:
                commands.run(["sh", "-ec", line])
    _as(commands, "ci")


def _steps(template: str) -> dict[str, list[str]]:
    """Return job → what its steps run, in their order."""
    document = yaml.safe_load((ROOT / "ci" / "github" / template).read_text(encoding="utf-8"))
    return {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in document["jobs"].items()}


def _sign(commands: Commands, who: str, words: Sequence[str]) -> None:
    command, check, environment, *more = words
    _as(commands, who)
    commands.gaia("release", command, "release.json", check, "--env", environment, *more)
    _as(commands, "ci")


def _as(commands: Commands, who: str) -> None:
    commands.environ["GAIA_SIGNING_KEY_FILE"] = str(commands.folder.parent / f"{who}.pem")


def _variables(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return every variable of every sandbox as that of its environment alone: ``GAIA_STAGING_GATEWAY_URL`` …"""
    return {
        name.replace("GAIA_", f"GAIA_{environment.upper()}_", 1): value
        for environment, variables in found.items()
        for name, value in variables.items()
        if name.startswith("GAIA_") and name != "GAIA_ENV"
    }


def _commit(folder: Path, release: int) -> None:
    _git(folder, "init", "--quiet") if release == 1 else None
    _git(folder, "add", ".")
    who = ("-c", "user.name=Dev", "-c", "user.email=dev@example.org")
    _git(folder, *who, "commit", "--quiet", "--message", f"release {release}")


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True)
