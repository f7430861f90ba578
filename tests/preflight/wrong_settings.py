"""Changes of settings that a check reports."""

from __future__ import annotations

from tests.preflight.cases import (
    A_PRODUCTION,
    A_STAGING,
    APP,
    BARE_DEV,
    C_PRODUCTION,
    CHECK,
    COMPOSE,
    DIGEST,
    IMAGE,
    N_PRODUCTION,
    POSTGRES,
    case,
)

SERVES = (A_PRODUCTION, "[http_service]", '[http_service]\nprocesses = ["app"]')
"""with [processes], a served port must name its group"""
WORKER = '[processes]\napp = "serve"\nworker = "work"\n[[vm]]\nprocesses = ["worker"]\nmemory = "2gb"\n'

WRONG_SETTINGS = [
    # health
    case("no-health-check", (A_PRODUCTION, CHECK, ""), (A_PRODUCTION, "[http_service]", "[http_service]  # wrong")),
    case(
        "no-health-check",
        (N_PRODUCTION, '[[services.tcp_checks]]\ninterval = "15s"\ntimeout = "2s"\ngrace_period = "10s"\n', ""),
        (N_PRODUCTION, "[[services]]", "[[services]]  # wrong"),
    ),
    case("check-off-port", (A_PRODUCTION, "[[http_service.checks]]", "[[services.http_checks]]  # wrong")),
    case(
        "check-off-port",
        (A_PRODUCTION, "[[http_service.checks]]", '[checks.alive]  # wrong\nport = 9000\ntype = "http"'),
    ),
    case("check-off-port", (A_PRODUCTION, CHECK, f'{CHECK}\n[[services.http_checks]]  # wrong\npath = "/health"\n')),
    case("health-path", (A_PRODUCTION, CHECK, CHECK.replace("]]", "]]  # wrong").replace("/health", "/"))),
    case("health-path", (A_PRODUCTION, CHECK, CHECK.replace("]]", "]]  # wrong").replace('path = "/health"\n', ""))),
    case(
        "health-path",
        (COMPOSE, "healthcheck: &health", "healthcheck: &health  # wrong"),
        (COMPOSE, "localhost:8000/health", "localhost:8000/"),
    ),
    case("health-path", ("fly.search.dev.toml", "", BARE_DEV.replace("]]", "]]  # wrong").replace("/health", "/"))),
    case(
        "check-kind",
        (
            "fly.search.dev.toml",
            "",
            BARE_DEV.replace("http_service.checks]]", "services.tcp_checks]]  # wrong")
            .replace('path = "/health"\n', "")
            .replace("[http_service]", '[[services]]\nprotocol = "tcp"')
            .replace("force_https = true\n", '\n[[services.ports]]\nport = 443\nhandlers = ["tls", "http"]\n'),
        ),
    ),
    case(
        "check-kind",
        (C_PRODUCTION, "[http_service]", '[[services]]\nprotocol = "tcp"'),
        (C_PRODUCTION, "force_https = true\n", ""),
        (
            C_PRODUCTION,
            CHECK,
            CHECK.replace("http_service.checks]]", "services.tcp_checks]]  # wrong").replace(
                'method = "GET"\npath = "/health"\n', ""
            ),
        ),
    ),
    case("check-timing", (A_PRODUCTION, CHECK, CHECK.replace("]]", "]]  # wrong").replace('"5s"', '"15s"'))),
    case("check-timing", (A_PRODUCTION, CHECK, CHECK.replace("]]", "]]  # wrong").replace('"15s"', '"2s"'))),
    case(
        "grace-period", (A_PRODUCTION, CHECK, CHECK.replace("]]", "]]  # wrong").replace('grace_period = "20s"\n', ""))
    ),
    case("grace-period", (A_PRODUCTION, CHECK, CHECK.replace("]]", "]]  # wrong").replace('"20s"', '"0s"'))),
    case("port-mismatch", (A_PRODUCTION, 'PORT = "8000"', 'PORT = "8080"  # wrong')),
    case("port-mismatch", (COMPOSE, 'PORT: "8000"', 'PORT: "9000"  # wrong')),
    # availability
    case("too-few-machines", (A_PRODUCTION, "running = 2", "running = 1  # wrong")),
    case(
        "too-few-machines",
        (A_PRODUCTION, "min_machines_running = 2\n", ""),
        (A_PRODUCTION, "[http_service]", "[http_service]  # wrong"),
    ),
    case("too-little-memory", (A_PRODUCTION, 'memory = "2gb"', 'memory = "1gb"  # wrong')),
    case("too-little-memory", (A_PRODUCTION, 'memory = "2gb"', "memory_mb = 2047  # wrong")),
    case("too-little-memory", (A_PRODUCTION, 'memory = "2gb"', 'size = "shared-cpu-1x"  # wrong')),
    case(
        "too-little-memory",
        (A_PRODUCTION, '[[vm]]\nmemory = "2gb"\ncpu_kind = "shared"\ncpus = 2\n', ""),
        (A_PRODUCTION, APP, f"{APP}  # wrong"),
    ),
    # Of each process group, whichever comes first in the file.
    case(
        "too-little-memory",
        (A_PRODUCTION, "[[vm]]", WORKER.replace('"2gb"', '"256mb"  # wrong') + "\n[[vm]]"),
        SERVES,
    ),
    case(
        "too-little-memory",
        (A_PRODUCTION, '[[vm]]\nmemory = "2gb"', WORKER + '\n[[vm]]\nprocesses = ["app"]\nmemory = "1gb"  # wrong'),
        SERVES,
    ),
    case("autostop", (A_PRODUCTION, 'auto_stop_machines = "off"', 'auto_stop_machines = "suspend"  # wrong')),
    case("autostop", (A_PRODUCTION, 'auto_stop_machines = "off"', "auto_stop_machines = true  # wrong")),
    case(
        "autostop", (N_PRODUCTION, "internal_port = 4222", 'internal_port = 4222\nauto_stop_machines = "stop"  # wrong')
    ),
    case("never-woken", (A_STAGING, "auto_start_machines = true", "auto_start_machines = false  # wrong")),
    # artifacts
    case("rebuilt-image", (A_PRODUCTION, IMAGE, 'dockerfile = "Dockerfile"  # wrong')),
    case("rebuilt-image", (A_STAGING, IMAGE, 'builder = "paketobuildpacks/builder:base"  # wrong')),
    case("image-digest", (A_PRODUCTION, DIGEST + '"', ':v1"  # wrong')),
    case("image-digest", (A_STAGING, DIGEST + '"', '"  # wrong')),
    case("image-tag", (COMPOSE, "nats:2.11-alpine", "nats  # wrong")),
    case("image-tag", (COMPOSE, "nats:2.11-alpine", "registry.example:5000/nats  # wrong")),
    case(
        "image-tag",
        ("fly.dev.toml", "", BARE_DEV.replace("[http", '[build]\nimage = "gaia:latest"  # wrong\n\n[http', 1)),
    ),
    case("process-groups", (A_PRODUCTION, "[http_service]", '[http_service]\nprocesses = ["web"]  # wrong')),
    case("process-groups", (A_PRODUCTION, "[[vm]]", '[[vm]]\nprocesses = ["worker"]  # wrong')),
    case(
        "process-groups",
        (A_PRODUCTION, "[[vm]]", '[processes]\napp = "serve"\n[[vm]]'),
        (A_PRODUCTION, "[http_service]", "[http_service]  # wrong"),
    ),
    case(
        "process-groups",
        (N_PRODUCTION, "[[services]]", '[processes]\napp = "serve"\n[[services]]  # wrong'),
    ),
    case(
        "process-groups",
        (A_PRODUCTION, '"rolling"', '"bluegreen"'),
        (A_PRODUCTION, "[http_service]", '[http_service]\nprocesses = ["app"]  # wrong'),
    ),
    case("unknown-strategy", (A_PRODUCTION, '"rolling"', '"roling"  # wrong')),
    case("immediate-strategy", (A_PRODUCTION, '"rolling"', '"immediate"  # wrong')),
    case(
        "strategy-volumes",
        (A_PRODUCTION, '"rolling"', '"bluegreen"  # wrong\n[mounts]\nsource = "a"\ndestination = "/a"'),
    ),
    case(
        "release-command",
        (
            C_PRODUCTION,
            "# rollback: migrations only add; the version before works with the tables of this one",
            "# runs once",
        ),
        (C_PRODUCTION, 'migrate"', 'migrate"  # wrong'),
    ),
    # exposure
    case("force-https", (A_PRODUCTION, "force_https = true", "force_https = false  # wrong")),
    case(
        "force-https",
        (A_PRODUCTION, "force_https = true\n", ""),
        (A_PRODUCTION, "[http_service]", "[http_service]  # wrong"),
    ),
    case(
        "broker-behind-http",
        (
            N_PRODUCTION,
            '[[services]]\ninternal_port = 4222\nprotocol = "tcp"\n\n[[services.ports]]\nport = 4222\n',
            "[http_service]  # wrong\ninternal_port = 4222\n",
        ),
        (N_PRODUCTION, "services.tcp_checks", "http_service.checks"),
    ),
    case(
        "broker-behind-http",
        (N_PRODUCTION, "port = 4222\n\n", 'port = 4222\nhandlers = ["http"]\n\n'),
        (N_PRODUCTION, "[[services]]", "[[services]]  # wrong"),
    ),
    case(
        "open-database",
        (
            "fly.postgres.production.toml",
            "",
            POSTGRES.replace("[[services]]", "[[services]]  # wrong") + "\n[[services.ports]]\nport = 5432\n",
        ),
    ),
    case("open-database", (COMPOSE, 'ports: ["127.0.0.1:5432:5432"]', 'ports:\n      - "5432:5432"  # wrong')),
    case("open-database", (COMPOSE, 'ports: ["127.0.0.1:5432:5432"]', 'ports:\n      - "0.0.0.0:5432:5432"  # wrong')),
    case(
        "open-database",
        (COMPOSE, 'ports: ["127.0.0.1:5432:5432"]', "ports:\n      - target: 5432  # wrong\n        published: 5432"),
    ),
]
