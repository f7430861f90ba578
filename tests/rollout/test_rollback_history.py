"""Rollback targets from a deployment history."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_gaia.deploy.contract import Machine, Observation
from pytest_gaia.errors import ConfigError
from pytest_gaia.rollout.journal import Entry
from pytest_gaia.rollout.rollback import History

GOOD, BAD = "deployed", "failed"


class Diary:
    """Writes lines as rollouts do; an image is one letter."""

    def __init__(self) -> None:
        self.lines: list[Entry] = []
        self.runs = 0

    def run(self, *steps: tuple[str, str, str, str], action: str = "deploy", end: str = "done") -> Diary:
        """Add a rollout with steps (service, image before, outcome, image afterwards); no outcome: it was killed."""
        self.runs += 1
        targets = {service: ref(after) for service, _, _, after in steps} if action == "rollback" else {}
        self._add("begin", action, services=tuple(step[0] for step in steps), targets=targets)
        for service, before, outcome, after in steps:
            self._add("start", action, service=service, image=ref(before), well=True)
            if outcome:
                well = outcome in (GOOD, "unchanged")
                config = f"{after}.toml" if well else ""
                self._add(
                    "end", action, service=service, outcome=outcome, image=ref(after), was=ref(before), well=well,
                    config=config,
                )  # fmt: skip
        if end:
            self._add("finish", action, outcome=end)
        return self

    def history(self) -> History:
        return History(self.lines, "staging")

    def _add(self, event: Any, action: str, **values: Any) -> None:
        when = f"2026-08-{self.runs:02}T12:00:00+00:00"
        self.lines.append(Entry(event=event, run=str(self.runs), when=when, action=action, **values))


def ref(letter: str) -> str:
    return f"auth@sha256:{letter}" if letter else ""


def running(*letters: str) -> Observation:
    machines = [
        Machine(id=str(number), state="started", image="auth:x", digest=f"sha256:{letter}")
        for number, letter in enumerate(letters)
    ]
    return Observation(app="auth", exists=True, machines=tuple(machines))


def target(diary: Diary, *now: str) -> str | None:
    seen = diary.history().last_well("auth", running(*now))
    return seen.image.removeprefix("auth@sha256:") if seen else None


def test_it_is_what_ran_well_before() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "C"))

    assert target(diary, "C") == "B"


def test_the_first_deployment_goes_back_to_what_it_found() -> None:
    assert target(Diary().run(("auth", "A", GOOD, "B")), "B") == "A"


def test_what_never_ran_well_is_no_target() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", BAD, "C"), end="stopped")

    assert target(diary, "B", "C") == "B"
    assert target(diary, "C") == "B"


def test_after_a_deployment_that_did_nothing_the_last_good_one_is_put_right() -> None:
    assert target(Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", BAD, "B"), end="stopped"), "B") == "B"


def test_after_one_that_was_killed_it_is_what_ran_before() -> None:
    assert target(Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", "", ""), end=""), "B", "C") == "B"


def test_what_was_gone_back_from_is_no_target() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "A"), action="rollback")
    diary.run(("auth", "A", GOOD, "C"))

    assert target(diary, "C") == "A"


def test_what_was_gone_back_from_and_then_ran_well_is_one_again() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "A"), action="rollback")
    diary.run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "C"))

    assert target(diary, "C") == "B"


def test_nothing_else_ever_ran() -> None:
    assert target(Diary().run(("auth", "", GOOD, "A")), "A") is None
    assert target(Diary(), "A") is None


def test_what_somebody_deployed_by_other_means_goes_back_to_what_the_journal_knows() -> None:
    assert target(Diary().run(("auth", "A", GOOD, "B")), "Z") == "B"


def test_an_image_comes_with_the_deploy_file_that_it_ran_with() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "C"))
    history = diary.history()

    assert [history.seen("auth", ref(each)) and history.seen("auth", ref(each)).config for each in "ABC"] == [  # type: ignore[union-attr]
        "", "B.toml", "C.toml",
    ]  # fmt: skip
    assert history.seen("chat", ref("B")) is None


def test_what_changed_last_is_what_the_last_roll_out_changed() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B"), ("chat", "A", GOOD, "B"))
    diary.run(("auth", "B", GOOD, "B"), ("gateway", "A", GOOD, "B"))

    assert diary.history().changed_last() == ("gateway",)


@pytest.mark.parametrize("end", ["stopped", "interrupted", ""])
def test_a_roll_out_that_went_on_from_another_counts_with_it(end: str) -> None:
    diary = Diary().run(("nats", "A", GOOD, "B"))
    diary.run(("auth", "A", GOOD, "B"), ("chat", "A", BAD, "A"), end=end)
    diary.run(("chat", "A", GOOD, "B"), ("gateway", "A", GOOD, "B"))

    assert diary.history().changed_last() == ("chat", "gateway", "auth")


def test_an_empty_journal_says_nothing() -> None:
    assert Diary().history().changed_last() == ()
    assert Diary().history().interrupted_rollback() == {}


def test_an_interrupted_rollback_goes_on_with_its_own_targets() -> None:
    diary = Diary().run(("gateway", "A", GOOD, "B"), ("auth", "A", GOOD, "B"))
    diary.run(("gateway", "B", GOOD, "A"), ("auth", "B", "", "A"), action="rollback", end="")

    assert diary.history().interrupted_rollback() == {"gateway": ref("A"), "auth": ref("A")}


def test_a_rollback_that_has_ended_does_not_go_on() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "A"), action="rollback")

    assert diary.history().interrupted_rollback() == {}


def test_a_rollback_is_not_rolled_back() -> None:
    diary = Diary().run(("auth", "A", GOOD, "B")).run(("auth", "B", GOOD, "C"))
    diary.run(("auth", "C", GOOD, "B"), action="rollback")

    with pytest.raises(ConfigError, match=r"Known-good images: auth@sha256:A\. Nothing was changed"):
        diary.history().refuse_to_go_further("auth", running("B"))
    diary.history().refuse_to_go_further("chat", running("B"))
    diary.history().refuse_to_go_further("auth", running("C"))
    diary.run(("auth", "B", GOOD, "D")).history().refuse_to_go_further("auth", running("D"))
