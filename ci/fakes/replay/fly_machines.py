"""Machines in the format of the Machines API, and their changes."""

from __future__ import annotations

from typing import Any

from .digests import digest_of
from .fly_shapes import LAUNCHED, RELEASE_COMMAND, Json, event, image_ref, machine_id, now

ASLEEP = ("stopped", "suspended")


def groups(config: Json) -> list[str]:
    """Return the process groups of a deploy file, the default group first."""
    names = sorted(config.get("processes") or {"app": ""})
    return sorted(names, key="app".__ne__)


def _is_for(table: Json, config: Json, group: str) -> bool:
    return group in (table.get("processes") or groups(config)[:1])


def served(config: Json, group: str) -> list[Json]:
    """Return the services of a deploy file in the format of a machine of that process group."""
    tables = [*([config["http_service"]] if "http_service" in config else []), *config.get("services", [])]
    own = (table for table in tables if _is_for(table, config, group))
    return [_service(table, is_http=table is config.get("http_service")) for table in own]


def _service(table: Json, *, is_http: bool) -> Json:
    checks = [{"type": "http", **check} for check in [*table.get("checks", []), *table.get("http_checks", [])]]
    checks += [{"type": "tcp", **check} for check in table.get("tcp_checks", [])]
    autostop = table.get("auto_stop_machines", False)
    ports = table.get("ports") or [{"port": 80, "handlers": ["http"]}, {"port": 443, "handlers": ["tls", "http"]}]
    return {
        "protocol": "tcp" if is_http else table.get("protocol", "tcp"),
        "internal_port": table.get("internal_port", 8080),
        "autostop": {"off": False, "stop": True}.get(autostop, autostop) if isinstance(autostop, str) else autostop,
        "autostart": table.get("auto_start_machines", True),
        "min_machines_running": table.get("min_machines_running", 0),
        "ports": ports,
        "checks": [{"port": table.get("internal_port", 8080), **check} for check in checks],
    }


def check_names(config: Json) -> list[str]:
    """Return the names of a machine's checks, as ``servicecheck-00-http-8000``."""
    names: list[str] = []
    for service in config.get("services", []):
        for check in service["checks"]:
            names.append(f"servicecheck-{len(names):02}-{check['type']}-{check['port']}")
    return names + list(config.get("checks", {}))


def guest(config: Json, group: str) -> Json:
    """Return the size in a deploy file: from the table for the group, otherwise from the first one for all."""
    tables = config.get("vm") or [{}]
    tables = tables if isinstance(tables, list) else [tables]
    own = [each for each in tables if group in each.get("processes", [])]
    table = next(iter([*own[::-1], *(each for each in tables if not each.get("processes"))]), {})
    memory = table.get("memory", table.get("memory_mb", 256))
    if isinstance(memory, str):
        number = float(memory.lower().removesuffix("b").rstrip("gm"))
        memory = int(number * 1024) if "g" in memory.lower() else int(number)
    return {"cpu_kind": table.get("cpu_kind", "shared"), "cpus": table.get("cpus", 1), "memory_mb": memory}


def new_machine(app: Json, file: Json, *, group: str = "app", region: str | None = None) -> Json:
    """Add a new machine to ``app``, and return it. ``file`` is the parsed deploy file."""
    number = app["made"] = app.get("made", 0) + 1
    identity = machine_id(app["name"], number)
    machine: Json = {
        "id": identity,
        "name": f"quiet-harbour-{int(identity[:4], 16) % 10000}",
        "state": "created",
        "region": region or file.get("primary_region") or app["region"],
        "image_ref": {},
        "instance_id": "",
        "version": "",
        "private_ip": f"fdaa:0:{identity[:4]}:a7b:{identity[4:8]}:{identity[8:12]}:2:1",
        "created_at": now(),
        "updated_at": now(),
        "config": {},
        "events": [],
        "checks": [],
        "host_status": "ok",
        "group": group,
    }
    app["machines"].append(machine)
    return machine


def settle(machine: Json, file: Json, image: Json, release: Json, *, state: str = "started") -> None:
    """Let ``machine`` run ``image`` of ``release``; all checks pass if it is started."""
    group = machine.get("group", "app")
    machine["image_ref"] = image_ref(image["reference"], image["digest"])
    machine["instance_id"] = machine["version"] = "01" + digest_of(machine["id"], release["id"])[7:31].upper()
    machine["config"] = {
        "env": {**file.get("env", {}), "FLY_PROCESS_GROUP": group, "PRIMARY_REGION": machine["region"]},
        "guest": machine["config"].get("guest") or guest(file, group),
        "image": image["reference"],
        "metadata": {
            "fly_flyctl_version": "0.4.87",
            "fly_platform_version": LAUNCHED,
            "fly_process_group": group,
            "fly_release_id": release["id"],
            "fly_release_version": str(release["version"]),
        },
        "services": served(file, group),
        "checks": {name: dict(each) for name, each in file.get("checks", {}).items() if _is_for(each, file, group)},
        "restart": {"policy": "on-failure", "max_retries": 10},
        **({"standbys": machine["standbys"]} if "standbys" in machine else {}),
    }
    machine["updated_at"] = now()
    machine["events"] = [event("update", "replaced"), *machine["events"]][:10]
    machine["state"] = state
    if state == "started":
        start(machine)
    else:
        show_checks(machine, "warning", "the machine hasn't started")


def start(machine: Json) -> None:
    """Start a machine: a cold start, because a deployment discards its snapshot."""
    machine["state"] = "started"
    machine["updated_at"] = now()
    machine["events"] = [event("start", "started"), *machine["events"]][:10]
    show_checks(machine, "passing", '200 OK Output: "{\\"status\\":\\"healthy\\"}"')


def show_checks(machine: Json, status: str, output: str) -> None:
    """Set the status of all checks of a machine."""
    names = check_names(machine["config"])
    machine["checks"] = [{"name": each, "status": status, "output": output, "updated_at": now()} for each in names]


def crash(machine: Json, *, code: int, for_want_of_memory: bool) -> None:
    """Let the process of the machine exit, as by the kernel or by itself."""
    ended: Json = {
        "exit_code": code,
        "guest_exit_code": code,
        "oom_killed": for_want_of_memory,
        "requested_stop": False,
    }
    ended |= {"restarting": True, "guest_signal": -1, "signal": -1, "exited_at": now()}
    machine["events"] = [event("exit", "stopped", exit_event=ended, restart_count=1), *machine["events"]][:10]
    show_checks(machine, "critical", "connect: connection refused")


def shown(machine: Json) -> Json:
    """Return a machine as flyctl prints it, without internal and empty fields."""
    hidden = {"group", "revert", "standbys"}
    printed = {key: value for key, value in machine.items() if key not in hidden}
    if machine["host_status"] != "ok":
        printed["incomplete_config"] = printed.pop("config")
    return printed


def launched(machine: Json) -> bool:
    """Return whether ``fly status`` and ``fly deploy`` list the machine."""
    return machine["state"] != "destroyed" and machine.get("group") != RELEASE_COMMAND


def find(app: Json, identity: str) -> Any:
    """Return the machine with that id, or None."""
    return next((each for each in app["machines"] if each["id"] == identity), None)
