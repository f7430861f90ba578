"""The read-only commands of ``fly``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import fly_shapes as shapes
from .digests import digest_of
from .fly_errors import ToolError
from .fly_machines import find, launched, shown

if TYPE_CHECKING:
    from .fly_call import Call

VERSION = {
    "Name": "flyctl",
    "Version": "0.4.31",
    "Commit": "5f2ac1d7e1e24a3a9d2a6b1d1f9a3c6e7b8d9f00",
    "BranchName": "master",
    "BuildDate": "2026-08-03T15:20:11Z",
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


def whoami(call: Call) -> None:
    """``fly auth whoami [--json]``."""
    if call.line.get("json"):
        call.print_json({"email": "ci@gaia.example"})
    else:
        call.say("ci@gaia.example")


def apps_list(call: Call) -> None:
    """``fly apps list [--json] [-o ORG]``."""
    org = call.line.get("org")
    apps = [app for app in call.store.read()["apps"].values() if org in (None, app["org"])]
    if call.line.get("json"):
        call.print_json([shapes.listed_app(app) for app in apps])
        return
    call.say("NAME                \tOWNER   \tSTATUS  \tLATEST DEPLOY")
    for app in apps:
        call.say(f"{app['name']:<20}\t{app['org']:<8}\t{shapes.status_of(app)}\t")


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
        call.stop_if("list-fails", state, lambda: ToolError("machines could not be retrieved"))
        _revert(app)
        machines = [shown(each) for each in app["machines"]]
    if call.line.get("json"):
        call.print_json(machines)
        return
    call.say(f"{len(machines)} machines have been retrieved from app {app['name']}.\n")
    for each in machines:
        call.say(each["id"] if call.line.get("quiet") else f"{each['id']}\t{each['state']}\t{each['region']}")


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
        raise ToolError(f"failed to get VM {identity}: machine not found")
    call.say(f'Waiting up to {limit} for machine {identity} to reach "{wanted}"...')
    if wanted not in ("settled", machine["state"]):
        raise ToolError(
            f'machine {identity} did not reach "{wanted}" within {limit}: failed to wait for VM {identity} in '
            f"{wanted} state: deadline_exceeded"
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


def image_show(call: Call) -> None:
    """``fly image show [--json]``."""
    machines = [each for each in call.app(call.store.read())["machines"] if launched(each)]
    rows = [_image_row(each) for each in machines]
    if call.line.get("json"):
        call.print_json(rows)
        return
    for row in rows:
        call.say("\t".join(str(value) for value in row.values()))


def _image_row(machine: dict[str, Any]) -> dict[str, Any]:
    ref = machine["image_ref"]
    names = {"Registry": ref["registry"], "Repository": ref["repository"], "Tag": ref["tag"], "Version": "N/A"}
    return {"MachineID": machine["id"], **names, "Digest": ref["digest"], "Labels": ""}


def checks_list(call: Call) -> None:
    """``fly checks list [--json]``."""
    machines = [each for each in call.app(call.store.read())["machines"] if launched(each)]
    if call.line.get("json"):
        call.print_json({each["id"]: each["checks"] for each in machines})
        return
    for each in machines:
        for check in each["checks"]:
            call.say(f"{check['name']}\t{check['status']}\t{each['id']}\t{check['output']}")


def config_show(call: Call) -> None:
    """``fly config show``: the deployed config, as JSON."""
    app = call.app(call.store.read())
    if not app["releases"]:
        raise ToolError("no machines configured for this app, so there is no config to show")
    call.print_json({"app": app["name"], **app.get("config", {})})


def secrets_list(call: Call) -> None:
    """``fly secrets list [--json]``: names and digests, never a value."""
    names = call.app(call.store.read()).get("secrets", [])
    rows = [{"name": name, "digest": digest_of("secret", name)[7:23], "status": "Deployed"} for name in names]
    if call.line.get("json"):
        call.print_json(rows)
        return
    for row in rows:
        call.say("\t".join(row.values()))


def scale_show(call: Call) -> None:
    """``fly scale show [--json]``."""
    app = call.app(call.store.read())
    machines = [each for each in app["machines"] if launched(each)]
    guest = machines[0]["config"].get("guest", {}) if machines else {}
    regions = {each["region"] for each in machines}
    counts = {region: sum(each["region"] == region for each in machines) for region in sorted(regions)}
    row = {"Process": "app", "Count": len(machines), "CPUKind": guest.get("cpu_kind"), "CPUs": guest.get("cpus")}
    row |= {"Memory": guest.get("memory_mb"), "Regions": counts}
    if call.line.get("json"):
        call.print_json([row] if machines else [])
        return
    size = f"{row['CPUKind']}\t{row['CPUs']}\t{row['Memory']} MB"
    call.say(f"VM Resources for app: {app['name']}\n\nGroups\nNAME\tCOUNT\tKIND\tCPUS\tMEMORY\tREGIONS")
    call.say(f"app\t{row['Count']}\t{size}\t{','.join(f'{key}({value})' for key, value in counts.items())}")


def logs(call: Call) -> None:
    """``fly logs [--no-tail] [--json]``: without ``--no-tail``, it continues until a signal, here for a few seconds at most.

    With ``--json`` one object after the other, each on several lines.
    """
    state = call.store.read()
    app = call.app(state)
    for line in app.get("logs", []):
        if call.line.get("json"):
            call.print_json(_entry(app, line))
        else:
            call.say(line)
    if not call.line.get("no-tail"):
        call.follow(float(state.get("follow_seconds", 2)))


def _entry(app: dict[str, Any], message: str) -> dict[str, Any]:
    first = next((each for each in app["machines"] if launched(each)), {"id": "", "region": app["region"]})
    place = {"instance": first["id"], "region": first["region"], "meta": {"instance": first["id"]}}
    return {"level": "info", "message": message, "timestamp": shapes.now(), **place}


def clusters(call: Call) -> None:
    """``fly mpg list -o ORG [--json]``: plain text if there is none, even with ``--json``."""
    found = call.store.read()["clusters"]
    org = call.line.get("org")
    if org is None:
        raise ToolError("prompt: non interactive: org slug must be specified when not running interactively")
    if not found:
        call.say(f"No managed postgres clusters found in organization {org}")
    elif call.line.get("json"):
        call.print_json(found)
    else:
        for each in found:
            call.say(f"{each['id']}\t{each['name']}\t{each['region']}\t{each['status']}\t{each['plan']}")
