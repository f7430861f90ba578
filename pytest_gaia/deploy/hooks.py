"""From the settings of an environment to the hook that deploys it: a built-in adapter, an executable, or a Python function."""

import importlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from pytest_gaia.config.environment import Environment, HookName
from pytest_gaia.deploy.contract import EXIT_STATUSES, DeployHook, Reply, ReplyStatus, Request, converted, utc_now
from pytest_gaia.deploy.process import Finished, run_tool
from pytest_gaia.errors import ConfigError, GaiaError, nearest
from pytest_gaia.secrets.redaction import masker

BUILT_IN = tuple(sorted({*get_args(HookName)} - {"command", "plugin"}))
"""the adapters that come with this package: each is the module of that name beside this one, whose ``adapter()`` makes it"""
_WANTED = "return a Reply, a dict with its fields, or None where the request is somebody else's"
_FROM_BEST: tuple[ReplyStatus, ...] = ("done", "unchanged", "retry", "failed")


def hook_for(environment: Environment, plugin_hook: DeployHook | None = None, *, rootdir: Path) -> DeployHook:
    """Return the hook of ``environment``. ``plugin_hook`` stands for ``hook = "plugin"``; ``rootdir`` has gaia.toml.

    Raises ``ConfigError``: the environment has no deployment, its command is not there, nobody implements its hook.
    """
    settings = environment.deploy
    if settings is None:
        raise ConfigError(
            f"{environment.name} has no deployment: add `from` to [env.{environment.name}] of gaia.toml, "
            f"or a hook to [env.{environment.name}.deploy]."
        )
    if settings.hook == "command":
        return CommandHook(settings.command, rootdir)
    if settings.hook == "plugin":
        return plugin_hook if plugin_hook is not None else _nobody(environment)
    return built_in(settings.hook)


def built_in(name: str) -> DeployHook:
    """Return the adapter ``name``. Raises ``ConfigError`` for an unknown one."""
    if name not in BUILT_IN:
        raise ConfigError(f"there is no built-in hook {name!r}; {nearest(name, BUILT_IN)}")
    made: DeployHook = importlib.import_module(f"pytest_gaia.deploy.{name}").adapter()
    return made


def _nobody(environment: Environment) -> DeployHook:
    source = environment.sources.get("deploy.hook", "gaia.toml")
    raise ConfigError(
        f'{source}: env.{environment.name}.deploy.hook is "plugin", and there is no pytest_gaia_deploy to ask: it stands '
        f"in a conftest.py, which pytest alone loads. Run `pytest --gaia-env={environment.name} --gaia-deploy`, in a "
        "project whose root conftest.py implements it."
    )


