"""The cloud of the demo: a folder with fakes of ``fly`` and ``docker``, and their state file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci.fakes.replay import fly_machines
from ci.fakes.replay.digests import digest_of
from ci.fakes.replay.fly_shapes import REGISTRY, seeded_release
from ci.fakes.replay.state import Store
from ci.walk.project import ENVIRONMENTS, ROOT, SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

RELEASE = 41
"""what runs before the walk begins; what it deploys has never been deployed to dev"""
SECRETS = ("DATABASE_URL", "SUPABASE_JWT_SECRET")


class Cloud:
    """Fake tools in their own folder."""

    def __init__(self, folder: Path, services: Sequence[str]) -> None:
        self.folder = folder
        folder.mkdir()
        for tool in ("fly", "flyctl", "docker"):
            (folder / tool).symlink_to(ROOT / "ci" / "fakes" / tool)
        self._store = Store(folder / "state.json")
        with self._store.change() as state:
            for environment in ENVIRONMENTS:
                for service in SERVICES:
                    name = f"gaia-{service}-{environment}"
                    state["apps"][name] = _app(name, machines=0 if environment == "dev" and service in services else 2)

    @property
    def path(self) -> str:
        """The variable ``PATH`` with the fakes first, then the Python that runs them."""
        here = Path(sys.executable).parent
        return os.pathsep.join((str(self.folder), str(here), os.environ.get("PATH", os.defpath)))

    def fault(self, app: str, *faults: str) -> None:
        """Let an app show these faults."""
        with self._store.change() as state:
            state["faults"][app] = list(faults)

    def running(self, environment: str) -> dict[str, set[str]]:
        """Return service → the digests that its machines run."""
        apps = self._store.read()["apps"]
        return {
            service: {
                machine["image_ref"]["digest"]
                for machine in apps[f"gaia-{service}-{environment}"]["machines"]
                if fly_machines.launched(machine)
            }
            for service in SERVICES
        }


def _app(name: str, *, machines: int) -> dict[str, Any]:
    file: dict[str, Any] = {"http_service": {"internal_port": 8000, "checks": [{"path": "/health"}]}}
    app: dict[str, Any] = {"name": name, "org": "gaia", "region": "lhr", "hostname": f"{name}.fly.dev", "logs": []}
    app |= {"releases": [], "machines": [], "secrets": list(SECRETS), "config": file}
    reference = f"{REGISTRY}/{name}:deployment-{RELEASE:026}"
    image = {"reference": reference, "digest": digest_of("before", name)}
    for _ in range(machines):
        app["releases"] = [seeded_release(name, RELEASE, reference)]
        fly_machines.settle(fly_machines.new_machine(app, file), file, image, app["releases"][0])
    return app
