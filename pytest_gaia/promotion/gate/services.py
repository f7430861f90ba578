"""The checks of what a release drops: a service, something in a description, operations of an API, or tests."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, replace
from typing import Any

import msgspec

from pytest_gaia.config.platform import Platform, Service, plain
from pytest_gaia.expectations.apis import FETCHED, Api, Apis, Baseline, removed_without_tests
from pytest_gaia.promotion.gate import _proofs as proofs
from pytest_gaia.promotion.gate.check import Finding, Status, passed, pending
from pytest_gaia.promotion.gate.situation import Declared, Evidence, Situation
from pytest_gaia.promotion.ledger.statements import SHORT, DeploymentPredicate, RunDetails, RunPredicate
from pytest_gaia.wording import counted

_IRRELEVANT = ("name", "url", "variable", "timeouts", "sandbox", "place", "max_in_flight")
"""keys of a service that do not decide what is tested, and how: where it is, and how a sandbox runs it"""
_IN_SETTINGS = ("safe", "unsafe")
"""keys of a service that the check ``settings-kept`` compares, by their values"""
_DIGITS = 12
_NAMED = 3
"""most operations or tests that a reason lists"""
_TRYING = ("local", "dev")
"""roles of environments in which descriptions and tests change every day: a change is only reported there"""


def kept_tests(situation: Situation, planned: Collection[str] | None = None) -> Finding:
    """Every test that ran in the last promoted run of the environment is required, and ran in the newest run.

    ``planned`` are the tests of a plan that has not run yet. A renamed test is one that was removed and one that is new.
    """
    before = next((e for e in situation.last_promoted(situation.environment) if isinstance(e.says, RunPredicate)), None)
    if before is None or not before.says.executed:
        return passed("nothing was promoted before" if before is None else "the last promoted run lists no tests")
    run = situation.newest(RunPredicate)
    now = run.says if run is not None and planned is None else None
    if planned is None and (now is None or not now.details.plan):
        again = f"gaia promote {situation.environment} {situation.release.short}"
        return pending(f"no complete run of this release in {situation.environment}", again)
    unexecuted = now.details.unexecuted if now else {}
    known = {*now.executed, *unexecuted} if now else set(planned or ())
    gone = sorted(before.says.executed - known)
    left = sorted(node for node in before.says.executed & known if unexecuted.get(node) == "not applicable")
    new = len(known - before.says.executed - unexecuted.keys())
    release = f"release {before.says.release[:SHORT]}"
    texts = [f"{counted(len(gone), 'test')} of {release} removed: {_listed(gone)}"] if gone else []
    texts += [f"{counted(len(left), 'test')} no longer applicable: {_listed(left)}"] if left else []
    evidence = (before, run) if now and run else (before,)
    if not texts:
        return passed(f"all {counted(len(before.says.executed), 'test')} of {release} are required", *evidence)
    texts += [f"{counted(new, 'test')} new (a renamed test is a removed and a new one)"] if gone and new else []
    status: Status = "passed" if situation.declared.role in _TRYING else "pending"
    return Finding(
        status,
        "; ".join(texts),
        tuple(each.sha256 for each in evidence),
        "" if status == "passed" else situation.waiver("tests-kept", "7d"),
        (*gone, *left),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def baseline_of(situation: Situation) -> Baseline:
    """Return the operations of the last other release that passed the gate of the environment, if its run recorded any.

    With them are the operations that the run of the previous stage recorded of this release, for services with the same
    image.
    """
    environment, previous = situation.environment, situation.stage.previous
    before = next((each.says for each in situation.runs_before(environment) if each.says.details.apis), None)
    run = situation.newest(RunPredicate, previous) if previous else None
    recorded = _recorded(situation, run.says.details) if run and run.says.details.verdict == "PROMOTE" else {}
    if before is None:
        return Baseline(f"no earlier release in {environment}", {}, recorded)
    return Baseline(f"release {before.release[:SHORT]} in {environment}", before.details.apis, recorded)


def _recorded(situation: Situation, run: RunDetails) -> dict[str, Api]:
    images, source = situation.release.digests, f"release {situation.release.short} in {run.environment}"
    return {
        name: msgspec.structs.replace(api, source=source) if api.source == FETCHED else api
        for name, api in run.apis.items()
        if name in images and run.digests.get(name) == images[name]
    }


def removed_operations(situation: Situation, check: str, roles: tuple[str, ...]) -> Finding:
    """People approved every operation that the release removes: from the environment, and in the previous stage."""
    previous = situation.stage.previous or ""
    run = situation.newest(RunPredicate, previous)
    if run is None:
        return pending(
            f"no valid run of this release in {previous}", f"gaia promote {previous} {situation.release.short}"
        )
    details, baseline = run.says.details, baseline_of(situation)
    removed = {each.operation for each in details.removed}
    removed.update(removed_without_tests(Apis(details.apis, baseline), removed, situation.now.date()))
    unknown = sorted({*details.unknown_apis, *baseline.apis} - details.apis.keys())
    if not (removed or unknown):
        known = f"it offers every operation of {baseline.name}" if baseline.apis else baseline.name
        return passed(f"{known}{'' if baseline.apis else ' has a known API'}", run)
    texts = [f"the API of {name} is not known in {previous}" for name in unknown]
    if removed:
        texts.append(f"it lacks {counted(len(removed), 'operation')}: {_listed(sorted(removed))}")
    signed = proofs.signed(situation, check, roles)
    return replace(signed, reason=f"{'; '.join(texts)}; {signed.reason}")


def with_declared(run: RunDetails, declared: Declared) -> RunDetails:
    """Return the details of a run with what files declared about its environment at the time."""
    platform, services = declared.platform, declared.services or ()
    return msgspec.structs.replace(
        run,
        role=declared.role,
        platform=platform.digest,
        described=described(platform, platform.sort((*services, *run.addresses, *run.digests))),
        services=services,
        required=declared.required,
        settings=dict(declared.settings),
    )


def described(platform: Platform, services: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return service → key → beginning of the SHA-256 of its value, for keys that decide what is tested.

    Keys with their default are left out, so that a later version of this package with more keys finds the same.
    """
    return {name: _described(platform[name]) for name in services if name in platform}


