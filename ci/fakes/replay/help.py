"""What ``--fake-help`` prints."""

from __future__ import annotations

from . import faults, state

TEXT = """\
This is a stand-in for {tool}: it prints what {tool} prints and ends as {tool} ends, and reaches no network.
All that it knows is in one JSON file: ${variable}, or state.json beside the executable as it was called,
or a file in the temporary folder. Here and now: {path}

  calls       every call: tool, argv, exit code, cwd, the variables that steer it
  apps        Fly's apps: releases, machines as the Machines API has them, names of secrets, logs
  clusters    Fly's managed databases, as `fly mpg list --json` prints them
  docker      images, containers, logs
  source      any word; another one, and builds and pulls of tags give other images
  faults      {{"gaia-auth-staging": ["phantom"], "*": ["rate-limited:2@machine list"]}}

A fault is kind[:number][@command] under an app, a service, "docker" or "*". The number is how often it shows (for
slow and reverting see below); without one it stays.

{kinds}"""


def text(tool: str) -> str:
    """Return the help of one tool."""
    kinds = faults.DOCKER if tool == "docker" else faults.FLY
    width = max(map(len, kinds))
    lines = "\n".join(f"  {kind:<{width}}  {meaning}" for kind, meaning in kinds.items())
    return TEXT.format(tool=tool, variable=state.VARIABLE, path=state.state_file(), kinds=lines)
