"""Checks that staging and production are alike, and of their roles."""

from collections.abc import Iterator

from pytest_gaia.preflight.difference import WHOLE_SERVICE, Row, difference
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Found, check


@check("undeclared-difference", "error")
def undeclared_difference(files: DeployFiles) -> Iterator[Found]:
    """Staging and production have a difference that is not listed.

    A test in staging proves nothing about settings that are different in production.
    """
    for environment, row in _differences(files):
        if not row.allowed and row.aspect != WHOLE_SERVICE:
            what = (
                f"{row.aspect} of {row.service} is {_shown(row.right)} here, but {_shown(row.left)} in {row.left_place}"
            )
            fix = f'make them equal, or add "{row.aspect}" to allowed_differences in gaia.toml'
            yield Found(row.place, what, fix, environment)


@check("unused-difference", "note")
def unused_difference(files: DeployFiles) -> Iterator[Found]:
    """An allowed difference does not occur.

    It would hide the next difference of that kind.
    """
    if files.allowed.place is None or not any(files.pairs()):
        return
    used = {row.allowed_by for _, row in _differences(files)}
    for entry in files.allowed.entries:
        if entry not in used:
            yield Found(files.allowed.place, f'"{entry}" is allowed to differ, but does not', "remove the entry")


@check("last-stage", "note")
def last_stage(files: DeployFiles) -> Iterator[Found]:
    """The last stage does not have the role production.

    Commands then treat it like any other environment: expected failures count, and no confirmation is needed.
    """
    for environment, place in files.last_stages.items():
        role = files.environments.role(environment)
        if role != "production":
            what = f"{environment} is the last stage, but has {f'the role {role}' if role else 'no role'}"
            yield Found(place, what, f'write role = "production" in [env.{environment}]', environment)


def _differences(files: DeployFiles) -> list[tuple[str, Row]]:
    """Return (production environment, difference) of every staging and production environment."""
    return [
        (production.environment, row)
        for staging, production in files.pairs()
        for row in difference(staging, production, files.allowed.entries)
    ]


def _shown(value: str | None) -> str:
    return "not set" if value is None else value
