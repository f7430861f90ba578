"""Create the deploy hook of an environment: a built-in adapter, an executable, or a Python function."""

import importlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.environment import Environment, HookName
from pytest_gaia.config.platform import Platform
from pytest_gaia.deploy.contract import EXIT_STATUSES, DeployHook, Reply, ReplyStatus, Request, converted, utc_now
from pytest_gaia.deploy.process import Finished, run_tool
from pytest_gaia.errors import ConfigError, GaiaError, nearest
from pytest_gaia.secrets.redaction import masker

BUILT_IN = tuple(sorted({*get_args(HookName)} - {"command", "plugin"}))
"""built-in adapters; each is a package next to this module with a function ``adapter(platform, deployment)``"""
_NONE = Platform()
_WANTED = "return a Reply, a dict with its fields, or None for requests of other environments"
_FROM_BEST: tuple[ReplyStatus, ...] = ("done", "unchanged", "retry", "failed")


def hook_for(environment: Environment, plugin_hook: DeployHook | None = None, *, rootdir: Path) -> DeployHook:
    """Return the hook of ``environment``. ``plugin_hook`` is the one for ``hook = "plugin"``; ``rootdir`` has gaia.toml.

    Raises ``ConfigError`` if the environment has no deployment, its command does not exist, or its hook is not
    implemented.
    """
    settings = environment.deploy
    if settings is None:
        raise ConfigError(
            f"{environment.name} has no deployment. Add `from` to [env.{environment.name}] of gaia.toml, "
            f"or a hook to [env.{environment.name}.deploy]."
        )
    if settings.hook == "command":
        return CommandHook(settings.command, rootdir, environment.platform)
    if settings.hook == "plugin":
        return plugin_hook if plugin_hook is not None else _not_implemented(environment)
    return built_in(settings.hook, environment.platform, environment.deployment)


def built_in(name: str, platform: Platform, deployment: Deployment | None = None) -> DeployHook:
    """Return the adapter ``name`` for the services of ``platform``, whose deploy files were read as ``deployment``.

    Raises ``ConfigError`` for an unknown one.
    """
    if name not in BUILT_IN:
        raise ConfigError(f"unknown built-in hook {name!r}; {nearest(name, BUILT_IN)}")
    hook: DeployHook = importlib.import_module(f"pytest_gaia.deploy.{name}").adapter(platform, deployment)
    return hook


def _not_implemented(environment: Environment) -> DeployHook:
    source = environment.sources.get("deploy.hook", "gaia.toml")
    raise ConfigError(
        f'{source}: env.{environment.name}.deploy.hook is "plugin", but pytest_gaia_deploy is not implemented here. Only '
        f"pytest loads conftest.py: implement it in the root conftest.py, and run `pytest --gaia-env={environment.name} "
        "--gaia-deploy`."
    )


class CommandHook:
    """Run ``command`` once for each phase, in ``folder``, which relative paths start from."""

    name = "command"

    def __init__(self, command: Sequence[str], folder: Path, platform: Platform = _NONE) -> None:
        """Raises ``ConfigError`` if the executable does not exist."""
        self._folder = folder
        self._platform = platform
        self._argv = (_executable(command[0], folder), *command[1:])
        self._shown = command[0]

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Pass the request on standard input, and log all lines except the reply."""
        redact = masker()
        finished = run_tool(
            self._argv,
            deadline=request.deadline,
            stdin=msgspec.json.encode(request).decode() + "\n",
            cwd=self._folder,
            environment=request.environment,
            ends=self._platform.variable_ends,
            log=log,
            out=lambda line: None if line.lstrip().startswith("{") else log(line),
            redact=redact,
        )
        return from_executable(self._shown, finished, request, redact)


def _executable(name: str, folder: Path) -> str:
    """Return the path of ``name``; a name without a slash is looked up on PATH, as in a shell."""
    if "/" not in name:
        return name
    path = folder / name
    if not path.is_file():
        raise ConfigError(
            f"deploy.command: file {name} not found (looked for {path}). "
            "Use a path from the folder of gaia.toml, or a name on PATH."
        )
    return str(path)


class PluginHook:
    """Call ``call`` for each phase, in this process. The call itself must respect the deadline."""

    name = "plugin"

    def __init__(self, call: Callable[[Request, Callable[[str], None]], object], title: str) -> None:
        self._call = call
        self._title = title

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Return the reply of ``call``; an exception becomes a failed reply.

        Raises ``ConfigError`` for an invalid reply, and for None.
        """
        redact = masker()
        try:
            given = self._call(request, lambda line: log(redact(line)))
        except GaiaError:
            raise
        # Any exception of the project's code is a failure, as the exit code of an executable is.
        except Exception as problem:  # noqa: BLE001
            return self._raised(request, problem, redact)
        reply = self._reply(request, given)
        if request.phase == "observe" and reply.status in ("done", "unchanged") and reply.observation is None:
            why = f"{self._title} returned no observation for `observe`, so the running version is unknown."
            return msgspec.structs.replace(reply, status="failed", message=why)
        return msgspec.structs.replace(reply, message=redact(reply.message), tail=tuple(map(redact, reply.tail)))

    def _reply(self, request: Request, given: object) -> Reply:
        where = f"`{request.phase}` of {request.service} in {request.environment}"
        if given is None:
            raise ConfigError(f"{self._title}: every implementation returned None for {where}; {_WANTED}.")
        try:
            # Converted to plain values first, because the fields of a Reply are not checked when it is created.
            plain = msgspec.to_builtins(given) if isinstance(given, Reply) else given
            if not isinstance(plain, dict):
                raise NoReply(f"{type(given).__name__} is neither a Reply nor a dict")
            return from_values(plain, request)
        except (NoReply, TypeError) as problem:
            raise ConfigError(f"{self._title}: invalid reply for {where}: {problem}; {_WANTED}.") from None

    def _raised(self, request: Request, problem: Exception, redact: Callable[[str], str]) -> Reply:
        what = f"{type(problem).__name__}: {problem}"
        message = redact(f"{self._title} raised {what} (at {_place(problem)}) in `{request.phase}`.")
        return Reply(status="failed", message=message, tail=tuple(redact(line) for line in what.splitlines()))


