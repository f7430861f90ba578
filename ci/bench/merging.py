"""Measure ``gaia merge``: 20 shards of 5,000 tests, against ``gaia --version`` and decoding the files once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ci.bench.processes import megabytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gaia.verdict.evidence import TestRecord
    from pytest_gaia.verdict.plan import Plan

SHARDS, TESTS = 20, 5000
"""shards, and tests of each"""
_MOMENT = "2026-11-29T12:00:00+00:00"

_TOML = '[gaia]\nplatform = "gaia"\nsuites = ["suites"]\n[env.bench]\nurl = "http://127.0.0.1:1"\n'

_DECODE = """
import hashlib
import sys
from pathlib import Path

import msgspec

from pytest_gaia.verdict.evidence import Line
from pytest_gaia.verdict.plan import read_plan

read_plan(Path("plan.json"))
decoder = msgspec.json.Decoder(Line)
output, *logs = sys.argv[1:]
for name in logs:
    with Path(name).open("rb") as file:
        for line in file:
            decoder.decode(line)
    if output:
        content = Path(name).read_bytes()
        hashlib.sha256(content)
        with Path(output).open("ab") as file:
            file.write(content)
"""
"""decodes the plan and each line of the logs once, as the same types; with an output, also hashes and copies the logs"""


@dataclass
class Cost:
    """Wall and CPU time of the runs of one command, in seconds, and its peak memory in MB."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: float = 0.0

    def measure(self, folder: Path, *command: str) -> None:
        """Run it once. Raises ``RuntimeError`` if it fails."""
        # Users have compiled modules.
        dropped = ("GAIA_", "GITHUB_", "PYTHONDONTWRITEBYTECODE")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        self.memory = max(self.memory, megabytes(usage))
        if process.returncode:
            raise RuntimeError(f"{command}: exit code {process.returncode}: {output.decode()[-2000:]}")


