"""What ``docker compose`` says when it fails: whose turn it is then."""

from __future__ import annotations

import re

_ONLY_THE_USER = (
    (r"cannot connect to the docker daemon|docker daemon is not running",
     "the Docker daemon does not answer: start Docker"),
    (r"permission denied while trying to connect", "this user may not talk to Docker: join the group docker"),
    (r"is not a docker command|unknown (?:shorthand )?flag: '?-{0,2}f|unknown command: docker compose",
     "Docker has no `compose`: install the compose plugin, version 2"),
    (r"no such service", "the compose file has no such service"),
    (r"no configuration file provided|(?:open|stat) \S+(?:\.ya?ml|\.env)\S*: no such file",
     "the compose file, or a file that it names, is missing"),
    (r"yaml: |validating .*: |additional propert|undefined (?:network|volume|service)|invalid compose project",
     "the compose file is malformed"),
    (r"required variable .* is missing|invalid interpolation format", "a variable that the compose file needs is not set"),
    (r"pull access denied|manifest (?:unknown|for .* not found)|repository does not exist|no such image",
     "the image is not there, or this user may not pull it: check its name, `docker login`"),
    (r"unauthorized|authentication required", "the registry wants a login: `docker login`"),
)  # fmt: skip
"""what stands in the output → what it means and what to do: asking again would give the same"""

_TEMPORARY = re.compile(
    r"toomanyrequests|too many requests|\b429\b|rate limit|\b50[0234]\b|internal server error|bad gateway"
    r"|service unavailable|tls handshake timeout|i/o timeout|connection (?:reset|refused)|no such host"
    r"|error during connect"
    r"|temporary failure in name resolution|server misbehaving|request canceled|unexpected eof",
    re.IGNORECASE,
)


def mistake_in(text: str) -> str:
    """Return what only the user can mend, if that is what ``text`` complains of; else an empty string."""
    return next((why for pattern, why in _ONLY_THE_USER if re.search(pattern, text, re.IGNORECASE)), "")


def is_temporary(text: str) -> bool:
    """Whether ``text`` complains of a registry or a network that may answer the next time."""
    return _TEMPORARY.search(text) is not None
