"""Release testing with pytest: fixtures, markers, options and the ``gaia`` command; see ``docs/``.

Nothing is imported here, because pytest loads this package in every run.
"""

__all__ = ["__version__"]

__version__ = "0.2.0"
