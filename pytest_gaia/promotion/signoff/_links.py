"""Addresses that the page links to: commits, comparisons, issues, environments, and reports in Allure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from pytest_gaia.system.processes import git

_ADDRESS = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_REMOTE = re.compile(r"(?:ssh://|https?://)?(?:[^@/\s]+@)?([\w.-]+)(?::\d+/|[:/])([\w./~-]+?)(?:\.git)?/?")
_GIT_SECONDS = 10.0
_SHORT = 8


@dataclass(frozen=True, slots=True)
class Links:
    """Where a project's commits, issues and environments are on the web. Empty parts give no links."""

    repository: str = ""
    """address of the repository, without a slash at the end"""
    issues: str = ""
    """address of an issue, with ``{issue}`` for its key"""
    environments: Mapping[str, str] = field(default_factory=dict)
    """environment → address"""

    def commit(self, commit: str) -> str:
        """Return the address of a commit."""
        return f"{self.repository}/commit/{quote(commit)}" if self.repository and commit else ""

    def compare(self, old: str, new: str) -> str:
        """Return the address of a comparison of two commits."""
        if not (self.repository and old and new):
            return ""
        # Two longer hashes look like one secret, and would be masked.
        return f"{self.repository}/compare/{quote(old[:_SHORT])}...{quote(new[:_SHORT])}"

    def issue(self, issue: str) -> str:
        """Return the address of an issue: its own, or ``issue_url`` with its key."""
        return web_address(issue) or (self.issues.replace("{issue}", quote(issue, safe="")) if issue else "")


def links_of(project: Project, environments: Mapping[str, Environment | Exception]) -> Links:
    """Return the addresses from gaia.toml; without ``repository_url``, the remote ``origin`` of the repository.

    Raises ``ConfigError`` for a setting that is not a web address.
    """
    table = project.file.gaia if project.file else None
    repository = _checked("repository_url", getattr(table, "repository_url", ""))
    issues = _checked("issue_url", getattr(table, "issue_url", ""))
    if issues and "{issue}" not in issues:
        raise ConfigError(f'gaia.issue_url: {issues!r} has no {{issue}}. Write "https://…/{{issue}}".')
    urls = {name: _url(each) for name, each in environments.items() if isinstance(each, Environment)}
    return Links(repository.rstrip("/") or _origin(project), issues, urls)


def web_address(text: str) -> str:
    """Return ``text`` if it is an http(s) address, otherwise an empty string."""
    return text if _ADDRESS.match(text) else ""


def checked_address(address: str) -> str:
    """Return the address of an Allure report. Raises ``ConfigError`` for one that a browser would run or cannot open."""
    if web_address(address) or (address and not _SCHEME.match(address)):
        return address
    raise ConfigError(f"--allure {address!r}: use an http(s) address, or a path relative to the folder of the page.")


def allure_link(allure: str, environment: str, test: str = "") -> str:
    """Return the address of the Allure report of ``environment``, or of one of its tests; empty without a report."""
    if not allure:
        return ""
    address = allure.replace("{environment}", quote(environment))
    if not test:
        return address
    path, mark, fragment = address.partition("#")
    function, bracket, parameters = test.partition("[")
    name = quote(f"{function.rpartition('::')[2]}{bracket}{parameters}")
    return f"{path}{'&' if '?' in path else '?'}query={name}{mark}{fragment}"


def _checked(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        return ""
    if not web_address(value):
        raise ConfigError(f"gaia.{key}: {value!r} is not a web address. It begins with https://.")
    return value


def _url(environment: Environment) -> str:
    first = next(iter(environment.urls.values()), "")
    # Credentials and parameters of an address are of no use to a reader.
    return re.sub(r"//[^/@]*@", "//", web_address(first)).partition("?")[0]


def _origin(project: Project) -> str:
    """Return the web address of the remote ``origin``; empty for a local folder, or without one."""
    try:
        found = git(project.rootdir, "remote", "get-url", "origin", seconds=_GIT_SECONDS)
    except OSError:
        return ""
    match = _REMOTE.fullmatch(found.stdout.decode(errors="replace").strip()) if not found.returncode else None
    return f"https://{match[1]}/{match[2]}" if match and "." in match[1] else ""
