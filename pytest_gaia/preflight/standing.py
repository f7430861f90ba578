"""Where something of an app stands in its file, whichever tool the file is for."""

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.files.toml import Place

_SERVICES = "services"


def head(app: App) -> Place:
    """Return where ``app`` is named: the line ``app = …`` on Fly, the service's own line in a compose file."""
    return app.place("app")


def standing(app: App, *key: str) -> Place:
    """Return where ``key`` of ``app`` stands, or the nearest table around it."""
    return app.place(_SERVICES, app.name, *key) if is_composed(app) else app.place(*key)


def env_place(app: App, variable: str) -> Place:
    """Return where a variable of ``app`` stands."""
    return app.place("env", variable)


def inside(app: App, table: Place, key: str) -> Place:
    """Return where ``key`` of the table that stands at ``table`` stands, or the table itself where it has no such key."""
    names = [name for name, place in app.places.items() if place == table]
    found = (app.places.get(f"{name}.{key}") for name in sorted(names, key=len, reverse=True))
    return next((place for place in found if place is not None), table)


def is_composed(app: App) -> bool:
    """Whether the file of ``app`` is a compose file."""
    return f"{_SERVICES}.{app.name}" in app.places
