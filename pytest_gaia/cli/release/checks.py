"""``gaia release check | attest``: whether a release may be in an environment, and what blocks it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pytest_gaia.cli.app import CHOSEN
from pytest_gaia.cli.options import AsJson, complete_release, environment_option
from pytest_gaia.cli.output import echo_json, echo_lines, show_table
from pytest_gaia.cli.release.ledger import head_digits
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.gate.check import Check
from pytest_gaia.promotion.gate.gate import CHECKS, Gate, evaluate
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import problems_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import EXPERIMENTAL, check_experimental, record_check
from pytest_gaia.promotion.promote.plan import environment_of
from pytest_gaia.promotion.release.comparison import Comparison, check_running, look
from pytest_gaia.promotion.release.kept import Release

CHECK_HELP = """\
Show which checks passed, and what blocks the release.

\b
Examples:
  gaia release check 3f9a1c                  the checks of all stages
  gaia release check 3f9a1c -e staging       may it stay in staging?
  gaia release check 3f9a1c -e staging --pre-deploy    may it be deployed?
  gaia release check 3f9a1c -e staging --observe       does it still run?

The checks use the ledger, and deployments outside of a promotion that this machine recorded. Only --observe asks the
deploy tool. A check that did not pass shows the command that resolves it. `-v` lists all removed tests.

\b
Exit codes: 0 PROMOTE; 1 REJECT, a check failed; 11 HOLD, a check is
pending or has expired; 4 usage error; 12 remote of the ledger unreachable
"""

ATTEST_HELP = """\
Run a check with a tool, and record the result.

\b
Example:
  gaia release attest experimental-features 3f9a1c -e staging
"""

EXPERIMENTAL_HELP = """\
Record whether a release is free of experiments.

\b
Example:
  gaia release attest experimental-features 3f9a1c -e staging

The check passes if no deploy file of the release for ENV sets a variable named EXPERIMENTAL…, ENABLE_EXPERIMENTAL… or
FEATURE_…EXPERIMENTAL…, and no experimental test ran: ENV excludes them, or the newest run in the previous stage had none.

\b
Exit codes: 0 passed; 1 a feature is switched on; 11 inconclusive;
4 usage error
"""

attest = typer.Typer(name="attest", help=ATTEST_HELP, no_args_is_help=True)

_HOLD = 11
_TARGETS = frozenset(check.target for check in CHECKS)
"""roles of stages with checks of the pipeline"""

ReleaseId = Annotated[
    str,
    typer.Argument(
        metavar="RELEASE",
        help="First digits of the release ID, or a file",
        autocompletion=complete_release,
        show_default=False,
    ),
]


def check_release(
    release: ReleaseId,
    env: Annotated[str | None, environment_option("Environment to decide about")] = None,
    pre_deploy: Annotated[
        bool, typer.Option("--pre-deploy", help="Evaluate only the checks before a deployment")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="Require this entry in the ledger", show_default=False),
    ] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Compare with what runs there now")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the decision, and exit with its code."""
    if pre_deploy and observe:
        raise ConfigError("--pre-deploy and --observe exclude each other: before a deployment, nothing runs yet.")
    promotion = Promotion.here()
    if env is None:
        if pre_deploy or observe or head is not None:
            raise ConfigError("--pre-deploy, --observe and --head need an environment: add -e ENV.")
        raise typer.Exit(_check_stages(promotion, promotion.release(release), as_json=as_json))
    situation = replace(
        promotion.situation(env, promotion.release(release)), head="" if head is None else head_digits(head)
    )
    if observe:
        situation = replace(situation, running=_running(promotion, situation))
    gate = evaluate(situation, only="pre-deploy" if pre_deploy else None)
    newest = situation.entries[-1].sha256 if situation.entries else ""
    if as_json:
        echo_json(gate_json(gate) | {"ledger_head": newest})
    else:
        show_gate(gate)
        typer.echo(f"ledger head: {newest or 'none'}")
    raise typer.Exit(gate.exit_code)


def _running(promotion: Promotion, situation: Situation) -> tuple[Comparison, ...]:
    """Compare the release with what runs in the environment; a failed observation is one of the results."""
    environment, _ = environment_of(promotion, situation.environment)
    services = tuple(situation.wanted)
    if not services:
        return ()
    observations = look(environment, promotion.rootdir, services)
    return tuple(check_running(situation.release, observations, situation.environment))


