"""Compare concurrent tests with other ways to send the same requests: one by one, workers, Newman, and httpx alone.

Every way is a whole process. Times depend on the machine, so each round runs every way once, ratios are those of one round,
and tables show medians. *Marginal* leaves out what a process costs without the tests, such as imports, collection and
readiness: ``(run - the same run of one test) / (script - the same script with the requests of one test)``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ci.bench.bare import KEY
from ci.bench.chains import FILE
from ci.bench.network import delayed
from ci.bench.processes import OFF
from pytest_gaia.config.layers import shipped_file
from pytest_gaia.run.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ci.bench.chains import Chain

ROOT = Path(__file__).parents[2]
TRIPS = (0, 20, 100)
"""milliseconds of a round trip"""
ROUNDS = 3
TESTS = 1000
"""number of synthetic tests with one request each"""
SEQUENTIAL, NEWMAN = "sequential", "Newman"

_INCONCLUSIVE = 11
"""behind a URL alone the suites end with HOLD, because nothing shows what an earlier release offered"""
_PASSED = re.compile(r"^(\d+) passed", re.MULTILINE)
_SYNTHETIC = f"""
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
async def test_request(things, number):
    (await things.get("/things/{{number}}", path_params={{"number": number}})).expect(200)
"""
_PYPROJECT = """
[tool.pytest]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "session"
asyncio_default_test_loop_scope = "session"
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one process: wall, and CPU time in user mode, with its children."""

    wall: float
    user: float


@dataclass
class Way:
    """One way to send the requests of all tests, and those of one test, which are only needed for the marginal cost."""

    name: str
    run_all: Callable[[], Cost]
    run_one: Callable[[], Cost] | None = None
    bare: str = ""
    """name of the script with the same limit"""
    slow: bool = False
    """measured in the first round only, which the other rounds are compared with"""
    all: list[Cost] = field(default_factory=list)
    one: list[Cost] = field(default_factory=list)

    def run(self) -> None:
        """Measure once more."""
        again = self.slow and bool(self.all)
        self.all.append(self.all[0] if again else self.run_all())
        if self.run_one is not None:
            self.one.append(self.one[0] if again else self.run_one())

    @property
    def wall(self) -> float:
        """Median of the seconds of all tests."""
        return median(each.wall for each in self.all)

    @property
    def user(self) -> float:
        """Median of the seconds of CPU time."""
        return median(each.user for each in self.all)

    @property
    def marginal(self) -> list[float]:
        """Seconds that the tests took, in each round."""
        return [every.wall - one.wall for every, one in zip(self.all, self.one, strict=True)]


@dataclass(frozen=True)
class Table:
    """Ways that were measured in the same rounds."""

    title: str
    ways: Mapping[str, Way]

    def faster(self, name: str) -> float:
        """Return how many times faster than the sequential run a way is."""
        return _ratio([each.wall for each in self.ways[SEQUENTIAL].all], [each.wall for each in self.ways[name].all])

    def to_bare(self, name: str) -> float:
        """Return the ratio to the script with the same limit."""
        way = self.ways[name]
        return _ratio([each.wall for each in way.all], [each.wall for each in self.ways[way.bare].all])

    def marginal(self, name: str) -> float:
        """Return the ratio to the script with the same limit, both without what a process costs."""
        way = self.ways[name]
        return _ratio(way.marginal, self.ways[way.bare].marginal)


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    return median(one / other for one, other in zip(these, those, strict=True))


def suites() -> Iterator[Table]:
    """Measure the suites against the gateway of a sandbox, and yield a table for each round trip."""
    with Sandbox.start(shipped_file("gaia").platform, fixed=True) as sandbox:
        stack = sandbox.stack("main")
        with delayed(urlsplit(stack.urls["gateway"]).port or 0, *TRIPS) as urls:
            # Contract tests use CPU time to generate requests, which no script does.
            arguments = ("suites", "--ignore=suites/contract")
            loads = [
                Load(
                    ROOT,
                    (*arguments, f"--gaia-url=gateway={url}"),
                    "test_the_gateway_reaches_its_database",
                    url,
                    stack.api_key,
                )
                for url in urls.values()
            ]
            # Without a delay it does not show which requests a test sends at the same time.
            tests, chains = loads[1].recorded()
            requests = sum(len(stage) for chain in chains.values() for stage in chain)
            for trip, load in zip(TRIPS, loads, strict=True):
                load.tests, load.chains = tests, chains
                yield _measured(
                    f"the suites, {trip} ms round trip: {tests} tests, {requests} requests",
                    [
                        load.pytest(SEQUENTIAL, "--gaia-concurrency=1", bare=_script(1)),
                        load.pytest("-n 4", "-n4", "--gaia-concurrency=1", bare=_script(16)),
                        load.pytest("--gaia-concurrency=16", "--gaia-concurrency=16", bare=_script(16)),
                        load.pytest("--gaia-concurrency=32", "--gaia-concurrency=32", bare=_script(32)),
                        load.pytest("-n 2 --gaia-concurrency=16", "-n2", "--gaia-concurrency=16", bare=_script(32)),
                        *load.newman(),
                        *map(load.script, (1, 16, 32)),
                    ],
                )


def synthetic() -> Table:
    """Measure tests of one request each against a server with one response."""
    trip = max(TRIPS)
    with tempfile.TemporaryDirectory() as folder, delayed(0, trip) as urls:
        project = Path(folder)
        (project / "pyproject.toml").write_text(_PYPROJECT)
        (project / "gaia.toml").write_text("[services.things]\nopenapi = false\n")
        (project / "test_things.py").write_text(_SYNTHETIC)
        load = Load(project, (f"--gaia-url=things={urls[trip]}",), "test_request and 999", urls[trip])
        load.tests = TESTS
        load.chains = {f"test_request[{number}]": [[("GET", f"/things/{number}", {}, None)]] for number in range(TESTS)}
        return _measured(
            f"{TESTS} tests of one request, {trip} ms round trip",
            [
                replace(load.pytest(SEQUENTIAL, "--gaia-concurrency=1"), slow=True),
                replace(load.pytest("-n 4", "-n4", "--gaia-concurrency=1"), slow=True),
                load.pytest("--gaia-concurrency=50", "--gaia-concurrency=50", bare=_script(50)),
                load.pytest("--gaia-concurrency=100", "--gaia-concurrency=100", bare=_script(100)),
                load.pytest("-n 2 --gaia-concurrency=50", "-n2", "--gaia-concurrency=50", bare=_script(100)),
                *map(load.script, (50, 100)),
            ],
        )


def _measured(title: str, ways: list[Way]) -> Table:
    for _ in range(ROUNDS):
        for way in ways:
            way.run()
    return Table(title, {way.name: way for way in ways})


def _script(limit: int) -> str:
    return f"bare httpx, {limit} at a time" if limit > 1 else "bare httpx, one by one"


@dataclass
class Load:
    """The tests that every way runs: the arguments of pytest, and what the tests send."""

    project: Path
    arguments: tuple[str, ...]
    only: str
    """an expression for ``-k`` that selects one test, with one request"""
    url: str
    key: str = ""
    tests: int = 0
    """number of tests that pass"""
    chains: Mapping[str, Chain] = field(default_factory=dict)

    def pytest(self, name: str, *options: str, bare: str = "") -> Way:
        """Return runs of pytest with these options."""
        one = partial(self._run, *options, "-k", self.only, expected=1) if bare else None
        return Way(name, lambda: self._run(*options, expected=self.tests), one, bare)

    def script(self, limit: int) -> Way:
        """Return runs of the script with a limit of concurrent tests."""
        one = [chain for chain in self.chains.values() if len(chain) == len(chain[0]) == 1][:1]
        every = list(self.chains.values())
        return Way(_script(limit), partial(self._play, every, limit), partial(self._play, one, limit))

    def newman(self) -> list[Way]:
        """Return runs of Newman, which sends one request after the other; nothing if it is not available."""
        program = newman()
        return [Way(NEWMAN, partial(self._send, program), slow=True)] if program else []

    def recorded(self) -> tuple[int, dict[str, Chain]]:
        """Run all tests once; return the number of those that pass, and the requests of each test."""
        with tempfile.NamedTemporaryFile() as file:
            _, output = _run(self._command("-p", "ci.bench.chains"), self.project, self._variables(**{FILE: file.name}))
            return _passed(output), json.loads(file.read())

    def _run(self, *options: str, expected: int) -> Cost:
        cost, output = _run(self._command(*options), self.project, self._variables())
        if _passed(output) != expected:
            raise RuntimeError(f"expected {expected} passed tests:\n{output}")
        return cost

    def _command(self, *options: str) -> list[str]:
        needed = "xdist" if any(option.startswith("-n") for option in options) else ""
        off = [word for plugin in OFF if plugin != needed for word in ("-p", f"no:{plugin}")]
        return [sys.executable, "-m", "pytest", "-q", *off, *self.arguments, *options]

    def _variables(self, **more: str) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT), "GAIA_ADHOC_API_KEY": self.key, **more}

    def _play(self, chains: list[Chain], limit: int) -> Cost:
        with _json(chains) as file:
            script = Path(__file__).with_name("bare.py")
            return _run([sys.executable, str(script), file, self.url, self.key, str(limit)], self.project)[0]

    def _send(self, program: str) -> Cost:
        requests = [request for chain in self.chains.values() for stage in chain for request in stage]
        with _json(_collection(requests, self.url, self.key)) as file:
            quiet = ("--reporters", "cli", "--reporter-cli-silent", "--ignore-redirects", "--suppress-exit-code")
            return _run([program, "run", file, *quiet], self.project)[0]


def _passed(output: str) -> int:
    found = _PASSED.search(output)
    if found is None:
        raise RuntimeError(f"not every test passed:\n{output}")
    return int(found[1])


def _run(command: Sequence[str], project: Path, variables: Mapping[str, str] | None = None) -> tuple[Cost, str]:
    """Run a command, and return its cost and what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GAIA_", "PYTEST_"))}
    # Users have compiled modules.
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=project, env={**inherited, **(variables or {})}, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if child.returncode not in (0, _INCONCLUSIVE):
        raise RuntimeError(f"{' '.join(command)} failed:\n{printed}")
    return Cost(wall, usage.ru_utime), printed


@contextmanager
def _json(value: object) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(value, file)
        file.flush()
        yield file.name


@cache
def newman() -> str | None:
    """Return the path of Newman, which npx installs if it is not there; None if that is not possible."""
    npx = shutil.which("npx")
    if npx is None:
        return None
    command = [npx, "--yes", "--package", "newman", "-c", "command -v newman"]
    done = subprocess.run(command, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _collection(requests: Sequence[Sequence[object]], url: str, key: str) -> dict[str, object]:
    """Return requests as a collection of Postman."""
    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    items = []
    for number, (method, path, headers, body) in enumerate(requests):
        assert isinstance(headers, dict)
        given = [{"key": name, "value": key if value == KEY else value} for name, value in headers.items()]
        request = {"method": method, "url": f"{url}{path}", "header": given}
        if body is not None:
            request["body"] = {"mode": "raw", "raw": body}
        items.append({"name": str(number), "request": request})
    return {"info": {"name": "bench", "schema": schema}, "item": items}
