"""Putting the sign-off page together. What it answers is the word of the target's gate.

No secret that this machine knows stands on it, and no character that people cannot see.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pytest_gaia import __version__
from pytest_gaia.clients.known_secrets import secrets_of
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.errors import ConfigError
from pytest_gaia.printable import visible
from pytest_gaia.promotion.gate.gate import Gate, evaluate
from pytest_gaia.promotion.gate.situation import Situation
from pytest_gaia.promotion.ledger.ledger import counted, problems_of
from pytest_gaia.promotion.ledger.statements import DeploymentPredicate, GatePredicate, RunPredicate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.promotion.signoff import _criteria as criteria
from pytest_gaia.promotion.signoff import _tests as tests
from pytest_gaia.promotion.signoff._changes import changes
from pytest_gaia.promotion.signoff._environments import environments, history, images, objectives
from pytest_gaia.promotion.signoff._look import (
    Look,
    checked_address,
    given_record,
    given_verdict,
    kept_run,
    moment,
    way_to,
)
from pytest_gaia.report.signoff.page import Answer, Fact, SignOffPage
from pytest_gaia.secrets.redaction import Redactor, secrets_around

_OF = {"registry": "in a registry", "local": "that one machine has"}


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see."""

    environments: tuple[str, ...] = ()
    runs: tuple[Path, ...] = ()
    """verdict files of runs that are not kept on this machine"""
    records: tuple[Path, ...] = ()
    allure: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The page, and what else the command that asked for it has to tell."""

    page: SignOffPage
    exit_code: int
    """the gate's"""
    problems: tuple[str, ...]
    """what is wrong with the ledger"""


def signoff_page(promotion: Promotion, release: Release, asked: Asked, now: datetime) -> Found:
    """Return the page about ``bundle`` at ``now``. Nothing is run or written; who decides is the gate of the target.

    Raises ``ConfigError`` for an empty ledger, an unknown environment, and files that are not those of its runs.
    """
    entries = promotion.ledger.entries()
    if not entries:
        raise ConfigError(
            f"the ledger ({promotion.ledger.store.name}) has no entry yet, so nothing is known of any release. Begin: "
            f"gaia promote {next(iter(promotion.stages), 'ENV')} --bundle {release.short}."
        )
    way = way_to(promotion, release, entries, now, asked.environments)
    look = _with_files(
        Look(promotion, release, entries, now, way, {}, checked_address(asked.allure) if asked.allure else ""), asked
    )
    gates = [(each, evaluate(each, only="edge" if each is not look.target or _before(each) else None)) for each in way]
    page = clean(_page(look, gates), redactor_of(promotion).text)
    return Found(page, gates[-1][1].exit_code, problems_of(entries))


def answer_of(gate: Gate, waived: Sequence[str]) -> Answer:
    """Return the gate's word as a release manager reads it: GO only for a PROMOTE on the way to which nothing was waived."""
    if gate.verdict != "PROMOTE":
        return "NO GO"
    return "GO WITH WAIVERS" if waived else "GO"


def _before(situation: Situation) -> bool:
    """Whether nothing of the bundle was deployed to its environment yet, so that the question is whether it may be."""
    return situation.newest(DeploymentPredicate) is None and situation.newest(RunPredicate) is None


def _with_files(look: Look, asked: Asked) -> Look:
    runs = {each.environment: kept_run(each, look.promotion.rootdir) for each in look.way}
    given: set[str] = set()
    for path in asked.runs:
        name, verdict, named = given_verdict(path, look.way)
        if name in given:
            raise ConfigError(f"--run {path}: a second verdict file of {name}; one run of each environment is shown.")
        given.add(name)
        gap = "" if named else f"{name}: the run of the file that was given is not in the ledger: it proves nothing"
        runs[name] = replace(runs[name], verdict=verdict, gap=gap)
    for path in asked.records:
        name, record = given_record(path, look.way)
        runs[name] = replace(runs[name], record=record)
    return replace(look, runs=runs)


def _page(look: Look, gates: Sequence[tuple[Situation, Gate]]) -> SignOffPage:
    gate = gates[-1][1]
    waived = (*gate.waived, *criteria.waived_before(look))
    ages, unsure = tests.expectation_ages(look)
    return SignOffPage(
        answer=answer_of(gate, waived),
        verdict=gate.verdict,
        question=_question(look),
        target=gate.environment,
        release=f"bundle {look.release.short}",
        reasons=_reasons(gate, waived),
        as_of=moment(look.now),
        version=__version__,
        head=look.entries[-1].sha256,
        facts=tuple(_facts(look)),
        waivers=criteria.waivers(look, gates),
        environments=environments(look),
        images=images(look),
        criteria=criteria.criteria(gate, look.entries),
        checklist=criteria.checklist(gates),
        known=tests.known_failures(look),
        idle=tests.idle_expectations(look),
        blocking=tests.blocking(look, gate),
        untested=tests.untested(look),
        changes=changes(look),
        objectives=objectives(look),
        history=history(look),
        ages=ages,
        verdicts_known=any(seen.verdict for seen in look.runs.values()),
        gaps=tuple(_gaps(look, unsure)),
    )


