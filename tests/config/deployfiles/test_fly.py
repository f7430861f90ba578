"""One ``fly.*.toml``, read as flyctl understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.config.reading import files_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_gaia.config.deployfiles.model import App

WHOLE = """\
# The auth service of staging.
app = "gaia-auth-staging"
primary_region = "lax"     # where the database is
kill_signal = "SIGTERM"
kill_timeout = 30

[build]
image = "registry.fly.io/gaia-auth@sha256:0123"
dockerfile = "services/auth/Dockerfile"

[deploy]
strategy = "rolling"
wait_timeout = "5m"
release_command = "alembic upgrade head"

[env]
LOG_LEVEL = "info"
PORT = 8000
DEBUG = false
RATIO = 0.5

[mounts]
source = "data"
destination = "/data"

[http_service]
internal_port = 8000
force_https = true
auto_stop_machines = "suspend"
auto_start_machines = true
min_machines_running = 2

[[http_service.checks]]
method = "get"
path = "/health"
interval = "15s"
timeout = "2s"
grace_period = "1m30s"

[[vm]]
memory = "2gb"
cpu_kind = "performance"
cpus = 2
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "fly.auth.staging.json",
            '{\n\t"app": "a",\n\t"http_service": {"checks": [{"path": "/health"}]},\n\t"vm": [{"memory": "1gb"}]\n}\n',
        ),
        ("fly.auth.stage.yaml", 'app: a\nhttp_service:\n  checks: [{path: "/health"}]\nvm: {memory: 1gb}  # small\n'),
    ],
)
def test_flyctls_other_formats_are_read_as_well(
    folder: Path, write: Callable[[str, str], Path], name: str, text: str
) -> None:
    write(name, text)

    (app,) = files_in(folder).deployment("staging", "fly").apps

    assert (app.service, app.name, app.memory_mb) == ("auth", "a", 1024)
    assert [(each.path, each.place.line) for each in app.served[0].checks] == [("/health", 3)]
    assert app.served[0].internal_port == 8080
    assert app.comments == ({4: "small"} if "yaml" in name else {})


def test_a_whole_file_is_read(fly: Callable[[str], App]) -> None:
    app = fly(WHOLE)

    assert (app.service, app.environment, app.form, app.name) == ("auth", "staging", "service", "gaia-auth-staging")
    assert (app.region, app.memory_mb, app.cpu_kind, app.cpus) == ("lax", 2048, "performance", 2)
    assert (app.strategy, app.release_command) == ("rolling", "alembic upgrade head")
    assert (app.image, app.dockerfile) == ("registry.fly.io/gaia-auth@sha256:0123", "services/auth/Dockerfile")
    assert app.env == {"LOG_LEVEL": "info", "PORT": "8000", "DEBUG": "false", "RATIO": "0.5"}
    assert app.document["mounts"] == {"source": "data", "destination": "/data"}


def test_every_value_knows_its_file_line_and_key(fly: Callable[[str], App]) -> None:
    app = fly(WHOLE)

    assert str(app.place("app")) == "deploy/fly.auth.staging.toml:2: app"
    assert str(app.place("http_service", "min_machines_running")).endswith(":31: http_service.min_machines_running")
    assert str(app.place("vm", "memory")).endswith(":41: vm.memory")
    assert str(app.place("env", "PORT")).endswith(":18: env.PORT")


def test_a_key_that_is_not_there_stands_at_the_table_around_it(fly: Callable[[str], App]) -> None:
    app = fly(WHOLE)

    assert app.place("vm", "size").key == "vm"
    assert app.place("processes").line == 2


def test_comments_are_kept_with_their_lines(fly: Callable[[str], App]) -> None:
    assert fly(WHOLE).comments == {1: "The auth service of staging.", 3: "where the database is"}


@pytest.mark.parametrize(
    ("vm", "memory", "cpus", "kind"),
    [
        ("", None, None, None),
        ('[[vm]]\nsize = "shared-cpu-1x"', 256, 1, "shared"),
        ('[[vm]]\nsize = "shared-cpu-8x"', 2048, 8, "shared"),
        ('[[vm]]\nsize = "performance-1x"', 2048, 1, "performance"),
        ('[[vm]]\nsize = "performance-16x"', 32768, 16, "performance"),
        ('[[vm]]\nsize = "shared-cpu-6x"', 1536, 6, "shared"),
        ('[[vm]]\nsize = "performance-12x"', 24576, 12, "performance"),
        ('[[vm]]\nsize = "l40s"', 32768, 8, "performance"),
        ('[[vm]]\nsize = "shared-cpu-1x"\nmemory = "1gb"', 1024, 1, "shared"),
        ('[vm]\nmemory = "512mb"', 512, 1, "shared"),
        ('[vm]\nmemory = "2048"', 2048, 1, "shared"),
        ("[vm]\nmemory = 2048", 2048, 1, "shared"),
        ('[vm]\nmemory = "1.5 GB"', 1536, 1, "shared"),
        ('[vm]\nmemory = "2GiB"', 2048, 1, "shared"),
        ('[vm]\nmemory = "2gb"\nmemory_mb = 1024', 1024, 1, "shared"),
        ("[[vm]]\ncpus = 2", 256, 2, "shared"),
        ('[[vm]]\nsize = "of-tomorrow"', None, None, None),
    ],
)
def test_the_machine_is_what_flyctl_makes_of_it(
    fly: Callable[[str], App], vm: str, memory: int | None, cpus: int | None, kind: str | None
) -> None:
    app = fly(f'app = "a"\n{vm}\n')

    assert (app.memory_mb, app.cpus, app.cpu_kind) == (memory, cpus, kind)


def test_a_release_command_of_nothing_is_none(fly: Callable[[str], App]) -> None:
    assert fly('app = "a"\n[deploy]\nrelease_command = ""\n').release_command is None


def test_a_file_with_windows_line_ends_and_a_byte_order_mark_is_read(fly: Callable[[str], App]) -> None:
    app = fly('\ufeffapp = "a"\r\nprimary_region = "lax"\r\n')

    assert (app.name, app.place("primary_region").line) == ("a", 2)
