"""The libraries that the supervisor needs, loaded while its servers come up. This is most of the time to start."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec

from pytest_gaia.errors import SandboxError
from pytest_gaia.sandbox.binaries import INSTALL


def load() -> None:
    """Import everything that serves and that talks to PostgreSQL. Raises ``SandboxError`` for what is not installed."""
    try:
        _import_uvicorn()

        # Imported for those who import them later.
        import asyncpg  # noqa: F401
        import httptools  # noqa: F401

        import pytest_gaia.sandbox.control  # noqa: F401
    except ModuleNotFoundError as error:
        raise SandboxError(f"The sandbox needs {error.name}, which is not installed: {INSTALL}") from error


def _import_uvicorn() -> None:
    """Import uvicorn's configuration without its command line.

    ``import uvicorn`` also loads click, its process supervisor and its reloader, which takes as long as all the rest of
    it. So the package is entered by its name, and gets the one thing that its own modules ask of it.
    """
    spec = find_spec("uvicorn")
    if spec is None:
        raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
    package = sys.modules.setdefault("uvicorn", module_from_spec(spec))
    try:
        import uvicorn.config

        package.Config = uvicorn.config.Config  # type: ignore[attr-defined]  # what uvicorn/__init__.py does
        import uvicorn.lifespan.off
        import uvicorn.protocols.http.httptools_impl
    except ImportError:
        for name in [each for each in sys.modules if each.partition(".")[0] == "uvicorn"]:
            del sys.modules[name]
        import uvicorn
