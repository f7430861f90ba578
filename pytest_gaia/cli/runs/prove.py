"""``gaia prove``: mutation testing of the suites against the sandbox."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pytest_gaia.cli.options import INTERRUPTED, AsJson, environment_option, options_here, seconds
from pytest_gaia.cli.output import echo_error, echo_json, echo_lines
from pytest_gaia.collection.suites import suite_names
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import resolve
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.prove.cells import Cells
from pytest_gaia.prove.faults import Fault, faults_of, parse
from pytest_gaia.prove.proving import Proof, Proving, checked, sampled
from pytest_gaia.prove.report import as_json as results_of
from pytest_gaia.prove.report import lines_of
from pytest_gaia.system.signals import stopped_by_signals
from pytest_gaia.verdict.evaluated import EXIT_CODES

HELP = """\
Measure which faults the suites catch (mutation testing).

\b
Examples:
  gaia prove
  gaia prove pricing usage             only these suites
  gaia prove --sample 300 --seed 7     300 random faults
  gaia prove --fault 'gateway GET /api/v0.2/usage/limits drop tier'

Runs every test once in the sandbox to learn which routes it requests. Then it
injects faults into these routes, one at a time: status 500, `{}` with status 200,
a reset connection, a delay of 0.5 s, and a missing, a null and a changed value of
each of the first 14 fields. Tests that request the route run until one fails.
The score is the share of faults that a test caught; the others are survivors.

Tests that take more than 1.5 s are left out, and so are expected failures.

\b
Exit codes:
  0    the faults were tried, and the score is high enough
  11   HOLD: the score is below --min-score
  12   the sandbox did not start
  4    usage error
  130  interrupted
"""

app = typer.Typer()


@app.command("prove", help=HELP)
def prove(
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Only these suites; by default all", show_default=False)
    ] = None,
    env: Annotated[str | None, environment_option("The sandbox, or with --simulate another environment")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulate the environment on the sandbox")] = False,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="Try this fault, one line of the report; repeatable")
    ] = None,
    sample: Annotated[int | None, typer.Option(metavar="N", min=1, help="Try N random faults")] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Seed of --sample")] = 0,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Try faults for at most TIME, such as 5m")] = None,
    processes: Annotated[
        int | None, typer.Option("-n", metavar="N", min=1, help="Number of processes; default: one for each CPU")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="PERCENT", min=0, max=100, help="End with 11 if the score is lower")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Map the routes, try the faults, and report."""
    options = replace(options_here(env, "--env"), simulate=simulate)
    environment = resolve(options)
    if not environment.sandbox:
        raise ConfigError(
            f"faults are injected into the sandbox only, and the environment is {environment.name}. "
            "Use --env sandbox, or add --simulate to simulate this environment on the sandbox."
        )
    given = [parse(line, "--fault") for line in fault or ()]
    limit = seconds(budget, "--budget") if budget else float("inf")
    simulated = ["--gaia-simulate"] if simulate else []
    chosen = _folders(options.project, suites or ())
    arguments = [*chosen, f"--gaia-env={environment.name}", *simulated, "--gaia-concurrency=1", "-n0"]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="gaia-prove-") as folder,
        _progress() as tell,
        stopped_by_signals() as stop,
        Cells(arguments, Path(folder), processes or os.cpu_count() or 1) as cells,
    ):
        proving = Proving(cells, tell, lambda: stop.asked)
        mapped = proving.map()
        if mapped is None:
            raise typer.Exit(INTERRUPTED)
        planned: Sequence[Fault]
        if given:
            planned = checked(given, mapped)
        else:
            planned = sampled([each for seen in mapped.routes for each in faults_of(seen)], sample, seed)
        if not planned:
            raise ConfigError("no test that passes sends a request, so there are no faults to try.")
        proof = Proof(mapped, list(planned))
        proving.run(proof, limit)
        interrupted = stop.asked
    took = time.monotonic() - began
    if as_json:
        echo_json(results_of(proof, took))
    else:
        echo_lines(lines_of(proof, took))
    if interrupted:
        echo_error("gaia: interrupted; only a part of the faults was tried.")
        raise typer.Exit(INTERRUPTED)
    if min_score is not None and 100 * proof.score < min_score:
        echo_error(f"gaia: HOLD: the score is {100 * proof.score:.1f} %, and --min-score is {min_score:g} %.")
        raise typer.Exit(EXIT_CODES["HOLD"])


def _folders(project: Project, suites: Sequence[str]) -> list[str]:
    """Return the folders of suites. Raises ``ConfigError`` for an unknown one, and for a project without suites."""
    if not project.suites:
        raise ConfigError('gaia.toml names no suites, so there are no tests. Add to [gaia]: suites = ["suites"].')
    known = suite_names(project.suites)
    for name in suites:
        if name not in known:
            raise ConfigError(f"unknown suite {name!r}; {nearest(name, known)}")
    found = [root / name for root in project.suites for name in suites if (root / name).is_dir()]
    return [os.path.relpath(path) for path in found or project.suites]


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the state in one line of a terminal; elsewhere every 30 seconds."""
    terminal = sys.stderr.isatty()
    told = time.monotonic()
    width = 0

    def tell(text: str) -> None:
        nonlocal told, width
        if terminal:
            sys.stderr.write(f"\r{text.ljust(width)}")
            sys.stderr.flush()
            width = len(text)
        elif time.monotonic() - told > 30:
            told = time.monotonic()
            echo_error(text)

    try:
        yield tell
    finally:
        if terminal and width:
            sys.stderr.write(f"\r{' ' * width}\r")
            sys.stderr.flush()
