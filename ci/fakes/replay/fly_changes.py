"""The commands of ``fly`` that change machines, except ``deploy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fly_errors import ToolError, lease_held
from .fly_machines import ASLEEP, find, launched, new_machine, settle, start
from .fly_shapes import event

if TYPE_CHECKING:
    from .fly_call import Call


def machine_start(call: Call) -> None:
    """``fly machine start ID…``."""
    with call.store.change() as state:
        app = call.app(state)
        for identity in call.line.arguments:
            machine = find(app, identity)
            if machine is None:
                raise ToolError(f"failed to get VM {identity}: machine not found")
            call.stop_if("lease-held", state, lambda held=identity: lease_held(held))  # type: ignore[misc]
            _start(machine)
            call.say(f"{identity} has been started")


def machine_stop(call: Call) -> None:
    """``fly machine stop ID…`` and ``suspend``."""
    verb = call.command.split()[-1]
    with call.store.change() as state:
        app = call.app(state)
        for identity in call.line.arguments:
            machine = find(app, identity)
            if machine is None:
                raise ToolError(f"failed to get VM {identity}: machine not found")
            machine["state"] = {"stop": "stopped", "suspend": "suspended"}[verb]
            call.say(f"{identity} has been successfully {machine['state']}")


def scale_count(call: Call) -> None:
    """``fly scale count N --yes``."""
    wanted = next(iter(call.line.arguments), "").rpartition("=")[2]
    if not wanted.isdecimal():
        raise ToolError("accepts at least 1 arg(s), received 0" if not wanted else f"invalid count {wanted}")
    with call.store.change() as state:
        app = call.app(state)
        machines = [each for each in app["machines"] if launched(each)]
        call.stop_if("lease-held", state, lambda: lease_held(machines[0]["id"] if machines else "0"))
        if not call.line.get("yes"):
            raise ToolError("--yes flag must be specified when not running interactively")
        if not machines:
            raise ToolError("this app has no complete releases. Run `fly deploy` to create one and rerun this command")
        if int(wanted) == len(machines):
            call.say("App already scaled to desired state. No need for changes")
            return
        call.say(f"App '{app['name']}' is going to be scaled according to this plan:")
        for each in machines[int(wanted) :]:
            app["machines"].remove(each)
            call.say(f"Destroyed {each['id']} group:app region:{each['region']}")
        for _ in range(int(wanted) - len(machines)):
            twin = _twin(app, machines[0], call.line.get("region"))
            call.say(f"Created {twin['id']} group:app region:{twin['region']}")


def _twin(app: dict[str, Any], model: dict[str, Any], region: str | None) -> dict[str, Any]:
    twin = new_machine(app, app.get("config", {}), group=model["group"], region=region or model["region"])
    twin["config"] = {"guest": dict(model["config"].get("guest", {}))}
    image = {"reference": model["config"]["image"], "digest": model["image_ref"]["digest"]}
    settle(twin, app.get("config", {}), image, app["releases"][-1])
    return twin


def scale_memory(call: Call) -> None:
    """``fly scale memory MB``: a new release, machines started again."""
    wanted = next(iter(call.line.arguments), "").lower().removesuffix("mb")
    if not wanted.isdecimal():
        raise ToolError(f"failed to parse memory: invalid size: '{wanted}'")
    if int(wanted) % 256:
        raise ToolError(f"invalid config: memory must be a multiple of 256: {wanted}")
    with call.store.change() as state:
        app = call.app(state)
        for each in app["machines"]:
            if launched(each):
                call.stop_if("lease-held", state, lambda held=each["id"]: lease_held(held))  # type: ignore[misc]
                each["config"].setdefault("guest", {})["memory_mb"] = int(wanted)
                each["events"] = [event("update", "replaced"), *each["events"]][:10]
                call.note(f"Updating machine {each['id']}\n  Machine {each['id']} has been updated!")
    call.say(f"Scaled VM Memory to '{int(wanted)} MB'")


def _start(machine: dict[str, Any]) -> None:
    if machine["state"] in ASLEEP:
        start(machine)
