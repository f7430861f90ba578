"""How this repository's own suites are wired: they are not.

The plugin is found by its entry point, ``gaia.toml`` says where the suites are, and ``pyproject.toml`` gives the
session one event loop. A project of yours needs no more than that. The one line below is for ``tests/``, which run
pytest inside of pytest.
"""

pytest_plugins = ["pytester"]
