"""``gaia init``: the files that a new project needs."""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from pytest_gaia.cli.output import echo_lines
from pytest_gaia.cli.settings.documents import describe, find_document, read_document, server_url
from pytest_gaia.cli.settings.drafts import Draft, comment, compose_drafts, filled, toml_value, url_draft, valid_name
from pytest_gaia.config.addresses import host_of, http_url, is_loopback
from pytest_gaia.config.deployfiles.read import FlyFile, compose_file, fly_names
from pytest_gaia.config.layers import project_file
from pytest_gaia.config.project import PROJECT_FILE, Project
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.writing import make_folder, write_file
from pytest_gaia.printable import one_line
from pytest_gaia.report.layout import aligned
from pytest_gaia.secrets.masks import mask_url

app = typer.Typer()

HELP = """\
Create gaia.toml and a first test for your services

\b
The services come from the first of these that exists:
  --url, --file
  docker-compose.yml, compose.yaml, … in this folder, with its override file
  fly.SERVICE.ENV.toml in this folder

An OpenAPI document (--openapi, or openapi.yaml, swagger.json, … in the folder of the project or of a service) adds the
health check, the credential and an operation for the first test. Passwords are never copied: the command prints the
variables to set. Without any service, the project gets an example, which the sandbox runs.

\b
Examples:
  gaia init                                  from the Compose file here
  gaia init --dry-run                        print the files, and write none
  gaia init -f deploy/compose.yaml --openapi web=openapi.yaml
  gaia init --url http://localhost:8000      one service, without Compose
  gaia init --url orders=http://localhost:8001 --url db=postgresql://localhost
  gaia init --env qa=https://qa.example.com  another environment
  gaia init --ci github                      and a workflow for the tests
  gaia init --platform gaia                  the Gaia Platform and its sandbox
"""

_EXPIRES_AFTER = datetime.timedelta(days=180)
_PYTEST_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_TABLES = ("pyproject.toml", r"^\[tool\.pytest"), ("tox.ini", r"^\[pytest\]"), ("setup.cfg", r"^\[tool:pytest\]")
_CI_FILES = {"github": ".github/workflows/gaia.yml", "gitlab": ".gitlab-ci.yml"}

Ci = Literal["github", "gitlab", "none"]


