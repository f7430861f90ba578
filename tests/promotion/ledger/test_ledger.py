"""The ledger: whatever is changed, removed, moved or repeated in it is found, with public keys alone."""

from __future__ import annotations

import base64
import json
import resource
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_gaia.errors import ConfigError, DeployUnavailable
from pytest_gaia.promotion.ledger._signatures import PAYLOAD_TYPE, Envelope, Signature, pae
from pytest_gaia.promotion.ledger.keys import trusted_keys
from pytest_gaia.promotion.ledger.ledger import Ledger, counted, unsigned_of
from pytest_gaia.promotion.ledger.statements import CHECK, CheckPredicate, Subject
from pytest_gaia.promotion.ledger.stores import FolderStore, GitReference, GitStore
from pytest_gaia.system import processes

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_gaia.promotion.ledger.keys import SigningKey
    from tests.promotion.conftest import Keyring

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def check(number: int = 0, *, time: datetime = NOW) -> CheckPredicate:
    return CheckPredicate(
        environment="staging",
        release="b",
        check=f"item-{number}",
        status="proved",
        reason="seen",
        time=time.isoformat(),
    )


def append(ledger: Ledger, key: SigningKey | None, count: int = 1, first: int = 0) -> None:
    for number in range(first, first + count):
        signers = [key] if key else []
        ledger.append(CHECK, [Subject("auth", {"sha256": "ab"})], check(number), signers=signers)


@pytest.fixture
def key(keyring: Keyring) -> SigningKey:
    return keyring.make("ci", "ci")


@pytest.fixture
def ledger(keyring: Keyring, key: SigningKey, tmp_path: Path) -> Ledger:
    """Four signed entries in a folder."""
    ledger = keyring.ledger(tmp_path / "ledger")
    append(ledger, key, 4)
    return ledger


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "ledger").iterdir())


def test_what_is_written_is_read_back_with_who_signed_it(ledger: Ledger) -> None:
    entries = ledger.entries()
    assert [entry.predicate for entry in entries] == [check(number) for number in range(4)]
    assert {signer.name for entry in entries for signer in entry.signers} == {"ci"}
    assert ledger.problems() == ()
    assert ledger.head == entries[-1].sha256


def test_the_encoding_that_is_signed_is_that_of_the_protocol() -> None:
    # The example of DSSE's protocol.md.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_empty_ledger_is_whole_and_has_no_head(keyring: Keyring, tmp_path: Path) -> None:
    ledger = keyring.ledger(tmp_path / "ledger")
    assert (ledger.entries(), ledger.problems(), ledger.head) == ((), (), "")


def test_every_changed_byte_is_found(ledger: Ledger, tmp_path: Path) -> None:
    path = files(tmp_path)[1]
    content = path.read_bytes()
    payload = json.loads(content)["payload"].encode()
    signature = json.loads(content)["signatures"][0]["sig"].encode()
    places = [content.index(payload) + at for at in range(0, len(payload) - 4, 31)]
    places += [content.index(signature) + at for at in range(0, len(signature) - 4, 7)]
    for at in places:
        path.write_bytes(content[:at] + (b"A" if content[at : at + 1] != b"A" else b"B") + content[at + 1 :])
        assert ledger.problems(), f"byte {at}"


def test_the_payload_of_another_statement_under_an_old_signature_is_found(ledger: Ledger, tmp_path: Path) -> None:
    path = files(tmp_path)[1]
    envelope = json.loads(path.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["status"] = "failed"
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(envelope))
    assert any("entry 2: is signed by no trusted key" in each for each in ledger.problems())


def test_a_signature_that_was_taken_off_breaks_the_next_link(ledger: Ledger, tmp_path: Path) -> None:
    path = files(tmp_path)[1]
    envelope = json.loads(path.read_bytes())
    envelope["signatures"] = []
    path.write_text(json.dumps(envelope))
    entries = ledger.entries()
    assert not entries[1].signed
    assert "is not signed, but earlier entries are" in entries[1].problem
    assert "does not follow the previous entry" in entries[2].problem


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_removed_entry_is_found(ledger: Ledger, tmp_path: Path, number: int) -> None:
    files(tmp_path)[number].unlink()
    assert any("entries between them were removed" in each for each in ledger.problems())


def test_the_newest_removed_is_found_by_the_head_that_was_noted(ledger: Ledger, tmp_path: Path) -> None:
    head = ledger.head
    assert ledger.problems(head) == ()
    files(tmp_path)[-1].unlink()
    assert ledger.problems() == ()
    assert ledger.problems(head) == (
        f"no entry has the hash {head}: entries were removed, or it is the head of another ledger",
    )


