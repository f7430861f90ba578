"""``python -m ci.walk``: take one change from dev to staging to production and back, with fake tools and sandboxes.

Nothing is deployed to a cloud. ``fly`` is the fake of ``ci/fakes``, and the tests run against sandboxes with the services of
each environment. All files are in a temporary folder, which is removed. Exit codes: 0 all steps ended as expected, 1 one
did not, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci.fakes.replay.fly_shapes import REGISTRY
from ci.walk import releases
from ci.walk.cloud import Cloud
from ci.walk.commands import Commands, Unexpected
from ci.walk.project import PINNED, SERVICES, write, write_deploy_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

REJECTED = 1
SANDBOXES = {"dev": (), "staging": (), "production": ("--no-known-bugs",)}
"""Dev and staging have the known bugs of the platform, which expectations cover; production has none."""
SECRETS = ("API_KEY", "JWT_SECRET", "DATABASE_URL")


def main() -> int:
    """Walk, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ci.walk", description=__doc__.partition("\n")[0])
    parser.add_argument("--services", metavar="SERVICE,…", default=",".join(SERVICES), help="deploy only these")
    parser.add_argument("--releases", action="store_true", help="promote two releases with signed evidence instead")
    given = parser.parse_args()
    services = [each for each in SERVICES if each in given.services.split(",")]
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="gaia-walk-", ignore_cleanup_errors=True) as name:
        try:
            if given.releases:
                release_twice(Path(name))
            else:
                walk(Path(name), services)
        except Unexpected as error:
            print(f"\nwalk: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nwalk: interrupted; nothing is left behind", file=sys.stderr)
            return 130
    return 0


PLATFORM = '[gaia]\nplatform = "gaia"\n'
"""what the sandboxes need; the rest of gaia.toml needs their addresses"""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def walk(folder: Path, services: Sequence[str]) -> None:
    """Take one change through every environment. Raise ``Unexpected`` at the first step that ends otherwise."""
    project = folder / "platform"
    project.mkdir()
    (project / "gaia.toml").write_text(PLATFORM, encoding="utf-8")
    cloud = Cloud(folder / "tools", services)
    commands = Commands(project, cloud.path)
    say("a sandbox stands in for each environment, and an executable for fly")
    with commands.sandboxes(SANDBOXES) as found:
        write(project, {name: _urls(variables) for name, variables in found.items()}, services)
        for name, variables in found.items():
            commands.environ |= _secrets(name, variables)
        _dev(commands)
        _promotion(commands)
        _staging(commands, cloud)
        _production(commands, cloud)
    print("\nwalk: dev, staging, production, and back. Every step ended as it should.")


def release_twice(folder: Path) -> None:
    """Take two releases from local to production, and the second back; as :func:`walk`."""
    project = folder / "platform"
    project.mkdir()
    (project / "gaia.toml").write_text(PLATFORM, encoding="utf-8")
    cloud = Cloud(folder / "tools", releases.SERVICES)
    commands = Commands(project, cloud.path)
    say("a sandbox stands in for each environment, and executables for fly and docker")
    with commands.sandboxes(dict.fromkeys(releases.ENVIRONMENTS, ("--no-known-bugs",))) as found:
        releases.write(project)
        releases.walk(commands, found, say)


def _dev(commands: Commands) -> None:
    say("dev: its deploy files are checked, every service is built and deployed, the checks run")
    commands.gaia("config", "lint", "dev")
    commands.gaia("deploy", "dev", "--test", "--", "--gaia-verdict-file=dev.json", "--gaia-require-full")


def _promotion(commands: Commands) -> None:
    say("promotion: the deploy files of staging and production name the images that dev has tested")
    seen = json.loads((commands.folder / "dev.json").read_text(encoding="utf-8"))["deployment"]["services"]
    images = {each: PINNED.format(each) for each in SERVICES}
    images |= {each["service"]: f"{REGISTRY}/{each['app']}@{each['images'][0]}" for each in seen}
    for environment in ("staging", "production"):
        write_deploy_files(commands.folder, environment, images)
    commands.gaia("config", "lint")
    commands.gaia("config", "diff", "staging", "production")
    for environment in ("staging", "production"):
        # What they offer before their first run with Gaia is the baseline for their API.
        commands.gaia("api", "snapshot", environment)


def _staging(commands: Commands, cloud: Cloud) -> None:
    say("staging: fly is rate-limited for a moment, and then gives up on the gateway half-way")
    cloud.fault("gaia-chat-staging", "rate-limited:1@deploy")
    cloud.fault("gaia-gateway-staging", "split:1")
    commands.gaia("deploy", "staging", expect=REJECTED)

    say("staging goes on where it stopped, and is tested")
    commands.gaia("deploy", "staging", "--services", "gateway")
    commands.gaia("test", "-e", "staging", "--", "--gaia-require-full")


def _production(commands: Commands, cloud: Cloud) -> None:
    before = cloud.running("production")
    say("production: the same images, and nothing may fail")
    commands.gaia("deploy", "production", "--test", "--confirm", "production")
    commands.gaia("status", "dev", "staging", "production")

    say("and back: production gets the images that it had")
    commands.gaia("rollback", "production", "--confirm", "production")
    if cloud.running("production") != before:
        raise Unexpected("production does not run what it ran before")
    commands.gaia("status", "production")


def _urls(variables: Mapping[str, str]) -> dict[str, str]:
    return {each: variables[f"GAIA_{each.upper()}_URL"] for each in SERVICES}


def _secrets(environment: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of a sandbox as those of its environment alone: ``GAIA_STAGING_API_KEY`` …"""
    return {f"GAIA_{environment.upper()}_{key}": variables[f"GAIA_{key}"] for key in SECRETS}


def say(text: str) -> None:
    """Print what comes next."""
    print(f"\n── {text} ──", flush=True)


if __name__ == "__main__":
    sys.exit(main())
