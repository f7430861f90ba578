"""Findings as other tools read them: SARIF, and annotations of GitHub Actions."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.findings import Finding
from pytest_gaia.preflight.lint import ALL_CHECKS
from pytest_gaia.report.github import github_annotations, sarif

FOUND = [
    Finding("autostop", "error", Place("deploy/fly a.toml", 7, "x"), "50% off, here: yes", "it matters", "do it\nso"),
    Finding("grace-period", "warning", Place("b.toml", 1), "text", "why", "fix", "staging"),
    Finding("restart-policy", "note", Place("c.yml", 3), "text", "why", "fix"),
]


# The requirements of section 3 of the OASIS standard for the parts that are written; anything else is an error.
class Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Region(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    start_line: int


class Artifact(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    uri: str
    uri_base_id: str


class Physical(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    artifact_location: Artifact
    region: Region


class Location(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    physical_location: Physical


class Result(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    rule_id: str
    rule_index: int
    level: str
    message: Text
    locations: list[Location]
    partial_fingerprints: dict[str, str]


class Level(msgspec.Struct, forbid_unknown_fields=True):
    level: str


class Rule(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    id: str
    name: str
    short_description: Text
    full_description: Text
    help: Text
    default_configuration: Level
    properties: dict[str, list[str]]


class Driver(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    name: str
    semantic_version: str
    information_uri: str
    rules: list[Rule]


class Tool(msgspec.Struct, forbid_unknown_fields=True):
    driver: Driver


class Run(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    tool: Tool
    column_kind: str
    results: list[Result]


class Log(msgspec.Struct, forbid_unknown_fields=True):
    schema: str = msgspec.field(name="$schema")
    version: str
    runs: list[Run]


def log(prefix: str = "") -> Log:
    return msgspec.json.decode(
        json.dumps(sarif(FOUND, ALL_CHECKS, tool="gaia config check", version="1.2.3", prefix=prefix)), type=Log
    )


def test_a_log_has_the_form_of_the_standard() -> None:
    written = log()

    assert written.version == "2.1.0"
    assert written.schema.endswith("sarif-schema-2.1.0.json")
    (run,) = written.runs
    assert {result.level for result in run.results} == {"error", "warning", "note"}
    assert all(result.message.text and result.locations for result in run.results)
    assert {rule.default_configuration.level for rule in run.tool.driver.rules} <= {"none", "note", "warning", "error"}


def test_results_point_at_their_rules_and_lines() -> None:
    (run,) = log(prefix="services/").runs

    assert [run.tool.driver.rules[result.rule_index].id for result in run.results] == [each.check for each in FOUND]
    first = run.results[0].locations[0].physical_location
    assert first.artifact_location.uri == "services/deploy/fly%20a.toml"
    assert first.region.start_line == 7


def test_rules_have_names_of_their_own() -> None:
    rules = log().runs[0].tool.driver.rules

    assert len({rule.id for rule in rules}) == len({rule.name for rule in rules}) == len(ALL_CHECKS)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", rule.name) for rule in rules)


def test_a_finding_that_moves_stays_the_same() -> None:
    before = [result.partial_fingerprints for result in log().runs[0].results]

    assert len({json.dumps(each) for each in before}) == len(FOUND)
    shifted = Finding("autostop", "error", Place("deploy/fly a.toml", 99), "50% off, here: yes", "w", "m")
    again: dict[str, Any] = sarif([shifted], ALL_CHECKS, tool="gaia config check", version="1")["runs"][0]["results"][0]
    assert again["partialFingerprints"] == before[0]


def test_annotations_are_escaped_as_the_runner_reads_them() -> None:
    assert github_annotations(FOUND, "a,b:c/") == [
        (
            "::error file=a%2Cb%3Ac/deploy/fly a.toml,line=7,title=gaia autostop::"
            "50%25 off, here: yes. it matters%0AFix: do it%0Aso."
        ),
        "::warning file=a%2Cb%3Ac/b.toml,line=1,title=gaia grace-period::text. why%0AFix: fix.",
        "::notice file=a%2Cb%3Ac/c.yml,line=3,title=gaia restart-policy::text. why%0AFix: fix.",
    ]


@pytest.mark.parametrize("line", github_annotations(FOUND))
def test_an_annotation_is_one_line(line: str) -> None:
    assert len(line.splitlines()) == 1
