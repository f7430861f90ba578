"""``gaia promote``: one bundle into one environment, with evidence of every step."""

import sys
from typing import Annotated, Literal

import typer

from pytest_gaia.cli.asking import INTERRUPTED, confirm_production
from pytest_gaia.cli.options import AsJson, Confirm, EnvironmentName
from pytest_gaia.cli.output import echo_json, reader_may_leave
from pytest_gaia.cli.release.gate import ReleaseId, gate_json, show_gate
from pytest_gaia.errors import DeployLocked
from pytest_gaia.promotion.gate.gate import Gate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import Interrupted, shown
from pytest_gaia.promotion.promote.plan import Plan, changed_files, plan_promotion
from pytest_gaia.promotion.promote.steps import Ending, Part, Promote
from pytest_gaia.system.signals import like_interrupts
from pytest_gaia.wording import listed

HELP = """\
Promote a bundle into an environment: ask the gate's edge, take the lock, seal the plan, deploy, wait, run the suites,
observe, write the evidence into the ledger, and let the gate decide.

\b
  gaia promote staging --bundle 3f9a1c
  gaia promote staging --bundle 3f9a1c --plan         what it would do; changes nothing
  gaia promote staging --bundle 3f9a1c --resume       go on where one was interrupted or killed
  gaia promote staging --bundle 3f9a1c --only run     deploy and test, in a job that has no signing key;
  gaia promote staging --bundle 3f9a1c --only evidence    sign and decide, in one that runs no tests
  gaia promote production --bundle 3f9a1c --confirm production -- -n 4 --junitxml=production.xml

What follows `--` goes to the run of pytest. What that leaves out is missing from the sealed plan, and holds.

\b
Exit codes: 0 PROMOTE; 1 REJECT; 10 DRIFT; 11 HOLD, something is not shown; 12 the environment, the deploy tool or the
remote of the ledger is out of reach; 4 a mistake; 13 another promotion or deployment is under way; 130 interrupted.
"""

app = typer.Typer()

_HOLD = 11


