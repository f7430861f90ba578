"""Files are written whole or not at all, and through no link."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_gaia.files.writing import PRIVATE, make_folder, write_file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_is_replaced(tmp_path: Path, *, dangling: bool) -> None:
    own, link = tmp_path / "own", tmp_path / "page.html"
    if not dangling:
        own.write_text("own")
    link.symlink_to(own)

    write_file(link, "page", mode=PRIVATE)

    assert (link.read_text(), link.is_symlink(), mode(link)) == ("page", False, 0o600)
    assert (own.exists() and own.read_text()) == (False if dangling else "own")


def test_the_mode_of_an_earlier_file_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    write_file(path, "public")
    assert mode(path) == 0o644
    write_file(path, b"private", mode=PRIVATE, durable=True)
    assert (mode(path), path.read_text()) == (0o600, "private")


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    with pytest.raises(UnicodeEncodeError):
        write_file(path, (each.encode() for each in ("half", "\udc00")))
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path, "file")

    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"file": "before"}


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to_where_it_is_a_file_as_well(tmp_path: Path, name: str) -> None:
    code = f"from pathlib import Path; from pytest_gaia.files.writing import write_file; write_file(Path({name!r}), 'page')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)

    assert (tmp_path / "out").read_text() == "page"
    assert Path("/dev/stdout").is_symlink()


def test_the_folder_of_gaia_is_its_owners_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / ".gaia" / "signoff")

    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / ".gaia")) == (0o755, 0o700)
    make_folder(tmp_path / "a" / ".gaia" / "signoff")
