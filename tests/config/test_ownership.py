"""Whose an address is: another environment's is refused, an unknown one is no evidence for a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config import catalogue
from pytest_gaia.config.layers import merge
from pytest_gaia.config.ownership import misplaced
from pytest_gaia.config.project import Project
from pytest_gaia.config.resolve import Options, resolve, resolve_each
from pytest_gaia.errors import EnvironmentUnavailable
from tests.projects import SERVICES_OF_GAIA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_gaia.config.layers import Layer

PROJECT = """
[env.local]
url = "http://localhost:8666"
[env.dev]
url = "https://{service}.dev.example.org"
nats = "nats://broker.dev.example.org"
[env.staging]
url = "https://staging.example.org"
hosts = ["*.staging.example.org", "shared.example.org"]
[env.production]
url = "https://shared.example.org/production"
hosts = ["db.example.org"]
[env.twin]
url = "http://localhost:8666"
"""
DEV = {
    "GAIA_DEV_GATEWAY_URL": "http://127.0.0.1:4001",
    "GAIA_DEV_NATS_URL": "nats://gaia:s3cret@127.0.0.1:4002",
    "GAIA_DEV_DATABASE_URL": "postgresql://gaia:s3cret@127.0.0.1:4003/gaia",
    "GAIA_STAGING_CHAT_URL": "no address",
    "GAIA_STAGING_DATABASE_URL": "postgresql://[",
}


def resolved(folder: Path, env: str, variables: dict[str, str], *urls: str) -> object:
    (folder / "gaia.toml").write_text(PROJECT + SERVICES_OF_GAIA)
    return resolve(Options(project=Project(folder), environ=variables, env=env, urls=urls))


@pytest.mark.parametrize(
    ("env", "variables", "urls", "where", "owner"),
    [
        ("local", {"GAIA_LOCAL_GATEWAY_URL": "https://gateway.dev.example.org"}, (), "gateway.dev.example.org:443", "dev"),
        ("local", {"GAIA_GATEWAY_URL": "https://STAGING.example.org."}, (), "staging.example.org:443", "staging"),
        ("local", {}, ("http://chat.dev.example.org:8080",), "chat.dev.example.org:8080", "dev"),
        ("local", {}, ("https://a.staging.example.org",), "a.staging.example.org", "staging"),
        ("local", {"GAIA_NATS_URL": "nats://me:s3cret@broker.dev.example.org:9"}, (), "broker.dev.example.org:9", "dev"),
        ("local", DEV | {"GAIA_LOCAL_GATEWAY_URL": "http://127.0.0.1:4001/"}, (), "127.0.0.1:4001", "dev"),
        ("local", DEV, ("http://localhost:4001",), "localhost:4001", "dev"),
        ("local", DEV | {"GAIA_NATS_URL": DEV["GAIA_DEV_NATS_URL"]}, (), "127.0.0.1:4002", "dev"),
        ("local", DEV | {"GAIA_DATABASE_URL": DEV["GAIA_DEV_DATABASE_URL"]}, (), "127.0.0.1:4003", "dev"),
        ("local", {"GAIA_DATABASE_URL": "postgresql://u:s3cret@/gaia", "PGHOST": "DB.example.org"}, (), "db.example.org", "production"),
        ("dev", {}, ("http://127.0.0.1:8666",), "127.0.0.1:8666", "local"),
    ],
)  # fmt: skip
def test_an_address_of_another_environment_is_refused(
    tmp_path: Path, env: str, variables: dict[str, str], urls: tuple[str, ...], where: str, owner: str
) -> None:
    with pytest.raises(EnvironmentUnavailable) as error:
        resolved(tmp_path, env, variables, *urls)

    assert f" is {where}, which belongs to {owner}. Nothing was sent." in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("env", "variables", "urls"),
    [
        ("local", {}, ()),
        ("twin", {}, ()),
        ("staging", {}, ("https://shared.example.org/staging",)),
        ("adhoc", {}, ("http://localhost:8666",)),
        ("local", DEV, ("http://127.0.0.1:4009",)),
        ("local", DEV | {"GAIA_DATABASE_URL": "postgresql://gaia:s3cret@127.0.0.1:4003/mine"}, ()),
        ("local", DEV | {"GAIA_DATABASE_URL": "postgresql://me:s3cret@127.0.0.1:4003/gaia"}, ()),
        ("local", DEV | {"GAIA_NATS_URL": "nats://me:s3cret@127.0.0.1:4002"}, ()),
    ],
)
def test_environments_share_what_files_say_and_servers_by_user_and_path(
    tmp_path: Path, env: str, variables: dict[str, str], urls: tuple[str, ...]
) -> None:
    assert resolved(tmp_path, env, variables, *urls)


def test_dotenv_is_no_way_around(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GAIA_LOCAL_GATEWAY_URL=https://gateway.dev.example.org\n")

    with pytest.raises(EnvironmentUnavailable, match=r"source: \.env:1\) is .* belongs to dev"):
        resolved(tmp_path, "local", {})


KNOWN = 'url = "https://gw.example.org"\nhosts = ["*.fly.dev"]\n'
LATER = '[env.preview.stage]\npromote_from = "local"\n'
ALLOWED = "loopback = true\n"


@pytest.mark.parametrize(
    ("settings", "address", "why"),
    [
        (KNOWN, "gw.example.org:443", ""),
        (KNOWN, "a.fly.dev:8080", ""),
        (KNOWN + LATER, "gw.example.org:443", ""),
        (KNOWN + LATER, "stub.example.org:443", "not one of the hosts of preview (*.fly.dev, gw.example.org)"),
        (
            KNOWN + LATER,
            "localhost:8000",
            "is on this machine, but preview follows local; this needs loopback = true in [env.preview]",
        ),
        (KNOWN + LATER, "[::ffff:127.0.0.1]:8000", "is on this machine"),
        (KNOWN + LATER, "0x7f.1:8000", "is on this machine"),
        (KNOWN + ALLOWED + LATER, "127.0.0.1:8000", ""),
        (KNOWN + ALLOWED + LATER, "stub.example.org:443", "not one of the hosts"),
        ('url = "http://localhost:1"\n' + LATER, "localhost:1", "is on this machine"),
        (KNOWN, "127.0.0.1:8000", "not one of the hosts"),
        (KNOWN + ALLOWED, "127.0.0.1:8000", ""),
        ('url = "http://localhost:1"\n', "127.0.0.1:2", ""),
        ('url = "http://localhost:1"\n', "stub.example.org:1", "not one of the hosts of preview (localhost)"),
        ("", "anything:1", ""),
        ("", "127.0.0.1:1", ""),
        (LATER, "anything:1", "no host of preview is known"),
    ],
)
def test_only_a_known_address_is_evidence_and_this_machine_only_where_a_release_begins(
    tmp_path: Path, settings: str, address: str, why: str
) -> None:
    (tmp_path / "gaia.toml").write_text(f"[env.preview]\n{settings}\n{SERVICES_OF_GAIA}")
    variables = {"GAIA_PREVIEW_GATEWAY_URL": f"http://{address}"}
    environment = resolve(Options(project=Project(tmp_path), environ=variables, env="preview"))

    found = misplaced(environment, {"gateway": (address,), "nats": ("anywhere:4222",), "postgres": ("localhost:1",)})

    assert [why in each for each in found] == ([True] if why else [])
    assert all(each.startswith(f"gateway at {address} ") for each in found)
    assert misplaced(environment) == misplaced(environment, {"gateway": (environment.addresses["gateway"],)})


@pytest.mark.parametrize(
    ("address", "why"), [("127.0.0.1:8000", ""), ("gw.example.org:443", "but live has loopback = true")]
)
def test_production_with_loopback_is_tested_on_this_machine_only(tmp_path: Path, address: str, why: str) -> None:
    settings = '[env.live]\nrole = "production"\nloopback = true\nurl = "https://gw.example.org"\n'
    stage = '[env.live.stage]\npromote_from = "local"\nsoak = "0h"\n'
    (tmp_path / "gaia.toml").write_text(settings + stage + SERVICES_OF_GAIA)
    environment = resolve(Options(project=Project(tmp_path), environ={}, env="live"))

    found = misplaced(environment, {"gateway": (address,)})

    assert [why in each for each in found] == ([True] if why else [])


# Neither an environment without a role nor another one may have an address of production.
LIVE = """
[env.production]
url = "https://api.example.org"
[env.staging]
url = "https://staging.example.org"
[env.mine]
writes = true
{}
"""


@pytest.mark.parametrize(
    ("production", "mine", "where"),
    [
        ("hosts = []", 'url = "https://api.example.org"', "api.example.org:443"),
        ("hosts = []", 'url = "http://API.example.org:8080/v1"\nhosts = ["api.example.org"]', "api.example.org:8080"),
        ('hosts = ["db.example.org"]', 'url = "https://db.example.org"\nhosts = ["db.example.org"]', "db.example.org"),
        ('hosts = ["*.example.org"]', 'url = "https://a.example.org"\nhosts = ["*.example.org"]', "a.example.org"),
        ('hosts = ["gaia-live.fly.dev"]', 'url = "http://gaia-live.internal:8000"', "gaia-live.internal"),
        ('hosts = ["gaia-live.fly.dev"]', 'url = "http://iad.GAIA-live.internal."', "iad.gaia-live.internal"),
        ('hosts = ["gaia-live.fly.dev"]', 'url = "http://gaia-live.flycast"\nhosts = ["*.flycast"]', "gaia-live.flycast"),
        ('urls.auth = "https://gaia-live.fly.dev"', 'url = "http://gaia-live.flycast"', "gaia-live.flycast:80"),
    ],
)  # fmt: skip
def test_no_file_gives_an_address_of_production_to_another_environment(
    tmp_path: Path, production: str, mine: str, where: str
) -> None:
    text = LIVE.format(mine).replace("[env.staging]", f"{production}\n[env.staging]")
    (tmp_path / "gaia.toml").write_text(text + SERVICES_OF_GAIA)

    with pytest.raises(EnvironmentUnavailable, match=f" is {where}, which belongs to production. Nothing was sent."):
        resolve(Options(project=Project(tmp_path), environ={}, env="mine"))


@pytest.mark.parametrize(
    ("mine", "refused"),
    [
        ('url = "https://203.0.113.7"', "203.0.113.7"),
        ('url = "http://[2001:db8::1]:8000"', "2001:db8::1"),
        ('url = "http://3405803783"', "3405803783"),
        ('url = "http://203.0.113.7"\nhosts = ["203.0.113.7"]', ""),
        ('url = "http://127.0.0.1:8000"', ""),
        ('url = "http://[::1]:8000"', ""),
    ],
)
def test_an_ip_address_belongs_to_an_environment_only_if_it_says_so(tmp_path: Path, mine: str, refused: str) -> None:
    (tmp_path / "gaia.toml").write_text(LIVE.format(mine) + SERVICES_OF_GAIA)
    options = Options(project=Project(tmp_path), environ={}, env="mine")

    if not refused:
        assert resolve(options).urls
        return
    with pytest.raises(EnvironmentUnavailable) as error:
        resolve(options)
    assert f"is the IP address {refused}, which could belong to any environment. Nothing was sent." in str(error.value)
    assert "add it to `hosts` in [env.mine] of gaia.toml" in str(error.value)


def test_each_environment_is_merged_a_few_times_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = 0

    def counted(layers: Iterable[Layer]) -> Layer:
        nonlocal merged
        merged += 1
        return merge(layers)

    monkeypatch.setattr(catalogue, "merge", counted)
    costs = []
    for count in (5, 10, 15):
        merged = 0
        tables = (
            f'[env.e{n}]\nhosts = ["e{n}.org"]\n[env.e{n}.urls]\nchat = "https://e{n}.org"\n' for n in range(count)
        )
        (tmp_path / "gaia.toml").write_text("[services.chat]\n" + "".join(tables))
        resolve_each(Options(project=Project(tmp_path), environ={}))
        costs.append(merged)

    assert costs[2] - costs[1] == costs[1] - costs[0]
