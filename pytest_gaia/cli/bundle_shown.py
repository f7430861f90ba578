"""Bundles as people and JSON readers see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import typer

from pytest_gaia.cli.output import show_table
from pytest_gaia.errors import EnvironmentUnavailable
from pytest_gaia.promotion.bundle.checks import Check
from pytest_gaia.promotion.bundle.model import Bundle
from pytest_gaia.verdict.verdict import EXIT_CODES

_COMMIT = 10
"""digits of a commit that people are shown"""


def bundle_json(bundle: Bundle) -> dict[str, Any]:
    """Return ``bundle`` as plain values, its id first."""
    values: dict[str, Any] = msgspec.to_builtins(bundle)
    return {"id": bundle.id, "short": bundle.short, **values}


def show_bundle(bundle: Bundle) -> None:
    """Write all of one bundle."""
    typer.echo(f"bundle {bundle.short} ({bundle.kind}) of commit {_commit(bundle.commit)}, made {bundle.created}")
    typer.echo(f"  id          {bundle.id}")
    typer.echo(f"  migrations  {bundle.migration_head or 'none'}")
    typer.echo(f"  authors     {', '.join(bundle.authors)} (cannot approve it)")
    typer.echo(f"  files       {', '.join(sorted(bundle.configs)) or 'none'}")
    show_table(("service", "image"), [(part.service, part.image) for part in sorted(bundle.components)])


def show_bundles(bundles: Sequence[Bundle]) -> None:
    """Write one line a bundle, the newest first."""
    if not bundles:
        typer.echo("there is no bundle yet; make one: gaia bundle create --help", err=True)
        return
    rows = [
        (each.short, each.created, each.kind, _commit(each.commit), ", ".join(sorted(each.digests)))
        for each in reversed(bundles)
    ]
    show_table(("bundle", "made", "kind", "commit", "services"), rows)


def show_checks(checks: Sequence[Check]) -> None:
    """Write what was compared."""
    show_table(("what", "is", ""), [(each.what, each.status, each.why) for each in checks])


def check_json(check: Check) -> dict[str, str]:
    """Return ``check`` as plain values."""
    return {"what": check.what, "status": check.status, "why": check.why}


def verdict_of(bundle: Bundle, checks: Sequence[Check]) -> tuple[int, str]:
    """Return the exit code of a comparison, and a sentence with what to do."""
    different = [each.what for each in checks if each.status == "differs"]
    unknown = [each.what for each in checks if each.status == "unknown"]
    if different:
        what = f"{len(different)} of {len(checks)} differ: what there is now is not bundle {bundle.short}"
        return EXIT_CODES["HOLD"], f"{what}. Make a bundle of it (gaia bundle create), or bring this one back."
    if unknown:
        return EnvironmentUnavailable.exit_code, f"could not be observed: {', '.join(unknown)}. Try again."
    return 0, f"bundle {bundle.short} is what it was made of"


def _commit(commit: str) -> str:
    """Return a commit short, and yet with what makes it more than one."""
    digits, dash, end = commit.partition("-")
    return digits[:_COMMIT] + dash + end
