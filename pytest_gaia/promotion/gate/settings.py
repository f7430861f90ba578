"""Settings that decide what a release is tested with, and those that became wider since the last promotion. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from pytest_gaia.config.addresses import matches
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.config.schema import set_values
from pytest_gaia.config.stages import Freeze, Stage
from pytest_gaia.config.tolerance import PRODUCTION
from pytest_gaia.promotion.gate.check import Finding, passed
from pytest_gaia.promotion.gate.situation import Evidence, Situation
from pytest_gaia.promotion.ledger.keys import TrustedKey
from pytest_gaia.promotion.ledger.statements import SHORT, RunPredicate
from pytest_gaia.wording import counted

SETTINGS = "settings-kept"
"""ID of the check"""
Values: TypeAlias = Mapping[str, Any]
"""setting → its resolved value as JSON; without defaults left out, and without secrets"""
_Rule: TypeAlias = Callable[[Any, Any], Iterator[str]]
"""yields how the second value is wider than the first one"""

_at = datetime.fromisoformat
_NAMED = 5
"""most settings that a reason lists"""
_OWN = ("writes", "direct", "experimental", "core_only", "loopback", "suites", "hosts")
"""settings of an environment that are compared as they are"""
_ELSEWHERE = frozenset({"services", "required"})
"""settings that the check ``services-kept`` compares"""
_TRYING = ("local", "dev")
"""roles of environments where no signature is required, so that a new key is only shown"""
_AT_FIRST: Values = {"writes": False, "direct": "refuse"}
"""settings of production that count as promoted before its first promotion"""


@dataclass(frozen=True, slots=True)
class Widened:
    """One setting with which more is allowed, or less is tested or required, than before."""

    setting: str
    """dotted key below ``[env.NAME]``, or ``safe``, ``unsafe``, ``keys``, ``gaia.suites`` or ``ledger`` of the project"""
    change: str
    """such as ``was false, is true``"""

    def __str__(self) -> str:
        return f"{self.setting}: {self.change}"

    @property
    def of_project(self) -> bool:
        """Whether it is the same for all environments."""
        return self.setting in _OF_PROJECT


def settings_of(project: Project, name: str, keys: Iterable[TrustedKey]) -> dict[str, Any]:
    """Return the resolved settings in the files of ``project`` for the environment ``name``, with the trusted ``keys``."""
    table, stages = set_values(project.stated(name)), project.stages
    stage, tolerance, platform = stages[name], project.tolerances[name], project.platform
    defaults = {each.name: each.default for each in fields(Environment)}
    defaults |= {"hosts": (), "direct": "warn" if table.get("writes") else "refuse"}
    suites = project.file.gaia.suites if project.file else ()
    left_out = table.get("without", platform.without)
    return {
        **{key: _plain(table.get(key, defaults[key])) for key in _OWN},
        "services": _plain(table.get("services", tuple(each for each in platform if each not in left_out))),
        "required": _plain(table.get("required")),
        **{f"tolerance.{each.name}": getattr(tolerance, each.name) for each in fields(tolerance)},
        **_of_stage(stage, [*_way_back(name, stages)]),
        "slo": {
            f"{slo.route} p{slo.percentile:g}": {"fail_ms": float(slo.fail_ms), "min_samples": slo.min_samples}
            for slo in stage.slos
        },
        "safe": _operations(project, "safe"),
        "unsafe": _operations(project, "unsafe"),
        "gaia.suites": sorted(suites) if isinstance(suites, tuple) else [],
        "ledger": {each.name: getattr(project.ledger, each.name) for each in fields(project.ledger)},
        "keys": {key.keyid: _key(key) for key in keys},
    }


def _of_stage(stage: Stage, way: list[str]) -> dict[str, Any]:
    return {
        "stage.promote_from": way,
        "stage.suites": _plain(stage.suites),
        "stage.services": _plain(stage.services),
        "stage.soak": int(stage.soak.total_seconds()),
        "stage.max_evidence_age": int(stage.evidence_age.total_seconds()),
        "stage.required_approvals": _plain(stage.sign),
        "stage.require_signed": stage.require_signed,
        "stage.freeze": {each.until.isoformat(): each.begins.isoformat() for each in stage.freezes},
    }


def _way_back(name: str, stages: Mapping[str, Stage]) -> Iterator[str]:
    """Yield the stages before ``name``, nearest first. Cycles are usage errors."""
    while (previous := stages[name].previous) in stages:
        assert previous is not None
        yield previous
        name = previous


def _operations(project: Project, key: str) -> dict[str, list[str]]:
    found = {name: getattr(service, key) for name, service in project.platform.services.items()}
    return {name: sorted(f"{each.method} {each.path}" for each in named) for name, named in found.items() if named}


def _key(key: TrustedKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "roles": sorted(key.roles),
        "identities": sorted(each.lower() for each in key.identities),
        "not_before": key.not_before.isoformat() if key.not_before else None,
        "not_after": key.not_after.isoformat() if key.not_after else None,
        "former_roles": {role: until.isoformat() for role, until in key.former_roles},
    }


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, tuple) else value


def wider(before: Values, after: Values, now: datetime) -> list[Widened]:
    """Return the settings of ``after`` that are wider than ``before``; settings that ``before`` lacks are not compared.

    ``now``: a freeze that has ended may be removed.
    """
    both = [key for key in _RULES if key in before and key in after]
    found = [Widened(key, text) for key in both for text in _RULES[key](before[key], after[key])]
    return found + [Widened("stage.freeze", text) for text in _fewer_freezes(before, after, now)]


def _flag(*, wide: bool) -> _Rule:
    def rule(before: Any, after: Any) -> Iterator[str]:
        if after is wide is not before:
            yield f"was {_shown(before)}, is {_shown(after)}"

    return rule


def _ranked(*order: str) -> _Rule:
    """Return a rule for words, narrowest first."""

    def rule(before: Any, after: Any) -> Iterator[str]:
        known = before in order and after in order
        if before != after and not (known and order.index(after) < order.index(before)):
            yield f"was {before}, is {after}"

    return rule


def _number(*, more: bool, unit: Callable[[Any], str] = str) -> _Rule:
    """Return a rule for numbers; ``more``: whether a larger number is wider, or else a smaller one. None is no limit."""

    def rule(before: Any, after: Any) -> Iterator[str]:
        if before is not None and (after is None or (after > before if more else after < before)):
            yield f"was {unit(before)}, is {'not limited' if after is None else unit(after)}"

    return rule


def _span(seconds: int) -> str:
    sizes = {"d": 86400, "h": 3600, "m": 60}
    return next(
        (f"{seconds // size}{unit}" for unit, size in sizes.items() if seconds and not seconds % size), f"{seconds}s"
    )


def _fewer(*, everything: bool) -> _Rule:
    """Return a rule for names of what is tested or required; ``everything``: whether None means all, or else nothing."""

    def rule(before: Any, after: Any) -> Iterator[str]:
        if before is None and everything and after is not None:
            yield f"was all, is {_shown(after)}"
        elif before is not None and after is None and not everything:
            yield f"was {_shown(before)}, is not set"
        elif before is not None and after is not None:
            yield from (f"{name} was removed" for name in before if name not in after)

    return rule


def _hosts(before: Any, after: Any) -> Iterator[str]:
    """Yield hosts that other environments may use now, and those at which this one may be tested now."""
    for verb, these, those in (("removed", before, after), ("added", after, before)):
        yield from (f"{host} was {verb}" for host in these if not (host in those or matches(host, those)))


def _operation(how: str) -> _Rule:
    def rule(before: Any, after: Any) -> Iterator[str]:
        old, new = (before, after) if how == "added" else (after, before)
        for service, operations in new.items():
            yield from (f"{each} of {service} was {how}" for each in operations if each not in old.get(service, ()))

    return rule


def _objectives(before: Any, after: Any) -> Iterator[str]:
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"{name} was removed"
            continue
        yield from (
            f"{name}: {text}" for text in _number(more=True, unit="{:g} ms".format)(old["fail_ms"], new["fail_ms"])
        )
        yield from (
            f"{name}: min_samples {text}" for text in _number(more=False)(old["min_samples"], new["min_samples"])
        )


def _keys(before: Any, after: Any) -> Iterator[str]:
    for keyid, new in after.items():
        old = before.get(keyid)
        if old is None:
            yield f"{new['name']} ({', '.join(new['roles'])}) was added"
            continue
        yield from (f"{new['name']} has the new role {role}" for role in new["roles"] if role not in old["roles"])
        if new["identities"] != old["identities"]:
            was, now = (", ".join(each["identities"]) or "none" for each in (old, new))
            yield f"the identities of {new['name']} were {was}, are {now}"
        if _outlives(new, old):
            yield f"{new['name']} is valid for longer"
        longer = (role for role, until in new["former_roles"].items() if until > old["former_roles"].get(role, ""))
        yield from (f"{new['name']} had the role {role} for longer" for role in longer if role not in old["roles"])


def _outlives(new: Any, old: Any) -> bool:
    """Whether the validity of a key begins earlier or ends later; None is no limit."""
    later = old["not_after"] and not (new["not_after"] and _at(new["not_after"]) <= _at(old["not_after"]))
    earlier = old["not_before"] and not (new["not_before"] and _at(new["not_before"]) >= _at(old["not_before"]))
    return bool(later or earlier)


def _other(before: Any, after: Any) -> Iterator[str]:
    for key, old in before.items():
        if key in after and after[key] != old:
            yield f"{key} was {old or 'not set'}, is {after[key] or 'not set'}"


def _fewer_freezes(before: Values, after: Values, now: datetime) -> Iterator[str]:
    freezes = after.get("stage.freeze", {})
    for until, begins in before.get("stage.freeze", {}).items():
        covered = any(_at(begins) >= _at(each) and _at(until) <= _at(end) for end, each in freezes.items())
        if _at(until) > now and not covered:
            yield f"the freeze until {until} was removed or shortened"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)


_RULES: Mapping[str, _Rule] = {
    "writes": _flag(wide=True),
    "direct": _ranked("refuse", "warn", "allow"),
    "safe": _operation("added"),
    "unsafe": _operation("removed"),
    "hosts": _hosts,
    "loopback": _flag(wide=True),
    "core_only": _flag(wide=True),
    "experimental": _flag(wide=False),
    "suites": _fewer(everything=True),
    "gaia.suites": _fewer(everything=False),
    "services": _fewer(everything=True),
    "required": _fewer(everything=False),
    "tolerance.kind": _ranked("strict", "known-failures", "advisory"),
    "tolerance.budget": _number(more=True),
    "tolerance.min_tests": _number(more=False),
    "tolerance.max_expectation_age_days": _number(more=True),
    "tolerance.xfail": _ranked("fail", "expected"),
    "tolerance.skip": _ranked("fail", "expected", "allowed"),
    "tolerance.baseline": _ranked("required", "optional"),
    "stage.promote_from": _fewer(everything=False),
    "stage.suites": _fewer(everything=False),
    "stage.services": _fewer(everything=True),
    "stage.soak": _number(more=False, unit=_span),
    "stage.max_evidence_age": _number(more=True, unit=_span),
    "stage.required_approvals": _fewer(everything=False),
    "stage.require_signed": _flag(wide=False),
    "slo": _objectives,
    "ledger": _other,
    "keys": _keys,
}
"""setting → when it is wider"""
_OF_PROJECT = frozenset({"safe", "unsafe", "gaia.suites", "ledger", "keys"})


def promoted_settings(situation: Situation) -> tuple[Values, Evidence[RunPredicate] | None]:
    """Return the settings of the last promoted run, and the run; nothing for runs of earlier versions."""
    found = situation.last_promoted(situation.environment)
    run = next((each for each in found if isinstance(each.says, RunPredicate)), None)
    if run is not None:
        return run.says.details.settings, run
    # Where production runs on this machine, it is not the real one.
    is_real = situation.declared.role == PRODUCTION and not situation.declared.settings.get("loopback")
    return (_AT_FIRST if is_real else {}), None


def settings_kept(situation: Situation) -> Finding:
    """No setting is wider than in the last promoted run of the environment."""
    before, run = promoted_settings(situation)
    after, evidence = situation.declared.settings, () if run is None else (run.sha256,)
    found = [each for each in wider(before, after, situation.now) if each.setting not in _ELSEWHERE]
    if after.get("writes"):
        found = [each for each in found if each.setting not in ("safe", "unsafe")]
    if not found:
        since = (
            f"no setting became wider since release {run.says.release[:SHORT]}"
            if run
            else "nothing was promoted before"
        )
        return passed(since if before or not run else "the last promoted run has no settings", *([run] if run else []))
    names = tuple(map(str, found))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    since = f"since release {run.says.release[:SHORT]}" if run else "than the defaults of production"
    reason = f"{counted(len(names), 'setting')} wider {since}: {'; '.join(names[:_NAMED])}{more}"
    if situation.declared.role in _TRYING and all(each.setting == "keys" for each in found):
        return Finding("passed", reason, evidence, names=names)
    return Finding("pending", reason, evidence, situation.waiver(SETTINGS, "7d"), names)


def in_force(situation: Situation) -> Situation:
    """Return ``situation`` with the promoted values of its stage, where those of the files are wider."""
    before, _ = promoted_settings(situation)
    widened = {each.setting for each in wider(before, situation.declared.settings, situation.now)}
    stage, changes = situation.stage, dict[str, Any]()
    for key, name, value in (
        ("stage.promote_from", "previous", lambda old: old[0] if old else None),
        ("stage.suites", "suites", lambda old: tuple(sorted({*old, *(stage.suites or ())}))),
        (
            "stage.services",
            "services",
            lambda old: None if old is None else tuple(sorted({*old, *(stage.services or ())})),
        ),
        ("stage.soak", "soak", lambda old: timedelta(seconds=old)),
        ("stage.max_evidence_age", "evidence_age", lambda old: timedelta(seconds=old)),
        ("stage.required_approvals", "sign", lambda old: tuple(dict.fromkeys((*old, *stage.sign)))),
        ("stage.require_signed", "require_signed", bool),
        ("stage.freeze", "freezes", lambda old: (*stage.freezes, *_freezes(old))),
    ):
        if key in widened:
            changes[name] = value(before[key])
    return replace(situation, stage=replace(stage, **changes)) if changes else situation


def _freezes(before: Mapping[str, str]) -> Sequence[Freeze]:
    return [Freeze(_at(begins), _at(until), "freeze of the last promoted settings") for until, begins in before.items()]


def trusted_before(situation: Situation, keys: Iterable[TrustedKey], role: str) -> bool:
    """Whether one of ``keys`` had ``role`` in the promoted settings, for a person who is no author of the release.

    A new key could otherwise sign the waiver of its own addition. Without earlier keys, every key counts.
    """
    before, _ = promoted_settings(situation)
    known = before.get("keys")
    if not known:
        return True
    authors = {each.lower() for each in situation.release.authors}
    old = (known.get(key.keyid) for key in keys)
    return any(each and role in each["roles"] and not authors & set(each["identities"]) for each in old)
