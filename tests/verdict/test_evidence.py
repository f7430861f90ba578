"""Results logs can be read, even of a killed run; anything else is refused with its line."""

from __future__ import annotations

import json
import os
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pytest_gaia.config.tolerance import Tolerance
from pytest_gaia.errors import ConfigError
from pytest_gaia.expectations.subjects import Context
from pytest_gaia.verdict.evidence import SCHEMA, Phase, PlatformSeen, Wire
from pytest_gaia.verdict.results_log import encode, read_run
from tests.expectations.build import expectation
from tests.verdict.runs import UNAVAILABLE, failed, passed, record, run

if TYPE_CHECKING:
    from pathlib import Path

RUN = run(
    passed("suites/a/test_a.py::test_a[with\nbreaks\u2028 and ü]", markers=("a", "core"), core=True),
    failed(
        "suites/a/test_a.py::test_b",
        UNAVAILABLE,
        exchanges=(Wire("GET", "/health", "gateway", "direct", 0.25, status=503, address="stub:80"),),
        attempt=2,
        earlier=(Phase("call", "failed", 0.5, UNAVAILABLE),),
        worker="gw1",
    ),
    capabilities=("gateway", "nats"),
    unknown=("chat",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record(tmp_path / "run.jsonl", RUN)


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        read_run(path)
    return str(error.value)


def test_what_was_written_is_read(path: Path) -> None:
    assert read_run(path) == RUN


def test_a_run_is_evaluated_by_what_it_observed_and_by_what_it_could_not_show(path: Path) -> None:
    context = read_run(path).start.context("dev", date(2026, 11, 2), Tolerance(kind="advisory"))

    assert context == Context(
        "dev",
        frozenset({"gateway", "nats"}),
        date(2026, 11, 2),
        Tolerance(kind="advisory"),
        frozenset({"chat"}),
        frozenset({"gateway", "auth", "asset", "chat", "nats", "postgres"}),
    )


@pytest.mark.parametrize(
    ("services", "known", "unknown"),
    [
        # An older results log knows six services. A later one is not missing there, but not known.
        ({}, ("asset", "nats"), ("kb", "orders")),
        ({"orders": "http", "orders-db": "postgres"}, ("orders", "orders-db"), ("asset", "kb")),
    ],
)
def test_a_service_that_a_results_log_does_not_know_is_unknown(
    tmp_path: Path, services: dict[str, str], known: tuple[str, ...], unknown: tuple[str, ...]
) -> None:
    platform = PlatformSeen("shop", "sha256:0")
    start = replace(RUN.start, kinds=services, platform=platform)
    path = record(tmp_path / "run.jsonl", replace(RUN, start=start))
    context = read_run(path).start.context("dev", date(2026, 11, 2), Tolerance(kind="advisory"))

    assert read_run(path).start.platform == platform
    assert [each for each in known if not context.knows(each)] == []
    for each in unknown:
        absent = expectation("absent", "all", environments=("dev",), when=((each, False),), expires=date(2026, 12, 1))
        assert absent.inapplicable(context) == f"requires !{each}, and it is unknown whether {each} is reachable"


def test_every_line_is_one_line(path: Path) -> None:
    assert [json.loads(line)["line"] for line in path.read_bytes().split(b"\n")[:-1]] == ["run", "test", "test", "end"]


@pytest.mark.parametrize("left", range(1, 4))
def test_a_run_that_was_killed_between_two_lines_is_read(path: Path, left: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]))

    found = read_run(path)

    assert (found.start, found.tests, found.end) == (RUN.start, RUN.tests[: left - 1], None)


def test_a_run_that_was_killed_anywhere_within_a_line_is_read_up_to_it(path: Path) -> None:
    content = path.read_bytes()
    end_of_start = content.index(b"\n") + 1
    for cut in range(end_of_start, len(content)):
        path.write_bytes(content[:cut])

        found = read_run(path)

        assert found.tests == RUN.tests[: content[:cut].count(b"\n") - 1]
        assert found.end is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"line": "test", "node": "a"', "truncated"),
        (b'{"line": "test", "node": "a", "state": "fine"}', "Invalid enum value 'fine'"),
        (b'{"line": "test", "node": "a", "state": "ran", "phases": [{"when": "call"}]}', "`$.phases[0]`"),
        (b'{"line": "tests"}', "Invalid value 'tests'"),
        (b"hello", "malformed"),
        (b"", "truncated"),
        (b'{"line": "test", "node": "a\xff", "state": "ran"}', "utf-8"),
    ],
)
def test_a_malformed_line_is_named(path: Path, line: bytes, problem: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], line + b"\n", *lines[2:]]))

    message = refused(path)

    assert message.startswith(f"{path}:3: not a line of a results log: ")
    assert problem in message


