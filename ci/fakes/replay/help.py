"""The text of ``--fake-help``."""

from __future__ import annotations

from . import faults, state

TEXT = """\
This is a fake {tool}: it has the output and the exit codes of {tool}, but uses no network.
Its state is one JSON file: ${variable}, or state.json in the folder of the executable, or a file in the
temporary folder. At present: {path}

  calls       every call: tool, argv, exit code, cwd, the variables that control it
  apps        Fly's apps: releases, machines as the Machines API has them, names of secrets, logs
  kubernetes  contexts with their namespaces, workloads and pods
  docker      images, containers, logs
  source      any word; if it changes, builds and pulls of tags produce other images
  faults      {{"gaia-auth-staging": ["split"], "*": ["rate-limited:2@machine list"]}}

A fault is kind[:number][@command] under an app, a service, "docker" or "*". The number limits how often it applies
(except for slow and reverting, see below).

{kinds}"""


def text(tool: str) -> str:
    """Return the help of one tool."""
    kinds = {"docker": faults.DOCKER, "kubectl": faults.KUBERNETES}.get(tool, faults.FLY)
    width = max(map(len, kinds))
    lines = "\n".join(f"  {kind:<{width}}  {meaning}" for kind, meaning in kinds.items())
    return TEXT.format(tool=tool, variable=state.VARIABLE, path=state.state_file(), kinds=lines)
