"""``gaia env list`` and ``gaia env show``."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import GAIA, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    Gaia = Callable[..., Outcome]


def rows(text: str) -> dict[str, list[str]]:
    """Return first cell → the other cells of an aligned table."""
    lines = text.splitlines()
    starts = [0, *(at + 2 for at in range(len(lines[0])) if lines[0][at : at + 2] == "  " and lines[0][at + 2] != " ")]
    ends = [*starts[1:], None]
    cells = [[line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines[1:]]
    return {first: rest for first, *rest in cells}


def test_list_shows_built_in_and_own_environments_and_the_default(gaia: Gaia) -> None:
    code, out, err = gaia("env", "list")

    table = rows(out)
    assert (code, err) == (0, "")
    assert list(table) == ["sandbox", "local", "dev", "staging", "production", "preview"]
    assert table["sandbox"] == ["", "yes", "all", "its own", "default"]
    production = ["production", "no", "gateway, postgres", "https://gaia-gateway-production.fly.dev", ""]
    assert table["production"] == production
    assert table["preview"] == ["", "no", "all", "https://gateway.preview.example", ""]


def test_list_shows_what_selects_the_environment(gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_ENV", "preview")

    table = rows(gaia("env", "list").out)

    assert {name: row[4] for name, row in table.items() if row[4]} == {"preview": "GAIA_ENV"}


def test_list_adds_the_environment_of_a_url_variable(gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_ASSET_URL", "http://localhost:9001")

    assert rows(gaia("env", "list").out)["adhoc"] == [
        "",
        "no",
        "asset",
        "asset: http://localhost:9001",
        "GAIA_ASSET_URL",
    ]


def test_list_as_json_has_one_object_for_each_environment(gaia: Gaia) -> None:
    found = json.loads(gaia("env", "list", "--json").out)

    assert [each["name"] for each in found][-2:] == ["production", "preview"]
    assert found[3] == {
        "name": "staging",
        "role": "staging",
        "writes": True,
        "services": ["gateway", "postgres"],
        "entry": "gateway",
        "urls": {"gateway": "https://gaia-gateway-staging.fly.dev", "nats": "disabled"},
        "chosen_by": None,
    }


def test_list_names_a_broken_environment_and_shows_the_others(gaia: Gaia, project: Path) -> None:
    with (project / "gaia.toml").open("a", encoding="utf-8") as file:
        file.write("[env.empty]\nwrites = true\n")

    code, out, err = gaia("env", "list")

    assert code == 0
    assert "empty" not in rows(out)
    assert "preview" in rows(out)
    assert "gaia: empty: " in err
    assert "has no address" in err


def test_show_gives_each_value_with_its_source(gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_PREVIEW_API_KEY", "hunter2")
    monkeypatch.setenv("GAIA_NATS_URL", "nats://me:hunter2@nats.example:4222")

    code, out, err = gaia("env", "show", "preview")

    table = rows(out)
    assert (code, err) == (0, "")
    assert table["name"] == ["command line", "preview"]
    assert table["urls.asset"] == ["gaia.toml:6", "https://asset.preview.example"]
    assert table["urls.nats"] == ["GAIA_NATS_URL", "nats://me:***@nats.example:4222"]
    assert table["secrets.api_key"] == ["GAIA_PREVIEW_API_KEY", "***"]
    assert table["secrets.token"] == ["-", "not set (GAIA_PREVIEW_TOKEN or GAIA_TOKEN)"]
    assert table["timeouts.ready"] == ["default", "15 s"]
    assert table["suites"] == ["default", "all"]
    assert "hunter2" not in out


def test_show_as_json_masks_secrets_too(gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_API_KEY", "hunter2")
    monkeypatch.setenv("GAIA_DATABASE_URL", "postgresql://me:hunter2@h/d")

    out = gaia("env", "show", "staging", "--json").out

    settings = json.loads(out)["settings"]
    assert settings["secrets.api_key"] == {"value": "***", "source": "GAIA_API_KEY"}
    assert settings["secrets.token"] == {"value": None, "source": None}
    assert settings["services"] == {"value": ["gateway", "postgres"], "source": "default"}
    assert settings["writes"] == {"value": True, "source": "default"}
    assert "hunter2" not in out


def test_show_without_a_name_shows_the_default_environment(gaia: Gaia, project: Path) -> None:
    (project / ".env").write_text("GAIA_ENV=dev\n", encoding="utf-8")

    assert rows(gaia("env", "show").out)["name"] == [".env:1", "dev"]


def test_show_takes_urls_as_a_run_does(gaia: Gaia) -> None:
    table = rows(gaia("env", "show", "--url", "asset=http://localhost:9001").out)

    assert table["name"] == ["--gaia-url", "adhoc"]
    assert table["urls.asset"] == ["--gaia-url", "http://localhost:9001"]
    assert table["writes"] == ["default", "no"]


def test_the_sandbox_has_no_addresses_before_it_starts(gaia: Gaia) -> None:
    table = rows(gaia("env", "show", "sandbox").out)

    assert table["urls.gateway"] == table["secrets.api_key"] == ["-", "set when the sandbox starts"]


def test_the_project_is_found_from_a_folder_below(gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "checks" / "health")

    assert rows(gaia("env", "show", "preview").out)["urls.gateway"][0] == "gaia.toml:6"


def test_outside_of_a_project_there_is_the_sandbox(
    gaia: Gaia, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    code, out, err = gaia("env", "list")

    assert code == gaia("env", "show").code == 0
    assert list(rows(out)) == ["sandbox"]
    assert err == (
        "gaia: not configured in this project: local, dev, staging, production\n"
        "gaia: no services are declared; `gaia init` writes [services.NAME] to gaia.toml\n"
    )


def test_a_project_without_the_platform_sees_no_host_of_gaia(gaia: Gaia, project: Path) -> None:
    text = (project / "gaia.toml").read_text(encoding="utf-8").replace('platform = "gaia"\n', "")
    text += "[services.orders]\n"
    (project / "gaia.toml").write_text(text, encoding="utf-8")

    code, out, err = gaia("env", "list")

    assert (code, list(rows(out))) == (0, ["sandbox", "preview"])
    assert "fly.dev" not in out + err + gaia("env", "list", "--json").out
    for command in (["env", "show", "staging"], ["status", "staging"], ["deploy", "staging"]):
        code, out, err = gaia(*command)
        assert (code, out, err.count("\n")) == (4, "", 1)
        assert "the environment staging is not configured" in err
        assert "`gaia init` writes both" in err


def test_an_unknown_environment_exits_4_with_the_nearest_name(gaia: Gaia) -> None:
    code, out, err = gaia("env", "show", "stagign")

    assert (code, out) == (4, "")
    assert err.startswith("gaia: command line: unknown environment 'stagign'; did you mean staging? Known: dev, local")


def test_a_usage_error_in_the_project_file_exits_4_with_its_place(gaia: Gaia, project: Path) -> None:
    (project / "gaia.toml").write_text("[env.staging]\nurll = 1\n", encoding="utf-8")

    for command in (["env", "list"], ["env", "show", "dev"], ["test"], ["sandbox", "up"]):
        code, out, err = gaia(*command)
        assert (code, out) == (4, "")
        assert err == f"gaia: gaia.toml:2: env.staging.urll: unknown key; {err.partition('unknown key; ')[2]}"
        assert "did you mean url?" in err


def test_a_host_of_another_environment_exits_12(gaia: Gaia, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAIA_GATEWAY_URL", "https://gaia-gateway-production.fly.dev")

    code, _, err = gaia("env", "show", "staging")

    assert code == 12
    assert "belongs to production" in err


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """Return the output of ``gaia`` on a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    with subprocess.Popen([GAIA, *arguments], stdout=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:
            # Linux reports a closed terminal as EIO, other systems as end of file.
            pass
        finally:
            os.close(ours)
        assert process.wait(30) == 0
    return written.decode()


def test_a_terminal_gets_a_table_that_fits_it(project: Path) -> None:
    written = on_a_terminal("env", "show", "staging", NO_COLOR="1")

    lines = written.splitlines()
    assert any(set(line.strip()) == {"─"} for line in lines)
    assert max(map(len, lines)) <= 100
    assert "gaia-nats-staging.fly.dev" in written


def test_no_color_is_respected(project: Path) -> None:
    assert "\x1b[" in on_a_terminal("env", "list")
    assert "\x1b[" not in on_a_terminal("env", "list", NO_COLOR="1")


def test_a_closed_pipe_is_no_error(project: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" env show staging --json | true', GAIA],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_message(project: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([GAIA, "env", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (4, "gaia: cannot write the output: No space left on device.\n")
