"""``executor.json``: who ran this, from the variables by which each CI says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def executor(environ: Mapping[str, str], report: str) -> dict[str, Any]:
    """Return the executor that ``environ`` tells of; ``report`` names the report. Outside of a CI it is ``local``."""
    known = _github(environ) or _gitlab(environ) or _jenkins(environ) or {"name": "local", "type": "local"}
    return {key: value for key, value in known.items() if value not in ("", None)} | {"reportName": report}


def _github(environ: Mapping[str, str]) -> dict[str, Any] | None:
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    repository, run = environ.get("GITHUB_REPOSITORY"), environ.get("GITHUB_RUN_ID")
    home = f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}" if repository else ""
    number = environ.get("GITHUB_RUN_NUMBER", "")
    return {
        "name": "GitHub Actions",
        "type": "github",
        "url": home,
        "buildOrder": _number(number),
        "buildName": _build(environ.get("GITHUB_WORKFLOW", "run"), number),
        "buildUrl": f"{home}/actions/runs/{run}" if home and run else "",
    }


def _gitlab(environ: Mapping[str, str]) -> dict[str, Any] | None:
    if environ.get("GITLAB_CI") != "true":
        return None
    number = environ.get("CI_PIPELINE_IID") or environ.get("CI_PIPELINE_ID", "")
    return {
        "name": "GitLab CI",
        "type": "gitlab",
        "url": environ.get("CI_PROJECT_URL", ""),
        "buildOrder": _number(number),
        "buildName": _build(environ.get("CI_JOB_NAME", "job"), number),
        "buildUrl": environ.get("CI_JOB_URL", ""),
    }


def _jenkins(environ: Mapping[str, str]) -> dict[str, Any] | None:
    if not environ.get("JENKINS_URL"):
        return None
    number = environ.get("BUILD_NUMBER", "")
    return {
        "name": "Jenkins",
        "type": "jenkins",
        "url": environ["JENKINS_URL"],
        "buildOrder": _number(number),
        "buildName": environ.get("BUILD_TAG") or _build(environ.get("JOB_NAME", "job"), number),
        "buildUrl": environ.get("BUILD_URL", ""),
    }


def _build(name: str, number: str) -> str:
    return f"{name} #{number}" if number else name


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
