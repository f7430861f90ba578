"""The services of a project run by command, next to real servers; they end with the run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from pytest_gaia.errors import ConfigError, SandboxError
from pytest_gaia.run.sandbox import Sandbox
from pytest_gaia.sandbox._processes import Guard, started_at
from pytest_gaia.sandbox._programs import Place, program_of
from pytest_gaia.sandbox.directories import Described, create_run, described
from pytest_gaia.sandbox.leftovers import clear
from tests.projects import gaia_platform
from tests.sandbox.processes import children, eventually, mentioning
from tests.sandbox.shop import MIGRATE, PYTHON, TCP, WEB, ask, platform, service, web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gaia.config.platform import Platform, Service

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None and os.environ.get("SERVER_TESTS") != "required",
    reason="redis-server is not installed; on Debian, `ci/setup servers` installs it",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project."""
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[Sandbox]:
    """A shop with its own program, two databases and a broker."""
    (folder / "migrate.py").write_text(MIGRATE)
    (folder / "inside").mkdir()
    addresses = {
        "DATABASE_URL": "{orders-db.url}",
        "OTHER": "{other-db.host}:{other-db.port}",
        "NATS_URL": "{queue.url}",
        "OWN": "{stack} {host} {port}",
    }
    orders = web(folder, depends_on=("orders-db", "other-db", "queue"), env=addresses, cwd="inside")
    (folder / "web.py").rename(folder / "inside" / "web.py")
    billing = web(folder, "billing", shared=True)
    (folder / "tcp.py").write_text(TCP)
    described = platform(
        orders,
        billing,
        service("orders-db", "postgres", migrate=(PYTHON, "migrate.py")),
        service("other-db", "postgres"),
        service("queue", "nats"),
        service("mail", "tcp", command=(PYTHON, "tcp.py", "{port}")),
    )
    os.environ["GAIA_STAGING_API_KEY"] = "of the shell"
    try:
        with Sandbox.start(described, folder=folder) as sandbox:
            yield sandbox
    finally:
        del os.environ["GAIA_STAGING_API_KEY"]


def test_a_program_gets_its_addresses_and_few_variables(shop: Sandbox, folder: Path) -> None:
    stack = shop.stack("main")

    got = ask(stack.urls["orders"])

    env = {name: value for name, value in got["env"].items() if name not in ("LC_CTYPE", "LC_ALL", "LANG", "TMPDIR")}
    other, own = urlsplit(stack.connections["other-db"]), urlsplit(stack.urls["orders"])
    assert env.pop("PATH")
    assert env.pop("HOME")
    assert env.pop("PYTHONUNBUFFERED") == "1", "so that a line of output is in its log at once"
    assert env == {
        "DATABASE_URL": stack.connections["orders-db"],
        "OTHER": f"{other.hostname}:{other.port}",
        "NATS_URL": stack.connections["queue"],
        "OWN": f"main 127.0.0.1 {own.port}",
    }
    assert got["cwd"] == str(folder / "inside")


def test_each_stack_has_its_own_program_unless_it_is_shared(shop: Sandbox) -> None:
    first, second = shop.stack("main"), shop.stack("gw0")

    assert ask(first.urls["orders"])["pid"] != ask(second.urls["orders"])["pid"]
    assert ask(second.urls["orders"])["env"]["OWN"].startswith("gw0 ")
    assert first.urls["billing"] == second.urls["billing"]


async def test_each_service_has_its_own_database_with_its_tables(shop: Sandbox, folder: Path) -> None:
    dsns = [shop.stack(name).connections[each] for name in ("main", "gw0") for each in ("orders-db", "other-db")]
    dsns.append(shop.fresh_database("main", "orders-db"))

    assert len(set(dsns)) == 5
    assert [await tables(dsn) for dsn in dsns] == [["orders"], [], ["orders"], [], ["orders"]]
    # The commands runs once; each database is a copy.
    assert len((folder / "migrations.log").read_text().splitlines()) == 1


