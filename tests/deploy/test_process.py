from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.deploy import process as process_module
from pytest_gaia.deploy.compose.hook import ComposeHook
from pytest_gaia.deploy.fly.operations import FlyTool
from pytest_gaia.deploy.hooks import CommandHook
from pytest_gaia.deploy.process import find_tool, run_tool
from pytest_gaia.errors import ConfigError
from pytest_gaia.sandbox._processes import started_at
from tests.deploy.executables import a_request, executable
from tests.projects import gaia_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = "sleep 60"
RUN = """
import signal, sys
# A shell lets commands in its background ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pytest_gaia.deploy.process import run_tool
try:
    run_tool(["sh", "-c", sys.argv[1]], deadline=60, grace=float(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
"""a run that deploys"""


def shell(script: str, *, deadline: float = 30.0, **how: object) -> process_module.Finished:
    return run_tool(["sh", "-c", script], deadline=deadline, **how)  # type: ignore[arg-type]  # passed through


def until(condition: Callable[[], object], within: float = 20.0) -> bool:
    """Whether ``condition()`` becomes true in time."""
    for _ in range(int(within / 0.01)):
        if condition():
            return True
        threading.Event().wait(0.01)
    return False


def is_gone(record: Path) -> bool:
    """Whether the process that wrote its number to ``record`` has ended."""
    return until(lambda: started_at(int(record.read_text())) is None)


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[Path]:
    """Where a tool writes its number; what still runs at the end is killed."""
    record = tmp_path / "pid"
    yield record
    if record.exists() and started_at(int(record.read_text())):
        os.kill(int(record.read_text()), signal.SIGKILL)


def test_the_lines_of_standard_error_come_in_order_and_those_of_standard_output_are_kept() -> None:
    lines: list[str] = []

    finished = shell("echo one >&2; echo '{\"a\": 1}'; echo two >&2; exit 3", log=lines.append)

    assert (lines, finished.stdout, finished.exit_code) == (["one", "two"], '{"a": 1}\n', 3)
    assert finished.stderr_tail == ("one", "two")
    assert not finished.ok
    assert not finished.timed_out


def test_lines_are_handed_on_while_the_tool_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"

    finished = shell(f"echo begin; while ! test -e {go}; do sleep 0.05; done; echo end", out=lambda line: go.touch())

    assert finished.stdout == "begin\nend\n"


def test_every_line_is_handed_on_by_the_thread_of_the_caller() -> None:
    threads: set[int] = set()

    shell("echo a; echo b >&2", log=lambda _: threads.add(threading.get_ident()),
          out=lambda _: threads.add(threading.get_ident()))  # fmt: skip

    assert threads == {threading.get_ident()}


def test_a_tool_reads_what_it_is_given_and_otherwise_nothing() -> None:
    assert shell("cat", stdin='{"phase": "plan"}').stdout == '{"phase": "plan"}'
    assert shell("cat; echo end").stdout == "end\n"


def test_a_tool_that_does_not_read_is_no_obstacle() -> None:
    assert shell("exit 0", stdin="x" * 1_000_000).ok


def test_variables_are_added_to_those_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GAIA_HERE", "here")

    finished = shell('echo "$GAIA_HERE $GAIA_MORE"; pwd', env={"GAIA_MORE": "more"}, cwd=tmp_path)

    assert finished.stdout.splitlines() == ["here more", str(tmp_path)]


def test_only_the_last_lines_of_standard_error_are_kept() -> None:
    finished = shell("i=0; while [ $i -lt 100 ]; do echo $i >&2; i=$((i+1)); done")

    assert finished.stderr_tail == tuple(str(number) for number in range(60, 100))


def test_only_the_end_of_an_endless_output_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_KEPT", 1000)

    finished = shell("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done")

    assert len(finished.stdout) <= 1000
    assert finished.stdout.endswith("line 999\n")


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert shell(r"printf 'a\377b\n'").stdout == "a\N{REPLACEMENT CHARACTER}b\n"


@pytest.mark.parametrize("traps", ["", "trap '' TERM;"], ids=["ends when asked", "has to be killed"])
def test_at_the_deadline_the_whole_group_is_ended(tool: Path, traps: str) -> None:
    finished = shell(f"{traps} {LONG} & echo $! > {tool}; {LONG}", deadline=0.5, grace=0.2)

    assert (finished.exit_code, finished.timed_out) == (None, True)
    assert is_gone(tool)


def test_the_last_words_of_a_tool_that_is_ended_are_kept() -> None:
    finished = shell(f"trap 'echo gave the lease back >&2; exit 1' TERM; {LONG} & wait", deadline=0.5)

    assert finished.stderr_tail == ("gave the lease back",)


def test_what_a_tool_leaves_behind_is_ended(tool: Path) -> None:
    finished = shell(f"{LONG} & echo $! > {tool}")

    assert finished.ok
    assert is_gone(tool)


@pytest.mark.skipif(sys.platform != "linux", reason="setsid is a program of Linux")
def test_a_daemon_that_keeps_the_output_open_holds_nothing_up(tool: Path) -> None:
    finished = shell(f"setsid sh -c 'echo $$ > {tool}; exec {LONG}' & while ! test -s {tool}; do sleep 0.02; done")

    assert finished.ok
    assert not finished.timed_out


def test_an_error_while_lines_are_shown_ends_the_tool(tool: Path) -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        shell(f"echo $$ > {tool}; echo line >&2; {LONG}", log=closed)

    assert is_gone(tool)


@pytest.mark.parametrize("ignores", [False, True], ids=["once", "twice"])
def test_ctrl_c_ends_the_tool(tool: Path, tmp_path: Path, ignores: bool) -> None:
    asked = tmp_path / "asked"
    trap = f"trap 'touch {asked}' TERM;" if ignores else ""
    script = f"{trap} echo $$ > {tool}.new; mv {tool}.new {tool}; {LONG}; {LONG}"
    run = subprocess.Popen([sys.executable, "-c", RUN, script, "600"], stdout=subprocess.PIPE, text=True)
    with run:
        assert until(tool.exists)
        run.send_signal(signal.SIGINT)
        if ignores:
            assert until(asked.exists)
            run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=30)

    assert "interrupted" in output
    assert is_gone(tool)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_moment_of_the_start_leaves_nothing_running(
    tool: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    start = process_module._start

    def signalled(*how: object) -> object:
        started = start(*how)  # type: ignore[arg-type]  # passed through
        assert until(tool.exists)
        signal.raise_signal(number)
        return started

    monkeypatch.setattr(process_module, "_start", signalled)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            shell(f"trap '' TERM; echo $$ > {tool}.new; mv {tool}.new {tool}; {LONG}; {LONG}", grace=0.2)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)

    assert is_gone(tool)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the death of a parent")
def test_a_tool_does_not_outlive_a_run_that_is_killed(tool: Path) -> None:
    script = f"echo $$ > {tool}.new; mv {tool}.new {tool}; exec {LONG}"
    with subprocess.Popen([sys.executable, "-c", RUN, script, "5"]) as run:
        assert until(tool.exists)
        run.kill()

    assert is_gone(tool)


def test_credentials_are_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", "FlyV1 fm2_lJPE,fm2_second")
    monkeypatch.setenv("DATABASE_URL", "postgres://gaia:pa55word@db/gaia")
    shown: list[str] = []

    finished = run_tool(
        ["sh", "-c", 'echo "$FLY_API_TOKEN $DATABASE_URL" >&2; echo "$FLY_API_TOKEN"', "fm2_second"],
        deadline=30, log=shown.append, out=shown.append,
    )  # fmt: skip

    text = repr(finished) + "".join(shown) + "".join(finished.stderr_tail) + " ".join(finished.argv)
    assert not [secret for secret in ("fm2_lJPE", "fm2_second", "pa55word") if secret in text]
    assert len(shown) == 2


@pytest.mark.parametrize("content", [None, "#!/nowhere/python\n", "no program"], ids=["missing", "no such #!", "no #!"])
def test_what_cannot_be_run_is_one_clear_message(tmp_path: Path, content: str | None) -> None:
    program = tmp_path / "hook"
    if content is not None:
        program.write_text(content)
        program.chmod(0o755)

    with pytest.raises(ConfigError, match=r"hook cannot be run: .*Use an executable file"):
        run_tool([str(program)], deadline=5)


def test_a_command_with_a_zero_byte_is_one_clear_message() -> None:
    with pytest.raises(ConfigError, match="cannot be run: embedded null byte"):
        run_tool(["sh", "-c", "echo \0"], deadline=5)


def test_a_tool_is_found_by_the_first_name_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flyctl").write_text("#!/bin/sh\n")
    (tmp_path / "flyctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_tool("fly", "flyctl") == str(tmp_path / "flyctl")


def test_a_tool_that_is_missing_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError) as problem:
        find_tool("fly", "flyctl", install="Install flyctl.")

    assert str(problem.value) == (
        f"fly is not installed, or not on PATH: looked for fly and flyctl in {tmp_path}. Install flyctl. Nothing was changed."
    )


def test_what_other_threads_wait_for_ends_with_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    monkeypatch.setattr(process_module, "ending", ending)
    ended = []

    def wait() -> None:
        with pytest.raises(KeyboardInterrupt):
            run_tool(["sh", "-c", "echo begun >&2; exec sleep 300"], deadline=300, log=lambda _: ending.set())
        ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(60)

    assert ended
    with pytest.raises(KeyboardInterrupt):
        run_tool(["sh", "-c", "exit 0"], deadline=10)


GIVEN = {
    "GAIA_SIGNING_KEY": "sign",
    "GAIA_SIGNING_KEY_FILE": "ci.pem",
    "GAIA_STAGING_API_KEY": "own",
    "GAIA_STAGING_REGISTRY_PASSWORD": "own",
    "GAIA_API_KEY": "of any",
    "GAIA_PRODUCTION_API_KEY": "other",
    "GAIA_PRODUCTION_DATABASE_URL": "other",
    "GAIA_PRODUCTION_REGISTRY_PASSWORD": "other",
    "GAIA_PRE_STAGING_API_KEY": "other",
    "GAIA_ENV": "staging",
    "FLY_API_TOKEN": "fly",
    "OPENAI_KEY": "third",
}
NEVER = {"GAIA_SIGNING_KEY", "GAIA_SIGNING_KEY_FILE", *(name for name, value in GIVEN.items() if value == "other")}


def by_a_command(folder: Path) -> None:
    executable(folder / "hook", f"env > {folder}/seen")
    CommandHook(["./hook"], folder, gaia_platform()).run(a_request("deploy"), lambda _: None)


def by_compose(folder: Path) -> None:
    executable(folder / "bin" / "docker", f"""env > {folder}/seen; echo '{{"name": "shop"}}'""")
    ComposeHook(gaia_platform()).run(a_request("plan", config=f"{folder}/compose.yml"), lambda _: None)


def by_fly(folder: Path) -> None:
    executable(folder / "bin" / "fly", f"env > {folder}/seen")
    FlyTool().act("version", deadline=30)


@pytest.mark.parametrize(
    ("deploy", "withheld"),
    [
        (by_a_command, NEVER),
        (by_compose, NEVER),
        (by_fly, {name for name in GIVEN if name not in ("GAIA_ENV", "FLY_API_TOKEN")}),
    ],
)
def test_a_tool_gets_neither_the_signing_key_nor_what_is_of_other_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deploy: Callable[[Path], None], withheld: set[str]
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)

    deploy(tmp_path)

    seen = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert GIVEN.keys() - seen == withheld
