"""A real Docker engine in namespaces of its own, and Compose projects on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.left_out import ENGINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PREPARED = ROOT / ".docker"
"""what ``ci/setup docker`` makes: plugins of the client, and the root file system of the image ``tiny``"""

PATIENCE = 120
"""how long a command may take, in seconds"""

GAIA_TOML = """\
[gaia]
platform = "gaia"
suites = ["suites"]
[env.local]
from = "compose"
[env.local.deploy]
deadline = 30
stable_for = 1
"""


class Ran(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Engine:
    """A running engine; commands run in its network namespace, where its published ports are."""

    folder: Path
    pid: int
    """a process in its network namespace"""

    def command(self, *words: str) -> list[str]:
        """Return a command as it runs in the engine's network namespace."""
        return ["/usr/bin/nsenter", "--target", str(self.pid), "--net", "--", *words]

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables by which ``docker`` finds this engine."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        path = (str(Path(sys.executable).parent), "/usr/bin", "/usr/sbin", "/bin", "/sbin")
        ours = {"DOCKER_HOST": f"unix://{self.folder}/docker.sock", "DOCKER_CONFIG": str(self.folder / "config")}
        return {**inherited, **ours, "PATH": os.pathsep.join(path), **variables}

    def run(self, *words: str, cwd: Path | None = None, **variables: str) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*words),
            cwd=cwd or self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
        """Start a command that the test itself interrupts or waits for."""
        return subprocess.Popen(
            self.command(*words),
            cwd=cwd,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def docker(self, *words: str) -> str:
        """Run ``docker`` and return what it prints; an error fails the test."""
        ran = self.run("docker", *words)
        assert ran.code == 0, f"docker {' '.join(words)}: {ran.err}"
        return ran.out.strip()

    def halt(self) -> None:
        """Stop the engine, and with it all containers."""
        self._tell("stop", until=(self.folder / "halted").exists)

    def resume(self) -> None:
        """Start the engine again. Containers without a restart policy stay stopped."""
        (self.folder / "halted").unlink()
        self._tell("start", until=lambda: self.run("docker", "version").code == 0)

    def _tell(self, word: str, until: Callable[[], bool]) -> None:
        (self.folder / "control").write_text(f"{word}\n", encoding="utf-8")
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, f"{word}: the engine does not follow"
            time.sleep(0.05)

    def wait_for_restarts(self, project: str) -> None:
        """Wait until the engine is not restarting any container of a project."""
        ours = ("--filter", f"label=com.docker.compose.project={project}", "--filter", "status=restarting")
        end = time.monotonic() + PATIENCE
        while self.docker("ps", "--all", "--quiet", *ours):
            assert time.monotonic() < end, f"{project}: a container is restarted again and again"
            time.sleep(0.1)

    def new_image(self, reference: str, version: str) -> str:
        """Make an image like ``tiny`` with a label ``version``, to which ``reference`` then points; return its id."""
        return self.docker("import", "--change", f"LABEL version={version}", str(PREPARED / "tiny.tar"), reference)

    @contextlib.contextmanager
    def project(self, folder: Path, compose: str, gaia_toml: str = GAIA_TOML) -> Iterator[Project]:
        """Make a project of its own name in ``folder``; the end of the block removes its containers and volumes."""
        root = folder / f"p{uuid.uuid4().hex[:10]}"
        (root / "suites").mkdir(parents=True)
        (root / "docker-compose.yml").write_text(compose, encoding="utf-8")
        (root / "gaia.toml").write_text(gaia_toml, encoding="utf-8")
        try:
            yield Project(self, root)
        finally:
            self.remove(root.name)

    def remove(self, project: str) -> None:
        """Remove a project's containers, networks and volumes, even if its files no longer name them."""
        label = ("--filter", f"label=com.docker.compose.project={project}")
        for kind, remove in (("container", ("rm", "-fv")), ("network", ("rm",)), ("volume", ("rm", "-f"))):
            listed = ("ls", "-q", *(("--all",) if kind == "container" else ()), *label)
            if found := self.docker(kind, *listed).split():
                self.docker(kind, *remove, *found)


@dataclass(frozen=True)
class Project:
    """A Compose project on an engine."""

    engine: Engine
    folder: Path

    @property
    def name(self) -> str:
        """The name by which Compose labels its containers: that of the folder."""
        return self.folder.name

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which this process runs the same ``docker``; published ports are out of its reach."""
        environment = self.engine.environment()
        return {name: environment[name] for name in ("DOCKER_HOST", "DOCKER_CONFIG", "PATH")}

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def change(self, old: str, new: str, path: str = "docker-compose.yml") -> None:
        """Replace a part of a file that stands there."""
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text
        self.write(path, text.replace(old, new))

    def run(self, *words: str, **variables: str) -> Ran:
        """Run a command in the project's folder."""
        return self.engine.run(*words, cwd=self.folder, **variables)

    def docker(self, *words: str, **variables: str) -> Ran:
        """Run ``docker`` in the project's folder."""
        return self.run("docker", *words, **variables)

    def compose(self, *words: str, **variables: str) -> Ran:
        """Run ``docker compose`` in the project's folder."""
        return self.docker("compose", *words, **variables)

    def up(self, *words: str) -> None:
        """Start the project by Compose itself, and wait until it is healthy."""
        ran = self.compose("up", "--detach", "--wait", *words)
        assert ran.code == 0, ran.err

    def gaia(self, *words: str, **variables: str) -> Ran:
        """Run ``gaia`` in the project's folder."""
        return self.run("gaia", *words, **variables)

    def pytest(self, *words: str, **variables: str) -> Ran:
        """Run ``pytest`` in the project's folder."""
        return self.run("pytest", "-p", "no:cacheprovider", *words, **variables)

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Return what ``docker inspect`` prints of a service's containers, in any state."""
        labels = (f"project={self.name}", f"service={service}")
        chosen = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
        found = self.engine.docker("ps", "--all", "--quiet", "--no-trunc", *chosen).split()
        inspected: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *found)) if found else []
        return inspected

    def container(self, service: str) -> dict[str, Any]:
        """Return what ``docker inspect`` prints of a service's only container."""
        (found,) = self.containers(service)
        return found


