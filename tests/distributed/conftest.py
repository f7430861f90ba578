"""The project of ``tests/plugin``, here on the sandbox and with workers."""

from tests.plugin.conftest import project

__all__ = ["project"]
