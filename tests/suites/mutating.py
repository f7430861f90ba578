"""A plugin for the pytest that is run below: instead of running every check once, it runs suites under one fault each.

One process and one sandbox serve all of :data:`MUTATIONS`; a fault is given to the sandbox, the checks of its suite
run until one fails, and the sandbox is healed.
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
"""the variable that names the file to write"""


HEALED = "no fault"
"""the last entry: what still failed once every fault was removed"""

_SEEN = (
    "AssertionError",
    "assert",
    "UnexpectedResponse",
    "Unreachable",
    "DeadlineExceeded",
    "ServiceError",
    "pytest_gaia.errors.",
)
"""how the message of a check begins that saw something wrong; anything else is a check that is broken itself"""


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the suites under each fault, and write down which check failed first under which."""
    sandbox = session.config.stash[RUN].sandbox
    assert sandbox is not None
    found = {mutation.id: _under(session, sandbox, mutation) for mutation in MUTATIONS}
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
    # Which item comes next is not known yet; with the session in its place the fixtures of the session stay.
    reports = runtestprotocol(item, nextitem=cast("pytest.Item", session), log=False)
    for report in reports:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = str(getattr(crash, "message", report.longrepr))
            assert report.when == "call", f"{item.nodeid} failed at {report.when}: {message}"
            assert message.startswith(_SEEN), f"{item.nodeid} is broken: {message}"
            return True
    return False
