"""Reading ``.env``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.variables import read_dotenv
from pytest_gaia.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read(tmp_path: Path, text: str) -> dict[str, tuple[str, int]]:
    path = tmp_path / ".env"
    path.write_bytes(text.encode())
    return dict(read_dotenv(path))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("K=v", "v"),
        ("export K=v", "v"),
        ("  K = v  ", "v"),
        ("K=", ""),
        ("K= # nothing", ""),
        ("K=a b c", "a b c"),
        ("K=v # comment", "v"),
        ("K=v#1", "v#1"),
        ("K=a=b==", "a=b=="),
        ("K='v # $x \\n'", "v # $x \\n"),
        ('K="v # x" # comment', "v # x"),
        (r'K="a\"b\n\\c"', 'a"b\n\\c'),
        ("K=$HOME", "$HOME"),
        ("K=v\r", "v"),
        ('K="v"\r', "v"),
    ],
)
def test_a_line_gives_a_value(tmp_path: Path, line: str, value: str) -> None:
    assert read(tmp_path, f"{line}\n") == {"K": (value, 1)}
    assert read(tmp_path, line) == {"K": (value, 1)}


def test_each_value_keeps_its_line_and_the_last_one_counts(tmp_path: Path) -> None:
    text = '\ufeff# comment\n\nA=1\nPEM="-----\nline\n-----"\n   # more\nB=2\nA=3\n'

    assert read(tmp_path, text) == {"A": ("3", 9), "PEM": ("-----\nline\n-----", 4), "B": ("2", 8)}


def test_no_file_gives_nothing(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}


@pytest.mark.parametrize(
    "line", ["hunter2", "K hunter2", "K='hunter2", 'K="hunter2', "1K=hunter2", "K='a' hunter2", "=hunter2"]
)
def test_a_malformed_line_is_named_but_not_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"^\.env:2: expected KEY=VALUE") as caught:
        read(tmp_path, f"A=1\n{line}\nB=2\n")

    assert "hunter2" not in str(caught.value)


def test_a_file_in_another_encoding_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"K=\xe9\n")

    with pytest.raises(ConfigError, match=r"\.env: not UTF-8 \(byte 2\)"):
        read_dotenv(tmp_path / ".env")
