"""Specifications of the hooks that a ``conftest.py`` or another plugin can implement. Documentation only.

There are none yet: pytest-gaia adds ``pytest_gaia_*`` hooks here as parts that a project can take over appear.
"""
