"""Finding and reading the CI files of a project."""

from collections.abc import Iterator
from pathlib import Path

from pytest_gaia.errors import ConfigError
from pytest_gaia.files.toml import read_text
from pytest_gaia.files.yaml import read_yaml, yaml_comments
from pytest_gaia.preflight._workflows import github, gitlab
from pytest_gaia.preflight._workflows.exit_codes import names_read
from pytest_gaia.preflight._workflows.model import Workflow, YamlFile
from pytest_gaia.preflight.spelling import Environments

GITHUB_FOLDER = ".github/workflows"
GITLAB_FILE = ".gitlab-ci.yml"


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
