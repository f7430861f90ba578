"""Checks of availability: machines, memory, and automatic stops."""

from collections.abc import Iterator

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles, inside
from pytest_gaia.preflight.findings import Found, check

LEAST_MACHINES = 2
LEAST_MEMORY_MB = 2048

_STATEFUL = ("nats", "postgres", "redis", "amqp")
"""kinds whose second machine is a separate server, unless they form a cluster"""


@check("too-few-machines", "error")
def too_few_machines(files: DeployFiles) -> Iterator[Found]:
    """Production runs fewer than two machines of a service.

    With one machine, every deployment and every failure of a host is an outage.
    """
    for environment, app in _in_production(files):
        for served in app.served:
            count = served.min_machines or 0
            if app.kind not in _STATEFUL and count < LEAST_MACHINES:
                what = (
                    f"{app.name} keeps {count} running"
                    if served.min_machines is not None
                    else f"{app.name} sets no minimum"
                )
                fix = f"write min_machines_running = {LEAST_MACHINES}"
                yield Found(inside(app, served.place, "min_machines_running"), what, fix, environment)


@check("too-little-memory", "error")
def too_little_memory(files: DeployFiles) -> Iterator[Found]:
    """A service in production has less than 2 GB of memory.

    Under load the kernel kills it in the middle of requests. The service was measured with 2 GB.
    """
    for environment, app in _in_production(files):
        if app.kind in _STATEFUL:
            continue
        for place, (memory, groups) in _memory(app).items():
            if (memory or 0) >= LEAST_MEMORY_MB:
                continue
            names = ", ".join(groups)
            whose = app.name if len(app.groups) == 1 else f"the process group {names} of {app.name}"
            what = f"{whose} has {memory} MB" if memory else f"the file sets no memory for {whose}"
            yield Found(place, what, 'write memory = "2gb" in its [[vm]]', environment)


def _memory(app: App) -> dict[Place, tuple[int | None, list[str]]]:
    """Return place → memory in MB, and the process groups that have it."""
    found: dict[Place, tuple[int | None, list[str]]] = {}
    for group in app.groups:
        size = app.sizes.get(group)
        place, memory = (size.place, size.memory_mb) if size else (app.place("vm"), None)
        found.setdefault(place, (memory, []))[1].append(group)
    return found


@check("autostop", "error")
def autostop(files: DeployFiles) -> Iterator[Found]:
    """Fly may stop machines in production.

    The next request waits seconds for a start, and subscribers of NATS miss the messages sent meanwhile.
    """
    for environment, app in _in_production(files):
        for served in app.served:
            if served.autostop in ("stop", "suspend"):
                what = f"auto_stop_machines of {app.name} is {served.autostop}"
                fix = 'write auto_stop_machines = "off"'
                yield Found(inside(app, served.place, "auto_stop_machines"), what, fix, environment)


@check("never-woken", "error")
def never_woken(files: DeployFiles) -> Iterator[Found]:
    """Idle machines stop, and nothing starts them again.

    After the first idle period the service is down until a person starts it.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            if served.autostop in ("stop", "suspend") and served.autostart is False:
                what = f"{app.name} stops idle machines, but auto_start_machines is false"
                yield Found(
                    inside(app, served.place, "auto_start_machines"),
                    what,
                    "write auto_start_machines = true",
                    environment,
                )


def _in_production(files: DeployFiles) -> Iterator[tuple[str, App]]:
    return (each for each in files.apps("fly") if files.environments.role(each[0]) == "production")
