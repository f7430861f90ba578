"""The commands of ``fly`` that change machines, except ``deploy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fly_errors import ToolError, lease_held, unknown_machine
from .fly_machines import ASLEEP, find, groups, launched, new_machine, settle, start
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
                raise unknown_machine(identity, call.name)
            call.stop_if("lease-held", state, lambda held=identity: lease_held(held))  # type: ignore[misc]
            _start(machine)
            call.say(f"{identity} has been started")


def scale_count(call: Call) -> None:
    """``fly scale count [GROUP=]N --yes [--process-group GROUP]``."""
    named, _, wanted = next(iter(call.line.arguments), "").rpartition("=")
    if not wanted.isdecimal():
        raise ToolError("accepts at least 1 arg(s), received 0" if not wanted else f"invalid count {wanted}")
    with call.store.change() as state:
        app = call.app(state)
        group = named or _group(call) or "app"
        if group not in groups(app["config"]):
            raise ToolError(
                f"Attempting to scale unknown process groups [{group}] but valid names are [{' '.join(groups(app['config']))}]."
            )
        all_machines = [each for each in app["machines"] if launched(each)]
        machines = [each for each in all_machines if each["group"] == group]
        call.stop_if("lease-held", state, lambda: lease_held(machines[0]["id"] if machines else "0"))
        if not call.line.get("yes"):
            raise ToolError("prompt: non interactive: --yes flag must be specified when not running interactively")
        if not all_machines:
            raise ToolError("this app has no complete releases. Run `fly deploy` to create one and rerun this command")
        if int(wanted) == len(machines):
            call.say("App already scaled to desired state. No need for changes")
            return
        call.say(f"App '{app['name']}' is going to be scaled according to this plan:")
        for each in machines[int(wanted) :]:
            app["machines"].remove(each)
            call.say(f"  Destroyed {each['id']} group:{group} region:{each['region']}")
        for _ in range(int(wanted) - len(machines)):
            twin = _twin(app, (machines or all_machines)[0], group, call.line.get("region"))
            call.say(f"  Created {twin['id']} group:{group} region:{twin['region']}")


def _group(call: Call) -> str:
    return call.line.get("process-group") or call.line.get("group") or ""


def _twin(app: dict[str, Any], model: dict[str, Any], group: str, region: str | None) -> dict[str, Any]:
    twin = new_machine(app, app.get("config", {}), group=group, region=region or model["region"])
    twin["config"] = {"guest": dict(model["config"].get("guest", {}))}
    image = {"reference": model["config"]["image"], "digest": model["image_ref"]["digest"]}
    settle(twin, app.get("config", {}), image, app["releases"][-1])
    return twin


def scale_memory(call: Call) -> None:
    """``fly scale memory MB [--process-group GROUP]``: machines of one group are started again."""
    wanted = next(iter(call.line.arguments), "").lower().removesuffix("mb")
    if not wanted.isdecimal():
        raise ToolError(f"failed to parse memory: invalid size: '{wanted}'")
    if int(wanted) % 256:
        raise ToolError(f"invalid config: memory must be a multiple of 256: {wanted}")
    with call.store.change() as state:
        app = call.app(state)
        known = groups(app["config"])
        if not _group(call) and len(known) > 1:
            shown = ", ".join(f"'{each}'" for each in known)
            raise ToolError(
                "scaling an app with multiple process groups requires specifying a group with '--process-group <name>'\n"
                f" * this app has the following process groups: [{shown}]"
            )
        for each in app["machines"]:
            if launched(each) and each["group"] == (_group(call) or known[0]):
                call.stop_if("lease-held", state, lambda held=each["id"]: lease_held(held))  # type: ignore[misc]
                each["config"].setdefault("guest", {})["memory_mb"] = int(wanted)
                each["events"] = [event("update", "replaced"), *each["events"]][:10]
                call.say(f"Updating machine {each['id']}\n  Machine {each['id']} has been updated!")
    call.say(f"Scaled VM Type to 'shared-cpu-1x'\n         Memory: {int(wanted)} MB")


def _start(machine: dict[str, Any]) -> None:
    if machine["state"] in ASLEEP:
        start(machine)
