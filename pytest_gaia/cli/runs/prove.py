"""``gaia prove``: mutation testing of the suites against the sandbox."""

import math
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
from pytest_gaia.config.platform import SANDBOX_APIS
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, checked_api, resolve
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.prove.cells import Cells
from pytest_gaia.prove.faults import BASIC, FURTHER, parse
from pytest_gaia.prove.proving import Choice, Proving
from pytest_gaia.prove.report import as_json as results_of
from pytest_gaia.prove.report import lines_of, reasons_to_hold
from pytest_gaia.prove.settings import Settings, read_catalog
from pytest_gaia.prove.settings import write_catalog as save_catalog
from pytest_gaia.system.signals import stopped_by_signals
from pytest_gaia.verdict.evaluated import EXIT_CODES
from pytest_gaia.wording import counted

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
prove.toml in the suites folder has the score to keep, the catalog of faults,
accepted survivors, and excluded faults.

\b
Exit codes:
  0    the faults were tried, and the score is high enough
  11   HOLD: the score is below --min-score or `score` in prove.toml, an
       accepted survivor has expired, or too many faults are excluded
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
    kinds: Annotated[
        str | None, typer.Option(metavar="KIND,…", help="Generate these kinds of faults; all: every kind")
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
    catalog: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try the faults in FILE; default: that of prove.toml")
    ] = None,
    write_catalog: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the generated faults to FILE, and try none")
    ] = None,
    api: Annotated[
        str, typer.Option(metavar="current|next", help="API of the Gaia Platform that the sandbox offers")
    ] = SANDBOX_APIS[0],
    as_json: AsJson = False,
) -> None:
    """Map the routes, try the faults, and report."""
    options = replace(options_here(env, "--env"), simulate=simulate, sandbox_api=checked_api(api, "--api"))
    settings = Settings.of(options.project.suites, options.project.rootdir)
    given = [parse(line, "--fault") for line in fault or ()]
    file = catalog or (None if given or write_catalog or kinds else settings.catalog)
    choice = Choice(settings, given, read_catalog(file) if file else None, bool(suites), sample, seed, _kinds(kinds))
    limit = seconds(budget, "--budget") if budget else math.inf
    arguments = _arguments(options, suites or ())
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
        if write_catalog:
            known = choice.generated(mapped)
            save_catalog(write_catalog, known)
            echo_error(f"Wrote {counted(len(known), 'fault')} to {write_catalog}.")
            return
        proof = choice.proof(mapped)
        proving.run(proof, limit)
        interrupted = stop.asked
    took = time.monotonic() - began
    held = reasons_to_hold(proof, settings, min_score)
    if as_json:
        echo_json({**results_of(proof, settings, took), "held": held})
    else:
        echo_lines(lines_of(proof, settings, took))
    if interrupted:
        echo_error("gaia: interrupted; only a part of the faults was tried.")
        raise typer.Exit(INTERRUPTED)
    if held:
        echo_error(f"gaia: HOLD: {'; '.join(held)}.")
        raise typer.Exit(EXIT_CODES["HOLD"])


def _kinds(given: str | None) -> tuple[str, ...]:
    known = (*BASIC, *FURTHER)
    if given is None:
        return BASIC
    names = known if given == "all" else tuple(name.strip() for name in given.split(","))
    for name in names:
        if name not in known:
            raise ConfigError(f"--kinds: unknown kind of fault {name!r}; {nearest(name, (*known, 'all'))}")
    return names


def _arguments(options: Options, suites: Sequence[str]) -> list[str]:
    """Return the options of pytest. Raises ``ConfigError`` for an environment that is not on the sandbox."""
    environment = resolve(options)
    if not environment.sandbox:
        raise ConfigError(
            f"faults are injected into the sandbox only, and the environment is {environment.name}. "
            "Use --env sandbox, or add --simulate to simulate this environment on the sandbox."
        )
    return [
        *_folders(options.project, suites),
        f"--gaia-env={environment.name}",
        *(["--gaia-simulate"] if options.simulate else []),
        f"--gaia-sandbox-api={options.sandbox_api}",
        "--gaia-sandbox-faults",
        "--gaia-concurrency=1",
        "-n0",
    ]


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
