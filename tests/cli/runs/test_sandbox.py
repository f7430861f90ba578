"""``gaia sandbox up``: real services until a signal, and cleanup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import GAIA, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Gaia = Callable[..., Outcome]


@contextmanager
def up(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a sandbox; yield its process and its JSON."""
    process = subprocess.Popen(
        [GAIA, "sandbox", "up", "--json", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=30)[1]
        yield process, json.loads(line)
    finally:
        process.terminate()
        process.communicate(timeout=30)


def status(url: str, key: str | None = None) -> int:
    """Return the status of a GET of ``url``."""
    request = urllib.request.Request(url, headers={"X-API-Key": key} if key else {})
    # Without a proxy: a variable of the machine must not come between a test and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def processes_of(directory: str) -> dict[int, str]:
    """Return id → command line of the processes that name ``directory``."""
    # -ww: whole lines, however wide the terminal claims to be.
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    pairs = (line.split(maxsplit=1) for line in listing.splitlines() if directory in line)
    return {int(number): command for number, command in pairs}


def test_its_variables_lead_to_the_services(project: Path) -> None:
    with up() as (_, told):
        variables = told["variables"]
        gateway = variables["GAIA_GATEWAY_URL"]

        assert status(f"{gateway}/health") == 200
        assert status(f"{gateway}/api/v0.2/providers", variables["GAIA_API_KEY"]) == 200
        assert status(f"{gateway}/api/v0.2/providers", "wrong") == 403
        shown = subprocess.run(
            [GAIA, "env", "show", "--json"], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        settings = json.loads(shown.stdout)["settings"]
        assert settings["name"] == {"value": "local", "source": "GAIA_ENV"}
        assert settings["urls.asset"] == {"value": variables["GAIA_ASSET_URL"], "source": "GAIA_ASSET_URL"}
        assert settings["writes"]["value"] is True
        assert settings["secrets.jwt_secret"]["source"] == "GAIA_JWT_SECRET"


def test_a_service_of_the_project_is_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gaia.toml").write_text(
        '[services.orders]\nhealth = "/"\nhealthy = {}\nvariable = "SHOP_ORDERS"\n'
        '[services.orders.sandbox]\ncommand = ["python", "-m", "http.server", "{port}", "--bind", "{host}"]\n'
        "[services.billing]\n"
    )
    monkeypatch.chdir(tmp_path)
    with up() as (_, told):
        assert told["services"] == {"orders": told["variables"]["GAIA_SHOP_ORDERS_URL"], "billing": None}
        assert set(told["variables"]) == {"GAIA_ENV", "GAIA_SHOP_ORDERS_URL"}
        assert status(told["services"]["orders"]) == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_and_nothing_is_left(project: Path, number: signal.Signals) -> None:
    with up() as (process, told):
        assert Path(told["logs"]).is_dir()
        assert processes_of(told["logs"])

        process.send_signal(number)
        _, err = process.communicate(timeout=30)

        assert (process.returncode, err) == (0, "The sandbox is stopped.\n")
        assert not Path(told["logs"]).exists()
        assert processes_of(told["logs"]) == {}


@pytest.mark.slow("sandbox")
def test_with_the_topology_of_staging_it_is_still_local(project: Path) -> None:
    with up("-e", "staging") as (_, told):
        variables = told["variables"]

        assert told["environment"] == "staging"
        assert variables["GAIA_ENV"] == "local"
        assert variables["GAIA_NATS_URL"] == "disabled"
        assert "GAIA_ASSET_URL" not in variables
        assert status(f"{variables['GAIA_GATEWAY_URL']}/api/v0.2/providers", variables["GAIA_API_KEY"]) == 503


@pytest.mark.slow("sandbox")
def test_services_can_be_left_out(project: Path) -> None:
    with up("--without", "asset,nats", "--no-known-bugs") as (_, told):
        variables = told["variables"]

        with pytest.raises(urllib.error.URLError):
            status(f"{variables['GAIA_ASSET_URL']}/health")
        assert status(f"{variables['GAIA_CHAT_URL']}/health") == 200


def test_it_offers_the_api_of_the_newest_release(project: Path) -> None:
    with up("--api", "next", "--without", "kb") as (_, told):
        variables = told["variables"]

        with pytest.raises(urllib.error.URLError):
            status(f"{variables['GAIA_KB_URL']}/health")
        assert status(f"{variables['GAIA_WEB_URL']}/health") == 200
        assert status(f"{variables['GAIA_GATEWAY_URL']}/api/v0.3/conversations", variables["GAIA_API_KEY"]) == 200


def test_it_prints_addresses_logs_and_export_lines(project: Path) -> None:
    with subprocess.Popen(
        [GAIA, "sandbox", "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("export GAIA_JWT_SECRET="):
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert lines[0].startswith("The sandbox is ready. Stop it with Ctrl-C. Logs: /")
    assert any(line.startswith("gateway   http://127.0.0.1:") for line in lines)
    assert any(line.startswith("postgres  postgresql://gaia:***@127.0.0.1:") for line in lines)
    exports = "".join(line for line in lines if line.startswith("export "))
    told = subprocess.run(["sh", "-c", f"{exports}env"], capture_output=True, text=True, check=True).stdout
    assert "GAIA_ENV=local\n" in told
    assert "GAIA_DATABASE_URL=postgresql://gaia:" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--as", "stagign"), "gaia: note: `gaia sandbox up --as ENV` is now `gaia sandbox up --env ENV`"),
        (("--env", "stagign"), "gaia: --env: unknown environment 'stagign'; did you mean staging?"),
        (("--without", "assets"), "--without: unknown service 'assets'; did you mean asset?"),
        (("--api", "nxt"), "--api: unknown API 'nxt'; did you mean next? Known: current, next."),
    ],
)
def test_a_usage_error_exits_4_and_starts_nothing(gaia: Gaia, options: tuple[str, ...], message: str) -> None:
    code, out, err = gaia("sandbox", "up", *options)

    assert (code, out) == (4, "")
    assert message in err


@pytest.mark.slow("sandbox")
def test_a_crash_of_the_sandbox_is_reported(project: Path) -> None:
    with up() as (process, told):
        (supervisor,) = (pid for pid, command in processes_of(told["logs"]).items() if "__main__.py" in command)
        os.kill(supervisor, signal.SIGKILL)

        _, err = process.communicate(timeout=30)

        assert process.returncode == 12
        assert "gaia: The sandbox ended unexpectedly." in err
