"""``gaia merge`` and ``gaia replay``: the verdict of results that were recorded before."""

import datetime
import gc
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pytest_gaia.cli.app import CHOSEN
from pytest_gaia.cli.options import environment_option, options_here
from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.expectations.files import folders_of, load
from pytest_gaia.files.writing import PRIVATE, private_files, write_file
from pytest_gaia.printable import commands
from pytest_gaia.report import footer
from pytest_gaia.system.processes import commit_of
from pytest_gaia.verdict.classify import Classification
from pytest_gaia.verdict.evaluated import EvaluatedRun, Evaluation
from pytest_gaia.verdict.merging import Merge, Merged
from pytest_gaia.verdict.plan import LONGEST_HOURS, Plan, read_plan
from pytest_gaia.verdict.report import document, expectations_digest, write_report
from pytest_gaia.verdict.results_log import ResultsLog
from pytest_gaia.wording import counted, environment_label, listed

if TYPE_CHECKING:
    from pytest_gaia.report.allure.results import ResultsFolder

RESULTS_LOG, VERDICT_FILE, JUNIT, ALLURE = "results.jsonl", "verdict.json", "junit.xml", "allure-results"
_OF_A_RUN = ("environment.properties", "executor.json", "categories.json")
"""files of Allure that are about a run as a whole"""
_VERDICT = "gaia verdict: "

HELP = """\
Merge the results of all shards into one verdict.

\b
Examples:
  pytest --collect-only -q --gaia-env=staging --gaia-plan-out=plan.json
  pytest --gaia-env=staging --gaia-plan=plan.json --gaia-shard=2/5 \\
    --gaia-report-log=shard-2.jsonl
  gaia merge shard-*.jsonl --plan plan.json --output merged

RESULTS are the files that pytest --gaia-report-log wrote, one for each shard,
or folders with such a file. A folder may also contain a file of --junitxml
(*.xml) and a folder of --alluredir (allure-results); --output merges them.
A shard that is missing, there twice, truncated, or ran with another plan,
commit, environment or release makes the verdict HOLD.

\b
Exit codes: 0 PROMOTE or PARTIAL; 1 REJECT; 10 DRIFT; 11 HOLD; 12 INFRA;
4 usage error
"""

REPLAY_HELP = """\
Evaluate the results of a run again, without running tests.

\b
Examples:
  gaia replay run.jsonl                      with the current expectations
  gaia replay run.jsonl -e production        as if it ran in production
  gaia replay run.jsonl --as-of 2026-12-24   as if it ran on this day

RESULTS is the file that `pytest --gaia-report-log FILE` wrote. -v lists the
tests of each cause. The exit code is that of the verdict: 0 PROMOTE or PARTIAL,
1 REJECT, 10 DRIFT, 11 HOLD, 12 INFRA.
"""

app = typer.Typer()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Do not collect garbage: results have no reference cycles, and the collector scans them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@dataclass(frozen=True, slots=True)
class _Given:
    """The files of one shard."""

    log: Path
    junit: Path | None = None
    allure: Path | None = None

    @classmethod
    def of(cls, path: Path) -> "_Given":
        """Return the files in a folder, or a file alone. Raises ``ConfigError`` for a folder without one results log."""
        try:
            if not path.is_dir():
                return cls(path)
            inside = sorted(path.iterdir())
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
        logs, junit = ([each for each in inside if each.suffix == suffix] for suffix in (".jsonl", ".xml"))
        if len(logs) > 1 or len(junit) > 1:
            names = ", ".join(each.name for each in (logs if len(logs) > 1 else junit))
            raise ConfigError(
                f"{path}: contains several files of one kind: {names}. Give each shard a folder of its own."
            )
        allure = path / ALLURE
        # A shard without a results log is one that did not begin.
        log = logs[0] if logs else path / RESULTS_LOG
        return cls(log, junit[0] if junit else None, allure if allure.is_dir() else None)


