"""Environment-aware tests for the Gaia Platform.

Everything is reached through fixtures, markers and options; see ``docs/``. Nothing is imported here, because pytest
loads this package in every run in which it is installed.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
