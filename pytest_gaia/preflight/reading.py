"""Read the deploy files and the CI files of a project for the checks."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.deployfiles.read import (
    COMPOSE_ENVIRONMENT,
    KNOWN,
    DeployFolder,
    Environments,
    compose_file,
    shown,
    unrecognized,
)
from pytest_gaia.config.layers import ConfigFile
from pytest_gaia.config.platform import DISABLED
from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import Place, nearest_line, read_text
from pytest_gaia.files.yaml import read_yaml, yaml_comments
from pytest_gaia.preflight._workflows import github, gitlab
from pytest_gaia.preflight._workflows.model import GITHUB_FOLDER, GITLAB_FILE, Workflow, YamlFile
from pytest_gaia.preflight._workflows.scripts import names_read
from pytest_gaia.preflight.difference import check_allowed
from pytest_gaia.preflight.files import Allowed, Claim, DeployFiles, Secrets


def read_deploy_files(project: Project, needed: Collection[str] | None = None) -> DeployFiles:
    """Return the deploy files of ``project``; ``deployments`` is empty without any.

    Unlike a deployment, the checks read all files of an environment, even contradictory ones. They use the settings in
    ``gaia.toml`` without those of variables and deploy files. If only some environments are ``needed``, unreadable files of
    others are skipped and listed in ``unread``.

    Raises ``ConfigError`` with file and line for an unreadable or invalid file, and for an unknown entry of
    ``allowed_differences``.
    """
    # Imported here, because only projects with deploy files need msgspec.
    from pytest_gaia.config.layers import shipped_file

    folder = project.deploy_folder
    if not folder.path.is_dir():
        raise ConfigError(
            f"{shown(folder.path)}: folder of deploy files not found. Correct `deploy_files` in [gaia] of gaia.toml."
        )
    own = project.file
    environments = Environments(folder.known)
    unread: list[str] = []
    return DeployFiles(
        deployments=tuple(_deployments(folder, environments, needed, unread)),
        unread=tuple(unread),
        unrecognized=tuple(Place(shown(each), 1) for each in unrecognized(folder.path, folder.known, folder.platform)),
        workflows=read_workflows(project.rootdir, environments),
        platform=project.platform,
        environments=environments,
        allowed=_allowed(own),
        claims=_claims(own),
        last_stages=_last_stages(own),
        hosts=_hosts(shipped_file(own.below) if own else shipped_file()) | _hosts(own),
        secrets=_secrets(own),
    )


def with_secrets(files: DeployFiles, names: Mapping[str, frozenset[str]]) -> DeployFiles:
    """Return ``files`` with the names of the secrets that are set: app → names, as the deploy tool has listed them."""
    return replace(files, set_secrets=dict(names))


def _deployments(
    folder: DeployFolder, environments: Environments, needed: Collection[str] | None, unread: list[str]
) -> Iterator[Deployment]:
    named = folder.fly_files()
    path = compose_file(folder.path)
    found = {each.environment for each in named} | ({COMPOSE_ENVIRONMENT} if path else set())
    for environment in sorted(found, key=lambda name: (environments.rank(name) % (len(KNOWN) + 1), name)):
        own = [each for each in named if each.environment == environment]
        try:
            if own:
                yield Deployment(environment, "fly", folder, tuple(map(folder.fly_app, own)))
            elif path is not None:
                apps, overrides = folder.compose_apps(path, environment), folder.compose_overrides(path, environment)
                if not apps:
                    included = "no service of its own; run `docker compose config` to see the complete project."
                    unread.append(f"{shown(path)}: {included}")
                yield Deployment(environment, "compose", folder, apps, overrides)
        except ConfigError as problem:
            if needed is None or environment in needed:
                raise
            unread.append(str(problem))


def _allowed(own: ConfigFile | None) -> Allowed:
    entries = own.gaia.allowed_differences if own else None
    if own is None or not isinstance(entries, tuple):
        return Allowed()
    place = _place(own, "gaia", "allowed_differences")
    check_allowed(entries, f"{place.file}:{place.line}", own.platform)
    return Allowed(entries, place)


def _claims(own: ConfigFile | None) -> dict[str, Claim]:
    if own is None:
        return {}
    found = {}
    for name, table in own.environments.items():
        if isinstance(table.services, tuple) or isinstance(table.without, tuple):
            listed = table.services if isinstance(table.services, tuple) else own.platform.names
            without = table.without if isinstance(table.without, tuple) else ()
            urls = table.urls if isinstance(table.urls, dict) else {}
            services = tuple(each for each in listed if each not in without and urls.get(each) != DISABLED)
            found[name] = Claim(services, frozenset(urls))
    return found


def _last_stages(own: ConfigFile | None) -> dict[str, Place]:
    from pytest_gaia.config.schema import StageTable

    tables = {name: table.stage for name, table in own.environments.items()} if own else {}
    before = {name: table.previous for name, table in tables.items() if isinstance(table, StageTable)}
    after = {name for name, previous in before.items() if isinstance(previous, str) and previous}
    return {name: _place(own, "env", name) for name in after - set(map(str, before.values())) if own}


def _hosts(file: ConfigFile | None) -> dict[str, tuple[str, ...]]:
    said = {name: table.hosts for name, table in file.environments.items()} if file else {}
    return {name: hosts for name, hosts in said.items() if isinstance(hosts, tuple)}


def _secrets(own: ConfigFile | None) -> dict[str, Secrets]:
    from pytest_gaia.config.schema import DeployTable

    found = {}
    for name, table in own.environments.items() if own else ():
        names = table.deploy.secrets if isinstance(table.deploy, DeployTable) else ()
        if own is not None and isinstance(names, tuple) and names:
            found[name] = Secrets(names, _place(own, "env", name, "deploy", "secrets"))
    return found


def _place(file: ConfigFile, *key: str) -> Place:
    return Place(file.name, nearest_line(file.lines, key), ".".join(key))


def read_workflows(rootdir: Path, known: Environments | None = None) -> tuple[Workflow, ...]:
    """Return the CI files of the project at ``rootdir``: its own, and those of the repository that it is in.

    ``known`` are the environments of the project; by default the built-in ones. Raises ``ConfigError`` with file and line for one that is no valid YAML.
    """
    folders = dict.fromkeys((rootdir, _repository(rootdir)))
    return tuple(workflow for folder in folders for workflow in _in(folder, known or Environments()))


def _repository(rootdir: Path) -> Path:
    """Return the folder of the git repository around ``rootdir``; ``rootdir`` where there is none."""
    return next((folder for folder in (rootdir, *rootdir.parents) if (folder / ".git").exists()), rootdir)


def _in(folder: Path, known: Environments) -> Iterator[Workflow]:
    found = sorted((folder / GITHUB_FOLDER).glob("*.y*ml"))
    for path in (path for path in found if path.suffix in (".yml", ".yaml") and path.is_file()):
        file = _file(path, f"{GITHUB_FOLDER}/{path.name}", known)
        name = str(file.document.get("name") or path.stem)
        comments = yaml_comments("\n".join(file.lines))
        yield Workflow(
            file.name,
            name,
            github.jobs(file),
            file.lines,
            after=github.after(file),
            events=github.events(file),
            variables=tuple(github.variables(file)),
            containers=github.containers(file),
            comments=comments,
        )
    path = folder / GITLAB_FILE
    if path.is_file():
        file = _file(path, GITLAB_FILE, known)
        comments = yaml_comments("\n".join(file.lines))
        yield Workflow(
            file.name,
            path.name,
            gitlab.jobs(file),
            file.lines,
            variables=tuple(gitlab.variables(file)),
            containers=gitlab.containers(file),
            comments=comments,
        )


def _file(path: Path, name: str, known: Environments) -> YamlFile:
    text = read_text(path, name)
    document, places = read_yaml(text, name)
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ConfigError(f"{name}:1: expected a table with jobs.")
    return YamlFile(name, document, places, tuple(text.splitlines()), known, names_read(text))