def _place(problem: Exception) -> str:
    """Return file and line of the innermost frame outside of libraries."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{own[-1].filename}:{own[-1].lineno}"


class NoReply(ValueError):
    """An invalid reply of a hook; the text is the reason."""


def from_values(values: Mapping[str, Any], request: Request, *, status: ReplyStatus = "done") -> Reply:
    """Return ``values`` as a reply, with ``status`` as the default.

    In an observation, ``app``, ``exists`` and ``taken`` have defaults. Raises :class:`NoReply`.
    """
    complete = {"status": status, **values}
    observation = complete.get("observation")
    if isinstance(observation, dict):
        implied = {"app": request.app, "exists": bool(observation.get("machines")), "taken": utc_now()}
        complete["observation"] = {**implied, **observation}
    try:
        return converted(complete, Reply)
    except msgspec.ValidationError as error:
        raise NoReply(str(error)) from None


def from_executable(name: str, finished: Finished, request: Request, redact: Callable[[str], str]) -> Reply:
    """Return the reply of an executable, from its exit code and the last line of its output.

    If the two disagree, the worse status counts. The line is optional for a successful phase, except for ``observe``.
    """
    failed = Reply(status="failed", tail=finished.stderr_tail)
    if finished.exit_code is None:
        why = f"{name} exceeded its time limit of {request.deadline:g} s in `{request.phase}` and was stopped."
        return msgspec.structs.replace(failed, message=why)
    status = EXIT_STATUSES.get(finished.exit_code, "failed")
    line = last_line(finished.stdout)
    try:
        reply = from_values(_object(line), request, status=status) if line.startswith("{") else Reply(status=status)
    except NoReply as problem:
        why = f"{name}: the last line of its output is not a valid reply to `{request.phase}`: {problem}"
        return msgspec.structs.replace(failed, message=redact(why))
    return _evaluated(name, reply, status, finished, request, redact)


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, without spaces around it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _evaluated(
    name: str, reply: Reply, status: ReplyStatus, finished: Finished, request: Request, redact: Callable[[str], str]
) -> Reply:
    worse = max(reply.status, status, key=_FROM_BEST.index)
    message = reply.message
    if worse == "failed" and not message:
        disagree = f", but its reply has the status {reply.status}" if reply.status != status else ""
        message = f"{name} ended with exit code {finished.exit_code} in `{request.phase}`{disagree}."
    if request.phase == "observe" and worse in ("done", "unchanged") and reply.observation is None:
        worse = "failed"
        message = f'{name} returned no observation for `observe`: its last line must contain {{"observation": …}}.'
    return msgspec.structs.replace(
        reply,
        status=worse,
        message=redact(message),
        commands=tuple(tuple(redact(word) for word in command) for command in reply.commands),
        tail=tuple(redact(text) for text in reply.tail) or finished.stderr_tail,
    )


def _object(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NoReply(f"not JSON: {error}") from None
