"""Addresses of issues: allure-pytest's ``--allure-link-pattern``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def links(config: pytest.Config) -> Callable[[str], str]:
    """Return what makes an address of an issue, by the pattern where one is given.

    Raises :class:`~pytest_gaia.errors.ConfigError` for a pattern of any type that cannot be filled in: allure-pytest
    itself would find out in the middle of the run.
    """
    given: list[tuple[str, str]] = config.option.allure_link_pattern
    for kind, pattern in given:
        _try(kind, pattern)
    issues = dict(given).get("issue", "{}")

    def address(issue: str) -> str:
        # A rule can name an issue by its whole address.
        return issue if "://" in issue else issues.format(issue)

    return address


def _try(kind: str, pattern: str) -> None:
    try:
        pattern.format("KEY-1")
    except (ValueError, LookupError, AttributeError, TypeError):
        raise ConfigError(
            f"--allure-link-pattern={kind}:{pattern}: nothing can be filled in there. It was tried with KEY-1, as "
            f"Python's str.format does: write {{}} where the key belongs, once, and {{{{ or }}}} for a brace that stays."
        ) from None
