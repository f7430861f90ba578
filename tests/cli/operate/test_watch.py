"""``gaia status ENV --watch`` and ``--probe``: in a pipe, on a terminal and as JSON, and the summary at the end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gaia.cli.options import format_duration, seconds
from pytest_gaia.errors import ConfigError
from pytest_gaia.run.sandbox import Sandbox
from tests.cli.conftest import GAIA, Outcome
from tests.observation.scripted import Says, ScriptedService, healthy, says
from tests.projects import gaia_platform
from tests.slow import in_full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Gaia = Callable[..., Outcome]
    Here = Callable[..., ScriptedService]


@pytest.fixture
def here(project: Path) -> Iterator[Here]:
    """Return a function that starts the environment ``here``: a gateway with these responses, and others at given addresses."""
    started: list[ScriptedService] = []

    def start(*answers: Says, **others: str) -> ScriptedService:
        started.append(ScriptedService(*answers))
        urls = {"gateway": started[-1].url, **others}
        lines = "".join(f'{service} = "{url}"\n' for service, url in urls.items())
        with (project / "gaia.toml").open("a") as file:
            file.write(f'[env.here]\nservices = ["gateway"]\n[env.here.urls]\n{lines}')
        return started[-1]

    yield start
    for each in started:
        each.close()


def nobody() -> str:
    """Return an address without a listener."""
    server = ScriptedService(healthy())
    server.close()
    return server.url


def test_a_probe_shows_every_service(gaia: Gaia, here: Here) -> None:
    server = here(healthy(), chat=nobody())

    code, out, err = gaia("status", "here", "--probe")

    assert (code, err, server.asked) == (1, "", 1)
    assert re.search(r"^gateway +ready +\d+ ms +0\.2$", out, re.MULTILINE)
    assert re.search(r"^chat +unreachable +connection refused", out, re.MULTILINE)


def test_a_probe_of_a_whole_environment(gaia: Gaia, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox.start(gaia_platform()) as sandbox:
        stack = sandbox.stack("main")
        addresses = {f"GAIA_LOCAL_{name.upper()}_URL": url for name, url in stack.urls.items()}
        for name, value in {
            **addresses,
            "GAIA_LOCAL_NATS_URL": stack.nats,
            "GAIA_LOCAL_DATABASE_URL": stack.dsn,
        }.items():
            monkeypatch.setenv(name, value)
        code, out, _ = gaia("status", "local", "--probe", "--json")
        sandbox.stop_service("nats")
        without = gaia("status", "local", "--probe", "--json")

    services = {each["service"]: each for each in json.loads(out)["services"]}
    assert code == 0
    assert {name: each["state"] for name, each in services.items()} == dict.fromkeys(
        ("gateway", "auth", "asset", "chat", "nats", "postgres"), "ready"
    )
    assert stack.dsn not in out
    # Nothing but a client on the broker notices.
    states = {each["service"]: each["state"] for each in json.loads(without.out)["services"]}
    assert (without.code, states["gateway"], states["nats"]) == (1, "ready", "unreachable")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(healthy(), 0), (says("degraded"), 0), (says("unhealthy"), 1), (Says(503), 1), (Says(200, {}), 1)],
    ids=["healthy", "degraded, as in gateway-only", "unhealthy", "503", "empty body"],
)
def test_the_exit_code_follows_from_the_last_sample(gaia: Gaia, here: Here, answer: Says, code: int) -> None:
    here(answer)

    assert gaia("status", "here", "--probe").code == code


def test_an_unreachable_environment_exits_12(gaia: Gaia, here: Here) -> None:
    here(healthy()).close()

    code, out, _ = gaia("status", "here", "--watch", "0.1", "--for", "0.3")

    assert code == 12
    assert "unreachable" in out


def test_in_a_pipe_there_is_a_line_per_sample_and_a_summary(gaia: Gaia, here: Here) -> None:
    server = here(healthy(), says("unhealthy"), healthy("0.3"))

    code, out, _ = gaia("status", "here", "--watch", "0.1s", "--for", "3")

    lines = out.splitlines()
    looks = [line for line in lines if re.match(r"\S+  gateway (ready|unhealthy) \d+ ms$", line)]
    assert code == 0
    assert len(looks) == server.asked > 2
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00  ", looks[0])
    assert lines[2].endswith("  changed: gateway: ready → unhealthy: reports 'unhealthy'")
    (title,) = (line for line in lines if line.startswith("here: "))
    assert re.fullmatch(rf"here: {server.asked} samples in \d+\.\d s", title)
    assert re.search(rf"^gateway +ready .* {100 * (server.asked - 1) / server.asked:.4g} %$", out, re.MULTILINE)
    assert [line.partition("  ")[2] for line in lines[-3:]] == [
        "gateway: ready → unhealthy: reports 'unhealthy'",
        "gateway: unhealthy → ready",
        "gateway: version 0.2 → 0.3",
    ]


def test_json_has_a_line_per_sample_and_a_summary(gaia: Gaia, here: Here) -> None:
    here(healthy(), Says(503))

    code, out, _ = gaia("status", "here", "--watch", "0.1", "--for", "2", "--json")

    *looks, summary = (json.loads(line) for line in out.splitlines())
    assert code == 1
    assert {look["line"] for look in looks} == {"sample"}
    assert looks[1]["changes"] == ["gateway: ready → unhealthy: GET /health returned 503"]
    assert (summary["line"], summary["environment"], summary["samples"]) == ("summary", "here", len(looks))
    gateway = summary["services"]["gateway"]
    assert (gateway["samples"], gateway["well"], gateway["state"]) == (len(looks), 1, "unhealthy")
    assert gateway["first_ms"] == looks[0]["services"][0]["latency_ms"]
    assert gateway["worst_ms"] == max(look["services"][0]["latency_ms"] for look in looks[1:])


@contextmanager
def watching(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Watch ``here`` in a process of its own."""
    command = [str(GAIA), "status", "here", "--watch", "0.1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, *map(in_full, (signal.SIGTERM, signal.SIGHUP))])
@pytest.mark.parametrize(("answer", "code"), [(healthy(), 0), (says("unhealthy"), 1)], ids=["well", "unwell"])
def test_a_signal_ends_with_a_summary(here: Here, number: signal.Signals, answer: Says, code: int) -> None:
    here(answer)
    with watching() as process:
        assert process.stdout is not None
        assert "gateway" in process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (code, "")
    assert "here: " in out
    assert re.search(r"^service +state +last +mean +max +first +healthy +reason$", out, re.MULTILINE)


def test_signal_handlers_are_restored(gaia: Gaia, here: Here) -> None:
    here(healthy())
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    gaia("status", "here", "--probe")

    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_hanging_probe_does_not_delay_the_end(here: Here) -> None:
    asked, never = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        never.wait(60)

    here(Says(first=hang))
    with watching() as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        never.set()

    assert (process.returncode, out.partition(" in ")[0], err) == (12, "here: 0 samples", "")


def test_a_closed_pipe_ends_it_quietly(here: Here) -> None:
    here(healthy())
    with watching() as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


class Terminal:
    """A terminal that runs ``gaia status here --watch``."""

    def __init__(self, *options: str, **variables: str) -> None:
        self._screen, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.shown = ""

        def take() -> None:
            # Ctrl-C reaches those whose terminal it is.
            fcntl.ioctl(inner, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            [GAIA, "status", "here", "--watch", "0.1", *options],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            # It makes one system call and takes no lock, which is safe in spite of threads.
            preexec_fn=take,  # noqa: PLW1509
            env={**os.environ, "TERM": "xterm-256color", **variables},
        )
        os.close(inner)

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            ready, _, _ = select.select([self._screen], [], [], 30)
            assert ready, self.shown
            self.shown += os.read(self._screen, 65536).decode()

    def press(self, key: bytes) -> int:
        """Press a key, read to the end, and return the exit code."""
        os.write(self._screen, key)
        while True:
            try:
                piece = os.read(self._screen, 65536)
            except OSError:
                # Linux reports a closed terminal as an error, other systems as empty input.
                break
            if not piece:
                break
            self.shown += piece.decode()
        os.close(self._screen)
        return self._process.wait(30)


def test_on_a_terminal_the_table_is_live_and_ctrl_c_prints_the_summary(here: Here) -> None:
    here(healthy(), says("unhealthy"), healthy())
    terminal = Terminal()
    terminal.read_until("here: 3 samples")
    terminal.read_until("stop with Ctrl-C")

    assert terminal.press(b"\x03") == 0
    assert "\x1b[32mready" in terminal.shown
    assert "\x1b[31munhealthy" in terminal.shown
    summary = terminal.shown.rpartition("here: ")[2]
    assert re.match(r"\d+ samples in \d+\.\d s", summary)
    assert "gateway: ready → unhealthy" in summary
    # The cursor is there again.
    assert terminal.shown.rpartition("\x1b[?25")[2].startswith("h")


def test_the_old_command_prints_a_notice(gaia: Gaia, here: Here) -> None:
    here(healthy())

    code, out, err = gaia("monitor", "here", "--once", "--json")

    assert (code, json.loads(out)["environment"]) == (0, "here")
    assert err.startswith("gaia: note: `gaia monitor ENV --once` is now `gaia status ENV --probe`")
    # Options keep their values.
    assert gaia("monitor", "here", "--interval", "0.1s", "--for", "0.2s").code == 0


def test_without_colors_there_are_none(here: Here) -> None:
    here(says("unhealthy"))
    terminal = Terminal(NO_COLOR="1")
    terminal.read_until("here: 2 samples")

    assert terminal.press(b"\x03") == 1
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.shown.replace("\x1b[0m", ""))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("stagign", "--probe"), "unknown environment 'stagign'; did you mean staging?"),
        (("sandbox", "--watch"), "the sandbox has no address until it runs"),
        (("local", "--watch", "soon"), "cannot observe the environment 'soon'"),
        (("local", "--watch=soon"), "--watch: 'soon' is not a duration. Use seconds, or 90s, 10m, 2h, 1d."),
        (("local", "--watch", "0"), "--watch: '0' is out of range. Use 0.1 seconds to 30 days."),
        (("local", "--watch", "--for", "-3s"), "--for: '-3s' is not a duration"),
        (("local", "--for", "3s"), "--for needs --watch"),
        (("local", "--probe", "--watch"), "--probe takes one environment, and no --watch"),
        (("--probe",), "--probe takes one environment"),
    ],
)
def test_a_usage_error_is_reported_before_any_query(gaia: Gaia, options: tuple[str, ...], message: str) -> None:
    code, out, err = gaia("status", *options)

    assert (code, out) == (4, "")
    assert message in err


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2 h", 7200), (" 1d ", 86400)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text, "--for") == value


@pytest.mark.parametrize("text", ["", "s", "1w", "1h30m", "1e3", "nan", "1000d", "1_000", "\uff19"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="--for"):
        seconds(text, "--for")


@pytest.mark.parametrize(("value", "text"), [(3.04, "3.0 s"), (61, "1 min 1 s"), (7200, "2 h 0 min 0 s")])
def test_formatted_durations(value: Any, text: str) -> None:
    assert format_duration(value) == text
