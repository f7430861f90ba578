"""The files beside the results: what the run was about, who ran it, and the groups of results that are no pass.

``environment.properties`` has the form that Java reads properties in. In ``categories.json``, Allure 2 matches an
expression against the whole message, Allure 3 searches for it. So each begins with ``^``, covers everything, and says
with ``[\\s\\S]`` what the two dialects call by other names. Where more than one matches, the first counts in Allure 3;
Allure 2 shows all.
"""

from collections.abc import Mapping
from typing import Any

from pytest_gaia.verdict.evaluated import EvaluatedRun

_RED = ["failed", "broken"]
_ANY = [*_RED, "skipped", "unknown"]
_LET_THROUGH = "gaia: (?:expected failure|tolerated|unexpected pass)"
_OUT_OF_REACH = "(?:Unreachable|DeadlineExceeded|SandboxError|EnvironmentUnavailable|gaia: infrastructure)"


def circumstances(evaluated: EvaluatedRun, environment: str, expectations: str) -> dict[str, str]:
    """Return what the run itself knows; ``policy`` is the digest of its rules. What is not known is left out."""
    start, end = evaluated.start, evaluated.end
    known = {
        "environment": environment,
        "topology": start.topology,
        "verdict": evaluated.verdict.word,
        "reasons": "; ".join(evaluated.verdict.reasons),
        "release": start.deployed_version,
        "bundle": end.release if end else "",
        "plan": end.plan if end else "",
        "policy": expectations,
        "capabilities": ", ".join(start.capabilities),
        "capabilities.unknown": ", ".join(start.unknown),
        "started": start.started,
        "finished": end.finished if end else "",
        "versions.pytest-gaia": start.version,
        **{f"versions.{service.service}": service.version or "" for service in start.services},
    }
    return {key: value for key, value in known.items() if value}


def properties(values: Mapping[str, str]) -> str:
    """Return ``values`` as the text of a properties file."""
    return "".join(f"{_escaped(key, ' :=')}={_escaped(value)}\n" for key, value in values.items())


def _escaped(text: str, also: str = "") -> str:
    plain = text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    for character in also:
        plain = plain.replace(character, f"\\{character}")
    # Readers of properties disagree on encodings; in ASCII they agree. A space at the start would be lost.
    units = plain.encode("utf-16-be", "surrogatepass")
    pairs = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    ascii_only = "".join(chr(each) if each < 128 else f"\\u{each:04x}" for each in pairs)
    return f"\\{ascii_only}" if ascii_only[:1] in (" ", "#", "!") else ascii_only


def executor(environ: Mapping[str, str], report: str) -> dict[str, Any]:
    """Return the executor that ``environ`` tells of; ``report`` names the report. Outside of a CI it is ``local``."""
    known = _github(environ) or _gitlab(environ) or _jenkins(environ) or {"name": "local", "type": "local"}
    return {key: value for key, value in known.items() if value not in ("", None)} | {"reportName": report}


def ci_run(environ: Mapping[str, str]) -> str:
    """Return the web address of the CI run; empty outside of CI."""
    address = str(executor(environ, "").get("buildUrl", ""))
    return address if address.startswith(("https://", "http://")) else ""


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


def categories() -> list[dict[str, Any]]:
    """Return the categories in order."""
    return [
        _category("Infrastructure: not reached, or not answered in time", [*_RED, "unknown"], _with(_OUT_OF_REACH)),
        _category(
            "Drift: fails otherwise than its rule says", _RED, _with("rule [^\\n]+ did not excuse:", _LET_THROUGH)
        ),
        _category("Unexpected pass: its rule can go", ["failed"], _with("gaia: unexpected pass")),
        _category("Expected failure", ["failed", "skipped"], _with("gaia: expected failure")),
        _category("Tolerated failure", ["failed", "skipped"], _with("gaia: tolerated")),
        _category("Not applicable", ["skipped"], _with("gaia: not applicable")),
        _category("Not run", _ANY, _with("gaia: incomplete")),
        _category("Gating", _RED, _without(_LET_THROUGH)),
    ]


def _category(name: str, statuses: list[str], expression: str) -> dict[str, Any]:
    return {"name": name, "matchedStatuses": statuses, "messageRegex": expression}


def _with(words: str, without: str = "") -> str:
    barred = f"(?![\\s\\S]*{without})" if without else ""
    return f"^{barred}[\\s\\S]*{words}[\\s\\S]*$"


def _without(words: str) -> str:
    return f"^(?![\\s\\S]*{words})[\\s\\S]*$"
