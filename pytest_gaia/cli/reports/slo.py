"""``gaia slo check``: compare response times with objectives and with an earlier run."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pytest_gaia.cli.options import AsJson, environment_option
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.ledger.statements import SloResult
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.performance import Comparison, Samples, compare, measure, percentile, samples_of
from pytest_gaia.verdict.evidence import RecordedRun, RunStart
from pytest_gaia.verdict.results_log import read_run
from pytest_gaia.wording import counted, note_renamed

HELP = """\
Check response times against objectives.

\b
Examples:
  gaia slo check run.jsonl
  gaia slo check run.jsonl -e staging    use the objectives of staging
  gaia slo check run.jsonl --baseline last.jsonl

Objectives are set in gaia.toml ([[env.NAME.slo]]). With --baseline, each route is
compared with an earlier run of the same environment (Mann-Whitney U test). A
route is slower if the difference is significant and at least a quarter of the
median. With fewer than 50 samples, the comparison is only a note.

\b
Exit codes:
  0   all objectives are met
  1   an objective is missed, or a route is slower than in the baseline
  11  inconclusive: too few samples, or no objective
  4   usage error
"""


class _Group(TyperGroup):
    """Accept the former ``gaia slo RESULTS``."""

    # Any: the context's type is one of typer's private modules.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert ``check``."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            note_renamed("`gaia slo RESULTS`", "`gaia slo check RESULTS`")
            args = ["check", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="slo",
    cls=_Group,
    help="""\
Compare response times with service level objectives.

\b
Examples:
  gaia slo check run.jsonl
""",
    no_args_is_help=True,
)

_MISSED, _NOT_KNOWN = 1, 11


@app.command("check", help=HELP)
def evaluate_speed(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="File written by pytest --gaia-report-log")],
    env: Annotated[str | None, environment_option("Objectives of ENV; default: environment of the run")] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="RESULTS", help="Earlier run to compare with", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure, compare, print the result and exit with its code."""
    recorded = read_run(results)
    name = env or recorded.start.environment
    samples = samples_of(recorded.tests)
    objectives = measure(Promotion.here().stage(name).slos, samples)
    earlier = _earlier(baseline) if baseline else None
    compared = compare(samples, samples_of(earlier.tests)) if earlier else ()
    notes = _notes(name, recorded.start, earlier.start if earlier else None)
    alike = earlier is not None and _circumstances(earlier.start) == _circumstances(recorded.start)
    code, word = _ending(objectives, [each for each in compared if alike and each.decides])
    if as_json:
        echo_json(
            {
                "environment": name,
                "exit_code": code,
                "objectives": objectives,
                "compared": compared,
                "routes": {route: _times(values) for route, values in sorted(samples.items())},
                "notes": notes,
            }
        )
        raise typer.Exit(code)
    _show(objectives, compared, samples)
    for note in notes:
        typer.echo(note)
    typer.echo(f"{name}: {word}")
    raise typer.Exit(code)


def _earlier(path: Path) -> RecordedRun:
    run = read_run(path)
    if run.end is not None and run.end.partial:
        raise ConfigError(
            f"--baseline {path}: a partial run cannot be a baseline ({'; '.join(run.end.partial)}). Use a full run."
        )
    return run


def _ending(results: Sequence[SloResult], decisive: Sequence[Comparison]) -> tuple[int, str]:
    failed = [each.route for each in results if each.status == "failed"]
    slower = [each.route for each in decisive if each.word == "slower"]
    if failed or slower:
        parts = [f"missed: {', '.join(failed)}"] if failed else []
        return _MISSED, "; ".join([*parts, *([f"slower than the baseline: {', '.join(slower)}"] if slower else [])])
    if not results:
        return _NOT_KNOWN, "inconclusive: no objective is set ([[env.NAME.slo]] in gaia.toml)"
    if few := [each.route for each in results if each.status == "inconclusive"]:
        return _NOT_KNOWN, f"inconclusive: too few samples of {', '.join(few)}"
    return 0, f"{counted(len(results), 'objective')} met"


def _notes(name: str, now: RunStart, before: RunStart | None) -> list[str]:
    """Return notes about concurrent tests and different circumstances, in which a comparison never fails."""
    notes = []
    if now.concurrency > 1:
        notes.append(f"response times are longer with concurrent tests; the run had up to {now.concurrency}")
    if now.environment != name or now.simulated:
        notes.append(f"the run is from {_label(now)}; the objectives are those of {name}")
    if before is not None and _label(before) != _label(now):
        notes.append(f"the baseline is from {_label(before)}, so the comparison is only a note")
    elif before is not None and before.concurrency != now.concurrency:
        had = f"{counted(before.concurrency, 'test')} at the same time"
        notes.append(f"the baseline had {had}, so the comparison is only a note")
    return notes


def _circumstances(start: RunStart) -> tuple[str, int]:
    """Return what must be the same in two runs whose response times are compared."""
    return _label(start), start.concurrency


def _label(start: RunStart) -> str:
    return f"{start.environment} (simulated on the sandbox)" if start.simulated else start.environment


def _show(results: Sequence[SloResult], compared: Sequence[Comparison], samples: Samples) -> None:
    rows = [(route, *map(str, _times(values).values())) for route, values in sorted(samples.items())]
    show_table(("route", "samples", "median ms", "p95 ms", "slowest ms"), rows)
    if results:
        show_table(("", "objective", "reason"), [(each.status, each.route, each.reason) for each in results])
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
