"""Checks of credentials in files, and of secrets that are not set."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_gaia.config.addresses import is_loopback
from pytest_gaia.config.deployfiles.model import App, Source
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight._workflows.deploying import secrets_set
from pytest_gaia.preflight._workflows.model import Workflow
from pytest_gaia.preflight.files import DeployFiles, Secrets, env_place, standing
from pytest_gaia.preflight.findings import Found, check
from pytest_gaia.secrets.names import is_secret_name
from pytest_gaia.secrets.shapes import is_literal, is_placeholder, password_hosts, secret_shape

_SETTING = re.compile(
    r"^[ \t]*(?:export[ \t]+)?[\"']?(?P<name>\w{1,99})[\"']?[ \t]*[=:][ \t]*(?P<value>\S[^\n]*)", re.MULTILINE
)
_VARIABLES = frozenset({"env", "environment", "args", "headers", "labels"})
"""tables whose keys are names of variables, or of headers"""


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a file."""

    value: str
    place: Place
    name: str = ""
    """the key that it is the value of"""
    is_variable: bool = False
    """whether the key is the name of a variable that a process gets"""
    is_comment: bool = False


def app_texts(app: App, source: Source) -> Iterator[Text]:
    """Yield the values of the part of the file that is about ``app``, files written by it decoded, then the comments of the file."""
    for step, value in _leaves(app.document):
        yield _text(step, value, standing(app, *step), listed=source == "compose")
    for number, each in enumerate(_tables(app.document.get("files"))):
        yield from _written_file(each, standing(app, f"files[{number}]", "raw_value"))
    file = app.place().file
    for line, comment in app.comments.items():
        yield Text(comment, Place(file, line), is_comment=True)


def _tables(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _written_file(table: dict[str, Any], place: Place) -> Iterator[Text]:
    """Yield what Fly writes into a file of the machine: as the value of the file's name, and what its lines set."""
    try:
        text = base64.b64decode(str(table.get("raw_value", "")), validate=True).decode(errors="replace")
    except binascii.Error:
        return
    if text:
        name = str(table.get("guest_path", "")).rpartition("/")[2]
        yield Text(text, place, name, is_variable=True)
        for found in _SETTING.finditer(text):
            yield Text(found["value"].strip("\"'"), place, found["name"], is_variable=True)


def _text(step: tuple[str, ...], value: str, place: Place, *, listed: bool) -> Text:
    """Return ``value`` as a text; where variables may be ``listed``, ``NAME=value`` is one."""
    name = step[-1].partition("[")[0] if step else ""
    if listed and name == "environment":
        name, _, rest = value.partition("=")
        return Text(rest, place, name, is_variable=True)
    return Text(value, place, name, is_variable=bool(_VARIABLES & set(step[:-1])))


def workflow_texts(workflow: Workflow) -> Iterator[Text]:
    """Yield the variables of ``workflow``, then each of its lines."""
    for variable in workflow.variables:
        yield Text(variable.value, variable.place, variable.name, is_variable=True)
    for line, text in enumerate(workflow.lines, start=1):
        yield Text(text, Place(workflow.file, line), is_comment=text.lstrip().startswith("#"))


def _leaves(node: Any, step: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (key part by part, text) of every value below ``node``; elements of lists carry their numbers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*step, str(key)))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _leaves(value, (*step[:-1], f"{step[-1]}[{number}]") if step else step)
    elif isinstance(node, str):
        yield step, node


_IN_URL = "a password in a URL"


class _Credential(NamedTuple):
    """A text of a file that is a credential."""

    text: Text
    kind: str
    environment: str | None
    is_throwaway: bool
    """whether it is only for a container on a developer's machine"""


@check("credential", "error")
def credential(files: DeployFiles) -> Iterator[Found]:
    """A file contains a credential.

    Anyone who can read the repository, or an old copy of it, can use the credential. Removing the line does not change
    that.
    """
    for each in _credentials(files):
        if not each.is_throwaway:
            fix = f"{_setting(each)}, remove the line, and create a new credential: this one is exposed"
            yield Found(each.text.place, _seen(each), fix, each.environment)


@check("local-credential", "warning")
def local_credential(files: DeployFiles) -> Iterator[Found]:
    """A file contains a password of a local container.

    It is only for a container on one machine, but passwords in files are often copied to other places.
    """
    for each in _credentials(files):
        if each.is_throwaway:
            fix = "write ${NAME:?} and set NAME in .env, which is not committed"
            if each.environment is None:
                fix = "read it from a CI secret if it is for anything but a container of the job"
            yield Found(each.text.place, _seen(each), fix, each.environment)