def _question(look: Look) -> str:
    name = look.target.environment
    if _before(look.target):
        return f"May this release be deployed to {name}? Nothing of it is there yet, as far as the ledger knows."
    return f"May this release stay in {name}?"


def _reasons(gate: Gate, waived: Sequence[str]) -> tuple[str, ...]:
    if gate.verdict != "PROMOTE":
        return tuple(f"{item.title}: {item.finding.why}" for item in gate.items if not item.good)
    every = f"The gate of {gate.environment} says PROMOTE: all of its {len(gate.items)} items hold"
    if waived:
        return (f"{every}, of which somebody let go, here or on the way: {', '.join(waived)}.",)
    return (f"{every}, and nothing was waived.",)


def _facts(look: Look) -> Iterator[Fact]:
    release, entries = look.release, look.entries
    yield Fact("Bundle", release.id, code=True)
    yield Fact("Commit", release.commit, code=True)
    yield Fact("Made", f"{_made(release)}, of images {_OF[release.kind]}")
    yield Fact("Written by", f"{', '.join(release.authors)} (who cannot approve it)")
    yield Fact("Migration head", release.migration_head or "none", code=bool(release.migration_head))
    versions = {
        seen.verdict.deployed_version for seen in look.runs.values() if seen.verdict and seen.verdict.deployed_version
    }
    yield Fact("Version that services tell", ", ".join(sorted(versions)) or "not known")
    expectations = tests.expectations_of(look)
    for digest, names in expectations.items():
        yield Fact("Policy (rules)" + (f" in {', '.join(names)}" if len(expectations) > 1 else ""), digest, code=True)
    if not expectations:
        yield Fact("Policy (rules)", "not known: no verdict file is here")
    if settings := _settings(look):
        yield Fact("Settings (gaia.toml)", settings, code=True)
    yield Fact("Ledger head", entries[-1].sha256, code=True)
    problems = problems_of(entries)
    yield Fact(
        "Ledger", f"{counted(entries)}; " + ("NOT whole" if problems else "whole: each follows the one before it")
    )


def _made(release: Release) -> str:
    try:
        return moment(datetime.fromisoformat(release.created))
    except ValueError:
        return release.created


def _settings(look: Look) -> str:
    """Return the SHA-256 of the settings by which the newest gate on the way has decided."""
    decisions = [found for each in look.way if (found := each.newest(GatePredicate))]
    policies = decisions[-1].says.verifier.get("policies") if decisions else None
    first = policies[0] if isinstance(policies, list) and policies else {}
    digest = first.get("digest", {}) if isinstance(first, dict) else {}
    return str(digest.get("sha256", "")) if isinstance(digest, dict) else ""


def _gaps(look: Look, unsure: Sequence[str]) -> Iterator[str]:
    for problem in problems_of(look.entries):
        yield f"The ledger is not whole: {problem}. What rests on it cannot be relied on."
    yield from (f"{outside}." for each in look.way if (outside := each.deployed_outside(each.environment)))
    for seen in look.runs.values():
        if seen.evidence is None and seen.verdict is None:
            yield f"{seen.environment}: no run of this release there counts as evidence."
        if seen.gap:
            yield seen.gap
    yield from unsure


def redactor_of(promotion: Promotion) -> Redactor:
    """Return one that knows the secrets of all environments, and of variables and ``.env`` by their names."""
    redactor = Redactor()
    for environment in resolve_each(Options(project=promotion.project, environ=promotion.environ)).values():
        if isinstance(environment, Exception):
            # A setting of an environment that is not on the page need not be right for the page.
            continue
        redactor.learn_all(secrets_of(environment))
    # What is set for an environment that cannot be resolved, or is not configured, is a secret all the same.
    dotenv = promotion.project.dotenv
    redactor.learn_all(secrets_around({name: value for name, (value, _) in dotenv.items()}))
    redactor.learn_all(secrets_around(promotion.environ))
    return redactor


def clean(value: T, text: Callable[[str], str]) -> T:
    """Return ``value``, a dataclass of texts, numbers and tuples of such, with ``text`` applied to every text in it."""
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
