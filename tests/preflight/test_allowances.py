"""A comment with a reason allows one finding at one place, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.preflight.cases import A_PRODUCTION, DEPLOY
from tests.preflight.sets import Change, changed, look

if TYPE_CHECKING:
    from pathlib import Path

FEW = "min_machines_running = 2"
ALLOW = "# gaia: allow too-few-machines because it is a pilot"


def found_with(directory: Path, new: str, old: str = FEW, file: str = A_PRODUCTION) -> list[str]:
    return [each.check for each in look(changed(directory, Change(file, old, new)))]


@pytest.mark.parametrize(
    "text",
    [
        f"min_machines_running = 1  {ALLOW}",
        f"{ALLOW}\nmin_machines_running = 1",
        f"{ALLOW}\n# and another comment\nmin_machines_running = 1",
        f"# another comment\n{ALLOW}\nmin_machines_running = 1",
        "min_machines_running = 1  # GAIA: Allow too-few-machines, health-path Because it is a pilot",
        "min_machines_running = 1  # one machine; gaia: allow too-few-machines because it is a pilot",
    ],
)
def test_it_stands_on_the_line_or_right_above_it(text: str, tmp_path: Path) -> None:
    assert "too-few-machines" not in found_with(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        f"{ALLOW}\n\nmin_machines_running = 1",
        f"min_machines_running = 1\n{ALLOW}",
        "min_machines_running = 1  # gaia: allow autostop because it is a pilot",
        "min_machines_running = 1  # gaia: allow too-few-machines",
        "min_machines_running = 1  # gaia: allow too-few-machines because",
        "min_machines_running = 1  # gaia: allow because it is a pilot",
        "min_machines_running = 1  # gaia: allow too-few because it is a pilot",
        f'kill_signal = "x"  {ALLOW}\nmin_machines_running = 1',
    ],
)
def test_it_allows_nothing_elsewhere_or_without_a_reason(text: str, tmp_path: Path) -> None:
    assert "too-few-machines" in found_with(tmp_path, text)


def test_it_allows_only_the_check_that_it_names(tmp_path: Path) -> None:
    text = '# gaia: allow too-few-machines because it is a pilot\nauto_stop_machines = "stop"'

    found = found_with(tmp_path, text, 'auto_stop_machines = "off"')

    assert {"autostop", "unused-allowance"} <= set(found)


def test_ci_files_have_allowances_too(tmp_path: Path) -> None:
    text = "# gaia: allow sleep-as-readiness because the DNS needs it\n      - run: sleep 60\n"

    found = found_with(
        tmp_path,
        f"{text}      - run: gaia deploy-and-test production",
        "- run: gaia deploy-and-test production",
        DEPLOY,
    )

    assert found == []


def test_in_a_compose_file_an_allowance_counts_once(tmp_path: Path) -> None:
    changes = Change(
        "docker-compose.yml", "image: nats:2.11-alpine", "image: nats  # gaia: allow image-tag because it is a lab"
    )

    assert look(changed(tmp_path, changes)) == []


def test_a_missing_reason_is_told_once_with_what_to_write(tmp_path: Path) -> None:
    text = "min_machines_running = 1  # gaia: allow too-few-machines"

    (found,) = [
        e for e in look(changed(tmp_path, Change(A_PRODUCTION, FEW, text))) if e.check == "unexplained-allowance"
    ]

    assert found.severity == "error"
    assert found.fix == "write # gaia: allow CHECK because REASON"
