"""The read-only commands of ``fly``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import fly_shapes as shapes
from .digests import digest_of
from .fly_errors import ToolError, unknown_machine
from .fly_machines import find, launched, shown

if TYPE_CHECKING:
    from .fly_call import Call

VERSION = {
    "Name": "flyctl",
    "Version": "0.4.87",
    "Commit": "5f2ac1d7e1e24a3a9d2a6b1d1f9a3c6e7b8d9f00",
    "BranchName": "master",
    "BuildDate": "2026-08-20T18:56:30Z",
    "OS": "linux",
    "Architecture": "amd64",
    "Environment": "production",
}


def version(call: Call) -> None:
    """``fly version [--json]``."""
    if call.line.get("json"):
        call.print_json(VERSION)
    else:
        call.say(f"fly v{VERSION['Version']} linux/amd64 Commit: {VERSION['Commit']} BuildDate: {VERSION['BuildDate']}")


def status(call: Call) -> None:
    """``fly status [--json]``: exits 0 for any health."""
    with call.store.change() as state:
        app = call.app(state)
        _revert(app)
        if call.line.get("watch") and call.line.get("json"):
            raise ToolError("--watch and --json are not supported together")
        value = shapes.app_status(app, [shown(each) for each in app["machines"] if launched(each)])
    if call.line.get("json"):
        call.print_json(value)
        return
    call.say(f"App\n  Name     = {app['name']}\n  Owner    = {app['org']}\n  Hostname = {app['hostname']}\n\nMachines")
    for each in value["Machines"]:
        passing = sum(check["status"] == "passing" for check in each["checks"])
        call.say(f"app\t{each['id']}\t{value['Version']}\t{each['region']}\t{each['state']}\t{passing} passing")


def machine_list(call: Call) -> None:
    """``fly machine list [--json]``: every machine, including those of release commands."""
    with call.store.change() as state:
        app = call.app(state)
        call.stop_if("list-fails", state, lambda: ToolError("failed to list VMs: API returned unexpected status, 302"))
        _revert(app)
        machines = [shown(each) for each in app["machines"]]
    if call.line.get("json"):
        call.print_json(machines)
        return
    call.say(f"{len(machines)} machines have been retrieved from app {app['name']}.\n")
    for each in machines:
        call.say(f"{each['id']}\t{each['state']}\t{each['region']}")


def _revert(app: dict[str, Any]) -> None:
    """Revert machines with the fault ``reverting`` after enough listings."""
    for machine in app["machines"]:
        due = machine.get("revert")
        if due is None:
            continue
        if due["after"] > 0:
            due["after"] -= 1
            continue
        machine.update(due["to"])
        machine["events"] = [shapes.event("update", "replaced"), *machine["events"]][:10]
        del machine["revert"]


def machine_wait(call: Call) -> None:
    """``fly machine wait ID --state S -w D``: returns at once, because nothing changes in the background."""
    identity = next(iter(call.line.arguments), "")
    wanted, limit = call.line.get("state", "settled"), call.line.get("wait-timeout", "5m0s")
    machine = find(call.app(call.store.read()), identity)
    if machine is None:
        raise unknown_machine(identity, call.name)
    call.say(f'Waiting up to {limit} for machine {identity} to reach "{wanted}"...')
    if wanted not in ("settled", machine["state"]):
        raise ToolError(
            f'machine {identity} did not reach "{wanted}" within {limit}: failed to wait for VM {identity} in '
            f"[{wanted}] state: deadline_exceeded"
        )
    call.say(f'Machine {identity} reached state "{machine["state"]}"')


def releases(call: Call) -> None:
    """``fly releases [--json]``: the newest 25."""
    newest = [shapes.release(each) for each in reversed(call.app(call.store.read())["releases"][-25:])]
    if call.line.get("json"):
        call.print_json(newest)
        return
    for each in newest:
        call.say(f"v{each['Version']}\t{each['Status']}\t{each['Description']}\t{each['User']['Email']}")


def secrets_list(call: Call) -> None:
    """``fly secrets list [--json]``: names and digests, never a value."""
    names = call.app(call.store.read()).get("secrets", [])
    rows = [{"name": name, "digest": digest_of("secret", name)[7:23], "status": "Deployed"} for name in names]
    if call.line.get("json"):
        call.print_json(rows)
        return
    for row in rows:
        call.say("\t".join(row.values()))


def logs(call: Call) -> None:
    """``fly logs [--no-tail] [--json]``: ``--no-tail`` ends after the first lines, and waits for them if there are none.

    Any wait ends with a signal, here after a few seconds at most. With ``--json`` one object after the other, each on
    several lines.
    """
    state = call.store.read()
    app = call.app(state)
    for line in app.get("logs", []):
        if call.line.get("json"):
            call.print_json(_entry(app, line))
        else:
            call.say(line)
    if not call.line.get("no-tail") or not app.get("logs"):
        call.follow(float(state.get("follow_seconds", 2)))


def _entry(app: dict[str, Any], message: str) -> dict[str, Any]:
    first = next((each for each in app["machines"] if launched(each)), {"id": "", "region": app["region"]})
    place = {"instance": first["id"], "region": first["region"], "meta": {"instance": first["id"]}}
    return {"level": "info", "message": message, "timestamp": shapes.now(), **place}
