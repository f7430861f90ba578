"""A plugin for the inner run of pytest: run suites once per injected fault, instead of running every test once.

One process and one sandbox serve all :data:`MUTATIONS` of a release. For each, it injects the fault, runs the tests of the suite
until one fails, and removes the fault.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from _pytest.runner import runtestprotocol

from pytest_gaia.stash import RUN
from tests.suites.mutations import MUTATIONS

if TYPE_CHECKING:
    import pytest

    from pytest_gaia.run.sandbox import Sandbox
    from tests.suites.mutations import Mutation

VARIABLE = "SUITES_MUTATIONS"
"""variable with the path of the file to write"""


HEALED = "no fault"
"""the last entry: failures without a fault"""

_SEEN = (
    "AssertionError",
    "assert",
    "UnexpectedResponse",
    "Unreachable",
    "DeadlineExceeded",
    "ServiceError",
    "pytest_gaia.errors.",
)
"""how the message of a failed test begins; any other message is an error in the test"""


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the suites with each fault, and record which test failed first."""
    sandbox = session.config.stash[RUN].sandbox
    assert sandbox is not None
    mutations = MUTATIONS[session.config.getoption("gaia_sandbox_api") or "current"]
    found = {mutation.id: _under(session, sandbox, mutation) for mutation in mutations}
    found[HEALED] = _first_failure(session, session.items)
    Path(os.environ[VARIABLE]).write_text(json.dumps(found), encoding="utf-8")
    return True


def _under(session: pytest.Session, sandbox: Sandbox, mutation: Mutation) -> str | None:
    sandbox.fault("main", mutation.service, mutation.kind, route=mutation.route, **mutation.arguments)
    try:
        return _first_failure(session, [item for item in session.items if item.get_closest_marker(mutation.suite)])
    finally:
        sandbox.heal("main")


def _first_failure(session: pytest.Session, items: list[pytest.Item]) -> str | None:
    return next((item.nodeid for item in items if _fails(session, item)), None)


def _fails(session: pytest.Session, item: pytest.Item) -> bool:
    # The next test is not known yet. With the session as next item, its fixtures stay alive.
    reports = runtestprotocol(item, nextitem=cast("pytest.Item", session), log=False)
    for report in reports:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(getattr(crash, "message", report.longrepr))
            assert report.when == "call", f"{item.nodeid} failed at {report.when}: {message}"
            assert message.startswith(_SEEN), f"{item.nodeid} is broken: {message}"
            return True
    return False
