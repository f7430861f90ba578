"""Hooks that a ``conftest.py`` or another plugin can implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gaia.deploy.contract import Reply, Request


@pytest.hookspec(firstresult=True)
def pytest_gaia_deploy(request: Request, log: Callable[[str], None]) -> Reply | dict[str, Any] | None:
    """Carry out one phase (``request.phase``) for one service of an environment whose hook is ``plugin``.

    Called for ``plan``, ``observe``, ``deploy``, ``observe`` again, and for ``rollback``. Only ``deploy`` and ``rollback``
    may change anything. Each phase can be called more than once. ``log`` prints a line for the user.

    Return a ``Reply``, a dict with its fields (the default status is ``done``), or None to leave the request to the next
    implementation. ``observe`` must return an observation, which shows what runs. An exception fails the deployment.
    Called in the controller process, never in an xdist worker.
    """
