"""Figures and fixed responses of the services, from ``figures.json``.

In a response, a text such as ``"{samples}"`` is replaced with the value of that name, and ``"{now}"`` with the time.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_gaia.sandbox._services.app import Handler, HttpError, Request, Service, naive_now

FIGURES: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
RESPONSES: Mapping[str, Mapping[str, Any]] = FIGURES["answers"]
"""service → route → response"""


def filled(content: Any, **values: object) -> Any:
    """Return a copy of ``content`` with the current time and ``values`` filled in."""
    return _filled(content, {"{now}": naive_now(), **{f"{{{name}}}": value for name, value in values.items()}})


def canned(content: object, **values: object) -> Handler:
    """Return a handler that always returns ``content``."""

    async def handle(request: Request) -> object:
        return filled(content, **values)

    return handle


def chosen(contents: Mapping[str, object], missing: str) -> Handler:
    """Return a handler that returns the content for the value in its path, or 404 with the text ``missing``."""

    async def handle(request: Request) -> object:
        (name,) = request.path_params.values()
        if name not in contents:
            raise HttpError(404, missing.format(name))
        return filled(contents[name])

    return handle


def add_canned(app: Service, service: str, *rules: str, open_: bool = False) -> None:
    """Add the routes of ``service`` with fixed responses."""
    for rule in rules:
        app.add(rule, canned(RESPONSES[service][rule]), open_=open_)


def _filled(content: Any, values: Mapping[str, object]) -> Any:
    if isinstance(content, dict):
        return {name: _filled(value, values) for name, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values) for value in content]
    return values.get(content, content) if isinstance(content, str) else content
