"""Run all checks of deploy files, or those that stop a deployment, and settle the findings that a file allows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.read import Environments
from pytest_gaia.preflight._checks import (
    artifacts,
    availability,
    containers,
    data,
    exposure,
    health,
    keys,
    names,
    parity,
    pipelines,
    secrets,
    urls,
)
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import OWN_CHECKS, Check, Finding, finding, order, read_allowances, settle

_MODULES: tuple[ModuleType, ...] = (
    names,
    urls,
    data,
    secrets,
    health,
    availability,
    artifacts,
    exposure,
    parity,
    containers,
    keys,
    pipelines,
)

CHECKS: tuple[Check, ...] = tuple(
    value for module in _MODULES for value in vars(module).values() if isinstance(value, Check)
)

TOPICS: tuple[str, ...] = tuple(dict.fromkeys(check.topic for check in CHECKS))

ALL_CHECKS: tuple[Check, ...] = (*CHECKS, *OWN_CHECKS)
"""all checks, including those of allowances"""

_ASKING = ("secret-unset",)
"""checks that need a query of a deploy tool"""


def _commented(files: DeployFiles) -> Iterator[tuple[str, Mapping[int, str], frozenset[int]]]:
    """Yield (file, line → comment, lines with a key) for every file."""
    for deployment in files.deployments:
        for app in (*deployment.apps, *deployment.overrides):
            file = app.place("app").file
            yield file, app.comments, frozenset(place.line for place in app.places.values() if place.file == file)
    for workflow in files.workflows:
        coded = (number for number, text in enumerate(workflow.lines, start=1) if not text.lstrip().startswith("#"))
        yield workflow.file, workflow.comments, frozenset(coded)


def lint(files: DeployFiles, environment: str | None = None) -> list[Finding]:
    """Return the findings in ``files``, errors first.

    With ``environment``, return only findings that concern it; it is still compared with the others.
    """
    unasked = () if files.set_secrets else _ASKING
    names = [each.id for each in ALL_CHECKS]
    findings = settle(list(_look(files, CHECKS)), read_allowances(_commented(files)), names, unasked)
    if environment is not None:
        findings = [each for each in findings if _concerns(each, environment, files)]
    return sorted(findings, key=order)


def refusals(deployment: Deployment, others: Iterable[Deployment] = ()) -> list[Finding]:
    """Return the findings that stop ``deployment``, because it could not be verified or could harm another environment.

    It is compared with the deployments ``others``. Findings that a comment allows with a reason do not count.
    """
    files = DeployFiles(
        (deployment, *others), platform=deployment.platform, environments=Environments(deployment.folder.known)
    )
    findings = list(_look(files, [each for each in CHECKS if each.refuses]))
    explained = [allowance for allowance in read_allowances(_commented(files)) if allowance.reason]
    left = settle(findings, explained, (), ())
    own = [each for each in left if each.refuses and each.environment == deployment.environment]
    return sorted(own, key=order)


def _look(files: DeployFiles, checks: Sequence[Check]) -> Iterator[Finding]:
    for each in checks:
        for found in each.look(files):
            yield finding(each, found)


def _concerns(each: Finding, environment: str, files: DeployFiles) -> bool:
    if each.environment is not None:
        return each.environment == environment
    deployment = files.deployment(environment)
    return deployment is None or each.place.file in {app.place().file for app in deployment.apps}
