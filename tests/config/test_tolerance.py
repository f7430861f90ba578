"""What an environment tolerates, who says so, and what production never does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve
from pytest_gaia.config.tolerance import Tolerance, tolerance_of
from pytest_gaia.errors import ConfigError
from tests.projects import ON_GAIA

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.config.environment import Environment

ZERO = Tolerance(kind="zero", budget=0, xfail="fails", skip="fails", least_executed=20)


def resolved(root: Path, name: str, text: str = "", *, simulate: bool = False) -> Environment:
    (root / "gaia.toml").write_text(text + ON_GAIA, encoding="utf-8")
    return resolve(Options(project=Project(root), environ={}, env=name, simulate=simulate))


def test_the_shipped_environments_tolerate_less_the_closer_they_are_to_users(tmp_path: Path) -> None:
    found = Project(tmp_path).tolerances

    assert {name: each.kind for name, each in found.items()} == {
        "sandbox": "listed",
        "local": "listed",
        "dev": "open",
        "staging": "listed",
        "production": "zero",
    }
    assert found["staging"].budget == 130
    assert found["staging"].least_executed == 50
    assert found["production"] == ZERO


def test_a_new_environment_accepts_only_what_is_listed(tmp_path: Path) -> None:
    preview = resolved(tmp_path, "preview", '[env.preview]\nurl = "http://localhost:1"\n')

    assert preview.tolerance == Tolerance() == tolerance_of("preview", {})
    assert preview.sources["tolerance.kind"] == "default"


def test_a_project_changes_it_key_by_key_and_the_source_is_known(tmp_path: Path) -> None:
    staging = resolved(tmp_path, "staging", "[env.staging.tolerance]\nbudget = 3\n")

    assert (staging.tolerance.budget, staging.tolerance.least_executed) == (3, 50)
    assert staging.sources["tolerance.budget"] == "gaia.toml:2"
    assert staging.sources["tolerance.least_executed"] == "default"


def test_a_rehearsal_has_the_tolerance_of_what_it_simulates(tmp_path: Path) -> None:
    assert resolved(tmp_path, "production", simulate=True).tolerance == ZERO
    assert resolved(tmp_path, "staging", simulate=True).tolerance == resolved(tmp_path, "staging").tolerance


def test_zero_forgets_what_a_lower_layer_allowed(tmp_path: Path) -> None:
    text = '[env.staging.tolerance]\nkind = "zero"\n'

    tolerance = resolved(tmp_path, "staging", text).tolerance

    assert (tolerance.kind, tolerance.budget, tolerance.xfail, tolerance.skip) == ("zero", 0, "fails", "fails")
    assert tolerance.least_executed == 50


def test_production_may_ask_for_more_evidence(tmp_path: Path) -> None:
    assert resolved(tmp_path, "production", "[env.production.tolerance]\nleast_executed = 90\n").tolerance == Tolerance(
        kind="zero", budget=0, xfail="fails", skip="fails", least_executed=90
    )


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("production", 'kind = "listed"', "kind: production tolerates nothing, whatever a file says: kind is \"zero\""),
        ("production", 'kind = "open"', "kind: production tolerates nothing"),
        ("production", "budget = 1", "budget: production tolerates nothing, whatever a file says: budget is 0"),
        ("production", 'xfail = "expected"', 'xfail: production tolerates nothing, whatever a file says: xfail is "fails"'),
        ("production", 'skip = "allowed"', "skip: production tolerates nothing"),
        ("staging", 'skip = "listed"\nkind = "zero"', 'skip: the kind here is zero: skip is "fails"; leave this out.'),
        ("staging", 'kind = "lsited"', "kind: unknown value 'lsited'; did you mean listed? Known: listed, open, zero."),
        ("staging", "bugdet = 3", "bugdet: unknown key; did you mean budget?"),
        ("staging", "budget = -1", "budget: expected a whole number >= 0"),
        ("staging", "budget = 1.5", "budget: expected a whole number, got a number"),
        ("staging", "longest_rule_days = 0", "longest_rule_days: expected a whole number >= 1"),
        ("staging", 'xfail = "allowed"', "xfail: unknown value 'allowed'; Known: expected, fails."),
    ],
)  # fmt: skip
def test_a_usage_error_names_line_key_and_what_is_right(tmp_path: Path, name: str, line: str, problem: str) -> None:
    (tmp_path / "gaia.toml").write_text(f"[env.{name}.tolerance]\n{line}\n", encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        _ = Project(tmp_path).suites

    assert str(caught.value).startswith(f"gaia.toml:2: env.{name}.tolerance.{problem}")