def test_two_entries_that_changed_places_are_found(ledger: Ledger, tmp_path: Path) -> None:
    first, second = files(tmp_path)[1:3]
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])
    assert "entry 2: is not at its original position: it was moved or copied" in ledger.problems()


def test_an_entry_that_is_played_again_is_found(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger" / "000005.json").write_bytes(files(tmp_path)[1].read_bytes())
    assert ledger.problems() == ("entry 5: is not at its original position: it was moved or copied",)


def test_an_entry_of_another_ledger_is_found(keyring: Keyring, key: SigningKey, ledger: Ledger, tmp_path: Path) -> None:
    other = keyring.ledger(tmp_path / "other")
    append(other, key, 4)
    files(tmp_path)[3].write_bytes((tmp_path / "other" / "000004.json").read_bytes())
    assert ledger.problems() == ("entry 4: does not follow the previous entry, which was changed, replaced or removed",)


def test_a_key_that_nobody_trusts_signs_nothing(keyring: Keyring, ledger: Ledger) -> None:
    stranger = keyring.make("stranger", "ci")
    (keyring.folder / "stranger.toml").unlink()
    append(ledger, stranger)
    assert ledger.entries()[-1].signers == ()
    assert any(each.startswith("entry 5: is signed by no trusted key") for each in ledger.problems())


def test_a_key_that_has_run_out_signs_nothing(keyring: Keyring, tmp_path: Path) -> None:
    key = keyring.make("old", "ci", extra="not_after = 2026-01-01T00:00:00Z")
    ledger = keyring.ledger(tmp_path / "ledger")
    append(ledger, key)
    (entry,) = ledger.entries()
    assert entry.signers == ()
    assert entry.problem == (
        "is dated 2026-11-23T12:00:00+00:00, but signed with a key that was not valid then: "
        "old has not_after = 2026-01-01T00:00:00+00:00"
    )


def test_a_key_that_ended_later_has_signed_what_it_signed(keyring: Keyring, tmp_path: Path) -> None:
    key = keyring.make("old", "ci")
    append(keyring.ledger(tmp_path / "ledger"), key)
    path = keyring.folder / "old.toml"
    path.write_text(path.read_text() + "not_after = 2026-11-23T12:00:00Z\n")

    ledger = keyring.ledger(tmp_path / "ledger")

    (entry,) = ledger.entries()
    assert (ledger.problems(), [signer.name for signer in entry.signers]) == ((), ["old"])
    ledger.append(CHECK, [], check(time=NOW + timedelta(seconds=1)), signers=[key])
    assert ledger.problems()[0].startswith("entry 2: is dated 2026-11-23T12:00:01+00:00, but signed with a key")


def test_a_role_that_was_taken_away_counts_for_what_it_signed(keyring: Keyring, tmp_path: Path) -> None:
    key = keyring.make("rita", "product", extra="former_roles = { security = 2026-11-23T12:00:00Z }")
    ledger = keyring.ledger(tmp_path / "ledger")
    for seconds in (0, 1):
        ledger.append(CHECK, [], check(time=NOW + timedelta(seconds=seconds)), signers=[key])

    assert [entry.signers[0].roles for entry in ledger.entries()] == [("product", "security"), ("product",)]


@pytest.mark.parametrize("trusted", ["the same keys", "another key", "no key"])
def test_the_newest_without_its_signature_is_found_whoever_is_trusted_now(
    keyring: Keyring, ledger: Ledger, tmp_path: Path, trusted: str
) -> None:
    path = files(tmp_path)[-1]
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"signatures": []}))
    if trusted != "the same keys":
        (keyring.folder / "ci.toml").unlink()
    if trusted == "another key":
        keyring.make("new", "ci")

    problems = keyring.ledger(tmp_path / "ledger").problems()

    assert problems[-1].startswith("entry 4: is not signed, but earlier entries are")
    assert len(problems) == (1 if trusted == "the same keys" else 4)


def test_nothing_is_written_unsigned_where_keys_are_trusted_or_were(
    keyring: Keyring, ledger: Ledger, tmp_path: Path
) -> None:
    before = ledger.entries()
    (keyring.folder / "ci.toml").unlink()
    for found in (ledger, keyring.ledger(tmp_path / "ledger")):
        with pytest.raises(ConfigError, match="every entry of this ledger must be signed"):
            append(found, None)
    assert ledger.entries() == before