OTHER_FILES = [
    b"",
    b"\n",
    b"[]\n",
    b"\x00\n",
    b"\xff\n",
    b'{\n  "format"',
    b'{"verdict": "PROMOTE"}\n',
    b'{"line": "run"}',
    encode(passed("suites/a/test_a.py::test_a")),
    b"[" * 100_000 + b"\n",
]


@pytest.mark.parametrize("content", OTHER_FILES)
def test_what_is_no_recorded_run_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert refused(path) == f"{path}: not a results log (see --gaia-report-log): the first line is not a run line."


def test_a_run_line_that_is_malformed_is_named(path: Path) -> None:
    path.write_bytes(b'{"line": "run"}\n')

    assert refused(path).startswith(f"{path}:1: not a line of a results log: ")


@pytest.mark.parametrize("key", ["a", "line", "phases"])
def test_a_line_that_is_nested_without_end_is_no_recorded_run(path: Path, key: str) -> None:
    deep = b'{"%s":' % key.encode() * 100_000 + b"1" + b"}" * 100_000 + b"\n"
    path.write_bytes(b"".join([*path.read_bytes().splitlines(keepends=True)[:2], deep]))

    assert refused(path) == f"{path}:3: not a line of a results log: it is nested too deeply."


@pytest.mark.parametrize("device", ["/dev/zero", "pipe"])
def test_what_cannot_be_read_twice_is_refused(path: Path, device: str) -> None:
    other = path.parent / device
    if not other.exists():
        os.mkfifo(other)

    assert refused(other) == (
        f"{other}: not a results log (see --gaia-report-log): a pipe or device cannot be read twice."
    )


def test_a_newer_format_is_refused_before_anything_in_it_is_read(path: Path) -> None:
    newer = {"line": "run", "schema": SCHEMA + 1, "environment": {"name": "staging"}}
    path.write_text(json.dumps(newer) + "\n" + '{"line": "something new"}\n')

    assert refused(path) == f"{path}: format {SCHEMA + 1} is too new; this version of pytest-gaia reads up to {SCHEMA}."


def test_two_runs_in_one_file_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)

    assert refused(path) == f"{path}:4: a second run starts or ends here; a results log contains one run."


def test_what_comes_after_the_end_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + encode(passed("suites/a/test_a.py::test_c")))

    assert ":4: a second run starts or ends here" in refused(path)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        ({"schema": 0}, {}, "unknown format 0"),
        ({"schema": -1}, {}, "unknown format -1"),
        (
            {"started": "2101-03-15T10:00:00+00:00"},
            {},
            "the run has a time in the future (started 2101-03-15T10:00:00+00:00)",
        ),
        ({}, {"finished": "2101-03-15T10:00:00+00:00"}, "the run has a time in the future"),
        ({"started": "yesterday"}, {}, "invalid start or end time"),
        ({}, {"finished": "2026-03-14T10:00:00+00:00"}, "before it started"),
    ],
)
def test_what_no_run_can_have_written_is_refused(
    tmp_path: Path, start: dict[str, Any], end: dict[str, Any], problem: str
) -> None:
    assert RUN.end is not None
    run = replace(RUN, start=replace(RUN.start, **start), end=replace(RUN.end, **end))

    message = refused(record(tmp_path / "run.jsonl", run))

    assert message.startswith(f"{tmp_path / 'run.jsonl'}: ")
    assert problem in message


def test_one_attempt_is_recorded_once(path: Path) -> None:
    start, *tests, end = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([start, *tests, *tests, end]))

    assert ":4: suites/a/test_a.py::test_a" in refused(path)

    crashed = encode(replace(RUN.tests[1], state="crashed", phases=()))
    again = encode(replace(RUN.tests[1], attempt=3))
    path.write_bytes(b"".join([start, *tests, crashed, again, end]))
    assert len(read_run(path).tests) == 4


def test_an_end_that_was_held_later_is_the_end(path: Path) -> None:
    assert RUN.end is not None
    held = replace(RUN.end, held="a secret was written")
    path.write_bytes(path.read_bytes() + encode(held) + encode(replace(held, held="two")))

    assert read_run(path) == replace(RUN, end=replace(held, held="two"))

    path.write_bytes(path.read_bytes() + encode(replace(held, planned=1)))
    assert ":4: a second run starts or ends here" in refused(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.jsonl") == f"{tmp_path / 'gone.jsonl'}: cannot be read: No such file or directory"
