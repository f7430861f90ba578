"""The way to a service that has no URL of its own: the route of the gateway that leads to it, where there is one."""

from __future__ import annotations

# Each service's paths that the gateway forwards → the gateway's own path. Paths of /api/v0.2 that are the same on both
# sides are left out: see _SAME.
_RENAMED: dict[str, dict[str, str]] = {
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
        "/api/v0.2/providers/": "/api/v0.2/providers",
        "/api/v0.2/models/": "/api/v0.2/models",
        "/api/v0.2/personas/": "/api/v0.2/personas",
    },
}

_SAME: dict[str, str] = {"chat": "/api/v0.2/"}


def through_gateway(service: str, path: str) -> str | None:
    """Return the gateway's path for a path (or path template) of ``service``, or None where there is no route.

    >>> through_gateway("auth", "/auth/validate")
    '/api/v1/auth/validate'
    >>> through_gateway("auth", "/status") is None
    True
    """
    if service == "gateway":
        return path
    renamed = _RENAMED.get(service, {}).get(path)
    if renamed is not None:
        return renamed
    prefix = _SAME.get(service)
    return path if prefix is not None and path.startswith(prefix) else None