async def tables(dsn: str) -> list[str]:
    """Return the tables of a database, to which this writes one row."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = [str(row[0]) for row in rows]
        for name in names:
            assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 0
            await connection.execute(f"INSERT INTO {name} VALUES (1)")
    finally:
        await connection.close()
    return names


def test_other_kinds_run_by_command(shop: Sandbox) -> None:
    address = urlsplit(shop.stack("main").connections["mail"])

    assert address.scheme == "tcp"
    assert listens(address.port)


def test_a_program_can_be_stopped_and_started_at_the_same_port(shop: Sandbox) -> None:
    url = shop.stack("main").urls["orders"]
    before = ask(url)

    shop.fault("main", "orders", "stop")

    assert not listens(urlsplit(url).port)
    assert eventually(lambda: started_at(before["child"]) is None)
    shop.heal("main")
    assert ask(url)["pid"] != before["pid"]


def test_responses_of_programs_can_have_faults(tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text(WEB)
    described = platform(service("orders", command=(PYTHON, "web.py", "{port}")))
    with Sandbox.start(described, folder=tmp_path, faulty=True) as sandbox:
        url = sandbox.stack("main").urls["orders"]
        assert ask(url)["status"] == "ok"

        sandbox.fault("main", "orders", "set", field="status", value="late", route="/health")
        assert ask(url)["status"] == "late"
        sandbox.heal("main")
        sandbox.fault("main", "orders", "reset")
        with pytest.raises(ConnectionResetError):
            ask(url)
        sandbox.heal("main")
        sandbox.fault("main", "orders", "stop")
        assert not listens(urlsplit(url).port)
        sandbox.heal("main")
        assert ask(url)["status"] == "ok"
        with pytest.raises(ConfigError, match="orders is a program, which can only be stopped"):
            sandbox.fault("main", "orders", "noop")


def test_a_program_that_cannot_be_started_again_shows_no_secret(tmp_path: Path) -> None:
    once = "import os, sys; sys.exit(print('no license', os.environ['API_KEY'])) if os.path.exists('once') else None; open('once', 'w')"
    (tmp_path / "tcp.py").write_text(f"{once}\n{TCP}")
    env = {"API_KEY": "a-key-of-the-shop"}
    described = platform(service("mail", "tcp", command=(PYTHON, "tcp.py", "{port}"), env=env))
    with Sandbox.start(described, folder=tmp_path) as sandbox:
        sandbox.fault("main", "mail", "stop")

        with pytest.raises(SandboxError, match=r"no license \*\*\*"):
            sandbox.heal("main")


def test_a_shared_program_is_stopped_for_all_stacks(shop: Sandbox) -> None:
    url = shop.stack("gw0").urls["billing"]
    with pytest.raises(ConfigError, match="stop_service"):
        shop.fault("gw0", "billing", "stop")

    shop.stop_service("billing")

    assert not listens(urlsplit(url).port)
    shop.start_service("billing")
    assert ask(url)["status"] == "ok"


def test_a_program_has_no_fault_but_stop(shop: Sandbox) -> None:
    with pytest.raises(ConfigError, match="orders is a program, which can only be stopped"):
        shop.fault("main", "orders", "slow")


def test_only_the_servers_that_the_project_needs_are_started(tmp_path: Path) -> None:
    with Sandbox.start(platform(web(tmp_path)), folder=tmp_path) as sandbox:
        assert set(children(sandbox.directory)) == {"orders.main"}
        stack = sandbox.stack("main")
        assert (stack.connections, stack.api_key) == ({}, "")


def test_what_is_left_out_refuses_connections(tmp_path: Path) -> None:
    described = platform(web(tmp_path, depends_on=("redis",)), service("redis", "redis"), web(tmp_path, "billing"))
    with Sandbox.start(described, without=("orders", "redis"), folder=tmp_path) as sandbox:
        stack = sandbox.stack("main")

        assert not listens(urlsplit(stack.urls["orders"]).port)
        assert not listens(urlsplit(stack.connections["redis"]).port)
        assert ask(stack.urls["billing"])["status"] == "ok"


@needs_redis
def test_redis_is_a_real_server_with_a_password(tmp_path: Path) -> None:
    described = platform(service("redis", "redis"), service("cache", "redis"))
    with Sandbox.start(described, folder=tmp_path) as sandbox:
        stack = sandbox.stack("main")
        url = urlsplit(stack.connections["redis"])
        assert stack.connections["redis"] == f"redis://:{url.password}@127.0.0.1:{url.port}/0"
        assert redis(url.port, "PING").startswith("-NOAUTH")
        assert redis(url.port, f"AUTH {url.password}", "INFO server").count("redis_version") == 1
        assert urlsplit(stack.connections["cache"]).port != url.port
        assert len(children(sandbox.directory)) == 2
        listing = subprocess.run(("ps", "-eww", "-o", "args="), capture_output=True, text=True, check=True).stdout
        assert str(url.password) not in listing


def test_without_a_real_redis_there_is_an_imitation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fakeredis")
    import redis as client

    (tmp_path / "ps").symlink_to(str(shutil.which("ps")))
    monkeypatch.setenv("PATH", str(tmp_path))
    with Sandbox.start(platform(service("redis", "redis")), folder=tmp_path) as sandbox:
        url = sandbox.stack("main").connections["redis"]
        with client.Redis.from_url(url) as connection:
            connection.set("color", "blue")
            assert connection.get("color") == b"blue"


def redis(port: int | None, *commands: str) -> str:
    """Send commands to a Redis server and return its responses."""
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        responses = ""
        for command in commands:
            connection.sendall(f"{command}\r\n".encode())
            responses += connection.recv(4096).decode()
        return responses


def test_without_redis_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ps").symlink_to(str(shutil.which("ps")))
    monkeypatch.setenv("PATH", str(tmp_path))
    hidden = tmp_path / "site"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'fakeredis' else found(name, *rest)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hidden))

    message = failure(platform(service("redis", "redis")), tmp_path)

    assert "apt-get install redis-server" in message
    assert "pip install 'pytest-gaia[sandbox-redis]'" in message


@pytest.mark.slow("sandbox")
@pytest.mark.skipif(
    not Path(RABBITMQ).exists() and os.environ.get("SERVER_TESTS") != "required",
    reason="RabbitMQ is not installed; on Debian, `ci/setup servers` installs it",
)
def test_rabbitmq_runs_by_command(tmp_path: Path) -> None:
    (tmp_path / "enabled").write_text("[].")
    with socket.create_server(("127.0.0.1", 0)) as free:
        between = free.getsockname()[1]
    env = {
        "ERL_EPMD_PORT": "{names.port}",
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "none"),
        # By default it is 20,000 above the port, and there may be no such port.
        "RABBITMQ_DIST_PORT": str(between),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "enabled"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "data"),
        "RABBITMQ_NODENAME": "{stack}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "{host}",
        "RABBITMQ_NODE_PORT": "{port}",
        "RABBITMQ_PID_FILE": str(tmp_path / "pid"),
    }
    described = platform(
        # Without this one, RabbitMQ would start one that never ends.
        service("names", "tcp", command=("epmd", "-port", "{port}")),
        service("queue", "amqp", depends_on=("names",), command=(RABBITMQ,), env=env),
    )
    with Sandbox.start(described, folder=tmp_path, ready=120) as sandbox:
        address = urlsplit(sandbox.stack("main").connections["queue"])
        with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            assert address.scheme == "amqp"
            assert b"RabbitMQ" in connection.recv(4096)


def failure(described: Platform, folder: Path, **given: Any) -> str:
    """Start a sandbox that fails, assert that nothing is left, and return the message."""
    sandbox = Sandbox.start(described, folder=folder, **given)
    try:
        with pytest.raises(SandboxError) as caught:
            sandbox.ready()
    finally:
        sandbox.stop()
    assert not sandbox.directory.exists()
    assert not mentioning(sandbox.directory)
    return str(caught.value)


def test_a_program_that_ends_shows_its_command_its_code_and_its_output(tmp_path: Path) -> None:
    program = "import os, sys; print('cannot read', os.environ['DATABASE_URL'], os.environ['STRIPE_KEY']); sys.exit(3)"
    env = {"DATABASE_URL": "{db.url}", "STRIPE_KEY": "test-key-of-stripe"}
    orders = service("orders", depends_on=("db",), command=(PYTHON, "-c", program, "{port}"), env=env)

    message = failure(platform(orders, service("db", "postgres")), tmp_path)

    assert "cannot start orders: `" in message
    assert "ended with exit code 3 before it was ready" in message
    assert "cannot read postgresql://gaia:***" in message
    assert "test-key-of-stripe" not in message


def test_a_program_that_is_never_ready_shows_what_was_tried(tmp_path: Path) -> None:
    from dataclasses import replace

    described = platform(replace(web(tmp_path), health="/nothing"))

    message = failure(described, tmp_path, ready=3.0)

    assert "was not ready after 3 s (GET /nothing returned 404)" in message


def test_a_program_without_its_port_is_named(tmp_path: Path) -> None:
    message = failure(platform(service("orders", command=("sleep", "60"))), tmp_path, ready=0.3)

    assert "its command does not use {port}" in message


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (service("orders", command=("no-such-program", "{port}")), "sandbox.command: `no-such-program "),
        (service("orders", command=(PYTHON,), cwd="nowhere"), "nowhere. Correct the command or `cwd`"),
        (service("db", "postgres", migrate=("no-such-program",)), "services.db.sandbox.migrate: `no-such-program`"),
    ],
)
def test_a_program_that_cannot_be_started_is_named(described: Service, words: str, tmp_path: Path) -> None:
    message = failure(platform(described), tmp_path)

    assert message.startswith("gaia.toml:7: services.")
    assert "No such file or directory" in message
    assert words in message


def test_a_migration_that_fails_shows_its_output(tmp_path: Path) -> None:
    program = "import os, sys; sys.exit('cannot migrate ' + os.environ['DATABASE_URL'])"

    message = failure(platform(service("db", "postgres", migrate=(PYTHON, "-c", program))), tmp_path)

    assert "cannot create the tables of db: `" in message
    assert "ended with exit code 1. End of its log:\ncannot migrate postgresql://gaia:***" in message


def test_a_reference_service_that_is_unknown_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"gaia\.toml:7: services\.gatway\.sandbox\.reference: .*did you mean gateway"
    ):
        Sandbox.start(platform(service("gatway", reference=True)))


def test_reference_services_and_a_program_form_one_stack(tmp_path: Path) -> None:
    described = dict(gaia_platform().services)
    described["kb"] = web(tmp_path, "kb", depends_on=("auth", "kb-db"), env={"AUTH_URL": "{auth.url}"})
    described["kb-db"] = service("kb-db", "postgres")
    with Sandbox.start(platform(*described.values()), folder=tmp_path) as sandbox:
        stack = sandbox.stack("main")

        assert ask(stack.urls["kb"])["env"]["AUTH_URL"] == stack.urls["auth"]
        assert ask(stack.urls["gateway"])["status"] == "healthy"
        assert stack.connections["postgres"] != stack.connections["kb-db"]
        assert stack.api_key


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A run without a supervisor."""
    directory, lock = create_run()
    guard = Guard(directory)
    yield Place(directory, tmp_path, "main", guard)
    guard.close()
    clear(directory)
    os.close(lock)