@app.command("merge", help=HELP)
@_uncollected()
def merge_shards(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS…", help="Results log or folder of each shard")],
    plan: Annotated[Path, typer.Option("--plan", metavar="FILE", help="File written by pytest --gaia-plan-out")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the merged results to FOLDER", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict file")] = False,
) -> None:
    """Merge, print the verdict, and exit with its code."""
    if output is not None:
        _withdraw(output, results)
    project, required = options_here().project, read_plan(plan)
    tolerances = project.tolerances
    here = f"this project ({project.path or f'{project.rootdir}, without gaia.toml'})"
    if required.environment not in tolerances:
        near = nearest(required.environment, tolerances)
        raise ConfigError(f"{plan}: {here} has no environment {required.environment!r}; {near}")
    expectations = load(folders_of(project.suites), tolerances, project.platform, rootdir=project.rootdir)
    commit = commit_of(project.rootdir, project.suites)
    given = [_Given.of(path) for path in results]
    tolerance, writable = tolerances[required.environment], output is not None
    merge = Merge(required, expectations, tolerance, commit, project=here, writable=writable)
    merged = merge.of([each.log for each in given])
    evaluated = merged.evaluated
    label = f"{_label(evaluated)}, {counted(len(merged.end.shards), 'shard')}"
    noted = _write(output, merged, given, project, label) if output is not None else []
    if as_json:
        typer.echo(document(evaluated).decode(), nl=False)
    else:
        layout = footer.Layout(expected=CHOSEN.verbose, inapplicable=CHOSEN.verbose)
        for line in (
            *footer.blocking(evaluated, layout=layout),
            *footer.notes(evaluated, layout),
            *_problems(merged, required, plan),
            *(f"gaia: {sentence}" for sentence in noted),
        ):
            typer.echo(line)
        _tell_github(evaluated, label, project.rootdir)
        typer.echo(footer.verdict_line(label, _counting(merged)))
    raise typer.Exit(evaluated.verdict.exit_code)


def _problems(merged: Merged, plan: Plan, path: Path) -> list[str]:
    """Return the problems of the shards and, in one line, what to do about them."""
    if not merged.problems:
        return []
    step = _next_step(merged, plan, path)
    # A line is not wrapped, so that a log can be searched for it.
    lines = ["gaia: problems of the merge", *(f"  {problem}" for problem in merged.problems)]
    return [*lines, f"gaia: {step}"] if step else lines


def _next_step(merged: Merged, plan: Plan, path: Path) -> str:
    if not merged.again:
        return ""
    planned = {part.end.plan for part in merged.parts if part.end}
    if len(planned) == 1 and not planned & {"", plan.digest}:
        return "merge again with the test plan of these shards (--plan)"
    command, given = f"pytest --gaia-env={plan.environment}", quote(str(path))
    if plan.is_old:
        why = f"because this one is older than {LONGEST_HOURS} hours"
        return f"create a new plan, {why}, and run all shards again: {command} --collect-only --gaia-plan-out={given}"
    options = f"--gaia-plan={given} --gaia-shard={merged.again[0]} --gaia-report-log=FILE"
    shards = listed([f"shard {shard}" for shard in merged.again])
    return f"run {shards} again, and merge all shards: {command} {options}"


def _counting(merged: Merged) -> EvaluatedRun:
    """Return the run with the number of the problems, instead of the problems, in its verdict."""
    evaluated, problems = merged.evaluated, counted(len(merged.problems), "problem")
    reasons = tuple(problems if each == merged.end.held else each for each in evaluated.verdict.reasons)
    return replace(evaluated, verdict=replace(evaluated.verdict, reasons=reasons))


