"""Error messages of flyctl. Its exit code is always 1."""

from __future__ import annotations

from .fly_shapes import now

NOT_LOGGED_IN = "no access token available. Please login with 'flyctl auth login'"
NO_APP_NAME = (
    "the config for your app is missing an app name, add an app field to the fly.toml file or specify with the -a flag"
)
LIST, REMOTE = "failed to list VMs even after retries", "error listing active machines for {app} app: "
MACHINES_API = {
    "machine list": "failed to list VMs: ",
    "machine start": "could not get machine {machine}: failed to get VM {machine}: ",
    "machine wait": "could not get machine {machine}: failed to get VM {machine}: ",
    "deploy": f"{LIST}: ",
    "scale count": f"{LIST}: ",
    "scale memory": "failed to list active VMs: ",
    "secrets list": "failed to list app secrets: ",
}
"""commands that use the Machines API, and the beginning of an error of its client"""
GRAPHQL = {"status": "failed to get app: ", "releases": "failed retrieving app releases {app}: "}
"""the same for commands that use GraphQL"""
STATUS_LINES = {
    401: "401 Unauthorized",
    404: "404 Not Found",
    429: "429 Too Many Requests",
    503: "503 Service Unavailable",
}
"""all that `fly logs` reports of a response"""


class ToolError(Exception):
    """The tool prints this message on standard error and exits."""

    def __init__(self, message: str, code: int = 1, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def refused(command: str, app: str, machine: str, *, status: int) -> ToolError:
    """Return the message of the tool after the API returned 429, 401 or 5xx."""
    if command == "logs":
        return ToolError(STATUS_LINES[status])
    if command in GRAPHQL:
        after = "You must be authenticated to view this." if status == 401 else _graphql(status)
        return ToolError(GRAPHQL[command].format(app=app) + after)
    html = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
    words = {429: "rate limit exceeded", 401: "unauthorized"}
    after = words.get(status, f"request returned non-2xx status: {status}: {html}")
    return ToolError(MACHINES_API[command].format(machine=machine) + after)


def _graphql(status: int) -> str:
    return f"server returned a non-200 status code: {status}"


def unknown_app(command: str, app: str, machine: str, config: str | None) -> ToolError:
    """Return the message for an app that does not exist, or belongs to others."""
    if command == "logs":
        return ToolError(STATUS_LINES[404])
    if command in GRAPHQL:
        return ToolError(GRAPHQL[command].format(app=app) + f'Could not find App "{app}"')
    if command == "deploy" and config:
        return ToolError("app not found")
    if command in ("deploy", "scale count", "scale memory"):
        return ToolError(REMOTE.format(app=app) + "failed to list active VMs: app not found")
    return ToolError(MACHINES_API[command].format(machine=machine) + "app not found")


def unknown_machine(machine: str, app: str) -> ToolError:
    """Return the message for a machine that the app does not have."""
    return ToolError(f"machine {machine} was not found in app '{app}'")


def lease_held(machine: str, *, deploying: bool = False) -> ToolError:
    """Return the message during another deployment."""
    before = "" if deploying else "failed to obtain lease: "
    holder = "9af60c27-ee17-55df-bb0a-4f369e59839a@tokens.fly.io"
    return ToolError(
        f"{before}failed to get lease on VM {machine}: machine ID {machine} "
        f"lease currently held by {holder}, expires at {now()}"
    )
