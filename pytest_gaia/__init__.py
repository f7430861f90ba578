"""Release testing with pytest: fixtures, markers, options and the ``gaia`` command; see ``docs/``.

Nothing is imported here, because pytest loads this package in every run. ``from pytest_gaia import HttpClient`` and the other
names in ``__all__`` import their module; ``__init__.pyi`` shows them to type checkers.
"""

__all__ = ["HttpClient", "Messaging", "RedisClient", "Services", "Session", "__version__"]

__version__ = "0.2.0"

_PLACES = {
    "HttpClient": "clients.http.client",
    "Messaging": "clients.broker.messaging",
    "RedisClient": "clients.redis",
    "Services": "fixtures.declared",
    "Session": "clients.database.sessions",
}
"""types of fixtures, for annotations"""


def __getattr__(name: str) -> object:
    """Import a type when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