def _withdraw(output: Path, results: Sequence[Path]) -> None:
    """Withdraw the verdict and the reports of an earlier merge, so that they are never taken for those of this one.

    Raises ``ConfigError`` if the merge would overwrite its own input, or mix it with results of another run.
    """
    written = {os.path.realpath(each) for each in (output, output / RESULTS_LOG)}
    if own := [str(each) for each in results if os.path.realpath(each) in written]:
        raise ConfigError(
            f"--output={output}: would overwrite {', '.join(own)}, which is among RESULTS. Leave out what an earlier merge "
            "wrote, or give another folder."
        )
    allure = output / ALLURE
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_file(output / VERDICT_FILE, b"", mode=PRIVATE)
        (output / JUNIT).unlink(missing_ok=True)
        is_mixed = allure.exists() and any(allure.iterdir())
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written: {error.strerror}.") from None
    if is_mixed:
        raise ConfigError(f"--output: {allure} has results of another run. Remove it, or give another folder.")


def _tell_github(evaluated: EvaluatedRun, label: str, rootdir: Path) -> None:
    """In a step of GitHub Actions, add the run to its summary, and print annotations."""
    # A command that a test starts is not a step, although it inherits variables.
    if os.environ.get("GITHUB_ACTIONS") != "true" or "PYTEST_CURRENT_TEST" in os.environ:
        return
    from pytest_gaia.report.github import Step, run_annotations

    step = Step.of(rootdir, os.environ)
    if unsaid := step.summarise(evaluated, label):
        typer.echo(f"gaia: warning: {unsaid}")
    with commands(sys.stdout):
        for line in run_annotations(evaluated, label, {}, step.prefix):
            typer.echo(line)


def _write(output: Path, merged: Merged, given: Sequence[_Given], project: Project, label: str) -> list[str]:
    """Write the files of the merged run; return a sentence for each one that some shards lack.

    Raises ``ConfigError`` if the folder cannot be written.
    """
    # Only with these files.
    from pytest_gaia.report.junit import MergedSuite

    noted = []
    junit = [each.junit for each in given if each.junit]
    allure = [each.allure for each in given if each.allure]
    try:
        merged.write_results_log(output / RESULTS_LOG)
        write_report(output / VERDICT_FILE, merged.evaluated)
        for name, found in ((JUNIT, junit), (ALLURE, allure)):
            if not found:
                continue
            lacking = [str(each.log.parent) for each in given if not (each.junit if name == JUNIT else each.allure)]
            if lacking:
                noted.append(f"{name} is not written, because these shards lack theirs: {', '.join(lacking)}")
            elif name == JUNIT:
                pieces = MergedSuite(merged.evaluated, merged.end.required).pieces(junit)
                write_file(output / JUNIT, pieces, mode=PRIVATE)
            else:
                _write_allure(output / ALLURE, allure, merged, project, label)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written: {error.strerror or error}.") from None
    return noted


def _write_allure(folder: Path, shards: Sequence[Path], merged: Merged, project: Project, label: str) -> None:
    """Write a folder with the results of all shards, and the files about the run for the merged one."""
    from pytest_gaia.report.allure.results import ResultsFolder, environment_name, epic_of

    environment = environment_name(merged.start.environment, simulated=merged.start.simulated)
    epic, suites = epic_of(project.platform.name, project.rootdir), tuple(project.suites)
    moment = round(time.time() * 1000)
    folder.mkdir(exist_ok=True, mode=0o700)
    _copy_results(shards, folder)
    _add_missing(
        ResultsFolder(folder, environment, project.rootdir, suites, str, str, epic), environment, merged, moment
    )
    texts = _files_of_run(shards[0], environment, merged.evaluated)
    if merged.evaluated.verdict.exit_code:
        said = {"message": footer.verdict_line(label, merged.evaluated), "timestamp": moment}
        texts[f"{uuid.uuid4()}-globals.json"] = json.dumps({"errors": [said]}, indent=2)
    for name, text in texts.items():
        write_file(folder / name, text, mode=PRIVATE)


def _copy_results(shards: Sequence[Path], folder: Path) -> None:
    """Copy the files of the shards, but not those about their runs."""
    with private_files():
        for shard in shards:
            for path in sorted(shard.iterdir()):
                if path.is_file() and path.name not in _OF_A_RUN and not _is_of_verdict(path):
                    shutil.copyfile(path, folder / path.name)


