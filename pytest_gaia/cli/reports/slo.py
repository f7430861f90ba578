"""``gaia slo``: was a recorded run as fast as the environment's objectives ask, and as the one before?"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, environment_option
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger.statements import SloResult
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.performance import Comparison, Samples, compare, measure, percentile, samples_of
from pytest_gaia.verdict.evidence import RecordedRun, RunStart, read_run

HELP = """\
Hold a recorded run against the service level objectives of an environment ([[env.NAME.slo]] in gaia.toml).

\b
  gaia slo run.jsonl                                  those of the environment that it ran in
  gaia slo run.jsonl --env staging --baseline last.jsonl

Every route of the run is listed, with its times. With --baseline, each is compared with an earlier run of the same
environment (Mann-Whitney): slower is what differs significantly and by a quarter of the median; fewer than 50 samples on
either side only advise.

\b
Exit codes: 0 met; 1 an objective is missed, or a route is slower than in the baseline; 11 not known: too few samples, or
no objective; 4 a mistake.
"""

app = typer.Typer()

_MISSED, _NOT_KNOWN = 1, 11


@app.command("slo", help=HELP)
def evaluate_speed(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A file written by --gaia-report-log.")],
    env: Annotated[str | None, environment_option("Whose objectives; without it, the run's own.")] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="RUN", help="An earlier run to compare with.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure, compare, show, and end with what it comes to."""
    recorded = read_run(run)
    name = env or recorded.start.environment
    samples = samples_of(recorded.tests)
    results = measure(Promotion.here().stage(name).slos, samples)
    earlier = _earlier(baseline) if baseline else None
    compared = compare(samples, samples_of(earlier.tests)) if earlier else ()
    notes = _notes(name, recorded.start, earlier.start if earlier else None)
    alike = earlier is not None and _label(earlier.start) == _label(recorded.start)
    code, word = _ending(results, [each for each in compared if alike and each.decides])
    if as_json:
        echo_json(
            {
                "environment": name,
                "exit_code": code,
                "objectives": results,
                "compared": compared,
                "routes": {route: _times(values) for route, values in sorted(samples.items())},
                "notes": notes,
            }
        )
        raise typer.Exit(code)
    _show(results, compared, samples)
    for note in notes:
        typer.echo(note)
    typer.echo(f"{name}: {word}")
    raise typer.Exit(code)


def _earlier(path: Path) -> RecordedRun:
    run = read_run(path)
    if run.end is not None and run.end.partial:
        raise ConfigError(
            f"--baseline {path}: a partial run is no baseline ({'; '.join(run.end.partial)}); record a full one."
        )
    return run


def _ending(results: Sequence[SloResult], decisive: Sequence[Comparison]) -> tuple[int, str]:
    failed = [each.route for each in results if each.status == "failed"]
    slower = [each.route for each in decisive if each.word == "slower"]
    if failed or slower:
        parts = [f"missed: {', '.join(failed)}"] if failed else []
        return _MISSED, "; ".join([*parts, *([f"slower than before: {', '.join(slower)}"] if slower else [])])
    if not results:
        return _NOT_KNOWN, "it has no objective; set [[env.NAME.slo]] in gaia.toml"
    if few := [each.route for each in results if each.status == "inconclusive"]:
        return _NOT_KNOWN, f"not known: too few samples of {', '.join(few)}"
    return 0, f"{len(results)} of {len(results)} objectives met"


def _notes(name: str, now: RunStart, before: RunStart | None) -> list[str]:
    """Return in what the runs are not alike: a run is compared with one of the same environment, or only advised on."""
    notes = []
    if now.environment != name or now.rehearsal:
        notes.append(f"the run is one of {_label(now)}, and is held against the objectives of {name}")
    if before is not None and _label(before) != _label(now):
        notes.append(f"the baseline is a run of {_label(before)}: the comparison only advises")
    return notes


def _label(start: RunStart) -> str:
    return f"{start.environment} (a rehearsal on the sandbox)" if start.rehearsal else start.environment


def _show(results: Sequence[SloResult], compared: Sequence[Comparison], samples: Samples) -> None:
    rows = [(route, *map(str, _times(values).values())) for route, values in sorted(samples.items())]
    show_table(("route", "samples", "median ms", "p95 ms", "slowest ms"), rows)
    if results:
        show_table(("", "objective", "why"), [(each.status, each.route, each.reason) for each in results])
    if compared:
        show_table(("", "route", "median before ms", "median ms", "p", "counts"), [_row(each) for each in compared])


def _row(each: Comparison) -> tuple[str, ...]:
    counts = "yes" if each.decides else f"no, {min(each.samples, each.baseline_samples)} samples"
    return each.word, each.route, str(each.baseline_median_ms), str(each.median_ms), f"{each.p_value:.3g}", counts


def _times(values: Sequence[float]) -> dict[str, Any]:
    return {
        "samples": len(values),
        "median_ms": round(median(values), 1),
        "p95_ms": round(percentile(values, 95), 1),
        "slowest_ms": round(max(values), 1),
    }
