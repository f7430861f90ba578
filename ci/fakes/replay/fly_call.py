"""One call of ``fly``: its command line, state and output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import faults
from .fly_errors import NO_APP_NAME, NOT_LOGGED_IN, ToolError, refused, unknown_app
from .fly_machines import launched
from .process import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from .flags import Line
    from .state import Store


class Call(Process):
    """One call of a command."""

    def __init__(self, command: str, line: Line, store: Store) -> None:
        self.command = command
        self.line = line
        self.store = store
        self.chatty = False

    @property
    def name(self) -> str:
        """The name of the app; empty if none was given."""
        return str(self.line.get("app") or "")

    def app(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the app. Raise ``ToolError`` if it does not exist."""
        if not self.name:
            raise ToolError(NO_APP_NAME)
        if self.name not in state["apps"]:
            raise unknown_app(self.command, self.name, next(iter(self.line.arguments), ""), self.line.get("config"))
        return state["apps"][self.name]  # type: ignore[no-any-return] # the file is JSON

    def fault(self, state: dict[str, Any], *kinds: str) -> faults.Fault | None:
        """Return the injected fault of one of ``kinds``, and count it down."""
        return faults.take(state, self.name or None, self.command, *kinds)

    def stop_if(self, kind: str, state: dict[str, Any], error: Callable[[], ToolError]) -> None:
        """Raise ``error`` if the fault ``kind`` is injected."""
        if self.fault(state, kind):
            raise error()

    def before(self) -> None:
        """Apply the faults that affect every command."""
        machine = next(iter(self.line.arguments), "")
        with self.store.change() as state:
            self.stop_if("not-logged-in", state, lambda: ToolError(NOT_LOGGED_IN))
            self.stop_if("unauthorised", state, lambda: refused(self.command, self.name, machine, status=401))
            self.stop_if("rate-limited", state, lambda: refused(self.command, self.name, machine, status=429))
            self.stop_if("server-error", state, lambda: refused(self.command, self.name, machine, status=503))
            self._put_to_sleep(state)
            self.chatty = self.fault(state, "chatter") is not None
        if self.command != "deploy":
            self.linger()

    def _put_to_sleep(self, state: dict[str, Any]) -> None:
        app = state["apps"].get(self.name, {"machines": []})
        machines = [each for each in app["machines"] if launched(each)]
        if machines and not app.get("slept") and self.fault(state, "suspended"):
            app["slept"] = True
            for machine in machines:
                machine["state"] = "suspended"

    def linger(self) -> None:
        """Wait as long as the fault ``slow`` requires, or until a signal."""
        with self.store.change() as state:
            slow = self.fault(state, "slow")
        if slow:
            self.follow(slow.number or 1.0)

    def print_json(self, value: Any) -> None:
        """Print JSON with four spaces, as flyctl does; with the fault ``chatter``, among other lines."""
        if self.chatty:
            self.say('Update available 0.4.87 -> v0.4.88.\nRun "fly version update" to upgrade.\n{not json, [really')
        self.say(json.dumps(value, indent=4))
        if self.chatty:
            self.say("\nWARN Metrics token unavailable: you may be rate limited {see the docs}")
