"""A roll-out's end as people and programs read it."""

from __future__ import annotations

import shlex

import typer

from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.rollout.model import RolloutResult, StepResult

_SHORT = 12
"""characters of a digest that tell it from others"""
_TAIL = 15
"""of the tool's last lines, how many are shown where it failed"""


def show_result(result: RolloutResult, *, as_json: bool) -> None:
    """Write what became of a roll-out, or its commands, to standard output."""
    if as_json:
        echo_json(document(result))
    elif result.dry_run:
        _show_commands(result)
    else:
        _show_steps(result)


def document(result: RolloutResult) -> dict[str, object]:
    """Return the result as plain values, all of them masked where they may hold secrets."""
    return {
        "environment": result.environment,
        "action": result.action,
        "dry_run": result.dry_run,
        "good": result.good,
        "exit_code": result.exit_code,
        "started": result.started,
        "elapsed": round(result.elapsed, 3),
        "go_on": result.go_on or None,
        "notes": list(result.notes),
        "steps": [_step(step) for step in result.steps],
    }


def _step(step: StepResult) -> dict[str, object]:
    return {
        "service": step.service,
        "app": step.app,
        "outcome": step.outcome,
        "reason": step.reason or None,
        "release": step.release,
        "image": step.image,
        "digests": list(step.digests),
        "attempts": step.attempts,
        "elapsed": round(step.elapsed, 3),
        "commands": [list(command) for command in step.commands],
        "tail": list(step.tail),
    }


def _show_commands(result: RolloutResult) -> None:
    for step in result.steps:
        for command in step.commands:
            typer.echo(shlex.join(command))
        if step.reason:
            # No command, so not among them.
            typer.echo(f"# {step.service}: {step.reason}", err=True)


def _show_steps(result: RolloutResult) -> None:
    show_table(
        ("service", "app", "outcome", "release", "image", "seconds"), [_row(step, result) for step in result.steps]
    )
    for step in result.steps:
        if not step.good:
            for line in step.tail[-_TAIL:]:
                typer.echo(f"{step.service} | {line}", err=True)
    for step in result.steps:
        if step.reason:
            typer.echo(f"{step.service}: {step.reason}")
    if result.go_on:
        typer.echo(f"To go on: {result.go_on}")


def _row(step: StepResult, result: RolloutResult) -> tuple[str, ...]:
    digests = ", ".join(digest.removeprefix("sha256:")[:_SHORT] for digest in step.digests)
    release = "" if step.release is None else str(step.release)
    seconds = f"{step.elapsed:.0f}" if step.attempts else ""
    outcome = "rolled back" if (result.action, step.outcome) == ("rollback", "deployed") else step.outcome
    return step.service, step.app, outcome.replace("_", " "), release, digests or (step.image or ""), seconds