def test_a_ledger_of_a_project_without_keys_becomes_a_signed_one(keyring: Keyring, tmp_path: Path) -> None:
    append(keyring.ledger(tmp_path / "ledger"), None, 2)
    key = keyring.make("ci", "ci")
    ledger = keyring.ledger(tmp_path / "ledger")
    append(ledger, key)

    entries = ledger.entries()

    assert ledger.problems() == ()
    assert [bool(entry.doubt) for entry in entries] == [True, True, False]
    assert unsigned_of(entries) == "entries 1 to 2 are not signed: nothing shows who wrote them"
    assert counted(entries) == "3 entries, 1 signed by 1 key"


def test_an_unsigned_entry_says_so(keyring: Keyring, tmp_path: Path) -> None:
    ledger = keyring.ledger(tmp_path / "ledger")
    append(ledger, None)
    (entry,) = ledger.entries()
    assert (entry.signed, entry.signers, entry.problem, entry.doubt) == (False, (), "", "")


def test_clocks_may_differ_a_little_and_no_more(keyring: Keyring, key: SigningKey, tmp_path: Path) -> None:
    ledger = keyring.ledger(tmp_path / "ledger")
    for minutes in (0, -4, -20):
        ledger.append(CHECK, [], check(time=NOW + timedelta(minutes=minutes)), signers=[key])
    problems = [entry.problem for entry in ledger.entries()]
    assert problems[:2] == ["", ""]
    assert "is dated" in problems[2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"nonsense",
        b'{"payload": "!", "payloadType": "x", "signatures": []}',
        b"\xff\xfe",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=len,
)
def test_a_file_that_is_no_envelope_is_a_problem_and_no_crash(ledger: Ledger, tmp_path: Path, content: bytes) -> None:
    files(tmp_path)[1].write_bytes(content)
    assert any(each.startswith("entry 2: is not readable") for each in ledger.problems())


def test_a_statement_of_an_unknown_type_is_a_problem(keyring: Keyring, key: SigningKey, tmp_path: Path) -> None:
    ledger = keyring.ledger(tmp_path / "ledger")
    ledger.append("urn:other:1", [], check(), signers=[key])
    assert ledger.problems() == ("entry 1: has the unknown type urn:other:1",)


