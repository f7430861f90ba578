"""Specifications of the hooks that a ``conftest.py`` or another plugin can implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.deploy.contract import Reply, Request


@pytest.hookspec(firstresult=True)
def pytest_gaia_deploy(request: Request, log: Callable[[str], None]) -> Reply | dict[str, Any] | None:
    """Carry out one phase (``request.phase``) for one service of an environment whose hook is ``plugin``.

    Asked for ``plan``, ``observe``, ``deploy`` and ``observe`` again, and for ``rollback``: only ``deploy`` and
    ``rollback`` may change anything, and all of them may be asked more than once. ``log`` takes lines for people.

    Return a ``Reply``, a dict with its fields (without a status: done), or None to leave the request to the next
    implementation. ``observe`` has to give an observation, because nothing else proves what runs. What is raised is a
    deployment that failed. Called in the process that talks to the user, never in an xdist worker.
    """
