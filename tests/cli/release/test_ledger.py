"""``gaia ledger``: what is in it, whether it is whole, and a copy for others."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.attestation import sign, statement
from pytest_gaia.promotion.ledger._signatures import PAYLOAD_TYPE
from pytest_gaia.promotion.ledger.ledger import Ledger
from pytest_gaia.promotion.ledger.statements import CHECK
from pytest_gaia.promotion.ledger.stores import FolderStore
from pytest_gaia.verdict.evidence import Phase
from tests.promotion.ledger.test_ledger import check
from tests.promotion.test_attestation import FILES, evaluated
from tests.promotion.test_attestation import test as passed
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.verdict.evidence import TestRecord
    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

    Gaia = Callable[..., Outcome]


def test_an_empty_ledger_is_whole_and_is_not_made_by_looking(gaia: Gaia, project: Path) -> None:
    assert gaia("ledger", "list") == (0, ".gaia/ledger: no entries yet\n", "")
    assert gaia("ledger", "verify") == (0, ".gaia/ledger: intact, 0 entries, head none\n", "")
    assert gaia("ledger", "export") == (0, "", "")
    assert json.loads(gaia("ledger", "list", "--json").out) == []
    assert not (project / ".gaia").exists()


def test_each_kind_of_entry_is_told_in_one_line(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.all_but("into_production")
    pipeline.waive("core-verified", "production", "rita", "release-manager")

    code, out, err = gaia("ledger", "list")

    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["no.", "time", "kind", "content", "signed", "by", "hash"]
    assert len(lines) == 1 + len(pipeline.entries())
    for number, text in {
        1: f"deployment  local {pipeline.id}: deployed",
        2: f"run         local {pipeline.id}: PROMOTE, 40 required tests",
        3: f"gate        local {pipeline.id}: PROMOTE",
        4: f"sign-off    dev {pipeline.id}: feature-complete, by rita (release-manager) until",
        5: f"check       dev {pipeline.id}: no-breaking-api-change proved: nothing found",
    }.items():
        assert text in lines[number]
    assert f"rollback    staging drill {pipeline.id} → earlier: deployed; rollback drill" in out
    assert f"waiver      production {pipeline.id}: core-verified waived by rita (release-manager)" in lines[-1]
    assert lines[-1].endswith(f"rita       {pipeline.entries()[-1].sha256[:12]}")


def test_entries_as_json(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.through_local()
    pipeline.deploy("dev")

    shown = json.loads(gaia("ledger", "list", "--json").out)

    entries = pipeline.entries()
    assert [each["sha256"] for each in shown] == [entry.sha256 for entry in entries]
    assert [each["kind"] for each in shown] == ["deployment", "run", "gate", "deployment"]
    assert [each["signed_by"] for each in shown] == [["ci"]] * 4
    assert set(shown[0]) == {"sequence", "sha256", "kind", "time", "signed_by", "problem", "predicate"}
    assert shown[3]["predicate"]["services"] == pipeline.release.digests


def test_one_release_of_several(gaia: Gaia, pipeline: Underway) -> None:
    from pytest_gaia.promotion.release.kept import keep_release
    from tests.promotion.pipeline import made_release

    other = made_release("b")
    keep_release(pipeline.folder.parents[1], other, {})
    pipeline.through_local()
    own, pipeline.release = pipeline.release, other

    assert gaia("ledger", "list", "--release", other.short).out == ".gaia/ledger: no entries of this release\n"
    pipeline.through_local()
    pipeline.gate("local")

    assert len(json.loads(gaia("ledger", "list", "--json", "--release", own.short).out)) == 3
    assert len(json.loads(gaia("ledger", "list", "--json", "--release", other.id).out)) == 4


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("ffffffff", "no release has an ID that begins so"),
        ("ab", "give at least 4 digits"),
        ("no/file.json", "no/file.json"),
    ],
)
def test_a_release_that_there_is_not(gaia: Gaia, pipeline: Underway, prefix: str, said: str) -> None:
    code, out, err = gaia("ledger", "list", "--release", prefix)

    assert (code, out) == (4, "")
    assert said in err


def test_a_whole_ledger_says_its_head_and_holds_each_hash_that_it_ever_had(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.through_local()
    noted = pipeline.entries()[-1].sha256
    pipeline.through_dev()
    entries = pipeline.entries()

    counted = f"{len(entries)} entries, {len(entries)} signed by 2 keys"
    whole = f".gaia/ledger: intact, {counted}, head {entries[-1].sha256}\n"
    for arguments in ([], ["--head", noted], ["--head", noted[:12].upper()]):
        assert gaia("ledger", "verify", *arguments) == (0, whole, "")
    document = json.loads(gaia("ledger", "verify", "--json").out)
    assert document == {
        "intact": True, "entries": len(entries), "signed": len(entries), "signed_by": ["ci", "rita"],
        "head": entries[-1].sha256, "problems": [],
    }  # fmt: skip


def test_a_ledger_that_nobody_signs_is_only_accepted_when_asked_for(gaia: Gaia, pipeline: Underway) -> None:
    Ledger(FolderStore(pipeline.folder, "x"), ()).append(CHECK, (), check(), signers=())

    for keys in ("trusted", "none"):
        code, out, err = gaia("ledger", "verify")
        assert (code, out) == (1, "")
        assert err == (
            ".gaia/ledger: entry 1 is not signed: nothing shows who wrote it. If this project does not sign, "
            "pass --allow-unsigned\n"
        )
        document = json.loads(gaia("ledger", "verify", "--json").out)
        assert (document["intact"], document["signed"], document["signed_by"]) == (False, 0, [])
        code, out, err = gaia("ledger", "verify", "--allow-unsigned")
        assert (code, err) == (0, "")
        assert out.startswith(".gaia/ledger: intact, 1 entry, 0 signed, head")
        if keys == "trusted":
            shutil.rmtree(pipeline.keyring.folder)


def test_a_ledger_written_again_without_a_key_shows_nothing_where_keys_are_trusted(
    gaia: Gaia, pipeline: Underway
) -> None:
    """Local accepts unsigned evidence in a project without trusted keys."""
    pipeline.through_local()
    signed = pipeline.entries()
    shutil.rmtree(pipeline.folder)
    unsigned = Ledger(FolderStore(pipeline.folder, "x"), ())
    for entry in signed:
        assert entry.predicate is not None
        unsigned.append(entry.kind, entry.subjects, entry.predicate, signers=())

    code, out, _ = gaia("release", "check", pipeline.id, "--env", "local")
    assert code == 11, out
    assert "no valid run of this release in local" in out

    shutil.rmtree(pipeline.keyring.folder)
    assert gaia("release", "check", pipeline.id, "--env", "local").code == 0


@pytest.mark.parametrize("head", ["", "abc", "not-a-hash", "f" * 65])
def test_a_head_that_is_none_is_a_usage_error_and_not_a_check_less(gaia: Gaia, pipeline: Underway, head: str) -> None:
    pipeline.through_local()

    code, out, err = gaia("ledger", "verify", "--head", head)

    assert (code, out) == (4, "")
    assert "--head" in err
    assert "Pass 8 to 64 hexadecimal digits" in err


def changed(pipeline: Underway) -> str:
    path = pipeline.entry_file(2)
    path.write_bytes(path.read_bytes().replace(b"e", b"f", 1))
    return "entry 2: "


def removed(pipeline: Underway) -> str:
    pipeline.entry_file(2).unlink()
    return "entry 3: follows entry 1: entries between them were removed"


def swapped(pipeline: Underway) -> str:
    first, second = pipeline.entry_file(4), pipeline.entry_file(5)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    return "entry 4: is not at its original position"


def no_text(pipeline: Underway) -> str:
    pipeline.entry_file(2).write_bytes(b"\xff\xfe\x00")
    return "entry 2: is not readable"


def untrusted(pipeline: Underway) -> str:
    (pipeline.keyring.folder / "rita.toml").unlink()
    return "entry 4: is signed by no trusted key"


def stripped(pipeline: Underway) -> str:
    number = len(pipeline.entries())
    pipeline.strip(number)
    return f"entry {number}: is not signed, but earlier entries are"


@pytest.mark.parametrize("damage", [changed, removed, swapped, no_text, untrusted, stripped])
def test_damage_is_found_shown_and_lets_nothing_pass(
    gaia: Gaia, pipeline: Underway, damage: Callable[[Underway], str]
) -> None:
    pipeline.all_but()
    said = damage(pipeline)

    for allowing in ([], ["--allow-unsigned"]):
        code, out, err = gaia("ledger", "verify", *allowing)
        assert (code, out) == (1, "")
        assert f".gaia/ledger: {said}" in err
    document = json.loads(gaia("ledger", "verify", "--json").out)
    assert document["intact"] is False
    assert any(each.startswith(said) for each in document["problems"])

    code, out, _ = gaia("ledger", "list")
    assert code == 0
    assert "PROBLEM: " in out
    assert gaia("release", "check", pipeline.id, "--env", "production").code == 1
    code, _, err = gaia("release", "check", pipeline.id)
    assert code == 11
    assert "the ledger is corrupt: " in err


def test_removed_newest_entries_are_found_by_the_head_that_was_noted(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    noted = pipeline.entries()[-1].sha256
    pipeline.entry_file(len(pipeline.entries())).unlink()

    assert gaia("ledger", "verify").code == 0
    code, _, err = gaia("ledger", "verify", "--head", noted)

    assert code == 1
    assert f"no entry has the hash {noted}" in err


def test_an_export_is_lines_that_any_tool_for_dsse_reads(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    pipeline.through_local()
    pipeline.through_dev()

    code, out, _ = gaia("ledger", "export")
    assert code == 0
    envelopes = [json.loads(line) for line in out.splitlines()]
    assert len(envelopes) == len(pipeline.entries())
    assert {each["payloadType"] for each in envelopes} == {PAYLOAD_TYPE}
    assert gaia("ledger", "export", "--output", "copy.intoto.jsonl") == (0, "", "")
    assert (project / "copy.intoto.jsonl").read_text() == out


def test_a_damaged_ledger_can_be_exported_as_it_is(gaia: Gaia, pipeline: Underway) -> None:
    pipeline.through_local()
    no_text(pipeline)

    assert gaia("ledger", "export", "--output", "copy").code == 0
    assert b"\xff\xfe\x00\n" in (pipeline.folder.parents[1] / "copy").read_bytes()


def test_an_export_that_cannot_be_written_is_one_message(gaia: Gaia, pipeline: Underway) -> None:
    code, _, err = gaia("ledger", "export", "--output", "no/such/folder")

    assert (code, err) == (4, "gaia: --output no/such/folder: the file cannot be written: No such file or directory.\n")


def test_a_ledger_in_git_is_shared_by_its_reference(
    gaia: Gaia, pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(project, monkeypatch)
    with (project / "gaia.toml").open("a") as file:
        file.write('[ledger]\ngit = "refs/gaia/ledger"\n')
    repository.commit()
    pipeline.hold("rita", monkeypatch)

    assert gaia("release", "approve", pipeline.id, "feature-complete", "--env", "dev").code == 0

    code, out, _ = gaia("ledger", "verify")
    assert code == 0
    assert out.startswith("refs/gaia/ledger: intact, 1 entry, 1 signed by 1 key")
    assert repository.git("log", "--format=%an", "refs/gaia/ledger").strip() == "gaia"


def test_a_remote_out_of_reach_is_12(
    gaia: Gaia, pipeline: Underway, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Repository(project, monkeypatch).commit()
    with (project / "gaia.toml").open("a") as file:
        file.write('[ledger]\ngit = "refs/gaia/ledger"\nremote = "nowhere"\n')

    for arguments in (["ledger", "verify"], ["release", "check", pipeline.id, "--env", "dev"], ["ledger", "list"]):
        code, out, err = gaia(*arguments)
        assert (code, out) == (12, "")
        assert "nowhere:refs/gaia/ledger: the remote is unreachable" in err


def test_without_the_package_that_verifies_it_is_said_which(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.through_local()
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    monkeypatch.delitem(sys.modules, "pytest_gaia.promotion.ledger._ed25519", raising=False)

    for arguments in (
        ["ledger", "verify"],
        ["key", "generate", "x", "--role", "ci"],
        ["key", "list"],
        ["release", "check", pipeline.id, "--env", "dev"],
    ):
        code, out, err = gaia(*arguments)
        assert (code, out) == (4, "")
        assert "pip install 'pytest-gaia[sign]'" in err


def attestation(pipeline: Underway, name: str, *tests: TestRecord) -> Path:
    """Write an attestation of a run, signed by one of the keys."""
    path = pipeline.folder.parents[1] / f"{name}.json"
    path.write_bytes(sign(statement(evaluated(*tests), FILES), [pipeline.keys[name]]))
    return path


def test_an_attestation_is_verified_with_the_keys_of_the_project(gaia: Gaia, pipeline: Underway) -> None:
    path = attestation(pipeline, "ci", passed("test_a"), passed("test_b", attempt=2))

    code, out, err = gaia("ledger", "verify", str(path))

    text = "signed by ci: dev: PROMOTE (WARNED), 1 passed, 1 warned, 0 failed, ended 2026-11-29T10:05:00"
    assert (code, out, err) == (0, f"{path}: {text}\n", "")
    (shown,) = json.loads(gaia("ledger", "verify", str(path), "--json").out)
    assert (shown["signed_by"], shown["result"], shown["problem"]) == (["ci"], "WARNED", "")
    assert shown["subject"] == [{"name": "r.jsonl", "digest": {"sha256": FILES.record}}]
    assert shown["predicate"]["passedTests"] == ["test_a"]


def test_an_attestation_that_proves_no_pass_is_refused(gaia: Gaia, pipeline: Underway) -> None:
    good = attestation(pipeline, "ci", passed("test_a"))
    changed = good.with_name("changed.json")
    changed.write_bytes(good.read_bytes().replace(b'"payload":"ey', b'"payload":"eY'))
    person = attestation(pipeline, "sam", passed("test_a"))

    code, out, err = gaia("ledger", "verify", str(good), str(changed), str(person))

    assert (code, len(out.splitlines())) == (1, 1)
    assert err.splitlines() == [
        f"{changed}: is signed by no trusted key, or was changed after it was signed",
        f"{person}: is signed by sam, which has the roles security, not only ci",
    ]
    failed = attestation(pipeline, "ci", passed("test_a", Phase("call", "failed")))
    code, out, err = gaia("ledger", "verify", str(failed))
    assert (code, err) == (1, "")
    assert "signed by ci: dev: REJECT (FAILED), 0 passed, 0 warned, 1 failed" in out


def test_usage_errors_of_attestations(gaia: Gaia, pipeline: Underway, project: Path) -> None:
    path = attestation(pipeline, "ci", passed("test_a"))

    code, _, err = gaia("ledger", "verify", str(path), "--head", "12345678")
    assert (code, err) == (4, "gaia: --head and --allow-unsigned are about the ledger, and exclude FILE.\n")
    code, _, err = gaia("ledger", "verify", "gone.json")
    assert (code, err) == (4, "gaia: gone.json: cannot be read: No such file or directory.\n")
    shutil.rmtree(project / "keys")
    code, _, err = gaia("ledger", "verify", str(path))
    assert code == 4
    assert "the project trusts no key, so no attestation can be verified" in err
