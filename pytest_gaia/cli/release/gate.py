"""``gaia gate | checklist | check``: may a bundle go there, and what is still missing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pytest_gaia.cli.options import AsJson, EnvironmentName, environment_option
from pytest_gaia.cli.output import echo_json, show_table
from pytest_gaia.cli.release.ledger import head_digits
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.gate.check import Check
from pytest_gaia.promotion.gate.checks import CHECKS
from pytest_gaia.promotion.gate.gate import Gate, evaluate
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import problems_of
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.checks import CHECK_ID, check_experimental, record_check
from pytest_gaia.promotion.promote.plan import environment_of
from pytest_gaia.promotion.release.comparison import Comparison, check_running
from pytest_gaia.promotion.release.images import look

GATE_HELP = """\
Decide whether a bundle may be in an environment, from the ledger, and from what this machine has deployed outside of a
promotion. Nothing is asked, run or written; --observe asks the deploy tool what runs.

\b
  gaia gate staging --bundle 3f9a1c
  gaia gate production --bundle 3f9a1c --edge     may it be deployed there? (before anything of it has been)
  gaia gate production --bundle 3f9a1c --head 9c1f…   the ledger must hold this entry: its newest were not removed
  gaia gate production --bundle 3f9a1c --observe       is it what runs there now? (whoever has deployed it)

\b
Exit codes: 0 PROMOTE; 1 REJECT, something speaks against it; 11 HOLD, something is not shown; 4 a mistake; 12 the
remote of the ledger is out of reach. Nothing but an explicit proof promotes: every item that is not good says why, and which command mends it.
"""

CHECKLIST_HELP = """\
Show the pipeline's checklist for a bundle: each item proved, signed, waived, or what is missing.

\b
  gaia checklist --bundle 3f9a1c                all three edges
  gaia checklist production --bundle 3f9a1c     one

Exits 0 if every item shown is good, 11 if not, or if the ledger is not whole.
"""

app = typer.Typer()

CHECK_HELP = """\
Items of the checklist that a tool looks at. What it finds is written into the ledger.

\b
  gaia check no-experimental-features --bundle 3f9a1c --env staging
"""

EXPERIMENTAL_HELP = """\
Look whether a bundle goes out with experimental features, and write what is found into the ledger.

\b
  gaia check no-experimental-features --bundle 3f9a1c --env staging

Proved if none of its deploy files for ENV switches one on (a variable named EXPERIMENTAL…, ENABLE_EXPERIMENTAL… or
FEATURE_…EXPERIMENTAL…), and ENV leaves experimental checks out, or the bundle's newest run in the stage before ran none.

Exit codes: 0 proved; 1 one is switched on; 11 not known; 4 a mistake.
"""

checks = typer.Typer(name="check", help=CHECK_HELP, no_args_is_help=True)

app.add_typer(checks)


_HOLD = 11

ReleaseId = Annotated[
    str, typer.Option("--bundle", metavar="ID", help="The bundle; the beginning of its id does.", show_default=False)
]


@app.command("gate", help=GATE_HELP)
def decide_gate(
    env: EnvironmentName,
    release: ReleaseId,
    pre_deploy: Annotated[
        bool, typer.Option("--edge", help="Only what must hold before it is deployed there.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH", help="An entry that the ledger must hold; its beginning does.", show_default=False
        ),
    ] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Look at what runs there now, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the decision, and end with its exit code."""
    if pre_deploy and observe:
        raise ConfigError(
            "--observe looks at what was deployed, and --edge asks before anything was: give one of the two."
        )
    promotion = Promotion.here()
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
    """Look at what runs in the environment; what could not be observed is one of the checks."""
    environment, _ = environment_of(promotion, situation.environment)
    services = tuple(situation.wanted)
    if not services:
        return ()
    sights = look(environment, promotion.rootdir, services)
    return tuple(check_running(situation.release, sights, situation.environment))