_FOREIGN = ("GAIA_", "PYTEST_", "DOCKER_", "COMPOSE_", "FLY_", "GITHUB_")


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """Run an engine with the image ``tiny`` until the end of the block, or skip the test where none can run."""
    _require()
    # A short path: those of the engine's sockets may have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    (folder / "config").mkdir()
    (folder / "config" / "cli-plugins").symlink_to(PREPARED / "cli-plugins")
    script = str(Path(__file__).with_name("engine.sh"))
    supervisor = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "sh", script, str(folder), f"gaia-{folder.name}"],
        # There, the shell names the processes that it has killed.
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + PATIENCE
        while not (folder / "docker.sock").exists():
            if supervisor.poll() is not None or time.monotonic() > until:
                last = (folder / "log").read_text(encoding="utf-8").strip().rpartition("\n")[2]
                ENGINE.leave_out(
                    f"no engine starts here: {last}", "it needs a machine whose root may create namespaces"
                )
            time.sleep(0.02)
        engine = Engine(folder, int((folder / "pid").read_text()))
        engine.docker("import", str(PREPARED / "tiny.tar"), "tiny")
        yield engine
    finally:
        supervisor.terminate()
        supervisor.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


def _require() -> None:
    if os.geteuid() != 0:
        ENGINE.leave_out("only root can start an engine", "run them as root")
    for program in ("dockerd", "iptables"):
        if shutil.which(program) is None:
            ENGINE.leave_out(f"{program} is not on PATH")
    for made in ("cli-plugins/docker-compose", "cli-plugins/docker-buildx", "tiny.tar"):
        if not (PREPARED / made).exists():
            ENGINE.leave_out(f".docker/{made} is not there")
