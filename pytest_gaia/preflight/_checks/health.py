"""Checks of health checks, which are all that a deployment waits for."""

from collections.abc import Iterator

from pytest_gaia.config.deployfiles.model import App, Check, Served
from pytest_gaia.preflight.files import DeployFiles, env_place, is_composed
from pytest_gaia.preflight.findings import Found, check

HEALTH_PATH = "/health"
"""path of the health check of a service that is not declared"""

_ADD = 'add [[{table}]] with method = "GET", path = "{path}", interval, timeout and grace_period'
_TABLES = {"http_service": "http_service.checks", "services": "services.http_checks"}
"""table of a served port → table of its HTTP checks"""
_ROOT = (None, "", "/")
_ADD_TCP = "add [[services.tcp_checks]] with interval, timeout and grace_period"


@check("no-health-check", "error", refuses=True)
def no_health_check(files: DeployFiles) -> Iterator[Found]:
    """A served port has no health check.

    Without a health check, every machine counts as healthy: the deployment of an image that does not start succeeds.
    """
    for environment, app in files.apps("fly"):
        if _lost(app):
            continue
        # `fly deploy` also waits for a check on another port, which a server without HTTP often has.
        is_checked = app.is_server and any(each.port is not None for each in app.loose_checks)
        for served in app.served:
            if not served.checks:
                what = f"port {served.internal_port} of {app.name} is served, but has no health check"
                yield Found(served.place, what, _add(app, served, files), environment, harmless=is_checked)


def _add(app: App, served: Served, files: DeployFiles) -> str:
    if served.protocol != "http":
        return _ADD_TCP
    return _ADD.format(table=_TABLES[served.kind], path=_path(app, files) or HEALTH_PATH)


def _path(app: App, files: DeployFiles) -> str | None:
    """Return the path of the health check of a declared HTTP service; None for any other."""
    return files.platform[app.service].health if app.service in files.platform.http else None


@check("check-off-port", "error", refuses=True)
def check_off_port(files: DeployFiles) -> Iterator[Found]:
    """A health check is not on a served port.

    Fly routes requests by the checks of the served port only, so this check has no effect on them.
    """
    for environment, app in files.apps("fly"):
        for each in _lost(app):
            served = app.served[0]
            if each.port is None:
                what = f"this check of {app.name} has no port: its table serves none"
            else:
                what = f"this check of {app.name} uses port {each.port}, which is not served"
            table = "services.tcp_checks" if served.protocol != "http" else _TABLES[served.kind]
            fix = f"move it to [[{table}]], which serves port {served.internal_port}"
            yield Found(each.place, what, fix, environment)


def _lost(app: App) -> tuple[Check, ...]:
    """Return the checks that should be on a served port: those without a port, and all if no served port has one."""
    if not app.served:
        return ()
    is_seen = any(served.checks for served in app.served) or app.is_server
    return tuple(each for each in app.loose_checks if each.port is None or not is_seen)


@check("health-path", "error")
def health_path(files: DeployFiles) -> Iterator[Found]:
    """A health check does not use the health path of its service.

    There a service reports whether it reaches its database. Other paths respond while the database is down.
    """
    for environment, app, each in _checks(files):
        declared = _path(app, files)
        path = declared or HEALTH_PATH
        if each.kind != "http" or each.path == path or (each.path in _ROOT and path == "/"):
            continue
        is_undeclared = each.path in _ROOT and not app.kind
        if declared is not None or is_undeclared:
            what = f"this check of {app.name} uses {each.path or 'no path, which means /'}"
            fix = f"use {path}" if is_composed(app) else f'write path = "{path}"'
            yield Found(each.place, what, fix, environment)


@check("check-kind", "warning")
def check_kind(files: DeployFiles) -> Iterator[Found]:
    """An HTTP service has only a TCP check.

    A process that accepts connections and responds only with 500 passes it.
    """
    for environment, app in files.apps("fly"):
        for served in app.served:
            kinds = {each.kind for each in served.checks}
            is_http = _path(app, files) is not None or (served.protocol == "http" and not app.kind)
            if is_http and kinds == {"tcp"}:
                what = f"port {served.internal_port} of {app.name} has only a TCP check"
                fix = _add(app, served, files)
                yield Found(served.checks[0].place, what, fix, environment)


@check("check-timing", "error")
def check_timing(files: DeployFiles) -> Iterator[Found]:
    """The timeout of a health check is not shorter than its interval.

    The next check starts before this one times out, so the state of a slow machine is undefined.
    """
    for environment, app, each in _checks(files):
        if is_composed(app):
            continue
        if each.timeout is not None and each.interval is not None and each.timeout >= each.interval:
            what = f"a check of {app.name} has a timeout of {each.timeout:g} s and an interval of {each.interval:g} s"
            yield Found(each.place, what, "make the timeout shorter than the interval", environment)


@check("grace-period", "warning")
def grace_period(files: DeployFiles) -> Iterator[Found]:
    """A health check has no grace period.

    It fails while the service is starting, and so does a deployment that only needed to wait.
    """
    for environment, app, each in _checks(files):
        if not each.grace:
            key = "start_period" if is_composed(app) else "grace_period"
            what = f"a check of {app.name} has no {key}"
            yield Found(each.place, what, f"set {key} to the start-up time of the service", environment)


@check("port-mismatch", "error", refuses=True)
def port_mismatch(files: DeployFiles) -> Iterator[Found]:
    """The served port and the port that the service listens on are different.

    Requests and health checks go to a port that no process listens on.
    """
    for environment, app in files.apps():
        port = app.env.get("PORT", "")
        ports = {served.internal_port for served in app.served}
        # An unknown port may be the right one.
        if None not in ports and port.isascii() and port.isdigit() and ports and int(port) not in ports:
            served = ", ".join(sorted(str(each) for each in ports))
            what = f"PORT of {app.name} is {port}, but the served port is {served}"
            yield Found(env_place(app, "PORT"), what, "write the same port in both places", environment)


def _checks(files: DeployFiles) -> Iterator[tuple[str, App, Check]]:
    """Yield every check that is on a served port."""
    for environment, app in files.apps():
        for served in app.served:
            for each in served.checks:
                yield environment, app, each
