"""The tolerance of environments, and contradictions in it."""

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

ZERO = Tolerance(kind="strict", budget=0, xfail="fail", skip="fail", min_tests=20)


def resolved(root: Path, name: str, text: str = "", *, simulate: bool = False) -> Environment:
    (root / "gaia.toml").write_text(text + ON_GAIA, encoding="utf-8")
    return resolve(Options(project=Project(root), environ={}, env=name, simulate=simulate))


def test_the_shipped_environments_tolerate_less_the_closer_they_are_to_users(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_text(ON_GAIA, encoding="utf-8")
    found = Project(tmp_path).tolerances

    assert {name: each.kind for name, each in found.items()} == {
        "sandbox": "known-failures",
        "local": "known-failures",
        "dev": "advisory",
        "staging": "known-failures",
        "production": "strict",
    }
    assert found["staging"].budget == 130
    assert found["staging"].min_tests == 50
    assert found["production"] == ZERO


def test_a_role_decides_and_not_the_name(tmp_path: Path) -> None:
    text = '[env.live]\nurl = "http://localhost:1"\nrole = "production"\n[env.live.stage]\npromote_from = "staging"\n'
    live = resolved(tmp_path, "live", text)

    assert live.tolerance == Tolerance(kind="strict", budget=0, xfail="fail", skip="fail")
    assert (live.core_only, live.experimental, live.stage.require_signed) == (True, False, True)


def test_a_new_environment_accepts_only_what_is_listed(tmp_path: Path) -> None:
    preview = resolved(tmp_path, "preview", '[env.preview]\nurl = "http://localhost:1"\n')

    assert preview.tolerance == Tolerance() == tolerance_of("preview", {})
    assert preview.sources["tolerance.kind"] == "default"


def test_a_project_changes_it_key_by_key_and_the_source_is_known(tmp_path: Path) -> None:
    staging = resolved(tmp_path, "staging", "[env.staging.tolerance]\nbudget = 3\n")

    assert (staging.tolerance.budget, staging.tolerance.min_tests) == (3, 50)
    assert staging.sources["tolerance.budget"] == "gaia.toml:2"
    assert staging.sources["tolerance.min_tests"] == "default"


def test_a_simulation_has_the_tolerance_of_what_it_simulates(tmp_path: Path) -> None:
    assert resolved(tmp_path, "production", simulate=True).tolerance == ZERO
    assert resolved(tmp_path, "staging", simulate=True).tolerance == resolved(tmp_path, "staging").tolerance


def test_zero_forgets_what_a_lower_layer_allowed(tmp_path: Path) -> None:
    text = '[env.staging.tolerance]\nkind = "strict"\n'

    tolerance = resolved(tmp_path, "staging", text).tolerance

    assert (tolerance.kind, tolerance.budget, tolerance.xfail, tolerance.skip) == ("strict", 0, "fail", "fail")
    assert tolerance.min_tests == 50


def test_production_may_ask_for_more_evidence(tmp_path: Path) -> None:
    assert resolved(tmp_path, "production", "[env.production.tolerance]\nmin_tests = 90\n").tolerance == Tolerance(
        kind="strict", budget=0, xfail="fail", skip="fail", min_tests=90
    )


@pytest.mark.parametrize(
    ("name", "line", "problem"),
    [
        ("production", 'kind = "known-failures"', "kind: the tolerance of production is always strict, which requires kind = \"strict\""),
        ("production", 'kind = "advisory"', "kind: the tolerance of production is always strict"),
        ("production", "budget = 1", "budget: the tolerance of production is always strict, which requires budget = 0"),
        ("production", 'xfail = "expected"', 'xfail: the tolerance of production is always strict, which requires xfail = "fail"'),
        ("production", 'skip = "allowed"', "skip: the tolerance of production is always strict"),
        ("staging", 'skip = "expected"\nkind = "strict"', 'skip: kind = "strict", which requires skip = "fail"; remove this key.'),
        ("staging", 'kind = "lsited"', "kind: unknown value 'lsited'; Known: advisory, known-failures, strict."),
        ("staging", "bugdet = 3", "bugdet: unknown key; did you mean budget?"),
        ("staging", "budget = -1", "budget: expected a whole number >= 0"),
        ("staging", "budget = 1.5", "budget: expected a whole number, got a number"),
        ("staging", "max_expectation_age_days = 0", "max_expectation_age_days: expected a whole number >= 1"),
        ("staging", 'xfail = "allowed"', "xfail: unknown value 'allowed'; Known: expected, fail."),
    ],
)  # fmt: skip
def test_a_usage_error_names_line_key_and_what_is_right(tmp_path: Path, name: str, line: str, problem: str) -> None:
    (tmp_path / "gaia.toml").write_text(f"[env.{name}.tolerance]\n{line}\n", encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        _ = Project(tmp_path).suites

    assert str(caught.value).startswith(f"gaia.toml:2: env.{name}.tolerance.{problem}")


def test_old_names_of_keys_and_values_are_accepted(tmp_path: Path) -> None:
    text = '[env.dev.tolerance]\nkind = "listed"\nleast_executed = 3\nlongest_rule_days = 7\nskip = "listed"\nxfail = "fails"\n'

    assert resolved(tmp_path, "dev", text).tolerance == Tolerance(
        kind="known-failures", min_tests=3, max_expectation_age_days=7, skip="expected", xfail="fail"
    )
