"""The folder of deploy files: names of files, and their contents.

Names of environments have several spellings in names of files, apps and hosts: ``prod`` is ``production``.
"""

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pytest_gaia.config.deployfiles import fly
from pytest_gaia.config.deployfiles.model import App, Deployment, Form, Source, kind_of
from pytest_gaia.config.platform import Platform, Tool
from pytest_gaia.config.project import find_rootdir
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.files.toml import read_text

OTHER_SPELLINGS = {"prod": "production", "stage": "staging", "development": "dev"}
"""spelling of an environment in file names → its name"""

FLY_SUFFIXES = (".toml", ".json", ".yaml", ".yml")
"""the formats that flyctl reads"""

KNOWN = ("local", "dev", "staging", "production")
"""built-in environments, each with the role of its name, in the order of promotion"""

PROTECTED = ("staging", "production")
"""roles of the environments that only tested releases reach"""


@dataclass(frozen=True, slots=True)
class FlyFile:
    """The parts of the name of a deploy file."""

    path: Path
    service: str
    environment: str
    spelling: str
    """the environment as spelled in the name, such as ``prod``"""
    form: Form


def fly_names(
    folder: Path, environments: Collection[str] | None = None, platform: Platform | None = None
) -> list[FlyFile]:
    """Return the files in ``folder`` whose names contain an environment, sorted by name.

    Skips ``fly.toml`` and ``fly.SERVICE.toml``, which have none. Without ``environments``, any word that is no service of
    ``platform`` counts as the name of an environment.
    """
    services = platform or Platform()
    found = [file for path in _fly_files(folder) if (file := _understood(path, services)) is not None]
    return [file for file in found if environments is None or {file.environment, file.spelling} & set(environments)]


def unrecognized(folder: Path, environments: Collection[str], platform: Platform) -> list[Path]:
    """Return the files in ``folder`` whose names contain neither one of ``environments`` nor only a known service."""
    known = fly_names(folder, environments, platform)
    services = {*platform, *(file.service for file in known)}
    aside = {path for path in _fly_files(folder) if _service(path.stem.removeprefix("fly."), platform) in services}
    return [path for path in _fly_files(folder) if path not in aside and path not in {file.path for file in known}]


def _fly_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("fly.*.*") if path.suffix in FLY_SUFFIXES and path.is_file())


def spellings(environment: str) -> tuple[str, ...]:
    """Return the spellings of ``environment`` in file names, its own name first."""
    return (environment, *(other for other, name in OTHER_SPELLINGS.items() if name == environment))


def service_name(unit: str, platform: Platform, tool: Tool, environment: str) -> str:
    """Return the service of a unit; for one that is not declared, a name without ``-service``."""
    found = platform.service_of(unit, tool, environment)
    return _undeclared(unit, platform) if found is None else found


def _service(word: str, platform: Platform) -> str:
    """Return the service that a word in the name of a file means."""
    return platform.named(word) or _undeclared(word, platform)


def _undeclared(name: str, platform: Platform) -> str:
    short = name.removesuffix("-service").removesuffix("_service")
    found = name if short in platform else short
    # The name of a service whose unit is another one.
    return f"{found}-undeclared" if found in platform else found


def _understood(path: Path, platform: Platform) -> FlyFile | None:
    match path.name.split(".")[1:-1]:
        case [spelling] if platform.named(spelling) is None:
            entry = platform.entry or platform.name or "app"
            return FlyFile(path, entry, _name(spelling), spelling, "entry")
        case [service, spelling]:
            return FlyFile(path, _service(service, platform), _name(spelling), spelling, "service")
    return None


def _name(spelling: str) -> str:
    return OTHER_SPELLINGS.get(spelling, spelling)


COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""names of compose files, by precedence"""

_NAMED = "COMPOSE_FILE"
"""variable with the names of all compose files"""

COMPOSE_ENVIRONMENT = "local"
"""environment of a compose file"""

_ROLES = ("local", "dev", "staging", "production")


@dataclass(frozen=True)
class DeployFolder:
    """A folder of deploy files. Each file is read at most once, when it is first needed.

    Methods that read raise ``ConfigError``, with file, line and key, for unreadable or invalid files.
    """

    path: Path
    known: Mapping[str, str] = field(default_factory=dict)
    """environments of the project, which are looked for in names of files → their roles"""
    platform: Platform = field(default_factory=Platform, repr=False)
    """the services of the project"""
    dotenv: Callable[[], Mapping[str, tuple[str, int]]] = field(default=dict, repr=False, compare=False)
    """returns the variables in the `.env` of this folder"""
    _contents: dict[Path, bytes] = field(default_factory=dict, repr=False, compare=False)
    _apps: dict[tuple[Path, str], tuple[App, ...]] = field(default_factory=dict, repr=False, compare=False)
    _composed: dict[str, Deployment | None] = field(default_factory=dict, repr=False, compare=False)

    def deployment(self, environment: str, source: Source, *, ask: bool = True) -> Deployment:
        """Return the deployment of ``environment``.

        With ``ask``, Docker Compose itself merges the files of its project, where it is installed. Without, only the compose
        file is read.

        Also raises ``ConfigError`` if the folder or the files do not exist, and for two files of one app.
        """
        if not self.path.is_dir():
            raise ConfigError(
                f"{shown(self.path)}: folder of deploy files not found. "
                "Set `deploy_files` in [gaia] of gaia.toml to the folder of your deploy files."
            )
        if source == "fly":
            return Deployment(environment, source, self, self._fly_apps(environment))
        composed = self._asked(environment) if ask else None
        return composed or Deployment(environment, source, self, self._compose_apps(environment))

    def others(self, deployment: Deployment) -> Iterator[Deployment]:
        """Yield the deployments of the other environments with the same tool, without invalid ones."""
        for name in self.environments():
            with suppress(ConfigError):
                if name != deployment.environment:
                    yield self.deployment(name, deployment.source, ask=False)

    def environments(self) -> tuple[str, ...]:
        """Return the environments of the project that have files in this folder."""
        found = {file.environment for file in self.fly_files()}
        if compose_file(self.path) is not None:
            found.add(COMPOSE_ENVIRONMENT)
        return tuple(sorted(found, key=lambda name: (_place_in_order(self.known.get(name, name)), name)))

    def fly_files(self) -> list[FlyFile]:
        """Return the files for Fly whose names contain an environment of the project, sorted by name."""
        return fly_names(self.path, self.known, self.platform)

    def content(self, path: Path) -> bytes:
        """Return the content of the file at ``path``. Raises ``OSError``."""
        if path not in self._contents:
            self._contents[path] = path.read_bytes()
        return self._contents[path]

    def fly_app(self, file: FlyFile) -> App:
        """Return the app of one file for Fly. The name of the app decides if that of the file names no declared service."""
        key = file.path, file.environment
        if key not in self._apps:
            name = shown(file.path)
            text = read_text(file.path, name, self.content)
            app = fly.app_of(text, file.path, name, service=file.service, environment=file.spelling, form=file.form)
            if file.form == "entry" or file.service not in self.platform:
                units = (self._unit(app, word) for word in (file.spelling, file.environment))
                app = replace(app, service=next(filter(None, units), file.service))
            self._apps[key] = (replace(app, kind=kind_of(app.service, app.image, self.platform)),)
        return self._apps[key][0]

    def _unit(self, app: App, environment: str) -> str | None:
        """Return the service whose unit on Fly is exactly ``app``; if its file names a service, the unit must be declared."""
        found = self.platform.service_of(app.name, "fly", environment)
        if found is None or self.platform.unit_of(found, environment, "fly") != app.name:
            return None
        return found if app.form == "entry" or "fly" in self.platform[found].units else None

    def compose_apps(self, path: Path, environment: str) -> tuple[App, ...]:
        """Return the services in the compose file at ``path``, as apps of ``environment``."""
        if (path, environment) not in self._apps:
            # Imported here, because only compose files need PyYAML.
            from pytest_gaia.config.deployfiles import compose

            name = shown(path)
            text = read_text(path, name, self.content)
            self._apps[path, environment] = compose.apps_of(
                text, path, name, environment=environment, platform=self.platform
            )
        return self._apps[path, environment]

    def compose_overrides(self, path: Path, environment: str) -> tuple[App, ...]:
        """Return the override file of the compose file at ``path``, if it exists, as one app."""
        override = override_file(path)
        if override is None:
            return ()
        from pytest_gaia.config.deployfiles import compose

        name = shown(override)
        text = read_text(override, name, self.content)
        return (compose.file_app(text, override, name, environment=environment),)

    def _fly_apps(self, environment: str) -> tuple[App, ...]:
        apps = [self.fly_app(file) for file in self._fly_by_environment.get(environment, ())]
        if not apps:
            raise self._nothing_found(environment)
        _refuse_duplicates(apps, environment)
        return tuple(apps)

    @cached_property
    def _fly_by_environment(self) -> Mapping[str, Sequence[FlyFile]]:
        found: dict[str, list[FlyFile]] = {}
        for file in fly_names(self.path, platform=self.platform):
            for name in {file.environment, file.spelling}:
                found.setdefault(name, []).append(file)
        return found

    def _asked(self, environment: str) -> Deployment | None:
        """Return the deployment as Compose sees it; None without Compose, or without files that it would use."""
        if environment not in self._composed:
            self._composed[environment] = self._ask(environment)
        return self._composed[environment]

    def _ask(self, environment: str) -> Deployment | None:
        files = compose_files(self.path, self.dotenv())
        if not files:
            return None
        if files[0].parent.resolve() != self.path.resolve():
            # Compose would take that folder for the project's, and run in another one.
            raise ConfigError(
                f"{_NAMED}: its first file, {shown(files[0])}, is not in {shown(self.path)}. Set `deploy_files` in [gaia] of "
                "gaia.toml to the folder of that file, and name it from there."
            )
        from pytest_gaia.config.deployfiles import compose, composed

        def read(path: Path) -> tuple[str, str]:
            return read_text(path, shown(path), self.content), shown(path)

        found = composed.ask(self.path, files, environment, self.platform, read)
        if found is None:
            return None
        if not any(app.service in self.platform.usual for app in found.apps):
            raise compose.none_declared(found.top, self.platform, hidden=not found.apps)
        return Deployment(environment, "compose", self, found.apps, found.others, found.name)

    def _compose_apps(self, environment: str) -> tuple[App, ...]:
        path = compose_file(self.path)
        if path is None:
            raise ConfigError(
                f"no compose file found for {environment}; looked in {shown(self.path)} for {', '.join(COMPOSE_FILES)}."
            )
        apps = self.compose_apps(path, environment)
        if not any(app.service in self.platform.usual for app in apps):
            from pytest_gaia.config.deployfiles import compose

            top = compose.top_of(read_text(path, shown(path), self.content), path, shown(path))
            raise compose.none_declared(top, self.platform, hidden=len(apps) < len(top.table("services").values))
        return apps

    def _nothing_found(self, environment: str) -> ConfigError:
        tried = [f"fly.{part}{name}.toml" for name in spellings(environment) for part in ("", "SERVICE.")]
        strange = [path.name for path in unrecognized(self.path, self.known, self.platform)]
        others = f" Files without a known environment: {', '.join(strange)}." if strange else ""
        return ConfigError(
            f"no deploy files found for {environment}; looked in {shown(self.path)} for {', '.join(tried)}. "
            f"Environments with deploy files: {nearest(environment, self.environments())}{others}"
        )


def compose_file(folder: Path) -> Path | None:
    """Return the compose file in ``folder``, if there is one."""
    return next((folder / name for name in COMPOSE_FILES if (folder / name).is_file()), None)


def compose_files(folder: Path, dotenv: Mapping[str, tuple[str, int]]) -> tuple[Path, ...]:
    """Return the files that Compose begins with when it runs in ``folder``; none without any.

    These are the files in COMPOSE_FILE, of this process or of ``dotenv``, or else the compose file and its override file.
    """
    named = os.environ.get(_NAMED) or dotenv.get(_NAMED, ("", 0))[0]
    if named:
        separator = os.environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        return tuple(folder / each for each in named.split(separator) if each)
    path = compose_file(folder)
    override = None if path is None else override_file(path)
    return tuple(each for each in (path, override) if each is not None)


def override_file(path: Path) -> Path | None:
    """Return the override file that Compose applies to the compose file at ``path`` without ``--file``."""
    stems = ("compose.override", "docker-compose.override")
    candidates = (path.with_name(f"{stem}{suffix}") for stem in stems for suffix in (".yaml", ".yml"))
    return next((each for each in candidates if each.is_file()), None)


def shown(path: Path) -> str:
    """Return ``path`` for messages: relative to the project if it is inside of it."""
    root = find_rootdir(path if path.is_dir() else path.parent)
    return str(path.relative_to(root)) if root in (path, *path.parents) else str(path)


def _place_in_order(role: str) -> int:
    return _ROLES.index(role) if role in _ROLES else len(_ROLES)


def _refuse_duplicates(apps: list[App], environment: str) -> None:
    seen: dict[tuple[str, str], App] = {}
    for app in apps:
        other = seen.setdefault((app.service, app.form), app)
        if other is not app:
            raise ConfigError(
                f"{shown(app.path)}: {shown(other.path)} is also for {app.service} of {environment}. "
                "Remove one of the two files."
            )


@dataclass(frozen=True)
class Environments:
    """The environments of a project: the built-in ones, and its own."""

    stated: Mapping[str, str] = field(default_factory=dict)
    """environment of the project → its role"""

    @cached_property
    def roles(self) -> Mapping[str, str]:
        """Environment → role; empty for none. The sandbox is not deployed."""
        found = {name: name for name in KNOWN} | dict(self.stated)
        return {name: role for name, role in found.items() if role != "sandbox"}

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return {spelling: name for name in self.roles for spelling in spellings(name)} | {n: n for n in self.roles}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = sorted(map(re.escape, self._names), key=len, reverse=True)
        return re.compile(rf"(?<![a-z])(?:{'|'.join(words)})(?![a-z])")

    def name(self, spelling: str) -> str:
        """Return the environment for ``spelling``: ``prod`` → ``production``; other words stay unchanged."""
        return self._names.get(spelling, spelling)

    def role(self, name: str) -> str:
        """Return the role of an environment, in any spelling; an empty string for none."""
        return self.roles.get(self.name(name), "")

    def knows(self, word: str) -> bool:
        """Whether ``word`` is an environment, in any spelling."""
        return word in self._names

    def in_text(self, text: str) -> tuple[str, ...]:
        """Return the environments in ``text``, which may be parts of a path or an option, but not of a word."""
        return tuple(self._names[word] for word in self._pattern.findall(text.lower()))

    def ending(self, app: str) -> str | None:
        """Return the environment after the last dash of the name of an app, as it is spelled there."""
        found = [word for word in self._names if app.endswith(f"-{word}")]
        return max(found, key=len, default=None)

    def is_protected(self, name: str) -> bool:
        """Whether an environment is a staging or a production environment."""
        return self.role(name) in PROTECTED

    def rank(self, name: str) -> int:
        """Return the position of an environment in the order of promotion; one without a role comes first."""
        return KNOWN.index(role) if (role := self.role(name)) in KNOWN else -1


def as_environment(text: str, environment: str) -> str:
    """Return ``text`` with every spelling of ``environment`` replaced by a word that is the same for all environments.

    Two environments whose texts are equal after that differ in their names alone.

    >>> as_environment("https://gaia-auth-staging.fly.dev", "staging")
    'https://gaia-auth-{environment}.fly.dev'
    """
    words = sorted(spellings(environment), key=len, reverse=True)
    for word in words:
        text = _replaced(text, word)
    return text


def _replaced(text: str, word: str) -> str:
    """Return ``text`` with ``word`` replaced, but not as a part of another word."""
    parts = text.split(word)
    result = parts[0]
    for part in parts[1:]:
        alone = not result[-1:].isalnum() and not part[:1].isalnum()
        result += ("{environment}" if alone else word) + part
    return result


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the most similar one of ``known``, or None."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), None)
