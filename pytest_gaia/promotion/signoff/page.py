"""Build the release report of a release. The gate of the target decides.

Known secrets are masked, and invisible characters are shown as escapes.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pytest_gaia import __version__
from pytest_gaia.clients.known_secrets import secrets_of
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.errors import ConfigError
from pytest_gaia.printable import visible
from pytest_gaia.promotion.gate.check import Check
from pytest_gaia.promotion.gate.gate import LONGEST_WAIVER, RERUN, WAIVER_ROLE, Gate, evaluate
from pytest_gaia.promotion.gate.situation import Evidence, Situation, approvers
from pytest_gaia.promotion.ledger.ledger import Entry, counted, problems_of
from pytest_gaia.promotion.ledger.statements import (
    DeploymentPredicate,
    GatePredicate,
    RunPredicate,
    SignoffPredicate,
    WaiverPredicate,
)
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.promotion.signoff import _tests as tests
from pytest_gaia.promotion.signoff._changes import changes, compared_apis, removed_operations, way_back
from pytest_gaia.promotion.signoff._context import (
    VERDICT_OPTION,
    PageContext,
    checked_address,
    given_results,
    given_verdict,
    kept_run,
    links_of,
    moment,
    plain_times,
    stages_to,
)
from pytest_gaia.promotion.signoff._environments import environments, history, images, objectives, releases
from pytest_gaia.report.signoff.page import (
    Approval,
    Fact,
    GateCheck,
    Proof,
    Signature,
    SignOffDecision,
    SignOffPage,
    Waiver,
)
from pytest_gaia.secrets.redaction import Redactor, secrets_around

_KINDS = {"registry": "from images in a registry", "local": "from images on one machine"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the user asked for."""

    environments: tuple[str, ...] = ()
    runs: tuple[Path, ...] = ()
    """verdict files of runs on other machines"""
    records: tuple[Path, ...] = ()
    allure: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The page, and further results for the command."""

    page: SignOffPage
    exit_code: int
    """the exit code of the gate"""
    problems: tuple[str, ...]
    """problems of the ledger"""


def signoff_page(promotion: Promotion, release: Release, wanted: ReportOptions, now: datetime) -> Report:
    """Return the page about ``release`` at ``now``. Nothing is run or written.

    Raises ``ConfigError`` for an empty ledger, an unknown environment, and files that do not belong to its runs.
    """
    entries = promotion.ledger.entries()
    if not entries:
        raise ConfigError(
            f"the ledger ({promotion.ledger.store.name}) has no entries. Promote a release first: "
            f"gaia promote {next(iter(promotion.stages), 'ENV')} {release.short}"
        )
    situations = stages_to(promotion, release, entries, now, wanted.environments)
    allure = checked_address(wanted.allure) if wanted.allure else ""
    links = links_of(promotion.project, _resolved(promotion))
    context = _with_files(PageContext(promotion, release, entries, now, situations, {}, allure, links), wanted)
    gates = [
        (each, evaluate(each, only="pre-deploy" if each is not context.target or _before(each) else None))
        for each in situations
    ]
    page = clean(_page(context, gates), redactor_of(promotion).text)
    return Report(page, gates[-1][1].exit_code, problems_of(entries))


def decision_of(gate: Gate, waived: Sequence[str]) -> SignOffDecision:
    """Return the decision for a release manager: GO only for a PROMOTE without any waiver on the way."""
    if gate.verdict != "PROMOTE":
        return "NO GO"
    return "GO WITH WAIVERS" if waived else "GO"


def _resolved(promotion: Promotion) -> Mapping[str, Environment | Exception]:
    return resolve_each(Options(project=promotion.project, environ=promotion.environ))


def _before(situation: Situation) -> bool:
    """Whether the release was not yet deployed to its environment."""
    return situation.newest(DeploymentPredicate) is None and situation.newest(RunPredicate) is None


def _with_files(context: PageContext, wanted: ReportOptions) -> PageContext:
    runs = {each.environment: kept_run(each, context.promotion.rootdir) for each in context.situations}
    given: set[str] = set()
    for path in wanted.runs:
        name, verdict, named = given_verdict(path, context.situations)
        if name in given:
            raise ConfigError(
                f"{VERDICT_OPTION} {path}: a second verdict file of {name}. Give one for each environment."
            )
        given.add(name)
        gap = "" if named else f"{name}: the run of the given verdict file is not in the ledger and is no evidence"
        runs[name] = replace(runs[name], verdict=verdict, gap=gap)
    for path in wanted.records:
        name, record = given_results(path, context.situations)
        runs[name] = replace(runs[name], record=record)
    return replace(context, runs=runs)


def _page(context: PageContext, gates: Sequence[tuple[Situation, Gate]]) -> SignOffPage:
    gate = gates[-1][1]
    waived = (*gate.waived, *_waived_before(context))
    ran, planned = tests.ran_of_planned(context)
    return SignOffPage(
        decision=decision_of(gate, waived),
        verdict=gate.verdict,
        question=_question(context),
        target=gate.environment,
        release=f"release {context.release.short}",
        reasons=_reasons(gate, waived),
        as_of=moment(context.now),
        version=__version__,
        head=context.entries[-1].sha256,
        facts=tuple(_facts(context)),
        waivers=_waivers(context, gates),
        environments=environments(context),
        images=images(context),
        checks=_gate_checks(gate, context.entries),
        approvals=_approvals(gates),
        known=tests.known_failures(context),
        removed=removed_operations(context),
        compared=compared_apis(context),
        unused=tests.unused_expectations(context),
        blocking=tests.blocking(context, gate),
        untested=tests.untested(context),
        changes=changes(context),
        objectives=objectives(context),
        history=history(context),
        releases=releases(context),
        way_back=way_back(context),
        signatures=_signatures(gate, context.target),
        verdicts_known=any(seen.verdict for seen in context.runs.values()),
        ran=ran,
        planned=planned,
        gaps=tuple(_gaps(context)),
    )


def _question(context: PageContext) -> str:
    name = context.target.environment
    if _before(context.target):
        return f"May this release be deployed to {name}? According to the ledger, it is not there yet."
    return f"May this release stay in {name}?"


def _reasons(gate: Gate, waived: Sequence[str]) -> tuple[str, ...]:
    if gate.verdict != "PROMOTE":
        return tuple(f"{item.title}: {plain_times(item.finding.reason)}" for item in gate.checks if not item.good)
    every = f"All {len(gate.checks)} checks of the {gate.environment} gate passed"
    if waived:
        return (f"{every}; waived here or in an earlier stage: {', '.join(waived)}.",)
    return (f"{every}, and no check was waived.",)


def _facts(context: PageContext) -> Iterator[Fact]:
    release, entries = context.release, context.entries
    yield Fact("Release", release.id, code=True)
    yield Fact("Commit", release.commit, code=True, link=context.links.commit(release.commit))
    yield Fact("Created", f"{_created(release)}, {_KINDS[release.kind]}")
    yield Fact("Authors", f"{', '.join(release.authors)} (authors may not approve)")
    yield Fact("Migration head", release.migration_head or "none", code=bool(release.migration_head))
    versions = {
        seen.verdict.deployed_version
        for seen in context.runs.values()
        if seen.verdict and seen.verdict.deployed_version
    }
    yield Fact("Reported version", ", ".join(sorted(versions)) or "not known")
    expectations = tests.expectations_of(context)
    for digest, names in expectations.items():
        yield Fact("Expectations" + (f" in {', '.join(names)}" if len(expectations) > 1 else ""), digest, code=True)
    if not expectations:
        yield Fact("Expectations", "not known: no verdict file is available")
    if settings := _settings(context):
        yield Fact("Settings (gaia.toml)", settings, code=True)
    yield Fact("Ledger head", entries[-1].sha256, code=True)
    problems = problems_of(entries)
    yield Fact("Ledger", f"{counted(entries)}; " + ("CORRUPT" if problems else "intact: the hash chain is complete"))


def _created(release: Release) -> str:
    try:
        return moment(datetime.fromisoformat(release.created))
    except ValueError:
        return release.created


def _settings(context: PageContext) -> str:
    """Return the SHA-256 of the settings that the newest gate decision used."""
    decisions = [found for each in context.situations if (found := each.newest(GatePredicate))]
    policies = decisions[-1].says.verifier.get("policies") if decisions else None
    first = policies[0] if isinstance(policies, list) and policies else {}
    digest = first.get("digest", {}) if isinstance(first, dict) else {}
    return str(digest.get("sha256", "")) if isinstance(digest, dict) else ""


def _gaps(context: PageContext) -> Iterator[str]:
    for problem in problems_of(context.entries):
        yield f"The ledger is corrupt: {problem}. Its entries are no evidence."
    yield from (f"{outside}." for each in context.situations if (outside := each.deployed_outside(each.environment)))
    for seen in context.runs.values():
        if seen.evidence is None and seen.verdict is None:
            yield f"{seen.environment}: no valid run of this release."
        if seen.gap:
            yield seen.gap


def redactor_of(promotion: Promotion) -> Redactor:
    """Return a redactor with the secrets of all environments, of the process environment and of ``.env``."""
    redactor = Redactor()
    for environment in _resolved(promotion).values():
        # The settings of other environments may be invalid; the page does not need them.
        if isinstance(environment, Environment):
            redactor.learn_all(secrets_of(environment))
    # Secrets of environments that are invalid or not configured are masked too.
    dotenv = promotion.project.dotenv
    redactor.learn_all(secrets_around({name: value for name, (value, _) in dotenv.items()}))
    redactor.learn_all(secrets_around(promotion.environ))
    return redactor


def clean(value: T, text: Callable[[str], str]) -> T:
    """Return ``value``, a dataclass of texts, numbers and tuples, with ``text`` applied to every text in it."""
    return _cleaned(value, lambda each: visible(text(each)))  # type: ignore[return-value]  # a dataclass is replaced by one of its own type


def _cleaned(value: object, text: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(each, text) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {field.name: _cleaned(getattr(value, field.name), text) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **found)
    return value


def _gate_checks(gate: Gate, entries: Sequence[Entry]) -> tuple[GateCheck, ...]:
    """Return the checks of the decision: waived ones first, then those that did not pass."""
    ordered = sorted(gate.checks, key=lambda item: (item.finding.status != "waived", item.good))
    return tuple(
        GateCheck(
            id=item.id,
            title=item.title,
            when="before deployment" if item.group == "pre-deploy" else "after deployment",
            status=item.finding.status,
            good=item.good,
            reason=plain_times(item.finding.reason),
            next="" if item.good else item.finding.next,
            proofs=tuple(_proof(entry) for entry in _found(item, entries)),
        )
        for item in ordered
    )


def _approvals(gates: Sequence[tuple[Situation, Gate]]) -> tuple[Approval, ...]:
    """Return every release check on the way, and who approved it or which key signed its evidence."""
    return tuple(
        _row(situation, item)
        for situation, gate in gates
        for item in gate.checks
        if item.in_pipeline or item.id.startswith("signed-")
    )


def _waivers(context: PageContext, gates: Sequence[tuple[Situation, Gate]]) -> tuple[Waiver, ...]:
    """Return every waiver of this release with a valid signature; those in force come first."""
    found = [
        _waiver(context, situation, gate, waiver)
        for situation, gate in gates
        for waiver in situation.evidence(WaiverPredicate)
    ]
    return tuple(sorted(found, key=lambda waiver: not waiver.in_force))


def _waived_before(context: PageContext) -> tuple[str, ...]:
    """Return the checks that were waived when the earlier gates decided: ``check (in ENVIRONMENT)``."""
    decisions = ((each.environment, each.newest(GatePredicate)) for each in context.situations[:-1])
    return tuple(
        f"{item} (in {name})" for name, decision in decisions if decision for item in decision.says.decision.waived
    )


def _signatures(gate: Gate, situation: Situation) -> tuple[Signature, ...]:
    """Return a line to sign on for each role that approves the release as a whole, with what the ledger holds."""
    return tuple(_signature(gate, situation, role) for role in situation.stage.sign or (WAIVER_ROLE,))


def _signature(gate: Gate, situation: Situation, role: str) -> Signature:
    check = next((each for each in gate.checks if each.id == f"signed-{role}" and each.good), None)
    entry = next(_found(check, situation.entries), None) if check else None
    says = entry.predicate if entry else None
    if entry is None or not isinstance(says, SignoffPredicate):
        return Signature(role)
    return Signature(role, says.signer, moment(entry.time) if entry.time else "")


def _found(item: Check, entries: Sequence[Entry]) -> Iterator[Entry]:
    by_hash = {entry.sha256: entry for entry in entries}
    return (by_hash[sha256] for sha256 in item.finding.evidence if sha256 in by_hash)


def _proof(entry: Entry) -> Proof:
    signed_by = ", ".join(key.name for key in entry.signers) or "no key"
    return Proof(entry.sequence, entry.sha256, entry.word, moment(entry.time) if entry.time else "", signed_by)


def _row(situation: Situation, item: Check) -> Approval:
    entry = next(_found(item, situation.entries), None)
    says = entry.predicate if entry else None
    who = until = ""
    if isinstance(says, SignoffPredicate | WaiverPredicate):
        who, until = f"{says.signer} ({says.role})", moment(datetime.fromisoformat(says.until))
    elif entry is not None:
        who = ", ".join(key.name for key in entry.signers) or "no key"
    return Approval(
        edge=f"{situation.stage.previous or 'new'} → {situation.environment}",
        title=item.title,
        status=item.finding.status,
        good=item.good,
        reason=plain_times(item.finding.reason),
        who=who,
        when=moment(entry.time) if entry and entry.time else "",
        until=until,
    )


def _waiver(context: PageContext, situation: Situation, gate: Gate, waiver: Evidence[WaiverPredicate]) -> Waiver:
    says = waiver.says
    until = min(datetime.fromisoformat(says.until), waiver.time + LONGEST_WAIVER)
    keys = ", ".join(key.name for key in approvers(waiver.entry, situation.release))
    state, in_force = _state(context, situation, gate, waiver, until)
    return Waiver(
        check=says.check,
        environment=situation.environment,
        owner=says.signer,
        approver=f"{keys} ({says.role})" if keys else f"no key ({says.role})",
        reason=says.reason,
        given=moment(waiver.time),
        until=moment(until),
        age_days=(context.now - waiver.time).days,
        state=state,
        in_force=in_force,
    )


def _state(
    context: PageContext, situation: Situation, gate: Gate, waiver: Evidence[WaiverPredicate], until: datetime
) -> tuple[str, bool]:
    """Return the state of the waiver today, and whether it is in force."""
    item = next((each for each in gate.checks if each.id == waiver.says.check), None)
    if item is not None and item.finding.status == "waived" and waiver.sha256 in item.finding.evidence:
        return "in force", True
    decision = situation.newest(GatePredicate)
    earlier = situation is not context.target
    if earlier and decision is not None and waiver.says.check in decision.says.decision.waived:
        return f"used by the gate on {moment(decision.time)}", True
    if waiver.says.role != WAIVER_ROLE:
        return f"invalid: only a {WAIVER_ROLE} can waive", False
    if situation.now > until:
        return "expired", False
    if item is None:
        return "no longer required", False
    if item.good:
        return "not needed: the check passed", False
    return "older than the last rejected run" if item.id == RERUN else "replaced by a later waiver", False