def described_by(own: Service) -> Described:
    """Return what the supervisor knows about a service."""
    return next(described(platform(own), (own.name,), 10))


async def test_a_port_that_is_taken_is_replaced(place: Place, tmp_path: Path) -> None:
    program = program_of(described_by(web(tmp_path)), place, {})
    taken = program.port.number
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", taken))
        thief.listen()
        await program.start()
    try:
        assert program.port.number != taken
        assert ask(program.url)["status"] == "ok"
    finally:
        await program.stop()
        program.port.release()


async def test_a_program_that_cannot_share_its_port_with_a_reservation_starts(place: Place, tmp_path: Path) -> None:
    strict = TCP.replace("listener =", "listener = socket.socket(); listener.bind(('127.0.0.1', int(sys.argv[1]))) #")
    (tmp_path / "tcp.py").write_text(strict.replace("time.sleep", "listener.listen(); time.sleep"))
    program = program_of(described_by(service("mail", "tcp", command=(PYTHON, "tcp.py", "{port}"))), place, {})

    await program.start()

    assert listens(program.port.number)
    await program.stop()


def listens(port: int | None) -> bool:
    """Whether a server listens on a port."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port or 0)) == 0


HOLD = """
import sys
from pathlib import Path
from pytest_gaia.run.sandbox import Sandbox
from tests.sandbox.shop import ask, platform, web
folder = Path(sys.argv[1])
sandbox = Sandbox.start(platform(web(folder)), folder=folder)
sandbox.ready()
got = ask(sandbox.stack("main").urls["orders"])
print(sandbox.directory, got["pid"], got["child"], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["normal", "SIGINT", "SIGKILL", "supervisor"])
def test_programs_end_with_the_run_and_so_does_what_they_started(how: str, tmp_path: Path) -> None:
    command = (sys.executable, "-c", HOLD, str(tmp_path))
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        assert run.stdin is not None
        directory, *pids = run.stdout.readline().split()
        name = directory.rpartition("/")[2]
        assert all(started_at(int(pid)) for pid in pids)

        match how:
            case "normal":
                run.stdin.close()
                run.stdin = None
            case "supervisor":
                os.kill(supervisor_of(name), signal.SIGKILL)
            case _:
                run.send_signal(signal.Signals[how])

        assert eventually(lambda: not any(started_at(int(pid)) for pid in pids))
    finally:
        run.kill()
        run.communicate()


STARTING = """
import sys
from pathlib import Path
from pytest_gaia.run.sandbox import Sandbox
from tests.sandbox.shop import platform, service
folder = Path(sys.argv[1])
command = ("sh", "-c", "sleep 60 & echo $$ $! > pids; wait", "{port}")
sandbox = Sandbox.start(platform(service("orders", command=command)), folder=folder)
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_run_that_ends_while_a_program_starts_leaves_nothing(how: signal.Signals, tmp_path: Path) -> None:
    command = (sys.executable, "-c", STARTING, str(tmp_path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        written = tmp_path / "pids"
        assert eventually(lambda: written.exists() and written.read_text().endswith("\n"))

        run.send_signal(how)

        pids = map(int, written.read_text().split())
        assert all(eventually(lambda pid=pid: started_at(pid) is None) for pid in pids)  # type: ignore[misc]


def supervisor_of(name: str) -> int:
    """Return the process that supervises a sandbox."""
    listing = subprocess.run(("ps", "-eww", "-o", "pid=,args="), capture_output=True, text=True, check=True).stdout
    rows = (line.split(maxsplit=1) for line in listing.splitlines())
    (pid,) = (int(pid) for pid, words in rows if name in words and "__main__.py" in words)
    return pid
