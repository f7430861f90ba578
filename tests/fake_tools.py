"""The fakes of ``ci/fakes`` on the path of a test, with their state in its temporary folder."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ci.fakes.replay import faults as faults_of
from ci.fakes.replay import fly_machines, fly_shapes, kubernetes_api
from ci.fakes.replay.digests import digest_of
from ci.fakes.replay.state import Store
from tests.forking.tools import call, fork_tools_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

FAKES = Path(__file__).parents[1] / "ci" / "fakes"
TOOLS = ("fly", "flyctl", "docker", "kubectl")
FILE = {
    "primary_region": "lhr",
    "http_service": {
        "internal_port": 8000,
        "checks": [{"path": "/health", "method": "GET", "interval": "15s", "timeout": "5s"}],
    },
}
"""the deploy file of a seeded app"""


@dataclass(frozen=True)
class ToolCall:
    """One call of a fake tool."""

    tool: str
    argv: tuple[str, ...]
    exit: int
    env: dict[str, str]
    """``FLY_…`` and ``NO_COLOR``; a token is shown as ``set``"""
    cwd: str


class FakeTools:
    """Control the fake ``fly``, ``docker`` and ``kubectl``: seed apps, inject faults, read calls."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._store = Store(folder / "state.json")
        for tool in TOOLS:
            if (FAKES / tool).exists():
                (folder / tool).symlink_to(FAKES / tool)
        with self.state():
            """Write the file once, so that the fakes find it in their folder."""
        # Run them with the Python of these tests; `python3` may be too old.
        monkeypatch.setenv("PATH", os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"])))

    def state(self) -> AbstractContextManager[dict[str, Any]]:
        """Change the state file while holding its lock."""
        return self._store.change()

    def app(
        self,
        name: str,
        *,
        machines: int = 1,
        reference: str | None = None,
        release: int = 1,
        region: str = "lhr",
        memory_mb: int = 2048,
        state: str = "started",
        secrets: Sequence[str] = (),
        file: dict[str, Any] | None = None,
    ) -> None:
        """Add an app that is deployed and healthy; with ``machines=0``, one that was never deployed."""
        app: dict[str, Any] = {"name": name, "org": "gaia", "region": region, "hostname": f"{name}.fly.dev"}
        app |= {
            "releases": [],
            "machines": [],
            "secrets": list(secrets),
            "config": {**FILE, **(file or {})},
            "logs": [],
        }
        reference = reference or f"{fly_shapes.REGISTRY}/{name}:deployment-{release:026}"
        digest = reference.partition("@")[2] or digest_of("seed", reference)
        with self.state() as cloud:
            cloud["apps"][name] = app
            cloud.setdefault("images", {})[reference] = digest
            for number in range(1, release + 1) if machines else ():
                app["releases"].append(fly_shapes.seeded_release(name, number, reference))
            groups = fly_machines.groups(app["config"])
            for group in groups * machines:
                machine = fly_machines.new_machine(app, app["config"], group=group, region=region)
                image = {"reference": reference, "digest": digest}
                fly_machines.settle(machine, app["config"], image, app["releases"][-1], state=state)
                machine["config"]["guest"]["memory_mb"] = memory_mb

    def workload(
        self, unit: str, image: str, *, context: str = "qa-cluster", namespace: str = "shop", **how: Any
    ) -> None:
        """Add a workload such as ``deployment/orders``, whose pods run ``image``; ``how`` as for ``kubernetes_api.add``."""
        with self.state() as state:
            kubernetes_api.add(state, unit, image, context=context, namespace=namespace, **how)

    def platform(
        self, environment: str, services: Sequence[str] = ("gateway", "auth", "asset", "chat"), **how: Any
    ) -> None:
        """Add ``gaia-<service>-<environment>`` for each service; ``how`` as for ``app``."""
        for service in services:
            self.app(f"gaia-{service}-{environment}", **how)

    def fault(self, target: str, *faults: str) -> None:
        """Inject these faults into ``target`` (an app, or ``*``), after existing ones."""
        unknown = {faults_of.Fault.parse(each).kind for each in faults} - {
            *faults_of.FLY,
            *faults_of.DOCKER,
            *faults_of.KUBERNETES,
        }
        if unknown:
            raise ValueError(f"unknown fault: {', '.join(sorted(unknown))}; see ci/fakes/fly --fake-help")
        with self.state() as cloud:
            cloud["faults"].setdefault(target, []).extend(faults)
            if target in cloud["apps"]:
                cloud["apps"][target].pop("slept", None)

    def heal(self, target: str | None = None) -> None:
        """Remove the faults of ``target``; without it, all."""
        with self.state() as cloud:
            cloud["faults"] = {key: each for key, each in cloud["faults"].items() if target not in (None, key)}

    def new_source(self, name: str) -> None:
        """Let the next build produce other images, as after a commit."""
        with self.state() as cloud:
            cloud["source"] = name

    def without(self, *tools: str) -> None:
        """Remove tools, and every folder of the path that contains one of that name."""
        for tool in tools:
            (self.folder / tool).unlink(missing_ok=True)
        folders = [
            each for each in os.environ["PATH"].split(os.pathsep) if not any((Path(each) / t).exists() for t in tools)
        ]
        kept = [str(self.folder), str(Path(sys.executable).parent), *folders]
        self._monkeypatch.setenv("PATH", os.pathsep.join(dict.fromkeys(kept)))

    def calls(self, tool: str | None = None, *words: str) -> list[ToolCall]:
        """Return the calls so far, oldest first: of one tool, that begin with ``words``."""
        calls = [ToolCall(**{**each, "argv": tuple(each["argv"])}) for each in self._store.read()["calls"]]
        return [each for each in calls if tool in (None, each.tool) and each.argv[: len(words)] == words]

    def machines(self, app: str) -> list[dict[str, Any]]:
        """Return the serving machines of an app, as the API returns them."""
        return [each for each in self._store.read()["apps"][app]["machines"] if fly_machines.launched(each)]

    def digests(self, app: str) -> set[str]:
        """Return the digests that an app's machines run."""
        return {each["image_ref"]["digest"] for each in self.machines(app)}

    def releases(self, app: str) -> list[dict[str, Any]]:
        """Return an app's releases, oldest first."""
        found: list[dict[str, Any]] = self._store.read()["apps"][app]["releases"]
        return found

    def logged(self, app: str, *lines: str) -> None:
        """Add lines to an app's log."""
        with self.state() as cloud:
            cloud["apps"][app]["logs"].extend(lines)

    def run(self, *words: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a tool as a shell would, in ``folder`` or the working directory."""
        environment = {**os.environ, **variables}
        if (done := call(words, self.folder, environment, folder)) is not None:
            return done
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=folder
        )


@pytest.fixture
def fake_tools(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    """The fakes of ``fly``, ``flyctl``, ``docker`` and ``kubectl`` first on the path, with an empty cloud."""
    monkeypatch.delenv("GAIA_FAKE_STATE", raising=False)
    for name in [each for each in os.environ if each.startswith("FLY_")]:
        monkeypatch.delenv(name)
    tools = FakeTools(tmp_path_factory.mktemp("tools"), monkeypatch)
    fork_tools_in(tools.folder, monkeypatch)
    return tools
