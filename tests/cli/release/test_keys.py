"""``gaia key``: a pair is made, a key is trusted, and no private key is ever shown or written over."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_gaia.promotion.ledger.keys import signing_key, trusted_keys
from pytest_gaia.system.processes import KEY_FILE_VARIABLE, KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.cli.evidence import Underway

    Gaia = Callable[..., Outcome]


def ssh_key(folder: Path, kind: str = "ed25519") -> Path:
    """Make a pair of SSH keys; return the private one."""
    path = folder / f"id_{kind}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "rita@host", "-f", path], check=True)
    return path


def secrets_of(path: Path) -> list[str]:
    """Return the lines of a private key that must stay secret."""
    return [line for line in path.read_text().splitlines() if not line.startswith("-")]


def test_a_pair_is_made_and_trusted(gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = gaia(
        "key", "generate", "rita", "--role", "release-manager", "--role", "product", "--identity", "rita@example.org",
        "--output", "private/rita.pem",
    )  # fmt: skip

    private = project / "private" / "rita.pem"
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "public:  keys/rita.toml   commit it"
    assert f"export {KEY_FILE_VARIABLE}={private}" in out
    assert not any(secret in out for secret in secrets_of(private))
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (trusted,) = trusted_keys(project / "keys")
    assert (trusted.name, trusted.roles) == ("rita", ("release-manager", "product"))
    assert trusted.identities == ("rita@example.org",)
    signer = signing_key({KEY_FILE_VARIABLE: str(private)})
    assert signer is not None
    assert trusted.verifies(signer.sign(b"x"), b"x")


def test_a_private_key_that_git_would_commit_is_a_warning(gaia: Gaia, project: Path) -> None:
    subprocess.run(["git", "init", "--quiet", project], check=True)
    (project / ".gitignore").write_text("*.pem\n")

    ignored = gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem")
    elsewhere = gaia("key", "generate", "ci-2", "--role", "ci", "--output", "../ci.key")
    offered = gaia("key", "generate", "ci-3", "--role", "ci", "--output", "private/ci.key")

    assert [(each.code, each.err) for each in (ignored, elsewhere)] == [(0, ""), (0, "")]
    assert offered.code == 0
    assert offered.err == (
        "gaia: warning: private/ci.key is in a git repository, which does not ignore it. Never commit a private key: "
        "add it to .gitignore, or move it elsewhere.\n"
    )
    subprocess.run(["git", "-C", project, "add", "."], check=True)
    staged = subprocess.run(["git", "-C", project, "ls-files"], check=True, capture_output=True, text=True).stdout
    assert [name for name in staged.splitlines() if name.endswith((".pem", ".key"))] == ["private/ci.key"]


def test_a_private_key_goes_to_its_owners_folder_by_default(
    gaia: Gaia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert gaia("key", "generate", "ci", "--role", "ci").code == 0
    assert (tmp_path / "config" / "gaia" / "ci.pem").exists()

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert gaia("key", "generate", "ci2", "--role", "ci").code == 0
    assert (tmp_path / "home" / ".config" / "gaia" / "ci2.pem").exists()


def test_no_key_is_written_over(gaia: Gaia, project: Path) -> None:
    assert gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem").code == 0
    private, public = (project / "ci.pem").read_text(), (project / "keys" / "ci.toml").read_text()

    code, _, err = gaia("key", "generate", "other", "--role", "ci", "--output", "ci.pem")
    assert code == 4
    assert "ci.pem: already exists, and a key is never overwritten" in err
    code, _, err = gaia("key", "generate", "ci", "--role", "ci", "--output", "second.pem")
    assert code == 4
    assert "keys/ci.toml: already exists" in err

    assert ((project / "ci.pem").read_text(), (project / "keys" / "ci.toml").read_text()) == (private, public)
    assert not (project / "second.pem").exists()
    assert not (project / "keys" / "other.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../rita", "--role", "ci"], "the name of a key may contain only lower-case letters, digits and '-'"),
        (["Rita", "--role", "ci"], "'Rita': the name of a key"),
        (["rita", "--role", "release-manger"], "--role release-manger: no check requires this role; did you mean release-manager?"),
        (["rita", "--role", ""], "no check requires this role; Known: ci, product, release-manager, security."),
        (["rita"], "Missing option '--role'"),
        (["rita", "--role", "ci", "--identity", "rita"], "--identity rita: not an email address"),
        (["rita", "--role", "security"], "--role security: a role of people needs an identity"),
        (
            ["rita", "--role", "ci", "--role", "security", "--identity", "r@example.org"],
            "--role: this key has the role ci, which is for machines, and security, which is for people",
        ),
    ],
)  # fmt: skip
def test_usage_errors_leave_nothing_behind(gaia: Gaia, project: Path, arguments: list[str], said: str) -> None:
    before = set(project.rglob("*"))

    code, out, err = gaia("key", "generate", *arguments, "--output", "new.pem")

    assert (code, out) == (4, "")
    assert said in err
    assert set(project.rglob("*")) == before


def test_a_role_that_a_stage_asks_for_is_known(gaia: Gaia, project: Path) -> None:
    with (project / "gaia.toml").open("a") as file:
        file.write('[env.staging.stage]\nsign = ["qa"]\n')

    assert (
        gaia("key", "generate", "quentin", "--role", "qa", "--identity", "q@example.org", "--output", "q.pem").code == 0
    )


def test_a_folder_that_cannot_be_written(gaia: Gaia, project: Path) -> None:
    (project / "keys").write_text("no folder")

    code, _, err = gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem")

    assert code == 4
    assert "keys/ci.toml: cannot be written" in err
    assert not (project / "ci.pem").exists()


def test_an_ssh_key_and_a_pem_are_trusted(gaia: Gaia, project: Path) -> None:
    assert gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem").code == 0
    pem = project / "public.pem"
    pem.write_text(subprocess.run(["openssl", "pkey", "-in", "ci.pem", "-pubout"], capture_output=True, text=True, check=True).stdout)  # fmt: skip
    (project / "keys" / "ci.toml").unlink()

    assert gaia("key", "add", "ci", str(pem), "--role", "ci") == (
        0, "keys/ci.toml: commit it. ci is then trusted as ci\n", "",
    )  # fmt: skip
    code, out, _ = gaia("key", "add", "rita", f"{ssh_key(project)}.pub", "--role", "security", "--identity", "r@x.org")
    assert (code, out) == (0, "keys/rita.toml: commit it. rita is then trusted as security\n")
    assert [key.name for key in trusted_keys(project / "keys")] == ["ci", "rita"]


def test_what_cannot_be_trusted(gaia: Gaia, project: Path) -> None:
    private, other = ssh_key(project), ssh_key(project, "ecdsa")
    (project / "cut.pub").write_text("ssh-ed25519 AAAA")
    cases = {
        str(private): "this is a private key; use the public key",
        f"{other}.pub": "not an Ed25519 key",
        "cut.pub": "the public key of x: ",
        "gone.pub": "gone.pub",
        ".": "cannot be read",
    }
    for path, said in cases.items():
        code, out, err = gaia("key", "add", "x", path, "--role", "ci")
        assert (code, out) == (4, ""), path
        assert said in err
        assert not any(secret in err for secret in secrets_of(private))
    assert not (project / "keys" / "x.toml").exists()


def test_one_key_is_not_trusted_under_two_names(gaia: Gaia, project: Path) -> None:
    public = f"{ssh_key(project)}.pub"
    assert gaia("key", "add", "rita", public, "--role", "security", "--identity", "r@example.org").code == 0

    code, _, err = gaia("key", "add", "sam", public, "--role", "release-manager", "--identity", "s@example.org")

    assert code == 4
    assert "this key is trusted already, as rita. To change it, edit keys/rita.toml" in err
    assert gaia("key", "list").code == 0


def test_the_list_says_who_is_trusted_and_who_would_sign_here(
    gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gaia("key", "list").err.startswith("gaia: keys: no trusted keys yet")
    gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem")
    gaia("key", "generate", "rita", "--role", "security", "--identity", "rita@example.org", "--output", "rita.pem")
    with (project / "keys" / "rita.toml").open("a") as file:
        file.write("not_after = 2027-01-31T00:00:00Z\n")
    monkeypatch.setenv(KEY_FILE_VARIABLE, "rita.pem")

    rows = [line.split() for line in gaia("key", "list").out.splitlines()]
    shown = json.loads(gaia("key", "list", "--json").out)

    first, second = trusted_keys(project / "keys")
    assert rows[1] == ["ci", "ci", first.keyid[:12]]
    assert rows[2] == ["rita", "security", "rita@example.org", "2027-01-31T00:00:00+00:00", second.keyid[:12], "yes"]
    assert shown[1] == {
        "name": "rita",
        "keyid": second.keyid,
        "roles": ["security"],
        "identities": ["rita@example.org"],
        "not_before": None,
        "not_after": "2027-01-31T00:00:00+00:00",
        "former_roles": {},
        "signs_here": True,
    }
    assert [each["signs_here"] for each in shown] == [False, True]


def test_the_list_says_that_the_key_here_is_not_trusted(
    gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem")
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(ssh_key(project)))

    code, out, err = gaia("key", "list")

    assert code == 0
    assert "yes" not in out
    assert "is not trusted; to add it, run `gaia key add`" in err


def test_a_key_that_cannot_be_read_is_not_shown(gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem")
    text = (project / "ci.pem").read_text()
    secret = text.splitlines()[1]
    (project / "cut.pem").write_text(text.replace(secret, secret[:-10]))

    def said(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code, out, err = gaia("key", "list")
        assert (code, out) == (4, "")
        assert secret[:20] not in err
        return err

    assert "GAIA_SIGNING_KEY: not a readable private key" in said(GAIA_SIGNING_KEY=text.replace(secret, secret[:-10]))
    assert "GAIA_SIGNING_KEY: not a readable private key" in said(GAIA_SIGNING_KEY=str(project / "ci.pem"))
    monkeypatch.delenv(KEY_VARIABLE)
    assert "GAIA_SIGNING_KEY_FILE=cut.pem: not a readable private key" in said(GAIA_SIGNING_KEY_FILE="cut.pem")
    assert "GAIA_SIGNING_KEY_FILE=gone.pem" in said(GAIA_SIGNING_KEY_FILE="gone.pem")
    assert "Use GAIA_SIGNING_KEY for the key itself" in said(GAIA_SIGNING_KEY_FILE=text)
    assert "not a readable private key" in said(GAIA_SIGNING_KEY_FILE=f"{ssh_key(project)}.pub")
    assert "not an Ed25519 key" in said(GAIA_SIGNING_KEY_FILE=str(ssh_key(project, "ecdsa")))


def test_a_malformed_file_of_a_key_is_named_with_its_line(gaia: Gaia, project: Path) -> None:
    gaia("key", "generate", "ci", "--role", "ci", "--output", "ci.pem")
    with (project / "keys" / "ci.toml").open("a") as file:
        file.write('rolls = ["ci"]\n')

    code, _, err = gaia("key", "list")

    assert code == 4
    assert "keys/ci.toml:4" in err


def test_a_retired_key_signs_nothing_more_and_what_it_signed_stays_valid(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.all_but("into_production")
    path = pipeline.keyring.folder / "ci.toml"
    path.write_text("# of the pipeline\n" + path.read_text())

    code, out, err = gaia("key", "revoke", "ci")

    assert (code, err) == (0, "")
    assert out == "keys/ci.toml: commit it. ci cannot sign from then on; earlier signatures stay valid\n"
    assert path.read_text().startswith("not_after = 20")
    assert "# of the pipeline\n" in path.read_text()
    assert gaia("ledger", "verify").code == 0
    assert gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy").code == 0
    pipeline.hold("ci", monkeypatch)
    code, _, err = gaia("api", "diff", "--release", pipeline.id, "--env", "dev", "--attest")
    assert code == 4
    assert "ci: this key is not valid now" in err
    assert "ci is retired already: not_after = " in gaia("key", "revoke", "ci").err


def test_a_role_is_taken_away_and_what_was_signed_in_it_stays_valid(
    gaia: Gaia, pipeline: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.keys["sam"] = pipeline.keyring.make("sam", "security", "product", identities=("sam@example.org",))
    pipeline.all_but("into_production")

    assert gaia("key", "revoke", "sam", "--role", "security").code == 0

    (sam,) = (key for key in trusted_keys(pipeline.keyring.folder) if key.name == "sam")
    assert (sam.roles, [role for role, _ in sam.former_roles]) == (("product",), ["security"])
    assert gaia("release", "check", pipeline.id, "--env", "production", "--pre-deploy").code == 0
    pipeline.hold("sam", monkeypatch)
    code, _, err = gaia("release", "approve", pipeline.id, "security-review", "--env", "production")
    assert code == 4
    assert "sam has product" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rite"], "rite: no trusted key has this name; did you mean rita?"),
        (["rita", "--role", "security"], "rita does not have the role security; it has release-manager"),
        (["rita", "--at", "soon"], "--at: 'soon' is not a time. Use 2027-01-31"),
        (
            ["ci", "--at", "2020-01-01"],
            "ci signed 8 entries of the ledger after that, from entry 1 on, which would not",
        ),
        (["rita", "--at", "2020-01-01", "--role", "release-manager"], "rita signed 1 entry of the"),
    ],
)
def test_a_key_is_not_retired_by_accident(gaia: Gaia, pipeline: Underway, arguments: list[str], said: str) -> None:
    pipeline.through_local()
    pipeline.through_dev()
    before = {path: path.read_text() for path in pipeline.keyring.folder.iterdir()}

    code, out, err = gaia("key", "revoke", *arguments)

    assert (code, out) == (4, "")
    assert said in err
    assert {path: path.read_text() for path in pipeline.keyring.folder.iterdir()} == before


def test_a_file_in_another_form_is_left_to_people(gaia: Gaia, pipeline: Underway) -> None:
    path = pipeline.keyring.folder / "rita.toml"
    path.write_text(
        path.read_text().replace('["release-manager"]', "").replace("['release-manager']", "[\n  'release-manager',\n]")
    )

    code, _, err = gaia("key", "revoke", "rita", "--role", "release-manager")

    assert code == 4
    assert (
        'this file cannot be edited automatically. Set in it: roles = [], former_roles = { "release-manager" = 20'
        in err
    )


def test_a_public_key_is_shown_as_pem_whatever_its_form_in_the_file(gaia: Gaia, project: Path) -> None:
    private = ssh_key(project)
    assert gaia("key", "add", "ci", f"{private}.pub", "--role", "ci").code == 0

    code, out, err = gaia("key", "show", "ci")

    assert (code, err) == (0, "")
    (project / "ci.pub.pem").write_text(out)
    openssl = ["openssl", "pkey", "-pubin", "-in", "ci.pub.pem", "-outform", "DER"]
    der = subprocess.run(openssl, cwd=project, capture_output=True, check=True).stdout
    (shown,) = json.loads(gaia("key", "list", "--json").out)
    assert hashlib.sha256(der).hexdigest() == shown["keyid"]
    code, out, err = gaia("key", "show", "cia")
    assert (code, out) == (4, "")
    assert "cia: no trusted key has this name; did you mean ci?" in err
