"""The values of a stage as people and JSON readers see them."""

from __future__ import annotations

from datetime import timedelta

from pytest_gaia.config.stages import Freeze, Slo, Stage


def stage_value(stage: Stage, key: str) -> str | bool | list[str] | None:
    """Return the value of ``key``, named as in gaia.toml; None for one that is not set."""
    if key == "freeze":
        return [_freeze(each) for each in stage.freezes]
    if key == "slo":
        return [objective(each) for each in stage.slos]
    value = getattr(stage, "previous" if key == "from" else key)
    if isinstance(value, timedelta):
        return span(value)
    return list(value) if isinstance(value, tuple) else value


def span(length: timedelta) -> str:
    """Return a duration as it is written in gaia.toml, in the largest unit that holds it without a rest.

    >>> span(timedelta(days=1)), span(timedelta(minutes=90))
    ('1d', '90m')
    """
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def objective(slo: Slo) -> str:
    """Return one service level objective in words."""
    warned = f", warned from {slo.warn_ms:g} ms" if slo.warn_ms is not None else ""
    return f"{slo.route}: p{slo.percentile:g} below {slo.fail_ms:g} ms{warned}, of {slo.least_samples} samples or more"


def _freeze(freeze: Freeze) -> str:
    return f"{freeze.begins.isoformat()} to {freeze.until.isoformat()}: {freeze.why}"
