"""``gaia promote``: deploy and test a release in an environment, with evidence of every step."""

import sys
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal

import typer

from pytest_gaia.cli.options import INTERRUPTED, AsJson, Confirm, EnvironmentName, confirm_production, format_duration
from pytest_gaia.cli.output import echo_json, reader_may_leave
from pytest_gaia.cli.release.checks import ReleaseId, gate_json, show_gate
from pytest_gaia.errors import ConfigError, DeployLocked
from pytest_gaia.promotion.gate.gate import Gate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.child import Interrupted, Part, shown
from pytest_gaia.promotion.promote.plan import Plan, changed_files, plan_promotion
from pytest_gaia.promotion.promote.steps import STEPS, STEPS_OF_PLAN, Ending, Promote
from pytest_gaia.system.signals import like_interrupts
from pytest_gaia.verdict.evidence import Shard
from pytest_gaia.wording import listed

HELP = """\
Deploy and test a release, and record the decision.

\b
Examples:
  gaia promote staging 3f9a1c
  gaia promote staging 3f9a1c --dry-run     print the steps, change nothing
  gaia promote staging 3f9a1c --resume      continue after an interruption
  gaia promote production 3f9a1c --confirm production -- -n 4

The command evaluates the pre-deploy checks, takes the lock of the environment, saves the test plan, deploys, runs the
tests, writes the evidence to the ledger, and evaluates all checks. Arguments after `--` go to pytest; a planned test that
they exclude makes the decision HOLD.

To keep the signing key out of the job that runs tests, split the promotion: `--only run` deploys and tests without the
key; `--only evidence` signs and decides, and runs no tests.

\b
To run the tests on several machines:
  gaia promote staging 3f9a1c --only plan --shards 3    plan and deploy
  gaia promote staging 3f9a1c --only run --shard 2/3    each, with a key
  gaia promote staging 3f9a1c --only evidence           merge and decide

\b
Exit codes: 0 PROMOTE; 1 REJECT; 10 DRIFT; 11 HOLD; 12 environment, deploy
tool or remote of the ledger unreachable; 4 usage error; 13 another
promotion or deployment is in progress; 130 interrupted
"""

app = typer.Typer()

_HOLD = 11


