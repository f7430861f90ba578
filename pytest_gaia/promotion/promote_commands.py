"""The command lines of a promotion: what seals the plan, and what deploys and tests in one go."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_gaia.config.project import find_project
from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.promote_journal import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_gaia.promotion.bundle import Bundle

PLAN, RECORD, VERDICT = "plan.json", "record.jsonl", "verdict.json"
_ADDOPTS = "PYTEST_ADDOPTS"
_CHANGES_WHAT_IS_TESTED = re.compile(r"--gaia|-c|--(rootdir|config-file)(=|$)")
"""options that do: which platform, which project, what is written about it"""


@dataclass(frozen=True, slots=True)
class Commands:
    """What is run for one promotion, in the folder of gaia.toml."""

    seal: tuple[str, ...]
    run: tuple[str, ...]
    folder: Path
    """where plan, record and verdict file are written"""

    @classmethod
    def of(
        cls, rootdir: Path, environment: str, bundle: Bundle, services: Sequence[str], extra: Sequence[str]
    ) -> Commands:
        """Return them; ``services`` are deployed, none where nothing is. Raises ``ConfigError`` without any suite."""
        suites = [os.path.relpath(suite, rootdir) for suite in find_project(rootdir).suites]
        if not suites:
            raise ConfigError('gaia.toml names no suites, so nothing could be shown: [gaia] suites = ["suites"].')
        _check_extra(extra)
        folder = rootdir / FOLDER / f"{environment}-{bundle.short}"
        shown = os.path.relpath(folder, rootdir)
        common = (*suites, f"--rootdir={rootdir}", f"--gaia-env={environment}", f"--gaia-bundle={bundle.id}")
        seal = ("--collect-only", "-q", f"--gaia-seal={shown}/{PLAN}")
        evidence = (
            "--gaia-require-full",
            f"--gaia-plan={shown}/{PLAN}",
            f"--gaia-record={shown}/{RECORD}",
            f"--gaia-report={shown}/{VERDICT}",
        )
        return cls((*common, *seal), (*common, *_deploying(bundle, services), *evidence, *extra), folder)


def shown(words: Sequence[str], rootdir: Path) -> str:
    """Return a command line as people type it in the folder of gaia.toml."""
    return shlex.join(("pytest", *(word for word in words if word != f"--rootdir={rootdir}")))


def executed(words: Sequence[str]) -> list[str]:
    """Return what is executed: the pytest of this very Python."""
    return [sys.executable, "-m", "pytest", *words]


def check_environ(environ: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` where ``PYTEST_ADDOPTS`` would change what is tested."""
    try:
        _check_extra(shlex.split(environ.get(_ADDOPTS, "")))
    except ValueError as error:
        raise ConfigError(f"{_ADDOPTS}: {error}.") from None
    except ConfigError as error:
        raise ConfigError(f"{_ADDOPTS}: {error}") from None


def _check_extra(extra: Sequence[str]) -> None:
    """Options of this plugin would change which platform is tested, or what is written about it."""
    if found := next((word for word in extra if _CHANGES_WHAT_IS_TESTED.match(word)), None):
        raise ConfigError(
            f"{found.partition('=')[0]} is not for a promotion: it says itself what is deployed, tested and recorded. "
            "Options such as -n 4, --junitxml=FILE or -x are passed on. Nothing was done."
        )


def _deploying(bundle: Bundle, services: Sequence[str]) -> tuple[str, ...]:
    images = {part.service: part.image for part in bundle.components}
    if not services:
        return ()
    return (
        "--gaia-deploy",
        f"--gaia-deploy-services={','.join(services)}",
        *(f"--gaia-deploy-image={service}={images[service]}" for service in services),
    )