def _check_stages(promotion: Promotion, release: Release, *, as_json: bool) -> int:
    """Show the checks of the pipeline for every stage; return 11 if one did not pass."""
    entries = promotion.ledger.entries()
    situations = [promotion.situation(target, release, entries=entries) for target in _stages(promotion)]
    checks: dict[str, list[Check]] = {each.environment: _shown(each) for each in situations}
    # The checks of one stage rest on entries, and a corrupt ledger proves nothing.
    problems = problems_of(entries) if situations else ()
    if as_json:
        echo_json({target: [_check_json(check) for check in found] for target, found in checks.items()})
    else:
        for target, rows in checks.items():
            show_stage(promotion.stages[target].previous, target, rows)
    if problems:
        typer.echo(f"the ledger is corrupt: {problems[0]}; run `gaia ledger verify`", err=True)
    return _HOLD if problems or any(not check.good for rows in checks.values() for check in rows) else 0


def _stages(promotion: Promotion) -> list[str]:
    """Return the configured stages that a release enters, or else the built-in ones."""
    configured, role = promotion.configured(), promotion.project.role
    entered = [name for name in configured if role(name) in _TARGETS or promotion.stages[name].previous]
    return entered or list(configured) or [name for name in promotion.stages if role(name) in _TARGETS]


def _shown(situation: Situation) -> list[Check]:
    """Return the checks of the pipeline; all checks for a stage that is not part of it."""
    checks = evaluate(situation).checks
    return [check for check in checks if check.in_pipeline or situation.declared.role not in _TARGETS]


def show_stage(previous: str | None, target: str, checks: Sequence[Check]) -> None:
    """Print the checks on the way into ``target``."""
    if not checks:
        typer.echo(f"{target}: no checks")
        return
    typer.echo(f"{f'{previous} → ' if previous else ''}{target}")
    show_checks(checks)


def show_gate(gate: Gate) -> None:
    """Print the checks, waivers first, and the decision."""
    show_checks(sorted(gate.checks, key=lambda check: check.finding.status != "waived"))
    bad = sum(not check.good for check in gate.checks)
    reason = f": {bad} of {len(gate.checks)} checks did not pass" if bad else ""
    typer.echo(f"{gate.environment}, release {gate.release[:12]}: {gate.verdict}{reason}")


def show_checks(checks: Sequence[Check]) -> None:
    """Print checks as a table, and below it the commands that resolve those that did not pass."""
    show_table(
        ("state", "check", "reason"), [(check.finding.status, check.id, check.finding.reason) for check in checks]
    )
    for check in checks:
        if check.finding.names and CHOSEN.verbose:
            echo_lines([f"  {check.id}:", *(f"    {name}" for name in check.finding.names)])
        if not check.good and check.finding.next:
            typer.echo(f"  {check.id}: {check.finding.next}")


def gate_json(gate: Gate) -> dict[str, Any]:
    """Return the decision as plain values."""
    return {
        "environment": gate.environment,
        "release": gate.release,
        "verdict": gate.verdict,
        "exit_code": gate.exit_code,
        "reasons": list(gate.reasons),
        "checks": [_check_json(check) for check in gate.checks],
    }


def _check_json(check: Check) -> dict[str, Any]:
    finding = check.finding
    return {
        "id": check.id,
        "title": check.title,
        "group": check.group,
        "status": finding.status,
        "reason": finding.reason,
        "next": finding.next,
        "evidence": list(finding.evidence),
        "names": list(finding.names),
    }


_RESULTS = {"proved": ("passed", 0), "failed": ("failed", 1), "inconclusive": ("inconclusive", 11)}
"""status in the ledger → what is printed, and the exit code"""


@attest.callback()
def _attest() -> None:
    """Keep the name of the check a word of its own, though there is only one."""


@attest.command("experimental-features", help=EXPERIMENTAL_HELP)
def attest_experimental_features(
    release: ReleaseId,
    env: Annotated[str, environment_option("Environment that the release goes to")],
    as_json: AsJson = False,
) -> None:
    """Check, record, and exit with the code of the result."""
    promotion = Promotion.here()
    found, now = promotion.release(release), datetime.now(UTC)
    status, reason, findings = check_experimental(promotion, env, found, now)
    entry = record_check(promotion, env, found, EXPERIMENTAL, (status, reason, findings), now)
    word, code = _RESULTS[status]
    if as_json:
        echo_json(
            {
                "check": EXPERIMENTAL,
                "status": word,
                "reason": reason,
                "findings": list(findings),
                "entry": entry.sequence,
            }
        )
    else:
        typer.echo(f"{word}: {reason}\nrecorded in the ledger as entry {entry.sequence}")
    raise typer.Exit(code)
