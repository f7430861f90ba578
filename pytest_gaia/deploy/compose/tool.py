"""The docker command: its settings, and the meaning of its messages."""

import re

TOOL = "docker"
INSTALL = "Install Docker with its compose plugin (version 2)."
QUIET = {"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain", "NO_COLOR": "1", "DOCKER_CLI_HINTS": "false"}
"""variables of the command"""
_ONLY_THE_USER = (
    (r"cannot connect to the docker daemon|docker daemon is not running",
     "the Docker daemon does not respond; start Docker"),
    (r"context .* not found|context not found", "the Docker context does not exist; `docker context ls` lists those that do"),
    (r"permission denied while trying to connect", "this user has no permission to use Docker; add it to the group docker"),
    (r"is not a docker command|unknown (?:shorthand )?flag: '?-{0,2}f|unknown command: docker compose",
     "Docker has no `compose` command; install the compose plugin, version 2"),
    (r"no such service", "the service is not in the compose file"),
    (r"no configuration file provided|(?:open|stat) \S+(?:\.ya?ml|\.env)\S*: no such file",
     "the compose file, or a file in it, is missing"),
    (r"yaml: |validating .*: |additional propert|undefined (?:network|volume|service)|invalid compose project",
     "the compose file is malformed"),
    (r"required variable .* is missing|invalid interpolation format", "a variable of the compose file is not set"),
    (r"pull access denied|manifest (?:unknown|for .* not found)|repository does not exist|no such image",
     "the image does not exist, or this user may not pull it; check its name, or run `docker login`"),
    (r"unauthorized|authentication required", "the registry needs a login; run `docker login`"),
)  # fmt: skip
"""pattern in the output → meaning, and what to do; a retry would not help"""

_TEMPORARY = re.compile(
    r"toomanyrequests|too many requests|\b429\b|rate limit|\b50[0234]\b|internal server error|bad gateway"
    r"|service unavailable|tls handshake timeout|i/o timeout|connection (?:reset|refused)|no such host"
    r"|error during connect"
    r"|temporary failure in name resolution|server misbehaving|request canceled|unexpected eof",
    re.IGNORECASE,
)


def usage_error_in(text: str) -> str:
    """Return the problem in ``text`` that only the user can fix; empty if there is none."""
    return next((why for pattern, why in _ONLY_THE_USER if re.search(pattern, text, re.IGNORECASE)), "")


def is_temporary(text: str) -> bool:
    """Whether ``text`` contains a temporary failure of a registry or a network."""
    return _TEMPORARY.search(text) is not None