def _seen(each: _Credential) -> str:
    where = "a comment" if each.text.is_comment else each.text.name or "a line"
    return f"{where} contains {each.kind}"


def _setting(each: _Credential) -> str:
    if each.environment is None:
        return "read it from a CI secret"
    return f"set it with `fly secrets set {each.text.name if each.text.name.isidentifier() else 'NAME'}=…`"


def _credentials(files: DeployFiles) -> Iterator[_Credential]:
    """Yield every credential, one a line."""
    seen: set[tuple[str, int]] = set()
    for each in _candidates(files):
        place = each.text.place.file, each.text.place.line
        if place not in seen:
            seen.add(place)
            yield each


def _candidates(files: DeployFiles) -> Iterator[_Credential]:
    for deployment in files.deployments:
        local = deployment.source == "compose"
        for app in (*deployment.apps, *deployment.overrides):
            for text in app_texts(app, deployment.source):
                kind, by_shape = _kind(text)
                if kind:
                    throwaway = local and (not by_shape or kind == _IN_URL)
                    yield _Credential(text, kind, deployment.environment, throwaway)
    for workflow in files.workflows:
        yield from _in_workflow(workflow)


def _in_workflow(workflow: Workflow) -> Iterator[_Credential]:
    for job in workflow.jobs:
        for command in job.commands:
            for name, value in secrets_set(command):
                if is_literal(value, name):
                    text = Text(value, command.place, name, is_variable=True)
                    yield _Credential(text, secret_shape(value) or "the literal value of a secret", None, False)
    for text in workflow_texts(workflow):
        kind, by_shape = _kind(text)
        if kind:
            hosts = password_hosts(text.value) if by_shape else []
            opens_little = all(is_loopback(host) or host in workflow.containers for host in hosts)
            throwaway = opens_little and kind == _IN_URL if by_shape else is_placeholder(text.value)
            yield _Credential(text, kind, None, throwaway)


def _kind(text: Text) -> tuple[str | None, bool]:
    """Return the kind of credential that ``text`` is, if any, and whether its shape alone identifies it."""
    shape = secret_shape(text.value)
    if shape:
        return shape, True
    is_secret = text.is_variable and is_secret_name(text.name) and is_literal(text.value, text.name)
    return ("the literal value of a secret" if is_secret else None), False


@check("secret-in-env", "error")
def secret_in_env(files: DeployFiles) -> Iterator[Found]:
    """A secret is a plain environment variable.

    `fly config show`, logs of deployments and the file itself show plain variables.
    """
    for environment, app in files.apps("fly"):
        needed = files.secrets.get(environment)
        for name in needed.names if needed else ():
            value = app.env.get(name)
            if value is not None and not _is_seen(app, name):
                what = f"{name} of {app.name} is a plain variable, but gaia.toml lists it as a secret"
                fix = f"remove the line, and set it with `fly secrets set {name}=… -a {app.name}`"
                yield Found(env_place(app, name), what, fix, environment)


def _is_seen(app: App, name: str) -> bool:
    return any(_kind(text)[0] for text in app_texts(app, "fly") if text.is_variable and text.name == name)


@check("secret-unset", "error")
def secret_unset(files: DeployFiles) -> Iterator[Found]:
    """A required secret is not set.

    The service starts without it, and fails at the first request that needs it.
    """
    for deployment in files.deployments:
        needed = files.secrets.get(deployment.environment)
        apps = deployment.apps
        if needed is None or not apps:
            continue
        if deployment.source == "fly":
            if not all(app.name in files.set_secrets for app in apps):
                continue
            there = frozenset[str]().union(*(files.set_secrets[app.name] for app in apps))
            fix = "`fly secrets set {name}=… -a APP`"
        else:
            if any("env_file" in app.document for app in apps):
                continue
            there = frozenset[str]()
            fix = 'pass it to the service that needs it: environment: {{{name}: "${{{name}:?}}"}}'
        plain = {name for app in apps for name in app.env}
        yield from _unset(deployment.environment, needed, there | plain, fix)


def _unset(environment: str, needed: Secrets, there: frozenset[str], fix: str) -> Iterator[Found]:
    for name in needed.names:
        if name not in there:
            place: Place = needed.place
            yield Found(place, f"{name} is not set for any app of {environment}", fix.format(name=name), environment)