def _described(service: Service) -> dict[str, str]:
    found = {}
    for key in fields(service):
        value = getattr(service, key.name)
        default = key.default_factory() if key.default_factory is not MISSING else key.default
        if key.name not in _IRRELEVANT and value != default:
            text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"))
            found[key.name] = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return found


def services_kept(situation: Situation) -> Finding:
    """Every service with evidence is still declared and described as before: in this stage, and in the previous one."""
    before = situation.last_promoted(situation.environment)
    lacking = list(_lacking(situation, before, here=True))
    changed = list(_changed(situation, before))
    lacking += _other_role(situation, before)
    if previous := situation.stage.previous:
        newest = (situation.newest(kind, previous) for kind in (RunPredicate, DeploymentPredicate))
        lower = [each for each in newest if each is not None]
        lacking += _lacking(situation, lower, here=False)
        changed += _changed(situation, lower)
        before = [*before, *lower]
    texts = list(dict.fromkeys((*lacking, *changed)))
    if lacking or (changed and situation.declared.role not in _TRYING):
        return pending("; ".join(texts), situation.waiver("services-kept", "7d"))
    if not before:
        return passed("nothing was promoted before")
    return passed("; ".join(texts) or "all services with evidence are declared, and described as before", *before)


def _lacking(situation: Situation, before: Iterable[Evidence[Any]], *, here: bool) -> Iterator[str]:
    """Yield what the evidence ``before`` covers and the project no longer tests; ``here``: in this environment."""
    declared = situation.declared
    there = declared.platform.names if declared.services is None or not here else declared.services
    for each in before:
        where = f"in {each.says.environment} by release {each.says.release[:SHORT]}"
        images, tested, expected, required = _covered(each.says)
        gone = [name for name in images if name not in declared.platform and name not in situation.release.digests]
        gone += [name for name in tested if name not in declared.platform and name not in gone]
        yield from (f"{name} is no longer declared, and ran {where}" for name in gone)
        left = [name for name in expected if name not in (*there, *gone)]
        yield from (f"{situation.environment} no longer has {name}, which was tested {where}" for name in left)
        if here:
            undeployed = [name for name in images if name not in (*situation.wanted, *gone, *left)]
            yield from (f"the release has no image of {name}, which was deployed {where}" for name in undeployed)
            if declared.services is not None:
                less = [name for name in required if name not in (*declared.required, *gone, *left)]
                yield from (f"{name} is no longer required, and was {where}" for name in less)


def _other_role(situation: Situation, before: Iterable[Evidence[Any]]) -> Iterator[str]:
    """Yield a change of the role of the environment, which decides its release checks and its tolerance."""
    now = situation.declared.role
    for each in before:
        old = each.says.details.role if isinstance(each.says, RunPredicate) else None
        if old is not None and old != now:
            yield f"the role of {situation.environment} was {old or 'none'}, and is {now or 'none'}"


def _covered(says: RunPredicate | DeploymentPredicate) -> tuple[tuple[str, ...], ...]:
    """Return the services with an image in the evidence, and those that were tested, expected and required."""
    if isinstance(says, DeploymentPredicate):
        return tuple(says.services), (), (), ()
    details = says.details
    tested = tuple(dict.fromkeys((*details.services, *details.addresses)))
    return tuple(details.digests), tested, details.services, details.required


def _changed(situation: Situation, before: Iterable[Evidence[Any]]) -> Iterator[str]:
    """Yield the services whose description differs from that of the evidence; older evidence has none."""
    for each in before:
        if isinstance(each.says, RunPredicate):
            old = each.says.details.described
            new = described(situation.declared.platform, old)
            left_out = _IN_SETTINGS if each.says.details.settings else ()
            for name in new:
                keys = [key for key in sorted(old[name] | new[name]) if old[name].get(key) != new[name].get(key)]
                if keys := [key for key in keys if key not in left_out]:
                    yield (
                        f"the description of {name} changed since release {each.says.release[:SHORT]} ran in "
                        f"{each.says.environment}: {', '.join(keys)}"
                    )
