"""Which environment a command of a CI file deploys to, tests, or rolls back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_gaia.preflight.spelling import environment_name, is_environment

if TYPE_CHECKING:
    from pytest_gaia.preflight.workflows.model import Command, Job

_TOOL = r"(?:^|[\s;&|(/])"
_GAIA = r"(?:gaia|ci/gate)"
_DEPLOYS = re.compile(
    rf"{_TOOL}(?:fly|flyctl)\s+(?:[^|;&]*\s)?deploy\b|{_TOOL}{_GAIA}\s+deploy(?:-and-test)?\b|"
    rf"{_TOOL}{_GAIA}\s+promote\b(?!.*\s--plan\b)|{_TOOL}deploy\.sh\b|"
    rf"{_TOOL}manage\.sh\s+deploy|--gaia-deploy\b|uses superfly/flyctl-actions[^ ]*@\S+ .*\bargs=[^=]*\bdeploy\b",
    re.IGNORECASE,
)
_BY_BUILDING = re.compile(
    rf"{_TOOL}(?:fly|flyctl)\s+(?:[^|;&]*\s)?deploy\b|\bflyctl-actions|{_TOOL}deploy\.sh\b|{_TOOL}manage\.sh\s+deploy",
    re.IGNORECASE,
)
_TESTS = re.compile(
    rf"{_TOOL}(?:pytest|{_GAIA}\s+(?:test|quick-test|full-test|deploy-and-test|promote))\b|"
    rf"{_TOOL}manage\.sh\s+(?:deploy-and-)?test\b",
    re.IGNORECASE,
)
_ROLLS_BACK = re.compile(r"\broll[-_ ]?back", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")


def deploys(command: Command) -> bool:
    """Whether ``command`` deploys something."""
    return bool(_DEPLOYS.search(command.text)) and not _ROLLS_BACK.search(command.text)


def deploys_by_building(command: Command) -> bool:
    """Whether it is a tool that builds an image unless it is given one: flyctl, or the platform's old scripts."""
    return deploys(command) and bool(_BY_BUILDING.search(command.text))


def tests(command: Command) -> bool:
    """Whether it runs tests."""
    return bool(_TESTS.search(command.text))


def rolls_back(command: Command) -> bool:
    """Whether ``command``, or the step that it is in, says that it rolls back."""
    return bool(_ROLLS_BACK.search(command.text) or _ROLLS_BACK.search(command.step))


def environments_of(command: Command, job: Job) -> frozenset[str]:
    """Return the environments that ``command`` deploys to: those it names, or else those that its job does."""
    for text in (command.text, command.environment or job.environment or "", job.name, command.step):
        named = frozenset(environment_name(word) for word in _words(text) if is_environment(word))
        if named:
            return named
    return frozenset()


def deployed_by(job: Job) -> frozenset[str]:
    """Return the environments that ``job`` deploys to."""
    found = (environments_of(command, job) for command in job.commands if deploys(command) and not command.on_failure)
    return frozenset[str]().union(*found)


def _words(text: str) -> list[str]:
    # A path or an option may hold the name: fly.auth.production.toml, --env=staging.
    return [word.lower() for word in _WORD.findall(text)]
