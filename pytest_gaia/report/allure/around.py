"""The files next to the results: circumstances of the run, its executor, and the categories of results.

``environment.properties`` is a Java properties file. In ``categories.json``, Allure 2 matches an expression against the
whole message, and Allure 3 searches for it. Therefore each expression begins with ``^``, covers the whole message, and
uses ``[\\s\\S]``, which works in both dialects. If several match, Allure 3 uses the first one; Allure 2 shows all.
"""

import re
from collections.abc import Mapping
from typing import Any

from pytest_gaia.config.platform import DISABLED
from pytest_gaia.verdict.evaluated import EvaluatedRun

_PAIR = re.compile(r"((?:[^\\=]|\\.)+)=(.*)")
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|(.))")
_SIGNS = {"n": "\n", "r": "\r", "t": "\t"}
_RED = ["failed", "broken"]
_ANY = [*_RED, "skipped", "unknown"]
_LET_THROUGH = "gaia: (?:expected failure|tolerated|unexpected pass|without evidence)"
_NOT_OFFERED = "gaia: not applicable: [^\\n]+ does not offer [^\\n]+ in this release"
_UNREACHABLE = "(?:Unreachable|DeadlineExceeded|NotSent|SandboxError|EnvironmentUnavailable|gaia: infrastructure)"


def circumstances(evaluated: EvaluatedRun, environment: str, expectations: str) -> dict[str, str]:
    """Return the circumstances of the run; ``policy`` is the digest of its expectations. Unknown values are omitted."""
    start, end = evaluated.start, evaluated.end
    known = {
        "environment": environment,
        "services": ", ".join(each.service for each in start.services if each.state != DISABLED),
        "verdict": evaluated.verdict.word,
        "reasons": "; ".join(evaluated.verdict.reasons),
        "version": start.deployed_version,
        "release": end.release if end else "",
        "plan": end.plan if end else "",
        "expectations": expectations,
        "capabilities": ", ".join(start.capabilities),
        "capabilities.unknown": ", ".join(start.unknown),
        "started": start.started,
        "finished": end.finished if end else "",
        "versions.pytest-gaia": start.version,
        "baseline": start.baseline.name if start.baseline else "",
        "gone": ", ".join(each.operation for each in evaluated.gone if not each.expectation),
        **{f"api.{service}": api.document for service, api in start.apis.items()},
        **{f"versions.{service.service}": service.version or "" for service in start.services},
    }
    return {key: value for key, value in known.items() if value}


def properties(values: Mapping[str, str]) -> str:
    """Return ``values`` as the text of a properties file."""
    return "".join(f"{_escaped(key, ' :=')}={_escaped(value)}\n" for key, value in values.items())


def read_properties(text: str) -> dict[str, str]:
    """Return the values of a file that :func:`properties` wrote.

    >>> read_properties(properties({"reasons": "1 failed: é", "a b": "c=d"}))
    {'reasons': '1 failed: é', 'a b': 'c=d'}
    """
    pairs = (_PAIR.fullmatch(line) for line in text.splitlines())
    return {_unescaped(found[1]): _unescaped(found[2]) for found in pairs if found}


def _unescaped(text: str) -> str:
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _SIGNS.get(found[2], found[2]), text)
    return plain.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def _escaped(text: str, also: str = "") -> str:
    plain = text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    for character in also:
        plain = plain.replace(character, f"\\{character}")
    # Readers of properties disagree on encodings, except for ASCII. A leading space would be lost.
    units = plain.encode("utf-16-be", "surrogatepass")
    pairs = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    ascii_only = "".join(chr(each) if each < 128 else f"\\u{each:04x}" for each in pairs)
    return f"\\{ascii_only}" if ascii_only[:1] in (" ", "#", "!") else ascii_only


def executor(environ: Mapping[str, str], report: str) -> dict[str, Any]:
    """Return the executor from the CI variables in ``environ``; outside of CI it is ``local``."""
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
        _category("Infrastructure: unreachable, or no response in time", [*_RED, "unknown"], _with(_UNREACHABLE)),
        _category(
            "Expected failure with another cause",
            _RED,
            _with("(?:rule|expectation) [^\\n]+ did not (?:excuse|match):", _LET_THROUGH),  # glossary: ok
        ),
        _category("Unexpected pass: delete the expectation", ["failed"], _with("gaia: unexpected pass")),
        _category("Passed without evidence", ["failed"], _with("gaia: without evidence")),
        _category("Expected failure", ["failed", "skipped"], _with("gaia: expected failure")),
        _category("Tolerated failure", ["failed", "skipped"], _with("gaia: tolerated")),
        _category("Not offered by this release", ["skipped"], _with(_NOT_OFFERED)),
        _category("Not applicable", ["skipped"], _with("gaia: not applicable", _NOT_OFFERED)),
        _category("Not run", _ANY, _with("gaia: incomplete")),
        _category("Blocking failure", _RED, _without(_LET_THROUGH)),
    ]


def _category(name: str, statuses: list[str], expression: str) -> dict[str, Any]:
    return {"name": name, "matchedStatuses": statuses, "messageRegex": expression}


def _with(words: str, without: str = "") -> str:
    barred = f"(?![\\s\\S]*{without})" if without else ""
    return f"^{barred}[\\s\\S]*{words}[\\s\\S]*$"


def _without(words: str) -> str:
    return f"^(?![\\s\\S]*{words})[\\s\\S]*$"