@app.command("init", help=HELP)
def create_project(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Compose file", show_default=False)
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]URL", help="Add this service; repeatable", show_default=False),
    ] = None,
    openapi: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE", help="OpenAPI document of a service, or its URL; repeatable", show_default=False
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=URL", help="Add this environment; repeatable", show_default=False),
    ] = None,
    platform: Annotated[
        Literal["gaia"] | None, typer.Option(help="Use the services of this platform", show_default=False)
    ] = None,
    ci: Annotated[Ci | None, typer.Option(help="Write a workflow for this CI system", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files, and write none")] = False,
) -> None:
    """Write every file that does not exist."""
    folder = Path.cwd()
    plan = _plan(folder, file, url or [], openapi or [], env or []) if platform is None else None
    if plan is not None:
        contents = dict(_own_files(folder, plan, ci))
    else:
        contents = dict(_gaia_files(folder, env or [], ci or "github") if platform else _example_files(folder, ci))
    skipped = {name: reason for name in contents if (reason := _reason_to_skip(folder, name, force=force))}
    if PROJECT_FILE in skipped and platform is None:
        programs = (name for name in contents if name.endswith(".py"))
        skipped = dict.fromkeys(programs, f"its services are not in {PROJECT_FILE}") | skipped
    new = {name: text for name, text in contents.items() if name not in skipped}
    if dry_run:
        echo_lines(_shown(new))
    else:
        for name, text in new.items():
            _write(folder / name, text)
            typer.echo(f"created  {name}")
    echo_lines(f"skipped  {name}: {reason}" for name, reason in skipped.items())
    if "pytest.toml" in skipped:
        echo_lines(_settings_to_add(folder, contents["pytest.toml"]))
    echo_lines(["", "Next steps:", *(_sandbox_steps(contents) if plan is None else plan.next_steps(contents))])


def _shown(contents: Mapping[str, str]) -> Iterator[str]:
    for name, text in contents.items():
        yield f"would create  {name}"
        yield from (f"    {line}".rstrip() for line in text.splitlines())
        yield ""


def _settings_to_add(folder: Path, text: str) -> Iterator[str]:
    """Yield the settings of pytest in ``text`` if the folder has no file with them, in lines."""
    settings = text.splitlines()[1:]
    if not _holds_all(folder / "pytest.toml", settings):
        yield from ("", "Add these settings to your configuration of pytest:")
        yield from (f"  {line}" for line in settings)


@dataclass(slots=True)
class _Plan:
    """The services of the new project, and its environments."""

    drafts: list[Draft]
    source: str
    """where the services come from, for comments"""
    environment: str = "local"
    start: str = ""
    """command that starts the services"""
    notes: list[str] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    """other environment → the line with its addresses"""

    @property
    def entry(self) -> Draft | None:
        """The HTTP service for the first test: one of the project's own that can be reached, if there is any."""
        return min((each for each in self.drafts if each.kind == "http"), key=_preference, default=None)

    def next_steps(self, contents: Mapping[str, str]) -> Iterator[str]:
        """Yield what to do next, in lines."""
        yield from (f"  {each.todo}" for each in self.drafts if each.todo)
        commands = [(f"  {self.start}", "start the services")] if self.start else []
        commands.append((f"  gaia env show {self.environment}", "check the addresses in gaia.toml"))
        test = next(name for name in contents if name.endswith("test_first.py"))
        command = "pytest" if "pytest.toml" in contents else f"pytest {test.partition('/')[0]}"
        commands.append((f"  {command}", f"run the first test against {self.environment}"))
        yield from aligned(commands)


def _preference(draft: Draft) -> tuple[bool, ...]:
    # Addresses of the command line are in the order that the user chose.
    is_front = not draft.unit or re.search("web|front|gateway|api|app|ui|server", draft.name) is not None
    return not draft.url, not draft.is_own, not draft.get, not draft.health, not draft.folder, not is_front


def _plan(
    folder: Path, file: Path | None, urls: Sequence[str], documents: Sequence[str], environments: Sequence[str]
) -> _Plan | None:
    """Return the services that the options or the folder describe; None if there are none."""
    found = file or (None if urls else compose_file(folder))
    given = dict(map(_environment, environments))
    deployed = fly_names(folder)
    if found is not None:
        if urls:
            raise ConfigError("--file and --url exclude each other; give the Compose file, or the addresses.")
        drafts, notes = compose_drafts(found, usual=file is None)
        options = ["--file", str(file)] if file else []
        start = shlex.join(["docker", "compose", *options, "up", "--detach", "--wait"])
        plan = _Plan(drafts, str(file or found.name), start=start, notes=notes)
    elif urls or documents or given:
        plan = _Plan(_from_urls(urls, documents, given), "the command line")
        hosts = [host_of(each.url) for each in plan.drafts if each.url]
        plan.environment = "local" if all(map(is_loopback, hosts)) else "remote"
    elif deployed:
        plan = _Plan(
            [Draft(name) for name in dict.fromkeys(valid_name(each.service) for each in deployed)], "fly.*.toml"
        )
    else:
        return None
    _add_environments(plan, given, deployed)
    _add_documents(folder, plan, documents)
    return plan


def _add_environments(plan: _Plan, given: Mapping[str, str], deployed: Sequence[FlyFile]) -> None:
    """Add the environments of ``--env``, and those of files for Fly that are for the same services."""
    names = {each.name for each in plan.drafts}
    if all(each.form == "entry" or each.service in names for each in deployed):
        plan.others = {each.environment: 'from = "fly"' for each in deployed}
    plan.others |= {name: f"url = {toml_value(url)}" for name, url in given.items()}
    if plan.environment in given and plan.entry:
        plan.entry.url = given[plan.environment]
    elif plan.others and not plan.start and not any(each.url for each in plan.drafts):
        plan.environment = next(iter(given or plan.others))
        return
    plan.others.pop(plan.environment, None)


def _from_urls(urls: Sequence[str], documents: Sequence[str], environments: Mapping[str, str]) -> list[Draft]:
    drafts: dict[str, Draft] = {}
    for text in urls:
        name, url = _named(text, "web")
        draft = url_draft(name, url, f"--url {name}")
        same = next((each for each in drafts if each.replace("-", "_") == draft.name.replace("-", "_")), None)
        if same is not None:
            raise ConfigError(f"--url {name}: {same} and {name} would both have the fixture {same.replace('-', '_')}.")
        drafts[draft.name] = draft
    if not drafts:
        for text in documents:
            name, source = _named(text, "web")
            url = server_url(read_document(source, f"--openapi {mask_url(source)}"))
            drafts[name] = url_draft(name, url, f"--openapi {name}") if url else Draft(valid_name(name))
    if not drafts:
        drafts["web"] = Draft("web")
    if not environments and not any(each.url or each.address for each in drafts.values()):
        name = next(iter(drafts))
        raise ConfigError(f"--openapi {name}: the document has no address of the service; add --url {name}=URL.")
    return list(drafts.values())


def _named(text: str, default: str) -> tuple[str, str]:
    """Return the name and the value of ``NAME=VALUE``; the name may be missing."""
    found = re.fullmatch(r"(?:([\w.-]+)=)?(.*)", text, re.DOTALL)
    return (found[1] or default, found[2]) if found else (default, text)


def _environment(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ConfigError(f"--env {text}: not NAME=URL, such as staging=https://api.example.com.")
    return name, http_url(url, f"--env {name}")


def _add_documents(folder: Path, plan: _Plan, documents: Sequence[str]) -> None:
    """Describe the services by their documents: those of the options, or those in the folders of the services."""
    named = {each.name: each for each in plan.drafts}
    for text in documents:
        entry = plan.entry
        name, source = _named(text, entry.name if entry else plan.drafts[0].name)
        draft = named.get(valid_name(name))
        if draft is None or draft.kind not in ("http", "tcp"):
            raise ConfigError(f"--openapi {name}: unknown service {name!r}; {nearest(name, named)}")
        draft.serve_http()
        describe(draft, read_document(source, f"--openapi {mask_url(source)}"))
        if draft.url and source.startswith(f"{draft.url}/"):
            draft.openapi = source.removeprefix(draft.url)
        else:
            draft.remarks.append(f"Described by {one_line(mask_url(source))}.")
    entry = plan.entry
    for draft in plan.drafts if not documents else ():
        own = (folder / draft.folder).resolve()
        found = find_document(own) if draft.folder and own != folder and own.is_relative_to(folder) else None
        found = found or (find_document(folder) if draft is entry and draft.is_own else None)
        if found is not None and draft.kind == "http":
            name = found.relative_to(folder).as_posix()
            describe(draft, read_document(str(found), name))
            known = one_line(name)
            draft.remarks.append(f'Described by {known}; openapi = "{known}" if the service does not publish it.')


def _own_files(folder: Path, plan: _Plan, ci: Ci | None) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a project with its own services."""
    tests = _tests(folder)
    settings = "\n".join(_settings(plan, tests, _folder_name(folder))) + "\n"
    project_file(settings, PROJECT_FILE)
    yield PROJECT_FILE, settings
    has_settings = bool(_reason_to_skip(folder, "pytest.toml"))
    if not has_settings:
        yield "pytest.toml", filled("pytest.toml", {"folder": tests})
    yield f"{tests}/smoke/test_first.py", _first_test(plan, marked=has_settings)
    if described := [each.name for each in plan.drafts if each.described and each.kind == "http"]:
        values = {"services": json.dumps(described), "mark": _MARK if has_settings else ""}
        yield f"{tests}/contract/test_contract.py", filled("test_contract.py.txt", values)
    if ci in _CI_FILES:
        yield _CI_FILES[ci], _workflow(ci, ("Start the services", plan.start), package="pytest-gaia")


_MARK = "\npytestmark = pytest.mark.asyncio\n"
_ABOUT_HEALTH = (
    'A run waits until `health` has the status 200; `healthy = { values = ["ok"] }` would read its "status", too.'
)


def _settings(plan: _Plan, tests: str, name: str) -> Iterator[str]:
    """Yield the lines of gaia.toml."""
    entry = plan.entry
    yield "# Settings of pytest-gaia. `gaia config schema` prints a JSON Schema for your editor."
    yield from ("", "[gaia]")
    yield "# Each subfolder of this folder is a suite: `pytest -m smoke` runs the tests in smoke/."
    yield f"suites = [{toml_value(tests)}]"
    yield "# The environment that `pytest` tests without --gaia-env."
    yield f"environment = {toml_value(plan.environment)}"
    yield from ("", "[platform]", f"name = {toml_value(name)}")
    if entry is not None:
        yield "# The service whose address `--gaia-url=URL` sets. No test runs until it is ready."
        yield f"entry = {toml_value(entry.name)}"
    yield ""
    heading = f"The services, from {plan.source}. In tests, each is a fixture of its name."
    for note in (heading, _ABOUT_HEALTH, *plan.notes):
        yield from comment(note)
    for draft in plan.drafts:
        yield from draft.lines()
    if plan.environment not in plan.others:
        yield from _addresses(plan)
    for other, line in plan.others.items():
        yield from ("", f"[env.{other}]", line)


def _addresses(plan: _Plan) -> Iterator[str]:
    reached = {each.name: each.url for each in plan.drafts if each.url}
    entry = plan.entry
    yield from ("", f"[env.{plan.environment}]")
    if plan.environment == "local":
        yield "# Tests marked with writes=True may change data here."
        yield "writes = true"
    if plan.start.startswith("docker compose up"):
        yield '# from = "compose" would read the addresses at each run, and let `gaia deploy local` start the services.'
    if reached and (entry is None or not entry.url):
        yield f"required = [{toml_value(next(iter(reached)))}]"
    hidden = [each.name for each in plan.drafts if not each.url and not each.address and not each.once]
    if hidden:
        yield from comment(f"No port is published, so tests do not reach: {', '.join(hidden)}.")
    yield from (f"# {each.address}" for each in plan.drafts if each.address and not each.url)
    yield from ("", f"[env.{plan.environment}.urls]")
    guessed = entry or next((each for each in plan.drafts if each.kind == "tcp" and not each.once), None)
    if not reached and guessed:
        yield "# Nothing has a known address: publish a port, and correct this one."
        yield f"{guessed.name} = {toml_value(f'{guessed.kind}://localhost:{guessed.port}')}"
    yield from (f"{name} = {toml_value(url)}" for name, url in reached.items())


def _first_test(plan: _Plan, *, marked: bool) -> str:
    entry = plan.entry
    values = {"environment": plan.environment, "mark": _MARK if marked else ""}
    if entry is None:
        return filled("test_services.py.txt", values)
    path, status = entry.health or "/", 200
    what = f"GET {path} is the health check."
    if entry.get and not (entry.secured and entry.health):
        path, status = entry.get
        what = f"GET {path} is in the OpenAPI document."
    values |= {"service": entry.name.replace("-", "_"), "path": path, "status": str(status), "what": what}
    return filled("test_service.py.txt", values)


def _workflow(ci: str, *steps: tuple[str, str], package: str = "pytest-gaia[sandbox]") -> str:
    """Return the workflow of a CI system; ``steps`` are titles and commands that run before the tests."""
    each = "      - name: {}\n        run: {}\n" if ci == "github" else "    - {1}\n"
    before = [each.format(title, command) for title, command in steps if command]
    return filled(f"{ci}.yml", {"package": package, "before": "".join(before)})


def _folder_name(folder: Path) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", folder.name.lower()).strip("-") or "app"


def _tests(folder: Path) -> str:
    """Return the folder for tests: unit tests must not become tests of an environment."""
    return "tests" if not (folder / "tests").exists() or (folder / "tests/smoke").exists() else "release_tests"


def _example_files(folder: Path, ci: Ci | None) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a project with an example service, which the sandbox runs."""
    tests = _tests(folder)
    settings = filled("example.toml", {"folder": tests, "name": _folder_name(folder)})
    project_file(settings, PROJECT_FILE)
    yield PROJECT_FILE, settings
    yield "orders.py", filled("example_service.py.txt", {})
    yield "pytest.toml", filled("pytest.toml", {"folder": tests})
    yield f"{tests}/smoke/test_first.py", filled("test_example.py.txt", {})
    if ci in _CI_FILES:
        yield _CI_FILES[ci], _workflow(ci)


def _gaia_files(folder: Path, environments: Sequence[str], ci: Ci) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of a project that tests the Gaia Platform."""
    today = datetime.datetime.now(datetime.UTC).date()
    tests = _tests(folder)
    values = {"folder": tests, "today": str(today), "expires": str(today + _EXPIRES_AFTER)}
    settings = filled("gaia.toml", values) + _gaia_environments(folder, environments)
    project_file(settings, PROJECT_FILE)
    yield PROJECT_FILE, settings
    yield "pytest.toml", filled("pytest.toml", values)
    yield f"{tests}/smoke/test_first.py", filled("test_first.py.txt", values)
    yield f"{tests}/expectations/assets-redirect.toml", filled("assets-redirect.toml", values)
    if ci in _CI_FILES:
        checked = {"deploy files": "config", "expectations": "expectations", "test files": "suites"}
        steps = [(f"Check {files}", f"gaia {name} check") for files, name in checked.items()]
        yield _CI_FILES[ci], _workflow(ci, *steps)
    yield ".pre-commit-config.yaml", filled("pre-commit.yaml", values)


def _gaia_environments(folder: Path, given: Sequence[str]) -> str:
    """Return the tables of all environments; an example in comments if there is none."""
    found: dict[str, str] = {}
    if compose_file(folder):
        found["local"] = 'from = "compose"'
    found |= {each.environment: 'from = "fly"' for each in fly_names(folder)}
    found |= {name: f"url = {toml_value(url)}" for name, url in map(_environment, given)}
    tables = (filled("environment.toml", {"name": name, "address": address}) for name, address in found.items())
    return "".join(tables) or filled("environments.toml", {})


def _sandbox_steps(contents: Mapping[str, str]) -> Iterator[str]:
    yield "  pytest                 run the tests on the sandbox"
    yield "  gaia doctor            check this machine and the project"
    environment = re.search(r"^\[env\.([\w-]+)\]", contents.get(PROJECT_FILE, ""), re.MULTILINE)
    if environment:
        yield f"  pytest --gaia-env {environment[1]}    run them against {environment[1]}"


def _reason_to_skip(folder: Path, name: str, *, force: bool = False) -> str:
    """Return why a file is not written; an empty text if it is."""
    if (folder / name).exists():
        return "" if force else "exists"
    if name == PROJECT_FILE and (path := Project(folder).path):
        return f"{path} has the settings"
    if name == "pytest.toml":
        others = [each for each in _PYTEST_FILES if (folder / each).exists()]
        others += [each for each, table in _TABLES if _holds(folder / each, table)]
        return f"{others[0]} configures pytest" if others else ""
    return ""


def _holds(path: Path, pattern: str) -> bool:
    return path.is_file() and bool(re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE))


def _holds_all(path: Path, lines: Sequence[str]) -> bool:
    return path.is_file() and {*lines} <= {*path.read_text(encoding="utf-8", errors="replace").splitlines()}


def _write(path: Path, text: str) -> None:
    try:
        make_folder(path.parent)
        write_file(path, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None
