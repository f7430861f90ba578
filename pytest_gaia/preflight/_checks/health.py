"""Checks of health checks: a deployment waits for them, and for nothing else."""

from collections.abc import Iterator

from pytest_gaia.config.deployfiles.model import App, Check, Served
from pytest_gaia.config.platform import HTTP_SERVICES, SERVICES
from pytest_gaia.preflight.files import DeployFiles
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.preflight.standing import env_place, is_composed

HEALTH_PATH = "/health"
STATEFUL = ("nats", "postgres")
"""what has no HTTP of its own, and is often checked on a port beside the one that it serves"""

_ADD = 'add [[{table}.checks]] with method = "GET", path = "/health", interval, timeout and grace_period'
_ADD_TCP = "add [[services.tcp_checks]] with interval, timeout and grace_period"


@check("no-health-check", "error", refuses=True)
def no_health_check(files: DeployFiles) -> Iterator[Found]:
    """A served port has no health check.

    Without a check every machine counts as healthy: a deployment of an image that does not start succeeds.
    """
    for environment, app in files.apps("fly"):
        if _lost(app):
            continue
        # `fly deploy` waits for a check on another port as well: enough to judge a broker or a database by.
        judged = app.service in STATEFUL and any(each.port is not None for each in app.loose_checks)
        for served in app.served:
            if not served.checks:
                what = f"port {served.internal_port} of {app.name} is served, and has no check"
                yield Found(served.place, what, _add(served), environment, harmless=judged)


def _add(served: Served) -> str:
    return _ADD.format(table=served.kind) if served.protocol == "http" else _ADD_TCP


@check("check-off-port", "error", refuses=True)
def check_off_port(files: DeployFiles) -> Iterator[Found]:
    """A health check is on no served port.

    Fly looks at a port only by the checks in its own table, so this one never decides whether a machine gets requests.
    """
    for environment, app in files.apps("fly"):
        for each in _lost(app):
            served = app.served[0]
            if each.port is None:
                what = f"this check of {app.name} belongs to no port: its table serves none"
            else:
                what = f"this check of {app.name} asks port {each.port}, which is not served"
            mend = f"move it to [[{served.kind}.checks]], which is served on port {served.internal_port}"
            yield Found(each.place, what, mend, environment)


def _lost(app: App) -> tuple[Check, ...]:
    """Return the checks that should have been on a port: those without one, and others where nothing else looks."""
    if not app.served:
        return ()
    is_seen = any(served.checks for served in app.served) or app.service in STATEFUL
    return tuple(each for each in app.loose_checks if each.port is None or not is_seen)


@check("health-path", "error")
def health_path(files: DeployFiles) -> Iterator[Found]:
    """A health check asks another path than /health.

    Every service of the platform answers on /health, and says there whether the database is there; other paths answer
    while it is down.
    """
    for environment, app, each in _checks(files):
        if each.kind != "http" or each.path == HEALTH_PATH:
            continue
        asks_root = each.path in (None, "", "/")
        if app.service in HTTP_SERVICES or (asks_root and app.service not in SERVICES):
            what = f"this check of {app.name} asks {each.path or 'no path, which is /'}"
            mend = f"ask {HEALTH_PATH}" if is_composed(app) else f'write path = "{HEALTH_PATH}"'
            yield Found(each.place, what, mend, environment)


@check("check-kind", "warning")
def check_kind(files: DeployFiles) -> Iterator[Found]:
    """A service that answers HTTP is only checked by a connection.

    A process that accepts connections and answers nothing but 500 passes.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            kinds = {each.kind for each in served.checks}
            is_http = app.service in HTTP_SERVICES or (served.protocol == "http" and app.service not in SERVICES)
            if is_http and kinds == {"tcp"}:
                what = f"port {served.internal_port} of {app.name} is only checked by TCP"
                yield Found(served.checks[0].place, what, _ADD.format(table=served.kind), environment)


@check("check-timing", "error")
def check_timing(files: DeployFiles) -> Iterator[Found]:
    """A health check takes as long as its interval, or longer.

    The next check begins before this one has given up, so that a slow machine is neither healthy nor ill.
    """
    for environment, app, each in _checks(files):
        if is_composed(app):
            continue
        if each.timeout is not None and each.interval is not None and each.timeout >= each.interval:
            what = f"a check of {app.name} has timeout {each.timeout:g} s and interval {each.interval:g} s"
            yield Found(each.place, what, "make the timeout shorter than the interval", environment)


@check("grace-period", "warning")
def grace_period(files: DeployFiles) -> Iterator[Found]:
    """A health check has no grace period.

    It counts against the machine while the service still starts, and a deployment fails that had only to wait.
    """
    for environment, app, each in _checks(files):
        if not each.grace:
            key = "start_period" if is_composed(app) else "grace_period"
            what = f"a check of {app.name} has no {key}"
            yield Found(each.place, what, f"set {key} to what the service needs to start", environment)


@check("port-mismatch", "error", refuses=True)
def port_mismatch(files: DeployFiles) -> Iterator[Found]:
    """The served port is not the one that the service listens on.

    Requests and health checks go to a port where nobody listens.
    """
    for environment, app in files.apps():
        port = app.env.get("PORT", "")
        ports = {served.internal_port for served in app.served}
        # A port that is not known could be the one.
        if None not in ports and port.isascii() and port.isdigit() and ports and int(port) not in ports:
            served = ", ".join(sorted(str(each) for each in ports))
            what = f"PORT of {app.name} is {port}, and the served port is {served}"
            yield Found(env_place(app, "PORT"), what, "write the same port at both places", environment)


def _checks(files: DeployFiles) -> Iterator[tuple[str, App, Check]]:
    """Yield every check that is on a served port."""
    for environment, app in files.apps():
        for served in app.served:
            for each in served.checks:
                yield environment, app, each