@dataclass
class Costs:
    """What the commands cost, measured in turn."""

    version: Cost = field(default_factory=Cost)
    decoding: Cost = field(default_factory=Cost)
    copying: Cost = field(default_factory=Cost)
    """decoding, and hashing and writing all logs once"""
    printing: Cost = field(default_factory=Cost)
    """``gaia merge``"""
    writing: Cost = field(default_factory=Cost)
    """``gaia merge --output``"""

    def ratio(self, cost: Cost, reference: Cost, *, wall: bool) -> float:
        """Return the median over the rounds of ``cost`` relative to the start and the ``reference`` of the same round."""

        def read(each: Cost) -> Sequence[float]:
            return each.wall if wall else each.cpu

        rounds = zip(read(cost), read(self.version), read(reference), strict=True)
        ratios = sorted(own / (start + least) for own, start, least in rounds)
        return ratios[len(ratios) // 2]


def rounds(count: int, shards: int = SHARDS, tests: int = TESTS) -> Costs:
    """Measure all commands ``count`` times in turn."""
    costs = Costs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = write_shards(folder, shards, tests)
        gaia = str(Path(sys.executable).with_name("gaia"))
        merge = (gaia, "merge", *logs, "--plan", "plan.json")
        for _ in range(count):
            costs.version.measure(folder, gaia, "--version")
            costs.decoding.measure(folder, sys.executable, "-c", _DECODE, "", *logs)
            costs.copying.measure(folder, sys.executable, "-c", _DECODE, "copy.jsonl", *logs)
            (folder / "copy.jsonl").unlink()
            costs.printing.measure(folder, *merge)
            costs.writing.measure(folder, *merge, "--output", "merged")
    return costs


def replayed(exchanges: int, tests: int = 20_000) -> tuple[float, float]:
    """Return the size of a results log with ``exchanges`` in each test, and the peak memory of ``gaia replay``, in MB."""
    from pytest_gaia.verdict.evidence import SCHEMA, RunEnd, RunStart
    from pytest_gaia.verdict.results_log import encode

    cost = Cost()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suites").mkdir()
        (folder / "gaia.toml").write_text(_TOML)
        with (folder / "run.jsonl").open("wb") as file:
            file.write(encode(RunStart(SCHEMA, "bench", "microservices", _MOMENT)))
            file.writelines(
                encode(record_of(f"suites/test_suite.py::test_request[{n}]", n, exchanges)) for n in range(tests)
            )
            file.write(encode(RunEnd(_MOMENT, 0, tests)))
        cost.measure(folder, str(Path(sys.executable).with_name("gaia")), "replay", "run.jsonl")
        return (folder / "run.jsonl").stat().st_size / 1e6, cost.memory


def write_shards(folder: Path, shards: int, tests: int) -> list[str]:
    """Write a project, a plan and the results log of each shard; return the names of the logs."""
    from msgspec.structs import replace

    from pytest_gaia.verdict.evidence import SCHEMA, RunEnd, RunStart, ServiceHealth, Shard
    from pytest_gaia.verdict.plan import assign, write_plan
    from pytest_gaia.verdict.results_log import encode

    (folder / "suites").mkdir()
    (folder / "gaia.toml").write_text(_TOML)
    plan = _plan(shards * tests)
    write_plan(folder / "plan.json", plan)
    assigned = assign(plan.tests, shards)
    start = RunStart(
        schema=SCHEMA,
        environment=plan.environment,
        topology="microservices",
        started=_MOMENT,
        capabilities=("gateway",),
        version="0.2.0",
        services=(ServiceHealth("gateway", "ready", "0.2", 6.8, address="127.0.0.1:43867"),),
        plugins=("pytest-asyncio 1.5.0", "pytest-gaia 0.2.0", "pytest-xdist 3.8.0"),
        kinds={"gateway": "http", "auth": "http", "postgres": "postgres"},
        concurrency=16,
        expectations_digest=plan.expectations_digest,
    )
    names = []
    for index in range(1, shards + 1):
        shard = Shard(index, shards)
        nodes = tuple(node for node in plan.nodes if assigned[node] == index)
        end = RunEnd(_MOMENT, 0, len(nodes), partial=(shard.only,), plan=plan.digest, required=nodes)
        lines = (
            replace(start, shard=shard),
            *(record_of(node, number) for number, node in enumerate(nodes)),
            end,
        )
        names.append(f"shard-{index}.jsonl")
        with (folder / names[-1]).open("wb") as file:
            file.writelines(map(encode, lines))
    return names


def _plan(tests: int) -> Plan:
    from pytest_gaia.verdict.plan import Plan, PlannedTest
    from pytest_gaia.verdict.report import expectations_digest

    nodes = (f"suites/suite{n // 1000:03}/test_suite.py::test_request[{n % 1000}]" for n in range(tests))
    planned = tuple(PlannedTest(node, ("asyncio", "parametrize", node[7:15])) for node in nodes)
    return Plan(
        environment="bench",
        suites=("suite000",),
        tests=planned,
        expectations_digest=expectations_digest(()),
        created=_MOMENT,
    )


def record_of(node: str, number: int, exchanges: int = 2) -> TestRecord:
    """Return the results of a test with three phases and some exchanges, with all values that a run records."""
    from pytest_gaia.verdict.evidence import Phase, TestRecord, Wire

    phases = (
        Phase("setup", "passed", 0.00021919699793217 + number / 1e7),
        Phase("call", "passed", 0.01157526400493225, exchanges=exchanges),
        Phase("teardown", "passed", 0.00006429600034607574, exchanges=exchanges),
    )
    requests = (
        Wire("GET", "/api/v0.2/orders/{id}", "gateway", "direct", 0.0113651409992, 200, request_id=f"{number:032x}-{n}")
        for n in range(exchanges)
    )
    return TestRecord(
        node,
        "ran",
        phases,
        tuple(requests),
        ("parametrize", node[7:15], "asyncio"),
        services=("gateway",),
        in_flight=number % 16,
        trace_id=f"{number:032x}",
    )
