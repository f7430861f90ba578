"""The pictures of the README show what the terminal showed, and no process stays running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from ci.pictures.commands import ROOT, environ
from ci.pictures.frames import LONGEST, LONGEST_IDLE, Frame, Span, condensed, text_of
from ci.pictures.missing import Missing
from ci.pictures.recording import Recording, Written, record
from ci.pictures.screen import COLORS, frames_of
from ci.pictures.steady import Steady
from ci.pictures.svg import Drawing
from tests.left_out import PAGES

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"
BYTES = (
    "\x1b[1mcollecting …\x1b[0m\rcollected 3 items\r\n"
    "\x1b[31mred\x1b[0m <&> 日本 \x1b[44mon blue\x1b[0m\r\n"
    "wrong line\r\n\x1b[1A\x1b[2Krewritten\r\n"
).encode()


@pytest.fixture
def terminal() -> None:
    """Skip without the library that emulates a terminal, which only the profile ``pictures`` installs."""
    if os.environ.get(PAGES.required) != "required":
        pytest.importorskip("pyte", reason="pyte is not installed; ci/setup pictures installs it")


def recorded(data: bytes, shown: str = "pytest") -> Recording:
    # Split within a character and within a sequence, as a terminal may.
    pieces = [data[start : start + 7] for start in range(0, len(data), 7)]
    return Recording(shown, tuple(Written(number / 100, piece) for number, piece in enumerate(pieces)), 0)


def file_of(*frames: Frame) -> ElementTree.Element:
    return ElementTree.fromstring(Drawing().animated(frames, 'A "title" & more'))


@pytest.mark.usefixtures("terminal")
def test_the_screen_shows_what_a_terminal_would() -> None:
    last = frames_of([recorded(BYTES)])[-1]

    assert text_of(last)[:4] == ["$ pytest", "collected 3 items", "red <&> 日本 on blue", "rewritten"]
    assert not any("wrong" in line for line in text_of(last))


@pytest.mark.usefixtures("terminal")
def test_colours_and_wide_characters_reach_the_file_in_their_columns() -> None:
    data = "\x1b[31mred\x1b[0m <&> 日本\x1b[32mgo".encode()

    root = ElementTree.fromstring(Drawing().animated(frames_of([recorded(data)]), "terminal"))

    texts = {each.text: each for each in root.iter(f"{SVG}text")}
    assert {"red", "<&> 日本", "go"} <= set(texts)
    # red, a space, three characters, a space, and two wide characters: "go" is in column 12.
    assert float(texts["go"].get("x", "")) == pytest.approx(12 * 8.4)
    assert texts["red"].get("class") != texts["go"].get("class")
    assert COLORS["red"] in "".join(root.itertext())


@pytest.mark.usefixtures("terminal")
def test_the_file_needs_nothing_but_itself_and_stops_for_who_wants_no_motion() -> None:
    frames = condensed(frames_of([recorded(BYTES, shown="pytest -m health")]))
    root = ElementTree.fromstring(text := Drawing().animated(frames, "terminal"))

    assert "@media (prefers-reduced-motion: reduce)" in text
    assert "<script" not in text
    assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"')
    assert "url(" not in text
    assert "@import" not in text
    names = {each.get("id") for each in root.iter() if each.get("id")}
    assert {each.get("href", "").removeprefix("#") for each in root.iter(f"{SVG}use")} <= names


@pytest.mark.usefixtures("terminal")
def test_a_command_that_says_nothing_is_a_prompt_alone() -> None:
    frames = frames_of([Recording("true", (), 0)])

    assert [line for line in text_of(frames[-1]) if line] == ["$ true"]


@pytest.mark.usefixtures("terminal")
def test_what_is_cleaned_is_cleaned_also_where_it_came_in_two_pieces() -> None:
    written = (Written(0.1, b"on 127.0.0.1:44"), Written(0.2, b"321\r\n"))

    frames = frames_of([Recording("x", written, 0)], Steady())

    assert text_of(frames[-1])[1] == "on 127.0.0.1:50001"


def test_no_frame_at_all_is_an_empty_terminal() -> None:
    assert condensed([]) == []
    assert file_of().find(f"{SVG}title") is not None


def test_idle_times_are_short_and_the_whole_is_too() -> None:
    frames = [Frame(each * 60.0, ((Span(0, 1, str(each)),),)) for each in range(3)]
    many = [Frame(each * 1.0, ((Span(0, 1, str(each)),),)) for each in range(60)]

    assert [frame.at for frame in condensed(frames)] == [0.0, LONGEST_IDLE, 2 * LONGEST_IDLE]
    assert condensed(many)[-1].at == pytest.approx(LONGEST)


def test_control_characters_make_no_broken_file() -> None:
    root = file_of(Frame(0.0, ((Span(0, 2, "a\x00"),),)))

    assert [each.text for each in root.iter(f"{SVG}text")] == ["a\N{REPLACEMENT CHARACTER}"]


def test_the_same_port_and_mask_stay_the_same_and_folders_are_nobodys() -> None:
    clean = Steady()

    assert clean("127.0.0.1:43211 127.0.0.1:43212") == "127.0.0.1:50001 127.0.0.1:50002"
    assert clean("127.0.0.1:43211") == "127.0.0.1:50001"
    assert clean("***55ee90de*** ***66ff01ef*** ***") == "***00000001*** ***00000002*** ***"
    assert clean(f"rootdir: {ROOT}") == "rootdir: ~/pytest-gaia"


def test_a_recording_keeps_what_a_command_writes_to_a_terminal_and_its_end(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdout.isatty(), *os.get_terminal_size()); sys.exit(3)"

    recording = record("shown", [sys.executable, "-c", code], cwd=tmp_path, environ=environ())

    assert b"".join(each.data for each in recording.written) == b"True 100 30\r\n"
    assert recording.exit_code == 3


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no-such-command is not on PATH.*ci/setup pictures"):
        record("no-such-command", ["no-such-command"], cwd=tmp_path, environ=environ())


INTERRUPTED = """
import sys
from pathlib import Path
from ci.pictures.commands import ROOT, environ
from ci.pictures.recording import record
record("sleep", ["sh", "-c", "echo $$ > child; exec sleep 600"], cwd=Path(sys.argv[1]), environ=environ())
"""


def test_ctrl_c_leaves_no_child(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "child")
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, tmp_path], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        child = int((tmp_path / "child").read_text())
        process.send_signal(signal.SIGINT)

        assert process.wait(20) != 0

    with pytest.raises(ProcessLookupError):
        os.killpg(child, 0)


def test_an_unknown_picture_is_a_usage_error_that_names_the_known_ones() -> None:
    command = [sys.executable, "-m", "ci.pictures", "portrait"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 4
    assert "unknown picture portrait; choose from: terminal, report, signoff" in result.stderr


def test_without_chromium_pages_are_left_out_in_one_line_and_the_exit_code_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ci.pictures", "report", "signoff", f"--output={tmp_path}"]
    alone = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=alone)

    assert result.returncode == 1
    said = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in said] == ["report", "signoff"]
    assert all("Chromium is not on PATH" in line and "ci/setup browser" in line for line in said)
