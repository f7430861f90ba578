"""Error messages of flyctl. Its exit code is always 1."""

from __future__ import annotations

from .fly_shapes import now

NOT_LOGGED_IN = "no access token available. Please login with 'flyctl auth login'"
NO_APP_NAME = (
    "the config for your app is missing an app name, add an app field to the fly.toml file or specify with the -a flag"
)
MACHINES_API = {
    "machine list": "failed to list VMs",
    "machine start": "failed to start VM {machine}",
    "machine wait": "failed to wait for VM {machine} in started state",
    "machine stop": "failed to stop VM {machine}",
    "machine status": "failed to get VM {machine}",
    "status": "failed to list VMs even after retries",
    "deploy": "failed to list VMs even after retries",
    "scale count": "failed to list VMs even after retries",
    "scale memory": "failed to list VMs even after retries",
    "checks list": "failed to list VMs even after retries",
    "secrets list": "failed to list secrets",
}
"""commands that use the Machines API, and the error message of its client; other commands use GraphQL"""


class ToolError(Exception):
    """The tool prints this message on standard error and exits."""

    def __init__(self, message: str, code: int = 1, *, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def refused(command: str, machine: str, *, status: int) -> ToolError:
    """Return the message of the tool after the API returned 429, 401 or 5xx."""
    before = MACHINES_API.get(command)
    if before is None:
        return ToolError("You must be authenticated to view this." if status == 401 else _graphql(status))
    after = {429: "rate limit exceeded", 401: "unauthorized"}.get(status)
    html = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
    return ToolError(
        f"{before.format(machine=machine)}: {after or f'request returned non-2xx status: {status}: {html}'}"
    )


def _graphql(status: int) -> str:
    return f"server returned a non-200 status code: {status}"


def no_such_app(name: str) -> ToolError:
    """Return the message for an app that does not exist, or belongs to others."""
    return ToolError(f'Could not find App "{name}"')


def lease_held(machine: str, *, deploying: bool = False) -> ToolError:
    """Return the message during another deployment."""
    before = "failed to acquire leases: Unrecoverable error" if deploying else "failed to obtain lease"
    holder = "9af60c27-ee17-55df-bb0a-4f369e59839a@tokens.fly.io"
    return ToolError(
        f"{before}: failed to get lease on VM {machine}: machine ID {machine} "
        f"lease currently held by {holder}, expires at {now()}"
    )
