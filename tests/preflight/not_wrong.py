"""Changes of correct files that no check reports."""

from __future__ import annotations

from tests.preflight.cases import (
    A_PRODUCTION,
    A_STAGING,
    APP,
    BARE_DEV,
    C_PRODUCTION,
    CHECK,
    COMPOSE,
    DEPLOY,
    ENV,
    GITLAB,
    IMAGE,
    N_PRODUCTION,
    POSTGRES,
    REGION,
    URL,
    case,
    step,
    variable,
)
from tests.projects import ON_GAIA

NOT_WRONG = [
    case("app-name", (A_PRODUCTION, APP, 'app = "acme-gaia-auth-production"')),
    case("app-name", ("fly.db.production.toml", "", POSTGRES)),
    case("environment-spelling", (A_PRODUCTION, APP, 'app = "gaia-auth-productive"')),
    variable("environment-spelling", "TEXT", "the prod of gaia-auth"),
    case(
        "duplicate-app",
        (COMPOSE, "image: nats:2.11-alpine", "container_name: gaia-nats-staging\n    image: nats:2.11-alpine"),
    ),
    case("two-files", ("fly.dev.toml", "", BARE_DEV)),
    case("unknown-environment", ("fly.auth.toml", "", BARE_DEV), ("fly.search.dev.toml", "", BARE_DEV)),
    case("unknown-environment", ("fly.preview.toml", "", BARE_DEV), ("gaia.toml", "", f"{ON_GAIA}[env.preview]\n")),
    case(
        "last-stage",
        (
            "gaia.toml",
            "[env.staging]\n",
            '[env.live]\nrole = "production"\nstage = { promote_from = "staging" }\n\n[env.staging]\n',
        ),
    ),
    case("missing-service", ("fly.search.dev.toml", "", BARE_DEV)),
    case("topology-claim", ("fly.dev.toml", "", BARE_DEV)),
    variable("localhost-url", "PUBLIC_URL", "http://localhost:8666"),
    case(
        "localhost-url",
        ("fly.dev.toml", "", BARE_DEV + '\n[env]\nAUTH_SERVICE_URL = "http://localhost:8000"\nNATS_URL = "disabled"\n'),
    ),
    case("localhost-url", (A_PRODUCTION, ENV, f'{ENV}\nAUTH_SERVICE_URL = "http://localhost:8000"')),
    case("nats-disabled", ("fly.dev.toml", "", BARE_DEV + '\n[env]\nNATS_URL = "disabled"\n')),
    variable("plain-http", "OTEL_URL", "http://collector.internal:4318"),
    variable("plain-http", "PROXY", "http://10.0.0.7:8080"),
    variable("plain-http", "SCHEMA", "https://example.com?next=http%3A%2F%2Fexample.com"),
    variable("foreign-host", "DOCS", "https://example.com/staging"),
    variable("foreign-host", "DATABASE_URL", URL.format("gaia-db-staging.flycast")),
    variable("unknown-app", "STATUS_URL", "https://status.fly.dev"),
    variable("shared-database", "DATABASE_URL", URL.format("gaia-db-production.flycast")),
    case(
        "shared-database",
        ("fly.dev.toml", "", BARE_DEV + f'\n[env]\nDATABASE_URL = "{URL.format("db.example.com")}"\n'),
        (
            COMPOSE,
            "gaia:${POSTGRES_PASSWORD:?}@db:5432/llm_platform",
            "gaia:${POSTGRES_PASSWORD:?}@db.example.com/gaia",
        ),
    ),
    case("database-region", (N_PRODUCTION, REGION, 'primary_region = "ord"')),
    case(
        "split-regions",
        ("fly.gateway.dev.toml", "", BARE_DEV),
        ("fly.auth.dev.toml", "", BARE_DEV.replace("gateway", "auth")),
    ),
    case("region-missing", (COMPOSE, "restart: unless-stopped", "restart: always")),
    variable("credential", "MAX_TOKENS", "4096"),
    variable("credential", "MAX_TOKEN", "4096"),
    variable("credential", "JWT_SECRET_NAME", "gaia/jwt"),
    variable("credential", "SUPABASE_PUBLIC_KEY", "pk"),
    variable("credential", "API_KEY", "${API_KEY}"),
    variable("credential", "DATABASE_URL", "postgresql://gaia@gaia-db-production.flycast/gaia"),
    variable("credential", "SECRET_KEY_FILE", "/run/secrets/key"),
    variable("credential", "ACCESS_TOKEN", "/run/secrets/token"),
    variable("credential", "NATS_URL2", "nats://gaia:${PASSWORD}@gaia-nats-production.internal:4222"),
    case("local-credential", (COMPOSE, "${POSTGRES_PASSWORD:?}@db", "${POSTGRES_PASSWORD}@db")),
    variable("secret-in-env", "DATABASE_POOL", "5"),
    case(
        "secret-unset",
        (
            "gaia.toml",
            "[env.staging]\n",
            '[env.local.deploy]\nhook = "compose"\nsecrets = ["DATABASE_URL"]\n\n[env.staging]\n',
        ),
    ),
    case("no-health-check", (A_PRODUCTION, CHECK, '[checks.alive]\nport = 8000\ntype = "http"\npath = "/health"\n')),
    case("check-off-port", (A_PRODUCTION, CHECK, f'{CHECK}\n[checks.metrics]\nport = 9000\ntype = "tcp"\n')),
    case("health-path", (N_PRODUCTION, "tcp_checks]]", 'http_checks]]\npath = "/healthz"')),
    case("health-path", ("fly.search.dev.toml", "", BARE_DEV.replace("/health", "/ready"))),
    case("check-kind", (A_PRODUCTION, CHECK, f'{CHECK}\n[checks.alive]\nport = 8000\ntype = "tcp"\n')),
    *[
        case("health-path", (COMPOSE, "http://localhost:8000/health", url))
        for url in ("http://localhost:$$PORT/health", "http://localhost:${PORT}/health", "http://$${HOST:-::1}/health")
    ],
    case("check-timing", (COMPOSE, "timeout: 3s", "timeout: 10s")),
    # `fly deploy` waits for it, whatever port it asks.
    case(
        "check-off-port",
        (N_PRODUCTION, "[[services.tcp_checks]]", '[checks.monitoring]\ntype = "http"\nport = 8222\npath = "/healthz"'),
    ),
    case(
        "port-mismatch", (A_PRODUCTION, "internal_port = 8000\n", ""), (A_PRODUCTION, 'PORT = "8000"', 'PORT = "8080"')
    ),
    case("check-timing", (A_PRODUCTION, CHECK, CHECK.replace('timeout = "5s"\n', ""))),
    case("grace-period", (A_PRODUCTION, CHECK, CHECK.replace('"20s"', '"1m"'))),
    case("port-mismatch", (A_PRODUCTION, 'PORT = "8000"\n', "")),
    case("port-mismatch", (A_PRODUCTION, 'PORT = "8000"', 'PORT = "${PORT}"')),
    case("too-few-machines", (A_STAGING, "running = 1", "running = 0")),
    case("too-few-machines", (A_PRODUCTION, "running = 2", "running = 3")),
    case("too-little-memory", (A_PRODUCTION, 'memory = "2gb"', 'size = "performance-1x"')),
    case(
        "too-little-memory",
        (A_PRODUCTION, "[[vm]]", '[processes]\napp = "a"\nworker = "b"\n[[vm]]'),
        (A_PRODUCTION, "[http_service]", '[http_service]\nprocesses = ["app"]'),
    ),
    case("too-little-memory", (A_STAGING, 'memory = "1gb"', 'memory = "256mb"')),
    case("autostop", (A_PRODUCTION, 'auto_stop_machines = "off"', "auto_stop_machines = false")),
    case("never-woken", (A_PRODUCTION, "auto_start_machines = true", "auto_start_machines = false")),
    case("rebuilt-image", ("fly.dev.toml", "", BARE_DEV + '\n[build]\ndockerfile = "Dockerfile"\n')),
    case("rebuilt-image", (A_PRODUCTION, IMAGE, "")),
    case("image-digest", ("fly.dev.toml", "", BARE_DEV + '\n[build]\nimage = "gaia:v1"\n')),
    case("image-tag", (COMPOSE, "nats:2.11-alpine", "registry.example:5000/nats:2")),
    case("image-tag", (COMPOSE, "nats:2.11-alpine", "nats@sha256:" + "1" * 64)),
    case("process-groups", (A_PRODUCTION, "[http_service]", '[http_service]\nprocesses = ["app"]')),
    case(
        "process-groups",
        (A_PRODUCTION, '"rolling"', '"bluegreen"'),
        (A_PRODUCTION, "[http_service]", '[processes]\nweb = "serve"\n\n[http_service]\nprocesses = ["web"]'),
    ),
    case("unknown-strategy", (A_PRODUCTION, '"rolling"', '"canary"')),
    case("immediate-strategy", ("fly.dev.toml", "", BARE_DEV + '\n[deploy]\nstrategy = "immediate"\n')),
    case("strategy-volumes", (A_PRODUCTION, '"rolling"', '"rolling"\n[mounts]\nsource = "a"\ndestination = "/a"')),
    case(
        "release-command",
        (C_PRODUCTION, "# rollback: migrations only add; the version before works with the tables of this one\n", ""),
        (C_PRODUCTION, 'migrate"', 'migrate"  # backward compatible: only adds columns'),
    ),
    case(
        "force-https",
        (A_PRODUCTION, "[http_service]", "[[services]]"),
        (A_PRODUCTION, "force_https = true", 'ports = [{port = 443, handlers = ["tls", "http"]}]'),
        (A_PRODUCTION, "[[http_service.checks]]", "[[services.http_checks]]"),
    ),
    case(
        "broker-behind-http",
        (
            N_PRODUCTION,
            "[[vm]]",
            '[[services]]\ninternal_port = 8222\n[[services.ports]]\nport = 443\nhandlers = ["tls", "http"]\n[[vm]]',
        ),
    ),
    case("open-database", (COMPOSE, 'ports: ["127.0.0.1:5432:5432"]', 'ports: ["[::1]:5432:5432"]')),
    case("open-database", (COMPOSE, 'ports: ["127.0.0.1:5432:5432"]', 'expose: ["5432"]')),
    case("open-database", ("fly.db.production.toml", "", POSTGRES)),
    case(
        "undeclared-difference",
        (
            A_STAGING,
            'strategy = "rolling"',
            'strategy = "rolling"\nwait_timeout = "10m"\n[mounts]\ninitial_size = "50gb"',
        ),
        (
            A_PRODUCTION,
            'strategy = "rolling"',
            'strategy = "rolling"\nwait_timeout = "600s"\n[[mounts]]\ninitial_size = "50GB"',
        ),
    ),
    case("undeclared-difference", (A_PRODUCTION, 'LOG_LEVEL = "warning"', 'LOG_LEVEL = "error"')),
    case(
        "undeclared-difference",
        (A_STAGING, 'ENVIRONMENT = "staging"', 'ENVIRONMENT = "staging"\nPEER = "https://staging.example.com"'),
        (A_PRODUCTION, ENV, f'{ENV}\nPEER = "https://production.example.com"'),
    ),
    case(
        "unused-difference",
        (
            "gaia.toml",
            'allowed_differences = ["app", "min_machines", "memory", "cpus", "autostop", "env.LOG_LEVEL"]',
            'allowed_differences = ["app", "min_machines", "memory", "cpus", "autostop", "env"]',
        ),
    ),
    case(
        "container-unchecked",
        (
            COMPOSE,
            "db: {condition: service_healthy}",
            "db: {condition: service_healthy}\n      once: {condition: service_completed_successfully}",
        ),
        (COMPOSE, "services:\n", "services:\n  once:\n    build: .\n    restart: 'no'\n"),
    ),
    case(
        "restart-policy",
        (
            COMPOSE,
            "db: {condition: service_healthy}",
            "db: {condition: service_healthy}\n      once: {condition: service_completed_successfully}",
        ),
        (COMPOSE, "services:\n", "services:\n  once:\n    build: .\n"),
    ),
    case(
        "depends-on", (COMPOSE, "db: {condition: service_healthy}", "db: {condition: service_healthy, restart: true}")
    ),
    case(
        "compose-refuses",
        (COMPOSE, "nats: {condition: service_healthy}", "nats: {condition: service_healthy, required: false}"),
        (COMPOSE, "  nats:\n    image", "  nats:\n    profiles: [events]\n    image"),
    ),
    case(
        "compose-refuses",
        (COMPOSE, "services:\n", "name: ${NAME}\ninclude: [other.yml]\nservices:\n"),
        (COMPOSE, "db: {condition: service_healthy}", "other: {condition: service_healthy}"),
        (COMPOSE, "    image: nats:2.11-alpine\n", "    extends: {file: base.yml, service: nats}\n"),
    ),
    case(
        "compose-refuses",
        ("docker-compose.override.yml", "", "services: {cache: {image: 'redis:8'}}\nvolumes: {data: {}}\n"),
        (COMPOSE, 'command: ["-m", "8222"]', "volumes: [data:/data]\n    depends_on: [cache]"),
    ),
    case("container-unchecked", (COMPOSE, "healthcheck: &health", "extends: {service: nats}\n    x-health: &health")),
    case("unread-file", ("docker-compose.production.yml", "", "services: {}\n")),
    case("restart-policy", (COMPOSE, "restart: unless-stopped", "restart: 'no'")),
    case(
        "unknown-key",
        (A_PRODUCTION, "[[vm]]", '[http_service.concurrency]\ntype = "requests"\nsoft_limit = 200\n\n[[vm]]'),
    ),
    case(
        "compose-refuses",
        (COMPOSE, "services:\n", "volumes: {data: {}}\nsecrets: {key: {file: key}}\nservices:\n"),
        (
            COMPOSE,
            'command: ["-m", "8222"]',
            "networks: [default]\n    secrets: [key]\n    volumes: [data:/data, ./a:/a, /b:/b, '${C}:/c']",
        ),
    ),
    case("compose-refuses", (COMPOSE, 'command: ["-m", "8222"]', "x-note: mine")),
    case(
        "unguarded-production",
        (DEPLOY, "needs: [build, staging]", "needs: [build, staged]"),
        (
            DEPLOY,
            "  production:\n",
            "  staged:\n    needs: staging\n    runs-on: ubuntu-latest\n    steps: []\n\n  production:\n",
        ),
    ),
    case(
        "unguarded-production",
        (DEPLOY, "on:\n  push:\n    branches: [main]", "on: workflow_dispatch"),
        (DEPLOY, "needs: [build, staging]", "needs: build"),
    ),
    case(
        "untested-staging",
        (DEPLOY, "gaia deploy-and-test staging", "gaia deploy staging"),
        (DEPLOY, "run: until curl", "run: pytest --gaia-env=staging && until curl"),
    ),
    step("sleep-as-readiness", "for i in 1 2 3; do curl -sf $URL && break; sleep 2; done"),
    case("sleep-as-readiness", (DEPLOY, "run: ci/build-and-push", "run: sleep 5; ci/build-and-push")),
    case(
        "automatic-rollback",
        (
            DEPLOY,
            "      - run: gaia deploy-and-test production",
            "      - if: failure()\n        run: gaia logs production\n      - run: gaia deploy-and-test production",
        ),
    ),
    case(
        "automatic-rollback",
        (
            DEPLOY,
            "          gaia config check --format github",
            "          gaia full-test staging || gaia rollback staging",
        ),
    ),
    step("rebuilt-per-environment", "flyctl deploy -c fly.auth.production.toml --remote-only"),
    step("rebuilt-per-environment", "flyctl deploy --image $IMAGE"),
    step("rebuilt-per-environment", "scripts/deploy.sh --env production --image=$IMAGE"),
    case(
        "unguarded-production",
        (DEPLOY, "  production:\n", "  production:\n    if: always() && needs.staging.result == 'success'\n"),
    ),
    case("rebuilt-per-environment", (DEPLOY, "run: ci/build-and-push", "run: docker build -t gaia . && ci/push")),
    step("ignored-failure", "rm -f old.log || true"),
    step("ignored-failure", "set -o pipefail; pytest --gaia-env=production | tee log"),
    case(
        "unprotected-production",
        (DEPLOY, "    environment: production\n", "    environment:\n      name: production\n"),
    ),
    case(
        "parallel-deployments",
        (DEPLOY, "    concurrency: production\n", ""),
        (DEPLOY, "    concurrency: staging\n", ""),
        (DEPLOY, "jobs:", "concurrency: deploy\n\njobs:"),
    ),
    case(
        "cancelled-deployment",
        (DEPLOY, "concurrency: production", "concurrency: {group: production, cancel-in-progress: false}"),
    ),
    case(
        "optional-approval",
        (
            GITLAB,
            "production:\n",
            "approve:\n  stage: staging\n  when: manual\n  allow_failure: false\n  script: echo\n\nproduction:\n",
        ),
    ),
    step("immediate-strategy", "flyctl deploy --image $IMAGE --strategy rolling"),
    step(
        "credential",
        "flyctl secrets set JWT_SECRET='${{ secrets.JWT_SECRET }}' API_KEY=\"$KEY\" -a gaia-auth-production",
    ),
    case(
        "credential",
        (A_PRODUCTION, "[[vm]]", '[[files]]\nguest_path = "/a.conf"\nraw_value = "bG9nPWRlYnVn"\n\n[[vm]]'),
    ),
    case(
        "credential",
        (
            DEPLOY,
            "on:\n  push",
            "env:\n  DATABASE_URL: postgresql://test:test@localhost/test\n  API_KEY: DummyKey\non:\n  push",
        ),
    ),
    case(
        "unexplained-allowance",
        (A_PRODUCTION, "running = 2", "running = 1  # gaia: allow too-few-machines because it is a pilot"),
    ),
    case(
        "unused-allowance",
        (
            A_PRODUCTION,
            "min_machines_running = 2",
            "# gaia: allow too-few-machines because it is a pilot\nmin_machines_running = 1",
        ),
    ),
    case("unused-allowance", (A_PRODUCTION, APP, f"{APP}  # gaia: allow secret-unset because Fly was not queried")),
]
