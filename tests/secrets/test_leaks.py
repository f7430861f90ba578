"""The scan of written files for secrets."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_gaia.secrets.leaks import Leak, leaks
from pytest_gaia.secrets.masks import mask_of
from pytest_gaia.secrets.redaction import Redactor

SECRET = 'Wk81c0-+/"9d31'


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.learn(SECRET, "GAIA_STAGING_API_KEY")
    redactor.learn("another-one-0815", "FLY_API_TOKEN")
    return redactor


def test_a_secret_is_named_by_file_and_line_and_masked(tmp_path: Path, redactor: Redactor) -> None:
    path = tmp_path / "report.json"
    path.write_text(f"{{\n {json.dumps(SECRET)}: 1,\n 'fine': 2,\n 'x': 'another-one-0815'\n}}\n")
    path.chmod(0o640)

    found = leaks([path], redactor)

    assert found == [Leak(path, 2, "GAIA_STAGING_API_KEY"), Leak(path, 4, "FLY_API_TOKEN")]
    assert path.read_text().splitlines()[1] == f' "{mask_of(SECRET)}": 1,'
    assert mask_of("another-one-0815") in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
    assert leaks([path], redactor) == []


def test_all_in_a_folder_is_looked_at_that_the_run_has_touched(tmp_path: Path, redactor: Redactor) -> None:
    (tmp_path / "deep").mkdir()
    new, old = tmp_path / "deep" / "new.txt", tmp_path / "old.txt"
    new.write_text(SECRET)
    old.write_text(SECRET)
    os.utime(old, (1000, 1000))

    assert [leak.path for leak in leaks([tmp_path], redactor, since=2000)] == [new]
    assert old.read_text() == SECRET


def test_bytes_beside_it_stay_as_they_are(tmp_path: Path, redactor: Redactor) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"\x89PNG\xff\xfe " + SECRET.encode() + b" \x00\xff\n\xfe")

    assert [leak.line for leak in leaks([path], redactor)] == [1]
    assert path.read_bytes() == b"\x89PNG\xff\xfe " + mask_of(SECRET).encode() + b" \x00\xff\n\xfe"


def test_a_big_file_is_looked_through_to_its_end(tmp_path: Path, redactor: Redactor) -> None:
    path = tmp_path / "big.jsonl"
    path.write_text("x" * 99 + "\n" + ("y" * 99 + "\n") * 30_000 + SECRET + "\n")

    assert leaks([path], redactor) == [Leak(path, 30_002, "GAIA_STAGING_API_KEY")]


def test_a_compressed_file_with_a_secret_is_removed(tmp_path: Path, redactor: Redactor) -> None:
    packed, archive, broken = tmp_path / "a.gz", tmp_path / "b.zip", tmp_path / "c.gz"
    packed.write_bytes(gzip.compress(f"a\n{SECRET}".encode()))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("fine.txt", "fine")
        file.writestr("trace.txt", SECRET)
    broken.write_bytes(gzip.compress(f"{SECRET}\n{os.urandom(9999).hex()}".encode())[:-9])

    found = leaks([tmp_path], redactor)

    assert found == [Leak(path, 0, "GAIA_STAGING_API_KEY") for path in (packed, archive, broken)]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_left_alone(tmp_path: Path, redactor: Redactor) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert leaks([tmp_path / "pipe", tmp_path / "not there", tmp_path], redactor) == []


def test_a_secret_in_the_name_of_a_packed_file_counts(tmp_path: Path, redactor: Redactor) -> None:
    with zipfile.ZipFile(tmp_path / "named.zip", "w") as file:
        file.writestr(f"{SECRET}.txt", "fine")

    assert leaks([tmp_path], redactor) == [Leak(tmp_path / "named.zip", 0, "GAIA_STAGING_API_KEY")]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_named_by_a_link_is_masked_where_it_is(tmp_path: Path, redactor: Redactor) -> None:
    written, link = tmp_path / "junit-1.xml", tmp_path / "junit.xml"
    written.write_text(SECRET)
    link.symlink_to(written)

    assert leaks([link], redactor) == [Leak(written, 1, "GAIA_STAGING_API_KEY")]
    assert (link.is_symlink(), written.read_text()) == (True, mask_of(SECRET))


def test_a_link_within_a_folder_is_replaced_and_what_it_leads_to_stays(tmp_path: Path, redactor: Redactor) -> None:
    (tmp_path / "results").mkdir()
    own, link = tmp_path / ".env", tmp_path / "results" / "env.txt"
    own.write_text(SECRET)
    link.symlink_to(own)

    assert leaks([tmp_path / "results"], redactor) == [Leak(link, 1, "GAIA_STAGING_API_KEY")]
    assert (link.read_text(), own.read_text()) == (mask_of(SECRET), SECRET)


def test_a_file_that_another_run_takes_away_meanwhile_holds_nothing(tmp_path: Path, redactor: Redactor) -> None:
    draft, kept = tmp_path / "draft.txt", tmp_path / "kept.txt"
    for path in (draft, kept):
        path.write_text(SECRET)

    def named() -> Iterator[Path]:
        yield draft
        draft.unlink()
        yield kept

    assert leaks(named(), redactor) == [Leak(kept, 1, "GAIA_STAGING_API_KEY")]


def test_a_short_secret_in_a_random_id_of_the_run_is_no_leak(tmp_path: Path, redactor: Redactor) -> None:
    redactor.learn("abc123", "a secret of a test")
    trace_id = "00abc1230000400000000000000abc12"
    own = f'"{trace_id[:8]}-{trace_id[8:12]}-{trace_id[12:16]}-8abc-123000000000" 00-{trace_id}-8000000000abc123-01\n'
    (tmp_path / "run.jsonl").write_text(own)
    with gzip.open(tmp_path / "run.jsonl.gz", "wt") as file:
        file.write(own)

    assert leaks([tmp_path], redactor, traces=[trace_id]) == []
    assert (tmp_path / "run.jsonl").read_text() == own

    (tmp_path / "run.jsonl").write_text(f"{own}{own} token abc123\n")
    assert [leak.line for leak in leaks([tmp_path / "run.jsonl"], redactor, traces=[trace_id])] == [3]
    assert len(leaks([tmp_path / "run.jsonl.gz"], redactor, traces=["0" * 32])) == 1
