"""Checks of what keeps a service there: machines, memory, and who may stop them."""

from collections.abc import Iterator

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import PRODUCTION, DeployFiles
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.standing import inside

LEAST_MACHINES = 2
LEAST_MEMORY_MB = 2048

_STATEFUL = ("nats", "postgres")
"""a second machine of one of these is a second broker or database, unless it is made a cluster"""


@check("too-few-machines", "error")
def too_few_machines(files: DeployFiles) -> Iterator[Found]:
    """Production keeps fewer than two machines of a service running.

    With one machine, every deployment and every failure of a host is an outage.
    """
    for app in _in_production(files):
        for served in app.served:
            count = served.min_machines or 0
            if app.service not in _STATEFUL and count < LEAST_MACHINES:
                what = (
                    f"{app.name} keeps {count} running" if served.min_machines is not None else f"{app.name} names none"
                )
                mend = f"write min_machines_running = {LEAST_MACHINES}"
                yield Found(inside(app, served.place, "min_machines_running"), what, mend, PRODUCTION)


@check("too-little-memory", "error")
def too_little_memory(files: DeployFiles) -> Iterator[Found]:
    """A service of production has less than 2 GB of memory.

    Under load it is ended for want of memory, in the middle of requests; what was measured with 2 GB does not hold.
    """
    for app in _in_production(files):
        if app.service in _STATEFUL:
            continue
        for place, (memory, groups) in _memory(app).items():
            if (memory or 0) >= LEAST_MEMORY_MB:
                continue
            names = ", ".join(groups)
            whose = app.name if len(app.groups) == 1 else f"the process group {names} of {app.name}"
            what = f"{whose} has {memory} MB" if memory else f"the file says nothing of memory for {whose}"
            yield Found(place, what, 'write memory = "2gb" in its [[vm]]', PRODUCTION)


def _memory(app: App) -> dict[Place, tuple[int | None, list[str]]]:
    """Return place → the memory that stands there, and the process groups that have it."""
    found: dict[Place, tuple[int | None, list[str]]] = {}
    for group in app.groups:
        size = app.sizes.get(group)
        place, memory = (size.place, size.memory_mb) if size else (app.place("vm"), None)
        found.setdefault(place, (memory, []))[1].append(group)
    return found


@check("autostop", "error")
def autostop(files: DeployFiles) -> Iterator[Found]:
    """Fly may stop machines of production.

    The next request waits for a start of seconds, and whoever listens on the broker misses what is sent meanwhile.
    """
    for app in _in_production(files):
        for served in app.served:
            if served.autostop in ("stop", "suspend"):
                what = f"auto_stop_machines of {app.name} is {served.autostop}"
                mend = 'write auto_stop_machines = "off"'
                yield Found(inside(app, served.place, "auto_stop_machines"), what, mend, PRODUCTION)


@check("never-woken", "error")
def never_woken(files: DeployFiles) -> Iterator[Found]:
    """Machines are stopped when idle, and nothing starts them again.

    After the first quiet hour the service is gone until somebody starts it by hand.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            if served.autostop in ("stop", "suspend") and served.autostart is False:
                what = f"{app.name} stops idle machines, and auto_start_machines is false"
                yield Found(
                    inside(app, served.place, "auto_start_machines"),
                    what,
                    "write auto_start_machines = true",
                    environment,
                )


def _in_production(files: DeployFiles) -> Iterator[App]:
    return (app for environment, app in files.apps("fly") if environment == PRODUCTION)