@app.command("checklist", help=CHECKLIST_HELP)
def show_checklist(
    release: ReleaseId,
    env: Annotated[
        str | None, typer.Argument(metavar="[ENV]", help="One environment; without it, all.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the items of the checklist."""
    promotion = Promotion.here()
    found = promotion.release(release)
    targets = (
        [env] if env else list(dict.fromkeys(check.target for check in CHECKS if check.target in promotion.stages))
    )
    situations = [promotion.situation(target, found) for target in targets]
    checks: dict[str, list[Check]] = {
        each.environment: [check for check in evaluate(each).checks if check.in_pipeline] for each in situations
    }
    # Items of an edge rest on entries, and entries of a ledger that is not whole show nothing.
    problems = problems_of(situations[0].entries) if situations else ()
    if as_json:
        echo_json({target: [_check_json(check) for check in found] for target, found in checks.items()})
    else:
        for target, rows in checks.items():
            show_stage(promotion.stages[target].previous, target, rows)
    if problems:
        typer.echo(f"the ledger is not whole: {problems[0]}; gaia ledger verify", err=True)
    raise typer.Exit(_HOLD if problems or any(not check.good for rows in checks.values() for check in rows) else 0)


def show_stage(previous: str | None, target: str, checks: Sequence[Check]) -> None:
    """Write the items of the way into ``target``."""
    if not checks:
        typer.echo(f"{target}: the checklist asks nothing")
        return
    typer.echo(f"{previous or 'nowhere'} → {target}")
    show_checks(checks)


def show_gate(gate: Gate) -> None:
    """Write the items, waivers first, and the word."""
    show_checks(sorted(gate.checks, key=lambda check: check.finding.status != "waived"))
    bad = sum(not check.good for check in gate.checks)
    reason = f": {bad} of {len(gate.checks)} checks are not good" if bad else ""
    typer.echo(f"{gate.environment}, bundle {gate.release[:12]}: {gate.verdict}{reason}")


def show_checks(checks: Sequence[Check]) -> None:
    """Write items as a table, and below it what to do."""
    show_table(("", "item", "why"), [(check.finding.status, check.id, check.finding.reason) for check in checks])
    for check in checks:
        if not check.good and check.finding.next:
            typer.echo(f"  {check.id}: {check.finding.next}")


def gate_json(gate: Gate) -> dict[str, Any]:
    """Return the decision as plain values."""
    return {
        "environment": gate.environment,
        "bundle": gate.release,
        "verdict": gate.verdict,
        "exit_code": gate.exit_code,
        "reasons": list(gate.reasons),
        "items": [_check_json(check) for check in gate.checks],
    }


def _check_json(check: Check) -> dict[str, Any]:
    finding = check.finding
    return {
        "id": check.id,
        "title": check.title,
        "group": check.group,
        "status": finding.status,
        "why": finding.reason,
        "next": finding.next,
        "evidence": list(finding.evidence),
    }


_EXIT_CODES = {"proved": 0, "failed": 1, "inconclusive": 11}


@checks.callback()
def _checks() -> None:
    """Keep the name of the item a word of its own, though there is one alone."""


@checks.command("no-experimental-features", help=EXPERIMENTAL_HELP)
def check_no_experimental_features(
    release: ReleaseId,
    env: Annotated[str, environment_option("Where it is to go.")],
    as_json: AsJson = False,
) -> None:
    """Look, write, and end with what was found."""
    promotion = Promotion.here()
    found, now = promotion.release(release), datetime.now(UTC)
    status, reason, findings = check_experimental(promotion, env, found, now)
    entry = record_check(promotion, env, found, CHECK_ID, (status, reason, findings), now)
    if as_json:
        echo_json(
            {"item": CHECK_ID, "status": status, "why": reason, "findings": list(findings), "entry": entry.sequence}
        )
    else:
        typer.echo(f"{status}: {reason}\nwritten as entry {entry.sequence} of the ledger")
    raise typer.Exit(_EXIT_CODES[status])
