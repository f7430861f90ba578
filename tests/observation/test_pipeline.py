"""Which environment is newer: images show a difference, deployment histories and versions its direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.observation.overview import AppView, EnvironmentView, leads

if TYPE_CHECKING:
    from pytest_gaia.observation.overview import History

OLD, NEW = "sha256:old", "sha256:new"


def runs(name: str, **services: str) -> EnvironmentView:
    """Return an environment whose services run these images or report these versions."""
    apps = (
        AppView(service, "", "healthy", digests=(what,))
        if what.startswith("sha256:")
        else AppView(service, "", "healthy", version=what)
        for service, what in services.items()
    )
    return EnvironmentView(name, "healthy", apps=tuple(apps))


def said(*views: EnvironmentView, **histories: History) -> list[str]:
    previous = {"dev": None, "staging": "dev", "production": "staging", "preview": None}
    return [str(lead) for lead in leads(views, histories, previous)]


def test_the_same_images_are_the_same() -> None:
    views = runs("staging", gateway=NEW, auth=OLD), runs("production", gateway=NEW, auth=OLD)

    assert said(*views) == ["staging and production run the same versions"]


def test_a_difference_means_that_the_earlier_stage_is_ahead() -> None:
    views = runs("staging", gateway=OLD, auth=NEW, chat=NEW), runs("production", gateway=OLD, auth=OLD, chat=OLD)

    assert said(*views) == ["staging is newer than production: auth, chat"]


def test_what_does_not_run_there_yet_is_reported() -> None:
    production = EnvironmentView(
        "production",
        "degraded",
        apps=(AppView("gateway", "", "healthy", digests=(OLD,)), AppView("auth", "", "not deployed")),
    )

    assert said(runs("staging", gateway=OLD, auth=NEW), production) == [
        "staging is newer than production: auth (not deployed there)"
    ]


def test_a_journal_knows_that_the_later_stage_is_ahead() -> None:
    views = runs("staging", auth=OLD), runs("production", auth=NEW)

    assert said(*views, production={"auth": [OLD, NEW]}) == ["production is newer than staging: auth"]
    assert said(*views, staging={"auth": [NEW, OLD]}) == ["staging is newer than production: auth"]
    assert said(*views, staging={"auth": [OLD]}, production={"chat": [OLD, NEW]}) == [
        "staging is newer than production: auth"
    ]


def test_both_may_be_ahead_of_each_other() -> None:
    views = runs("staging", auth=OLD, chat=NEW), runs("production", auth=NEW, chat=OLD)

    assert said(*views, production={"auth": [OLD, NEW]}) == [
        "staging is newer than production: chat",
        "production is newer than staging: auth",
    ]


@pytest.mark.parametrize(
    ("here", "there", "sentence"),
    [
        ("0.3", "0.2", "staging is newer than production: gateway"),
        ("0.9", "0.10", "production is newer than staging: gateway"),
        ("v1.2.3-rc1", "v1.2.3-rc1", "staging and production run the same versions"),
        ("abc", "abd", "staging is newer than production: gateway"),
    ],
)
def test_without_images_versions_are_compared(here: str, there: str, sentence: str) -> None:
    assert said(runs("staging", gateway=here), runs("production", gateway=there)) == [sentence]


def test_an_image_and_a_version_cannot_be_compared() -> None:
    assert said(runs("staging", gateway=NEW), runs("production", gateway="0.2")) == []


def test_neighbours_are_compared_and_who_is_missing_is_passed_over() -> None:
    views = runs("production", auth=OLD), runs("dev", auth=NEW), runs("preview", auth=NEW)

    assert said(*views) == ["dev is newer than production: auth"]


def test_what_is_unknown_or_has_no_app_by_intention_is_not_compared() -> None:
    unknown = EnvironmentView("staging", "unknown", apps=(AppView("auth", "", "unknown"),))
    alone = EnvironmentView(
        "production",
        "healthy",
        apps=(AppView("gateway", "", "healthy", digests=(OLD,)), AppView("auth", "", "absent")),
    )

    assert said(runs("dev", auth=NEW), unknown) == []
    assert said(runs("dev", auth=NEW, gateway=OLD), alone) == ["dev and production run the same versions"]
