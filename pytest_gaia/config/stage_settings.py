"""From tables to the settings of a stage and of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gaia.config.schema import set_values
from pytest_gaia.config.stages import Freeze, LedgerSettings, Slo, Stage, duration

if TYPE_CHECKING:
    from pytest_gaia.config.schema import EnvironmentTable, LedgerTable


def stage_settings(table: EnvironmentTable) -> Stage:
    """Return the stage that the merged ``table`` describes; its values have been checked when its files were read."""
    given: dict[str, Any] = set_values(table.stage)
    given |= {key: duration(given[key]) for key in ("soak", "evidence_age") if key in given}
    given["previous"] = given.get("previous") or None
    freezes = given.pop("freeze", ())
    slos = table.slo if isinstance(table.slo, tuple) else ()
    return Stage(
        **given,
        freezes=tuple(Freeze(each.begins, each.until, each.why) for each in freezes),
        slos=tuple(Slo(**set_values(each)) for each in slos),
    )


def ledger_settings(table: LedgerTable) -> LedgerSettings:
    """Return the settings of the ledger."""
    return LedgerSettings(**set_values(table))