def test_only_an_in_toto_statement_is_an_entry(
    keyring: Keyring, ledger: Ledger, key: SigningKey, tmp_path: Path
) -> None:
    path = files(tmp_path)[-1]
    body = base64.b64decode(json.loads(path.read_bytes())["payload"])
    other = body.replace(b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v2")
    for payload, payload_type, problem in (
        (body, "text/plain", "it holds text/plain, not an in-toto statement"),
        (other, PAYLOAD_TYPE, "Invalid enum value 'https://in-toto.io/Statement/v2'"),
    ):
        signature = base64.b64encode(key.sign(pae(payload_type, payload))).decode()
        payload64 = base64.b64encode(payload).decode()
        path.write_bytes(msgspec.json.encode(Envelope(payload64, payload_type, (Signature(signature, key.keyid),))))
        assert ledger.problems()[0].startswith(f"entry 4: is not readable: {problem}")


def test_many_writers_at_once_lose_nothing(keyring: Keyring, key: SigningKey, tmp_path: Path) -> None:
    ledger = keyring.ledger(tmp_path / "ledger")
    writers = [threading.Thread(target=append, args=(ledger, key, 3, writer * 3)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(ledger.entries()) == 12
    assert ledger.problems() == ()


def test_a_folder_that_cannot_be_written_is_one_message(keyring: Keyring, key: SigningKey, tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    ledger = keyring.ledger(tmp_path / "ledger")
    with pytest.raises(ConfigError, match=r"ledger: the ledger cannot be (read|written): .*Nothing was changed"):
        append(ledger, key)


def test_a_disk_that_takes_no_more_leaves_the_ledger_as_it_was(ledger: Ledger, key: SigningKey, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(ConfigError, match="the ledger cannot be written: File too large"):
            append(ledger, key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (len(ledger.entries()), ledger.problems(), len(files(tmp_path))) == (4, (), 4)


def test_nothing_but_whole_entries_is_left_behind(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.head
    assert [path.name for path in files(tmp_path)] == [f"{number:06}.json" for number in range(1, 5)]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path]:
    """Two clones of one bare repository."""
    shared = tmp_path / "shared.git"
    subprocess.run(["git", "init", "-q", "--bare", shared], check=True)
    pair = tmp_path / "one", tmp_path / "two"
    for clone in pair:
        subprocess.run(["git", "clone", "-q", shared, clone], check=True, capture_output=True)
    return pair


def in_git(folder: Path, keyring: Keyring, remote: str | None = "origin") -> Ledger:
    return Ledger(GitStore(GitReference(folder, "refs/gaia/ledger", remote)), trusted_keys(keyring.folder))


def test_a_git_reference_keeps_entries_and_leaves_the_work_tree_alone(
    clones: tuple[Path, Path], keyring: Keyring, key: SigningKey
) -> None:
    one, two = (in_git(clone, keyring) for clone in clones)
    append(one, key, 2)
    append(two, key, 2)
    assert [entry.sequence for entry in one.entries()] == [1, 2, 3, 4]
    assert one.problems() == ()
    assert git(clones[0], "status", "--porcelain") == ""


def test_git_starts_no_more_processes_for_more_entries(
    clones: tuple[Path, Path], keyring: Keyring, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = in_git(clones[0], keyring)
    started: list[str] = []

    def noted(folder: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        started.append(words[0])
        return processes.git(folder, *words, **more)

    monkeypatch.setattr("pytest_gaia.promotion.ledger.stores.git", noted)
    costs = []
    for _ in range(2):
        append(ledger, key, 3)
        started.clear()
        # Another process has read nothing yet.
        assert in_git(clones[0], keyring).problems() == ()
        costs.append(list(started))
        started.clear()
        append(in_git(clones[0], keyring), key)
        costs.append(list(started))

    assert costs[:2] == costs[2:]
    assert costs[0].count("cat-file") == 1


def test_an_entry_that_git_lost_is_one_message(clones: tuple[Path, Path], keyring: Keyring, key: SigningKey) -> None:
    ledger = in_git(clones[0], keyring, None)
    append(ledger, key, 2)
    lost = git(clones[0], "rev-parse", "refs/gaia/ledger:000001.json")
    (clones[0] / f".git/objects/{lost[:2]}/{lost[2:]}").unlink()
    with pytest.raises(ConfigError, match=f"refs/gaia/ledger: git: the object {lost} is not a file: missing"):
        in_git(clones[0], keyring, None).entries()


def test_an_entry_that_is_changed_after_it_was_read_is_found(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.problems() == ()
    one, two = (path.read_bytes() for path in files(tmp_path)[1:3])
    files(tmp_path)[1].write_bytes(two)
    assert ledger.problems()[0] == "entry 2: is not at its original position: it was moved or copied"
    files(tmp_path)[1].write_bytes(one)
    assert ledger.problems() == ()


def test_two_machines_at_once_write_one_after_the_other(
    clones: tuple[Path, Path], keyring: Keyring, key: SigningKey
) -> None:
    ledgers = [in_git(clone, keyring) for clone in clones]
    # Each statement is different, because equal ones in the same second are the same commit.
    writers = [threading.Thread(target=append, args=(each, key, 3, at * 3)) for at, each in enumerate(ledgers)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(ledgers[0].entries()) == 6
    assert ledgers[0].problems() == ()


def test_a_rewritten_reference_is_found_by_the_head(
    clones: tuple[Path, Path], keyring: Keyring, key: SigningKey
) -> None:
    ledger = in_git(clones[0], keyring, None)
    append(ledger, key, 3)
    head = ledger.head
    git(clones[0], "update-ref", "refs/gaia/ledger", "refs/gaia/ledger~1")
    assert ledger.problems() == ()
    assert ledger.problems(head)


def test_a_remote_out_of_reach_changes_nothing(clones: tuple[Path, Path], keyring: Keyring, key: SigningKey) -> None:
    git(clones[0], "remote", "set-url", "origin", "https://127.0.0.1:1/none.git")
    with pytest.raises(DeployUnavailable, match="the remote is unreachable"):
        append(in_git(clones[0], keyring), key)
    assert git(clones[0], "for-each-ref", "refs/gaia") == ""


def test_no_repository_is_one_message(tmp_path: Path, keyring: Keyring, key: SigningKey) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(ConfigError, match="refs/gaia/ledger: git: not a git repository"):
        append(in_git(folder, keyring, None), key)


def test_an_export_is_read_by_another_implementation(ledger: Ledger, key: SigningKey) -> None:
    """securesystemslib is not installed here: what it would do is done with cryptography alone, from the bytes."""
    store: Any = ledger.store
    for content in store.read().values():
        envelope = json.loads(content)
        body = base64.b64decode(envelope["payload"])
        signature = base64.b64decode(envelope["signatures"][0]["sig"])
        key._private.public_key().verify(signature, b"DSSEv1 28 application/vnd.in-toto+json %d " % len(body) + body)
        assert json.loads(body)["_type"] == "https://in-toto.io/Statement/v1"


def test_a_ledger_is_in_a_folder_by_default(ledger: Ledger) -> None:
    assert isinstance(ledger.store, FolderStore)
