"""The supervisor's HTTP interface for the processes of its run.

=======================================  ==================================================================
``GET /state``                           the stacks, and whether the shared services run
``POST /stacks/{stack}``                 the endpoints of a stack, which the first call creates
``POST /stacks/{stack}/faults``          ``{"service", "kind", …}``: inject a fault into a service
``DELETE /stacks/{stack}/faults``        remove the faults of the stack
``POST /stacks/{stack}/databases``       ``{"dsn"}`` of a fresh database
``DELETE /stacks/{stack}/databases``     ``{"dsn"}``: drop it in the background
``POST /services/{service}/stop|start``  stop or start ``nats`` or ``postgres``, for all stacks
=======================================  ==================================================================

Every call needs the token of the run. An invalid call returns 400, a failure of the sandbox 500, both with
``{"error": message}``.
"""

import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any

from pytest_gaia.errors import ConfigError, GaiaError, nearest
from pytest_gaia.sandbox._platform import STOP, Platform
from pytest_gaia.sandbox._services.app import Receive, Request, Scope, Send, json_response

_log = logging.getLogger(__name__)


class Control:
    """The ASGI application."""

    def __init__(self, platform: Platform, token: str) -> None:
        self._platform = platform
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        status, content = await self._respond(scope, await Request(scope, receive).body())
        await json_response(content, status)(scope, receive, send)

    async def _respond(self, scope: Mapping[str, Any], body: bytes) -> tuple[int, object]:
        if not hmac.compare_digest(dict(scope["headers"]).get(b"authorization", b""), self._expected):
            return 401, {"error": "wrong token"}
        parts = scope["path"].strip("/").split("/")
        try:
            return 200, await self._dispatch(scope["method"], parts, json.loads(body or b"{}"))
        except (ConfigError, ValueError) as error:
            return 400, {"error": str(error)}
        except GaiaError as error:
            return 500, {"error": str(error)}
        # Report any error to the caller, which waits for a response.
        except Exception as error:  # noqa: BLE001
            _log.exception("%s %s", scope["method"], scope["path"])
            return 500, {"error": f"{type(error).__name__}: {error}"}

    async def _dispatch(self, method: str, parts: list[str], content: Mapping[str, Any]) -> object:
        match (method, *parts):
            case ("GET", "state"):
                return self._platform.state()
            case ("POST", "stacks", name):
                return (await self._platform.stacks.get(name)).endpoints.as_json()
            case ("POST", "stacks", name, "faults"):
                return await self._fault(name, **content)
            case ("DELETE", "stacks", name, "faults"):
                await self._platform.stacks.existing(name).heal()
            case ("POST", "stacks", _, "databases"):
                return {"dsn": self._platform.databases.dsn(await self._platform.fresh.take())}
            case ("DELETE", "stacks", _, "databases"):
                self._platform.fresh.give_back(content["dsn"].rpartition("/")[2])
            case ("POST", "services", service, "stop" | "start" as action):
                await self._platform.switch(service, on=action == "start")
            case _:
                raise ConfigError(f"There is no {method} /{'/'.join(parts)}.")
        return {}

    async def _fault(self, name: str, *, service: str, kind: str, **arguments: Any) -> object:
        stack = self._platform.stacks.existing(name)
        if kind != STOP:
            stack.apps.faults.add(service, kind, **arguments)
        elif service not in stack.servers:
            raise ConfigError(
                f"Only a service of a stack can be stopped, not {service!r}: {nearest(service, stack.servers)}"
            )
        else:
            await stack.stop(service)
        return {}
