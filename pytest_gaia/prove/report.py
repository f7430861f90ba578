"""The results of `gaia prove` as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_gaia.prove.faults import FURTHER, Fault
from pytest_gaia.prove.proving import SLOWEST, Proof
from pytest_gaia.prove.settings import MOST_EXCLUDED, Settings
from pytest_gaia.report.layout import aligned
from pytest_gaia.wording import counted, listed


def reasons_to_hold(proof: Proof, settings: Settings, min_score: float | None) -> list[str]:
    """Return why the score does not suffice."""
    found = []
    percent = 100 * proof.score
    if min_score is not None and percent < min_score:
        found.append(f"the score is {percent:.1f} %, and --min-score is {min_score:g} %")
    if not proof.complete or len(proof.tried) < len(proof.planned):
        # A part of the faults has another score.
        return found
    if settings.score is not None and round(percent, 1) < settings.score:
        found.append(f"the score is {percent:.1f} %, and was {settings.score:g} % ({settings.place}: score)")
    if proof.excluded_share > MOST_EXCLUDED:
        found.append(
            f"{settings.place} excludes {proof.excluded_share:.1%} of the faults, and may exclude {MOST_EXCLUDED:.0%}"
        )
    found += [
        f"{place}: the accepted survivor `{entry.fault}` has expired on {entry.expires} ({entry.owner})"
        for entry, place in settings.expired()
    ]
    return found


def lines_of(proof: Proof, settings: Settings, seconds: float) -> Iterator[str]:
    """Yield the report: score by kind, suite and route, then the survivors."""
    if not proof.tried:
        yield f"No fault was tried of {len(proof.planned)}."
        return
    for title, rows in (("kind", by_kind(proof)), ("suite", by_suite(proof)), ("route", by_route(proof))):
        cells = [(name, f"{caught}", f"{tried}", f"{caught / tried:.0%}") for name, (caught, tried) in rows.items()]
        yield from aligned([(title, "caught", "of", "score"), *cells])
        yield ""
    survivors = [fault for fault in proof.survivors if fault not in settings.accepted]
    if survivors:
        yield f"{counted(len(survivors), 'survivor')}. To try one again: gaia prove --fault 'LINE'"
        yield from (f"  {fault}" for fault in survivors)
        yield ""
    yield from (f"note: {note}" for note in _notes(proof, settings))
    not_tried = len(proof.planned) - len(proof.tried)
    more = f"; {not_tried} not tried" if not_tried else ""
    yield (
        f"score {proof.score:.1%}: {proof.caught} of {len(proof.tried)} faults caught on "
        f"{counted(len(by_route(proof)), 'route')}{more}, in {seconds:.0f} s"
    )


def _notes(proof: Proof, settings: Settings) -> Iterator[str]:
    yield from _about_accepted(proof, settings)
    if proof.excluded:
        yield f"{settings.place} excludes {counted(len(proof.excluded), 'fault')}, {proof.excluded_share:.1%}"
    if proof.complete and settings.score is not None and round(100 * proof.score, 1) > settings.score:
        yield f"the score has risen; set score = {100 * proof.score:.1f} in {settings.place}"
    for names, what in (
        ([str(route) for route in proof.not_requested], "requested by no test that passes"),
        (proof.mapped.broken, "does not pass without a fault, and was left out"),
        (proof.mapped.slow, f"takes more than {SLOWEST:g} s, and was left out"),
        (proof.unsettled, "failed after a fault was removed; what it caught does not count"),
    ):
        if names:
            yield f"{listed(names, 3)}: {what}"


def _about_accepted(proof: Proof, settings: Settings) -> Iterator[str]:
    if accepted := sum(fault in settings.accepted for fault in proof.survivors):
        yield f"{counted(accepted, 'accepted survivor')} in {settings.place}"
    for fault, (_, place) in settings.accepted.items():
        if fault in proof.tried and proof.tried[fault].caught:
            yield f"{place}: `{fault}` is caught now by {proof.tried[fault].caught}; remove it"
        elif proof.complete and fault not in proof.tried:
            yield f"{place}: `{fault}` is not among the faults; remove it"


Rows = dict[str, tuple[int, int]]
"""name → faults that were caught, and that were tried"""


def by_kind(proof: Proof) -> Rows:
    """Return the score of each kind of fault."""
    return _rows(proof, lambda fault: [kind_of(fault)])


def by_route(proof: Proof) -> Rows:
    """Return the score of each route."""
    return _rows(proof, lambda fault: [str(fault.route)])


def by_suite(proof: Proof) -> Rows:
    """Return the score of each suite: of the faults on routes that its tests request, whichever test caught them."""
    suites = {seen.route: sorted({proof.mapped.suites[node] for node in seen.tests}) for seen in proof.mapped.routes}
    return dict(sorted(_rows(proof, lambda fault: suites.get(fault.route, [])).items()))


def kind_of(fault: Fault) -> str:
    """Return the kind of a fault for a table."""
    if fault.kind == "set":
        return "field null" if fault.value == "null" else "field of another value"
    if fault.kind == "drop":
        return "field missing"
    if fault.kind in FURTHER:
        return fault.kind
    return " ".join(filter(None, (fault.kind, fault.value, fault.body)))


def _rows(proof: Proof, names: Any) -> Rows:
    found: Rows = {}
    for fault, tried in proof.tried.items():
        for name in names(fault):
            caught, of = found.get(name, (0, 0))
            found[name] = (caught + bool(tried.caught), of + 1)
    return dict(sorted(found.items()))


def as_json(proof: Proof, settings: Settings, seconds: float) -> dict[str, Any]:
    """Return the results for machines."""

    def scores(rows: Rows) -> dict[str, Any]:
        return {name: {"caught": caught, "faults": tried} for name, (caught, tried) in rows.items()}

    return {
        "score": round(100 * proof.score, 2),
        "caught": proof.caught,
        "tried": len(proof.tried),
        "planned": len(proof.planned),
        "seconds": round(seconds, 1),
        "kinds": scores(by_kind(proof)),
        "suites": scores(by_suite(proof)),
        "routes": scores(by_route(proof)),
        "survivors": [str(fault) for fault in proof.survivors if fault not in settings.accepted],
        "accepted": [str(fault) for fault in proof.survivors if fault in settings.accepted],
        "excluded": [str(fault) for fault in proof.excluded],
        "excluded_share": round(100 * proof.excluded_share, 2),
        "not_requested": [str(route) for route in proof.not_requested],
        "caught_by": {str(fault): each.caught for fault, each in sorted(proof.tried.items()) if each.caught},
        "left_out": {"failing": proof.mapped.broken, "slow": proof.mapped.slow, "unsettled": proof.unsettled},
    }