def _add_missing(results: "ResultsFolder", environment: str, merged: Merged, moment: int) -> None:
    """Add the tests without a result in any shard."""
    from pytest_gaia.report.allure.results import allure_outcomes, history_id

    present = {result.history_id for _, result in results.written()}
    classified = {each.node for each in merged.evaluated.classifications}
    lost = (
        Classification(node, "incomplete", True, "no shard has a result of it")
        for node in merged.end.required
        if node not in classified
    )
    outcomes = allure_outcomes(merged.evaluated, "failed", lost)
    results.reconcile(
        ((node, shown) for node, shown in outcomes if history_id(node, environment) not in present), {}, moment
    )


def _files_of_run(shard: Path, environment: str, evaluated: EvaluatedRun) -> dict[str, str]:
    """Return name → text of the files about the merged run. The versions of the services are those that ``shard`` has."""
    from pytest_gaia.report.allure.around import categories, circumstances, executor, properties, read_properties

    beside = shard / "environment.properties"
    known = read_properties(beside.read_text()) if beside.is_file() else {}
    versions = {
        name: text for name, text in known.items() if name.startswith("versions.") or name in ("commit", "ledger")
    }
    about = versions | circumstances(evaluated, environment, expectations_digest(evaluated.expectations))
    made_by = executor(os.environ, f"{environment}: {evaluated.verdict.word}")
    return {
        "environment.properties": properties(about),
        "executor.json": json.dumps(made_by, indent=2),
        "categories.json": json.dumps(categories(), indent=2),
    }


def _is_of_verdict(path: Path) -> bool:
    """Whether a file has the verdict of a shard."""
    return path.name.endswith("-globals.json") and f'"message": "{_VERDICT}' in path.read_text(errors="replace")


@app.command("replay", help=REPLAY_HELP)
@_uncollected()
def replay_run(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="File written by pytest --gaia-report-log")],
    env: Annotated[str | None, environment_option("Evaluate by the expectations of ENV")] = None,
    as_of: Annotated[
        datetime.datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Evaluate as of this day")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the verdict file to FILE", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict file")] = False,
) -> None:
    """Evaluate, print the verdict and exit with its code."""
    evaluated = evaluate_again(results, env, as_of.date() if as_of else None)
    if output is not None:
        try:
            write_report(output, evaluated)
        except OSError as error:
            raise ConfigError(f"--output={output}: cannot be written: {error.strerror}.") from None
    if as_json:
        typer.echo(document(evaluated).decode(), nl=False)
    else:
        layout = footer.Layout(expected=CHOSEN.verbose, inapplicable=CHOSEN.verbose)
        order = evaluated.start.order
        for line in (
            *([f"gaia: {order}"] if order else ()),
            *footer.blocking(evaluated, layout=layout),
            *footer.notes(evaluated, layout),
            footer.verdict_line(_label(evaluated), evaluated),
        ):
            typer.echo(line)
    raise typer.Exit(evaluated.verdict.exit_code)


def evaluate_again(path: Path, environment: str | None, day: datetime.date | None) -> EvaluatedRun:
    """Evaluate the results log at ``path`` for ``environment`` (default: its own) as of ``day`` (default: today).

    Raises :class:`~pytest_gaia.errors.ConfigError` for an invalid file or an unknown environment.
    """
    log = ResultsLog(path)
    project = options_here().project
    tolerances = project.tolerances
    name = environment or log.start.environment
    if name not in tolerances:
        raise ConfigError(f"unknown environment {name!r}; {nearest(name, tolerances)}")
    expectations = load(folders_of(project.suites), tolerances, project.platform, rootdir=project.rootdir)
    today = day or datetime.datetime.now(datetime.UTC).date()
    evaluation = Evaluation(expectations, log.start.context(name, today, tolerances[name]))
    evaluation.add_all(log)
    return evaluation.finish(log.start, log.end)


def _label(evaluated: EvaluatedRun) -> str:
    name, start = evaluated.context.environment, evaluated.start
    tested = environment_label(start.environment, simulated=start.simulated)
    return tested if name == start.environment else f"{name} (results from {tested})"