@app.command("promote", help=HELP)
def promote_release(
    context: typer.Context,
    env: EnvironmentName,
    release: ReleaseId,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Print the steps and their commands; change nothing. Fails where it would not begin."
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the promotion that did not end.")] = False,
    only: Annotated[
        Literal["run", "evidence"] | None,
        typer.Option("--only", help="One part: `run` needs no signing key, `evidence` runs no tests."),
    ] = None,
    confirmed: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Promote, show how it ended, and what to do next."""
    promotion = Promotion.here()
    extra = tuple(context.obj or ())
    planned = plan_promotion(promotion, env, promotion.release(release), extra, signing=only != "run")
    changed = changed_files(planned)
    if plan:
        raise typer.Exit(_show_plan(planned, changed, as_json=as_json))
    if planned.pre_deploy.exit_code or changed:
        raise typer.Exit(_refused(planned, changed, as_json=as_json))
    confirm_production(env, f"Promote bundle {planned.release.short} to {env}", confirmed)
    ending = _carried_out(planned, resume=resume, only=only, as_json=as_json)
    with reader_may_leave(sys.stdout):
        _show_ending(planned, ending, only=only, as_json=as_json)
    raise typer.Exit(ending.exit_code)


def _carried_out(plan: Plan, *, resume: bool, only: Part | None, as_json: bool) -> Ending:
    def say(step: str, text: str) -> None:
        with reader_may_leave(sys.stderr):
            typer.echo(f"{plan.name} {plan.release.short} | {step}: {text}", err=True)

    # Between two steps as well, a signal gives the lock back, and leaves a journal to go on from.
    promote = Promote(plan, say, output=sys.stderr.fileno() if as_json else None, part=only)
    try:
        with like_interrupts():
            return promote.go(resume=resume)
    except (Interrupted, KeyboardInterrupt):
        typer.echo(f"\nInterrupted. To go on: {_again(plan)} --resume", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except DeployLocked:
        if not resume and any(mark.release == plan.release.id for mark in promote.journal.unfinished()):
            typer.echo(f"If that was this promotion, and it was killed here: {_again(plan)} --resume", err=True)
        raise


def _show_plan(plan: Plan, changed: tuple[str, ...], *, as_json: bool) -> int:
    """Show what would be done; return the exit code of what would refuse it."""
    code, reason, advice = _refusal(plan, changed)
    if as_json:
        notes = {"dry_run": True, "good": not code, "notes": [*changed, *plan.pre_deploy.reasons]}
        _echo_ending(plan, plan.pre_deploy, code, reason, advice, **notes)
        return code
    rootdir = plan.promotion.rootdir
    signed = "signed" if plan.signers else "not signed; nothing asks for it"
    images = {part.service: part.image for part in plan.release.components}
    named = " ".join(f"--image {service}={images[service]}" for service in plan.services)
    typer.echo(f"{plan.name}, bundle {plan.release.short}:")
    for number, line in enumerate(
        (
            f"ask whether it may come here: gaia gate {plan.name} --bundle {plan.release.short} --edge",
            "take the lock of the environment, and keep it until the end",
            f"seal what the run owes: {shown(plan.commands.seal, rootdir)}",
            f"{'deploy, wait' if plan.deploys else 'observe what runs'}, and test: {shown(plan.commands.run, rootdir)}",
            "observe what runs after the last test",
            f"write deployment, run and decision into the ledger ({plan.promotion.ledger.store.name}), {signed}",
        ),
        1,
    ):
        typer.echo(f"  {number}. {line}")
    if plan.deploys:
        typer.echo(f"The deploy tool's own commands: gaia deploy {plan.name} {named} --dry-run")
    for reason in (*changed, *plan.pre_deploy.reasons):
        typer.echo(f"It would not begin: {reason}")
    typer.echo("Nothing was changed.")
    return code


def _refusal(plan: Plan, changed: tuple[str, ...]) -> tuple[int, str, str]:
    """Return the exit code of what would not let it begin, why, and what to do; (0, '', '') where nothing does."""
    code = plan.pre_deploy.exit_code or (_HOLD if changed else 0)
    if changed:
        reason = f"these files are not those of the bundle's commit: {listed(changed)}"
        return (
            code,
            reason,
            f"git switch --detach {plan.release.commit[:12]}, or commit them and make a bundle: gaia bundle create",
        )
    advice = _first_next(plan.pre_deploy) or f"gaia gate {plan.name} --bundle {plan.release.short} --edge"
    return (code, "the gate does not let it in", advice) if code else (0, "", _again(plan))


def _refused(plan: Plan, changed: tuple[str, ...], *, as_json: bool) -> int:
    """Show why it does not begin; return the exit code."""
    code, reason, advice = _refusal(plan, changed)
    if as_json:
        _echo_ending(plan, plan.pre_deploy, code, reason, advice)
        return code
    show_gate(plan.pre_deploy)
    typer.echo(f"{reason}. Nothing was done.")
    _show_head(plan)
    typer.echo(f"next: {advice}")
    return code


def _show_ending(plan: Plan, ending: Ending, *, only: Part | None, as_json: bool) -> None:
    advice = f"{_again(plan)} --only evidence" if only == "run" else _advice(plan, ending)
    if as_json:
        _echo_ending(plan, ending.gate, ending.exit_code, ending.reason, advice)
        return
    if ending.gate is not None:
        show_gate(ending.gate)
    if ending.reason:
        typer.echo(f"{ending.reason}.")
    _show_head(plan)
    typer.echo(f"next: {advice}")
    if only == "run":
        return
    # People sign the way into the next stage, and look at the page of that.
    target = (_after(plan) if ending.exit_code == 0 else None) or plan.name
    typer.echo(f"page: gaia signoff report --bundle {plan.release.short} --env {target}")


def _echo_ending(plan: Plan, gate: Gate | None, code: int, reason: str, advice: str, **more: object) -> None:
    decision = gate_json(gate) if gate else {"environment": plan.name, "bundle": plan.release.id, "verdict": "HOLD"}
    end = {"exit_code": code, "why": reason, "next": advice, "ledger_head": plan.promotion.ledger.head}
    echo_json(decision | end | more)


def _show_head(plan: Plan) -> None:
    typer.echo(f"ledger head: {plan.promotion.ledger.head or 'none'}")


def _advice(plan: Plan, ending: Ending) -> str:
    """Return what to do after it has ended."""
    if ending.exit_code == 0:
        after = _after(plan)
        return f"gaia gate {after} --bundle {plan.release.short} --edge" if after else "gaia status"
    return (_first_next(ending.gate) if ending.gate else "") or _again(plan)


def _after(plan: Plan) -> str | None:
    """Return the environment that the bundle goes to next."""
    return next((name for name, stage in plan.promotion.stages.items() if stage.previous == plan.name), None)


def _first_next(gate: Gate) -> str:
    return next((check.finding.next for check in gate.checks if not check.good and check.finding.next), "")


def _again(plan: Plan) -> str:
    return f"gaia promote {plan.name} --bundle {plan.release.short}"
