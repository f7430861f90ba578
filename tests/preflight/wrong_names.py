"""Changes of names and addresses that a check reports."""

from __future__ import annotations

from tests.preflight.cases import (
    A_PRODUCTION,
    A_STAGING,
    APP,
    AUTH_URL,
    BARE_DEV,
    CHAT_URL,
    COMPOSE,
    DEPLOY,
    G_PRODUCTION,
    G_STAGING,
    GITLAB,
    IMAGE,
    N_PRODUCTION,
    NATS_URL,
    POSTGRES,
    REGION,
    URL,
    case,
    step,
    variable,
)
from tests.preflight.sets import Change
from tests.projects import ON_GAIA

WRONG_NAMES = [
    # names
    case("app-name", (A_PRODUCTION, APP, 'app = "gaia-auth-staging2"  # wrong')),
    case("app-name", (A_PRODUCTION, APP, 'app = "gaia-chat-production"  # wrong')),
    case("app-name", (A_PRODUCTION, APP, 'app = "auth"  # wrong')),
    case("environment-spelling", (A_PRODUCTION, APP, 'app = "gaia-auth-prod"  # wrong')),
    variable("environment-spelling", "PEER_URL", "https://gaia-auth-prod.fly.dev"),
    case(
        "environment-spelling",
        ("fly.db.prod.toml", "", POSTGRES.replace('lax"', 'lax"', 1).replace('production"', 'production"  # wrong')),
    ),
    case("duplicate-app", (A_PRODUCTION, APP, 'app = "gaia-auth-staging"  # wrong')),
    case("two-files", ("fly.production.toml", "", BARE_DEV.replace('dev"', 'production"  # wrong', 1))),
    case("two-files", ("fly.auth.prod.toml", "", BARE_DEV.replace('gateway-dev"', 'auth-prod"  # wrong', 1))),
    case("unknown-environment", ("fly.orders.toml", "", BARE_DEV.replace('dev"', 'dev"  # wrong', 1))),
    case("unknown-environment", ("fly.auth.stagign.toml", "", BARE_DEV.replace('dev"', 'dev"  # wrong', 1))),
    case("missing-service", (A_STAGING, "", ""), (A_PRODUCTION, APP, f"{APP}  # wrong")),
    case("missing-service", (N_PRODUCTION, "", ""), ("fly.nats.staging.toml", 'staging"', 'staging"  # wrong')),
    case(
        "topology-claim",
        ("gaia.toml", "", f'{ON_GAIA}[env.dev]\nservices = ["gateway", "auth"]\n'),
        ("fly.dev.toml", "", BARE_DEV.replace('dev"', 'dev"  # wrong', 1)),
    ),
    case(
        "topology-claim",
        ("gaia.toml", '["gateway", "auth", "asset", "chat", "nats", "postgres"]', '["gateway", "postgres"]'),
        (G_STAGING, 'app = "gaia-gateway-staging"', 'app = "gaia-gateway-staging"  # wrong'),
    ),
    # urls
    case("localhost-url", (G_PRODUCTION, AUTH_URL, 'AUTH_SERVICE_URL = "http://localhost:8000"  # wrong')),
    case("localhost-url", (G_PRODUCTION, AUTH_URL, 'AUTH_SERVICE_URL = "http://127.0.0.1:8000"  # wrong')),
    case("localhost-url", (G_PRODUCTION, NATS_URL, 'NATS_URL = "nats://[::1]:4222"  # wrong')),
    variable("localhost-url", "DATABASE_URL", "postgresql://gaia@localhost/gaia", A_PRODUCTION),
    case("localhost-url", (COMPOSE, "http://auth-service:8000", "http://localhost:8000  # wrong")),
    case("nats-disabled", (G_PRODUCTION, NATS_URL, 'NATS_URL = "disabled"  # wrong')),
    case("plain-http", (G_PRODUCTION, AUTH_URL, f"{AUTH_URL.replace('https', 'http')}  # wrong")),
    variable("plain-http", "EVENTS", "ws://events.example.com/stream"),
    variable("plain-http", "PEERS", "https://a.example.com,http://b.example.com"),
    case("foreign-host", (G_PRODUCTION, CHAT_URL, f"{CHAT_URL.replace('production', 'staging')}  # wrong")),
    case(
        "foreign-host", (G_STAGING, 'gaia-nats-staging.internal:4222"', 'gaia-nats-production.internal:4222"  # wrong')
    ),
    variable("foreign-host", "OTHER", "https://preview.example.com", A_STAGING)._replace(
        changes=(
            Change(
                "gaia.toml",
                "[env.staging]\n",
                '[env.preview]\nurl = "https://preview.example.com"\n'
                'hosts = ["preview.example.com"]\n\n[env.staging]\n',
            ),
            *variable("", "OTHER", "https://preview.example.com", A_STAGING).changes,
        )
    ),
    variable("unknown-app", "SEARCH_URL", "https://gaia-search-production.fly.dev"),
    # data
    variable("shared-database", "DATABASE_URL", URL.format("gaia-db-staging.flycast")),
    variable("shared-database", "PGHOST", "top2.nearest.of.gaia-db-dev.internal"),
    case(
        "shared-database",
        *variable("", "DATABASE_URL", URL.format("db.example.com:5432")).changes,
        (A_STAGING, 'ENVIRONMENT = "staging"', f'ENVIRONMENT = "staging"\nDB = "{URL.format("DB.example.com")}"'),
    ),
    case(
        "shared-database",
        *variable("", "DATABASE_URL", URL.format("pgbouncer.q49ypo4wvdwr17ln.flympg.net")).changes,
        (
            A_STAGING,
            'ENVIRONMENT = "staging"',
            f'ENVIRONMENT = "staging"\nDB = "{URL.format("direct.q49ypo4wvdwr17ln.flympg.net")}"',
        ),
    ),
    case(
        "shared-database",
        *variable("", "MPG_CLUSTER_ID", "q49ypo4wvdwr17ln").changes,
        (A_STAGING, 'ENVIRONMENT = "staging"', 'ENVIRONMENT = "staging"\nMPG_CLUSTER_ID = "q49ypo4wvdwr17ln"'),
    ),
    case("database-region", (A_PRODUCTION, REGION, 'primary_region = "ord"  # wrong')),
    case(
        "database-region",
        ("fly.postgres.staging.toml", "", POSTGRES.replace("production", "staging").replace("lax", "ams")),
        ("fly.postgres.production.toml", "", POSTGRES),
        (A_STAGING, REGION, f"{REGION}  # wrong"),
    ),
    case("split-regions", (N_PRODUCTION, REGION, 'primary_region = "ord"  # wrong')),
    case(
        "split-regions",
        ("fly.gateway.dev.toml", "", BARE_DEV),
        ("fly.auth.dev.toml", "", BARE_DEV.replace("gateway", "auth").replace('"ord"', '"lax"  # wrong')),
    ),
    case("region-missing", (A_PRODUCTION, f"{APP}\n{REGION}", f"{APP}  # wrong")),
    # secrets
    variable("credential", "DATABASE_URL", "postgresql://gaia:s3cret@db.example.com/gaia"),
    variable("credential", "JWT_SECRET", "6f1d3c0b2a"),
    variable("credential", "OPENAI_API_KEY", "not-a-real-key"),
    variable("credential", "PGPASSWORD", "postgres"),
    variable("credential", "NOTE", "ghp_" + "a" * 36),
    case("credential", (A_PRODUCTION, APP, f'{APP}\n# DATABASE_URL = "postgresql://gaia:s3cret@db/gaia"  # wrong')),
    case("credential", (A_PRODUCTION, IMAGE, f'{IMAGE}\n[build.args]\nNPM_TOKEN = "n0t-real"  # wrong')),
    case("credential", (DEPLOY, "FLY_API_TOKEN: ${{ secrets.FLY_API_TOKEN }}", "FLY_API_TOKEN: n0t-real  # wrong")),
    case("credential", (GITLAB, "stages:", "variables:\n  DEPLOY_TOKEN: n0t-real  # wrong\nstages:")),
    step("credential", "fly auth token glpat-AAAAAAAAAAAAAAAAAAAAAAAA"),
    case("credential", (COMPOSE, 'PORT: "8000"', f"KEY: sk-ant-{'a' * 40}  # wrong")),
    case(
        "local-credential",
        (COMPOSE, "POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?}", "POSTGRES_PASSWORD: postgres  # wrong"),
    ),
    case("local-credential", (COMPOSE, "${POSTGRES_PASSWORD:?}@db:5432/llm_platform", "postgres@db:5432/x  # wrong")),
    variable("secret-in-env", "DATABASE_URL", "disabled"),
    variable("secret-in-env", "SUPABASE_JWT_SECRET", "", A_STAGING),
    case(
        "secret-unset",
        (
            "gaia.toml",
            "[env.staging]\n",
            '[env.local.deploy]\nhook = "compose"\nsecrets = ["GONE"]  # wrong\n\n[env.staging]\n',
        ),
    ),
]
