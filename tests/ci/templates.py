"""CI templates, and the commands in them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / "ci" / "github"
GITLAB = ROOT / "ci" / "gitlab" / ".gitlab-ci.yml"
PROMOTE, ROLLBACK = GITHUB / "promote.yml", GITHUB / "rollback.yml"

SHARDS = [GITHUB / "promote-shards.yml", GITHUB / "test-shards.yml"]
GITLAB_SHARDS = [GITLAB.with_name("promote-shards.yml"), GITLAB.with_name("test-shards.yml")]

EDGES = {"local": "release", "dev": "local", "staging": "dev", "production": "staging"}


def document(path: Path) -> dict[str, Any]:
    """Return the parsed template; ``on`` is not read as a boolean."""
    loaded: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return loaded


def steps(path: Path) -> list[dict[str, Any]]:
    """Return all steps of all jobs of a workflow of GitHub."""
    return [step for job in document(path)["jobs"].values() for step in job["steps"]]


def gitlab_jobs(path: Path = GITLAB) -> dict[str, dict[str, Any]]:
    """Return the jobs of the GitLab pipeline, merged with the jobs that they extend."""
    whole = document(path)
    return {
        name: whole.get(body.get("extends", ""), {}) | body
        for name, body in whole.items()
        if isinstance(body, dict) and "script" in body
    }


def commands() -> Iterator[tuple[str, str]]:
    """Yield (template, command) for every command of the jobs."""
    for path in (PROMOTE, ROLLBACK, *SHARDS):
        yield from ((path.name, step["run"]) for step in steps(path) if "run" in step)
    for path in (GITLAB, *GITLAB_SHARDS):
        for job in gitlab_jobs(path).values():
            yield from ((path.name, line) for line in job["script"])


def install(folder: Path) -> None:
    """Copy the templates to their places in a project."""
    (folder / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
    for path in (PROMOTE, ROLLBACK, *SHARDS):
        shutil.copy(path, folder / ".github" / "workflows")
    shutil.copy(GITLAB, folder)