@app.command("promote", help=HELP)
def promote_release(
    context: typer.Context,
    env: EnvironmentName,
    release: ReleaseId,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the steps and their commands; change nothing")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted promotion")] = False,
    only: Annotated[
        Literal["plan", "run", "evidence"] | None,
        typer.Option("--only", help="Only one part of the promotion"),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            "--shards", metavar="N", help="With --only plan: split the tests into N shards", show_default=False
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="K/N", help="With --only run: run one of the shards", show_default=False),
    ] = None,
    durations: Annotated[
        Path | None,
        typer.Option(
            "--durations",
            metavar="RESULTS",
            help="With --shards: balance them by this results log",
            show_default=False,
        ),
    ] = None,
    confirmed: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Promote, print the decision, and what to do next."""
    extra = tuple(context.obj or ())
    part = _part(only, shards, shard, durations, resume=resume, extra=bool(extra))
    promotion = Promotion.here()
    planned = plan_promotion(promotion, env, promotion.release(release), extra, part)
    changed = changed_files(planned)
    if dry_run:
        raise typer.Exit(_show_plan(planned, changed, as_json=as_json))
    if planned.pre_deploy.exit_code or changed:
        raise typer.Exit(_refused(planned, changed, as_json=as_json))
    confirm_production(env, promotion.project.role(env), f"Promote release {planned.release.short} to {env}", confirmed)
    ending = _carried_out(planned, resume=resume, as_json=as_json)
    with reader_may_leave(sys.stdout):
        _show_ending(planned, ending, as_json=as_json)
    raise typer.Exit(ending.exit_code)


def _part(
    only: Literal["plan", "run", "evidence"] | None,
    shards: int | None,
    shard: str | None,
    durations: Path | None,
    *,
    resume: bool,
    extra: bool,
) -> Part:
    """Return the part of the promotion that the options ask for. Raises ``ConfigError`` if they contradict each other."""
    for message, is_so in (
        ("--only plan needs the number of shards: --shards N.", only == "plan" and shards is None),
        (
            "--shards needs --only plan. To run one of the shards, use --only run --shard K/N.",
            shards is not None and only != "plan",
        ),
        ("--shard needs --only run.", shard is not None and only != "run"),
        ("--durations balances shards; give it with --only plan --shards N.", durations is not None and shards is None),
        (
            "--resume cannot be combined with --shards or --shard. Run the same command again without it.",
            resume and (shards is not None or shard is not None),
        ),
        (
            "arguments after `--` go to the run of a shard; give them with --only run --shard K/N.",
            extra and shards is not None,
        ),
    ):
        if is_so:
            raise ConfigError(message)
    if durations is not None and not durations.is_file():
        raise ConfigError(f"--durations={durations}: there is no such file.")
    # Both have the same limits.
    chosen = _shard(shard, "--shard") if shard is not None else None
    if shards is not None:
        _shard(f"1/{shards}", "--shards")
    return Part(only, shards or 0, chosen, durations)


def _shard(text: str, option: str) -> Shard:
    try:
        return Shard.parse(text)
    except ConfigError as error:
        raise ConfigError(str(error).replace("--gaia-shard", option)) from None


def _carried_out(plan: Plan, *, resume: bool, as_json: bool) -> Ending:
    started = monotonic()
    steps: tuple[str, ...] = {"plan": STEPS_OF_PLAN, "run": STEPS[:3]}.get(plan.part.only or "", STEPS)
    if plan.part.shard is not None:
        steps = ()
    again = _same_part(plan) if plan.part.shards or plan.part.shard else f"{_again(plan)} --resume"

    def say(step: str, text: str) -> None:
        number = f"[{steps.index(step) + 1}/{len(steps)}] " if step in steps else ""
        elapsed = format_duration(monotonic() - started)
        with reader_may_leave(sys.stderr):
            typer.echo(f"{plan.name} {plan.release.short} | {number}{step}: {text} (after {elapsed})", err=True)

    # A signal between two steps also releases the lock, and leaves a journal that --resume continues.
    promote = Promote(plan, say, output=sys.stderr.fileno() if as_json else None)
    try:
        with like_interrupts():
            return promote.go(resume=resume)
    except (Interrupted, KeyboardInterrupt):
        typer.echo(f"\nInterrupted. To continue, run: {again}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except DeployLocked:
        if (
            not resume
            and plan.part.shard is None
            and any(mark.release == plan.release.id for mark in promote.journal.unfinished())
        ):
            typer.echo(f"To continue your own promotion that was killed here, run: {_again(plan)} --resume", err=True)
        raise


def _show_plan(plan: Plan, changed: tuple[str, ...], *, as_json: bool) -> int:
    """Print the steps; return the exit code of the first obstacle."""
    code, reason, advice = _refusal(plan, changed)
    if as_json:
        notes = {"dry_run": True, "good": not code, "notes": [*changed, *plan.pre_deploy.reasons]}
        _echo_ending(plan, plan.pre_deploy, code, reason, advice, **notes)
        return code
    rootdir = plan.promotion.rootdir
    signed = "signed" if plan.signers else "unsigned, because no stage requires signatures"
    images = {part.service: part.image for part in plan.release.components}
    named = " ".join(f"--image {service}={images[service]}" for service in plan.services)
    typer.echo(f"Promotion of release {plan.release.short} to {plan.name}:")
    part = plan.part
    checks = f"evaluate the pre-deploy checks: {_check(plan, plan.name)}"
    lock = "take the lock of the environment until the end"
    seal = f"save the test plan: {shown(plan.commands.seal, rootdir)}"
    run = shown(plan.commands.run, rootdir)
    lines = [
        checks,
        lock,
        seal,
        f"{'deploy and test' if plan.deploys else 'observe and test'}: {run}",
        "observe what runs after the last test",
        f"write deployment, run and decision to the ledger ({plan.promotion.ledger.store.name}), {signed}",
    ]
    if part.shards:
        lines = [checks, lock, seal, f"deploy {', '.join(plan.services)}" if plan.deploys else "observe what runs"]
    elif part.shard:
        lines = [checks, f"test shard {part.shard}: {run}", f"write a statement about its results, {signed}"]
    for number, line in enumerate(lines, 1):
        typer.echo(f"  {number}. {line}")
    if plan.deploys and not part.shard:
        typer.echo(f"To see the commands of the deploy tool, run: gaia deploy {plan.name} {named} --dry-run")
    for reason in (*changed, *plan.pre_deploy.reasons):
        typer.echo(f"Blocked: {reason}")
    typer.echo("Nothing was changed.")
    return code


def _refusal(plan: Plan, changed: tuple[str, ...]) -> tuple[int, str, str]:
    """Return the exit code of the first obstacle, the reason, and what to do; code 0 if nothing blocks it."""
    code = plan.pre_deploy.exit_code or (_HOLD if changed else 0)
    if changed:
        reason = f"these files differ from the commit of the release: {listed(changed)}"
        return (
            code,
            reason,
            f"git switch --detach {plan.release.commit[:12]}, or commit them and create a release: gaia release create",
        )
    advice = _first_next(plan.pre_deploy) or _check(plan, plan.name)
    return (code, "a pre-deploy check did not pass", advice) if code else (0, "", _again(plan))


def _refused(plan: Plan, changed: tuple[str, ...], *, as_json: bool) -> int:
    """Print what blocks the promotion; return the exit code."""
    code, reason, advice = _refusal(plan, changed)
    if as_json:
        _echo_ending(plan, plan.pre_deploy, code, reason, advice)
        return code
    show_gate(plan.pre_deploy)
    typer.echo(f"{reason}. Nothing was deployed.")
    _show_head(plan)
    typer.echo(f"next: {advice}")
    return code


def _show_ending(plan: Plan, ending: Ending, *, as_json: bool) -> None:
    only, count = plan.part.only, plan.part.shards
    advice = _advice(plan, ending)
    if only == "run" and ending.gate is None:
        advice = f"{_again(plan)} --only evidence" + (" (after all shards)" if plan.part.shard else "")
    elif only == "plan" and ending.gate is None:
        shards = f"{_again(plan)} --only run --shard 1/{count}" + (f" (to {count}/{count})" if count > 1 else "")
        advice = f"{_again(plan)} --only evidence" if ending.exit_code else shards
    if as_json:
        _echo_ending(plan, ending.gate, ending.exit_code, ending.reason, advice)
        return
    if ending.gate is not None:
        show_gate(ending.gate)
    if ending.reason:
        typer.echo(f"{ending.reason}.")
    _show_head(plan)
    typer.echo(f"next: {advice}")
    if only in ("plan", "run"):
        return
    # Approvals are for the next stage, and so is its report.
    target = (_after(plan) if ending.exit_code == 0 else None) or plan.name
    typer.echo(f"report: gaia release report {plan.release.short} -e {target}")


def _echo_ending(plan: Plan, gate: Gate | None, code: int, reason: str, advice: str, **more: object) -> None:
    decision = gate_json(gate) if gate else {"environment": plan.name, "release": plan.release.id, "verdict": "HOLD"}
    end = {"exit_code": code, "reason": reason, "next": advice, "ledger_head": plan.promotion.ledger.head}
    echo_json(decision | end | more)


def _show_head(plan: Plan) -> None:
    typer.echo(f"ledger head: {plan.promotion.ledger.head or 'none'}")


def _advice(plan: Plan, ending: Ending) -> str:
    """Return the command to run after the promotion."""
    if ending.exit_code == 0:
        after = _after(plan)
        return _check(plan, after) if after else "gaia status"
    return (_first_next(ending.gate) if ending.gate else "") or _again(plan)


def _after(plan: Plan) -> str | None:
    """Return the next stage of the release."""
    return next((name for name, stage in plan.promotion.stages.items() if stage.previous == plan.name), None)


def _first_next(gate: Gate) -> str:
    return next((check.finding.next for check in gate.checks if not check.good and check.finding.next), "")


def _again(plan: Plan) -> str:
    return f"gaia promote {plan.name} {plan.release.short}"


def _same_part(plan: Plan) -> str:
    part = plan.part
    return f"{_again(plan)} --only {part.only} " + (
        f"--shard {part.shard}" if part.shard else f"--shards {part.shards}"
    )


def _check(plan: Plan, environment: str) -> str:
    return f"gaia release check {plan.release.short} -e {environment} --pre-deploy"
