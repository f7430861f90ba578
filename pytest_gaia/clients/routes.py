"""The way to a service that has no URL of its own: the route of the gateway that leads to it, where there is one."""

from __future__ import annotations

import re
from functools import cache

# A service's path → the gateway's. A name in braces stands for one segment; what is written out goes before it.
_ROUTES: dict[str, dict[str, str]] = {
    "auth": {
        "/auth/validate": "/api/v1/auth/validate",
        "/auth/register": "/api/v1/auth/register",
        "/auth/login": "/api/v1/auth/login",
        "/auth/refresh": "/api/v1/auth/refresh",
    },
    "asset": {
        "/api/v1/assets": "/api/v1/assets",
        "/api/v1/assets/{asset_id}": "/api/v1/assets/{asset_id}",
    },
    "chat": {
        "/chat/": "/api/v1/chat",
        "/chat/status": "/api/v1/chat/status",
        "/chat/history": "/api/v1/chat/history",
        "/chat/reload-prompt": "/api/v1/chat/reload-prompt",
        "/api/v0.2/": "/api/v0.2/",
        "/api/v0.2/chat": "/api/v0.2/chat",
        "/api/v0.2/health": "/api/v0.2/health",
        "/api/v0.2/providers/": "/api/v0.2/providers",
        "/api/v0.2/providers/health": "/api/v0.2/providers/health",
        "/api/v0.2/providers/stats": "/api/v0.2/providers/stats",
        "/api/v0.2/providers/{provider}/models": "/api/v0.2/providers/{provider}/models",
        "/api/v0.2/models/": "/api/v0.2/models",
        "/api/v0.2/models/{model_id}": "/api/v0.2/models/{model_id}",
        "/api/v0.2/personas/": "/api/v0.2/personas",
    },
}

# Everything below these is the same on both sides.
_SAME: dict[str, tuple[str, ...]] = {
    "chat": (
        "/api/v0.2/chat/",
        "/api/v0.2/assets/pricing/",
        "/api/v0.2/usage/",
        "/api/v0.2/personas/",
        "/api/v0.2/performance/",
    ),
}

# The gateway would take these for an asset's id.
_NOT_FORWARDED = {"asset": frozenset({"/api/v1/assets/request"})}


def through_gateway(service: str, path: str) -> str | None:
    """Return the gateway's path for a path (or path template) of ``service``, or None where there is no route.

    >>> through_gateway("auth", "/auth/validate")
    '/api/v1/auth/validate'
    >>> through_gateway("auth", "/status") is None
    True
    """
    if service == "gateway":
        return path
    bare, mark, rest = path.partition("?")
    route = _route(service, bare)
    return None if route is None else f"{route}{mark}{rest}"


def _route(service: str, path: str) -> str | None:
    if path in _NOT_FORWARDED.get(service, ()):
        return None
    written = _ROUTES.get(service, {})
    if path in written:
        return written[path]
    if path.startswith(_SAME.get(service, ())):
        return path
    for template, route in written.items():
        if "{" in template and (match := _pattern(template).fullmatch(path)):
            return route.format_map(match.groupdict())
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))