class CommandHook:
    """Runs ``command`` once a phase, in ``folder``, where a relative path of it is looked for as well."""

    name = "command"

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        """Raises ``ConfigError`` where there is no such executable."""
        self._folder = folder
        self._argv = (_executable(command[0], folder), *command[1:])
        self._shown = command[0]

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Hand the request over on standard input; everything on standard error, and every other line, is logged."""
        redact = masker()
        finished = run_tool(
            self._argv,
            deadline=request.deadline,
            stdin=msgspec.json.encode(request).decode() + "\n",
            cwd=self._folder,
            environment=request.environment,
            log=log,
            out=lambda line: None if line.lstrip().startswith("{") else log(line),
            redact=redact,
        )
        return from_executable(self._shown, finished, request, redact)


def _executable(name: str, folder: Path) -> str:
    """Return the path of ``name``; one without a slash is left to PATH, as in a shell."""
    if "/" not in name:
        return name
    path = folder / name
    if not path.is_file():
        raise ConfigError(
            f"deploy.command: there is no file {name} (looked for {path}). "
            "Name an executable: a path from the folder of gaia.toml, or a name on PATH."
        )
    return str(path)


class PluginHook:
    """Asks ``call`` for every phase, in this process. It cannot be ended from outside: its deadline is its own."""

    name = "plugin"

    def __init__(self, call: Callable[[Request, Callable[[str], None]], object], title: str) -> None:
        self._call = call
        self._title = title

    def run(self, request: Request, log: Callable[[str], None]) -> Reply:
        """Return what ``call`` gives back; what it raises is a deployment that failed.

        Raises ``ConfigError`` for a value that is no reply, and where nobody answers.
        """
        redact = masker()
        try:
            given = self._call(request, lambda line: log(redact(line)))
        except GaiaError:
            raise
        # Whatever the project's own code raises is what it has to say, as the exit code of an executable is.
        except Exception as problem:  # noqa: BLE001
            return self._raised(request, problem, redact)
        reply = self._reply(request, given)
        if request.phase == "observe" and reply.status in ("done", "unchanged") and reply.observation is None:
            why = f"{self._title} answered `observe` without an observation: nothing says what runs."
            return msgspec.structs.replace(reply, status="failed", message=why)
        return msgspec.structs.replace(reply, message=redact(reply.message), tail=tuple(map(redact, reply.tail)))

    def _reply(self, request: Request, given: object) -> Reply:
        where = f"`{request.phase}` of {request.service} in {request.environment}"
        if given is None:
            raise ConfigError(f"{self._title}: nobody answered {where}: every implementation returned None; {_WANTED}.")
        try:
            # Through plain values: a Reply that was built by hand is not checked.
            plain = msgspec.to_builtins(given) if isinstance(given, Reply) else given
            if not isinstance(plain, dict):
                raise NoReply(f"{type(given).__name__} is neither a Reply nor a dict")
            return from_values(plain, request)
        except (NoReply, TypeError) as problem:
            raise ConfigError(
                f"{self._title}: what it returned for {where} is no reply: {problem}; {_WANTED}."
            ) from None

    def _raised(self, request: Request, problem: Exception, redact: Callable[[str], str]) -> Reply:
        what = f"{type(problem).__name__}: {problem}"
        message = redact(f"{self._title} raised {what} (at {_place(problem)}), when asked for `{request.phase}`.")
        return Reply(status="failed", message=message, tail=tuple(redact(line) for line in what.splitlines()))


def _place(problem: Exception) -> str:
    """Return the innermost line of code that is no library's."""
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{own[-1].filename}:{own[-1].lineno}"


class NoReply(ValueError):
    """What a hook gave back cannot be read as a reply; the text says why."""


def from_values(values: Mapping[str, Any], request: Request, *, status: ReplyStatus = "done") -> Reply:
    """Return ``values`` as a reply. ``status`` stands where they name none.

    An observation may leave out what follows from the request and from itself: ``app``, ``exists``, ``taken``.
    Raises :class:`NoReply`.
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
    """Return what an executable replied: the exit code speaks first, and the last line of its output adds to it.

    Where the two disagree, the worse one counts. A phase that ended well need not have a line, except for ``observe``:
    without an observation nothing is proved.
    """
    failed = Reply(status="failed", tail=finished.stderr_tail)
    if finished.exit_code is None:
        why = f"{name} did not end within {request.deadline:g} s at `{request.phase}`, and was ended."
        return msgspec.structs.replace(failed, message=why)
    status = EXIT_STATUSES.get(finished.exit_code, "failed")
    line = last_line(finished.stdout)
    try:
        said = from_values(_object(line), request, status=status) if line.startswith("{") else Reply(status=status)
    except NoReply as problem:
        why = f"{name}: the last line of its output is no reply to `{request.phase}`: {problem}"
        return msgspec.structs.replace(failed, message=redact(why))
    return _evaluated(name, said, status, finished, request, redact)


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, without spaces around it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _evaluated(
    name: str, said: Reply, status: ReplyStatus, finished: Finished, request: Request, redact: Callable[[str], str]
) -> Reply:
    worse = max(said.status, status, key=_FROM_BEST.index)
    message = said.message
    if worse == "failed" and not message:
        disagree = f", and says {said.status}" if said.status != status else ""
        message = f"{name} ended with exit code {finished.exit_code}{disagree} at `{request.phase}`."
    if request.phase == "observe" and worse in ("done", "unchanged") and said.observation is None:
        worse = "failed"
        message = f'{name} answered `observe` without an observation: its last line has to hold {{"observation": …}}.'
    return msgspec.structs.replace(
        said,
        status=worse,
        message=redact(message),
        commands=tuple(tuple(redact(word) for word in command) for command in said.commands),
        tail=tuple(redact(text) for text in said.tail) or finished.stderr_tail,
    )


def _object(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NoReply(f"not JSON: {error}") from None
