"""Places of settings of an app in its file, for any tool."""

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.files.toml import Place

_SERVICES = "services"


def head(app: App) -> Place:
    """Return the place of the name of ``app``: the line ``app = …`` on Fly, the line of the service in a compose file."""
    return app.place("app")


def standing(app: App, *key: str) -> Place:
    """Return the place of ``key`` of ``app``, or of the nearest table around it."""
    return app.place(_SERVICES, app.name, *key) if is_composed(app) else app.place(*key)


def env_place(app: App, variable: str) -> Place:
    """Return the place of a variable of ``app``."""
    return app.place("env", variable)


def inside(app: App, table: Place, key: str) -> Place:
    """Return the place of ``key`` in the table at ``table``, or ``table`` without such a key."""
    names = [name for name, place in app.places.items() if place == table]
    found = (app.places.get(f"{name}.{key}") for name in sorted(names, key=len, reverse=True))
    return next((place for place in found if place is not None), table)


def is_composed(app: App) -> bool:
    """Whether the file of ``app`` is a compose file."""
    return f"{_SERVICES}.{app.name}" in app.places
