"""Load pytester for ``tests/``, which run pytest inside pytest. The suites need no set-up in ``conftest.py``."""

pytest_plugins = ["pytester"]
