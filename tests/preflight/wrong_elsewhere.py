"""Changes in other files that a check reports."""

from __future__ import annotations

from tests.preflight.cases import (
    A_PRODUCTION,
    APP,
    CHECK,
    COMPOSE,
    DEPLOY,
    GITLAB,
    N_PRODUCTION,
    REGION,
    case,
    step,
    variable,
)

ORDERS = "  orders:  # wrong\n    build: .\n"
"""a service that is none of Gaia's"""

WRONG_ELSEWHERE = [
    # parity
    variable("undeclared-difference", "FEATURE", "on"),
    case(
        "undeclared-difference",
        (A_PRODUCTION, "internal_port = 8000", "internal_port = 8000\nidle_timeout = 600  # wrong"),
    ),
    case("undeclared-difference", (A_PRODUCTION, '"rolling"', '"canary"  # wrong')),
    case(
        "undeclared-difference",
        (A_PRODUCTION, 'cpu_kind = "shared"', 'cpu_kind = "performance"'),
        (A_PRODUCTION, "[[vm]]", "[[vm]]  # wrong"),
    ),
    case(
        "last-stage",
        (
            "gaia.toml",
            "[env.staging]\n",
            '[env.live]  # wrong\nstage = { promote_from = "staging" }\n\n[env.staging]\n',
        ),
    ),
    case("unused-difference", ("gaia.toml", '"env.LOG_LEVEL"]', '"env.LOG_LEVEL", "strategy"]  # wrong')),
    # containers
    case(
        "container-unchecked",
        (
            COMPOSE,
            "  asset-service:\n    <<: *backend",
            "  asset-service:  # wrong\n    <<: *backend\n    healthcheck: {disable: true}",
        ),
    ),
    case("container-unchecked", (COMPOSE, "services:\n", f"services:\n{ORDERS}    restart: always\n")),
    case("restart-policy", (COMPOSE, "services:\n", f"services:\n{ORDERS}    healthcheck: {{test: [CMD, 'true']}}\n")),
    case(
        "compose-refuses", (COMPOSE, "db: {condition: service_healthy}", "dbs: {condition: service_healthy}  # wrong")
    ),
    case(
        "compose-refuses",
        (COMPOSE, "nats: {condition: service_healthy}", "nats: {condition: service_healthy}  # wrong"),
        (COMPOSE, "  nats:\n    image", "  nats:\n    profiles: [events]\n    image"),
    ),
    case("compose-refuses", (COMPOSE, "  nats:\n    image: nats:2.11-alpine", "  nats:  # wrong")),
    case("compose-refuses", (COMPOSE, "services:\n", "name: Gaia Local  # wrong\nservices:\n")),
    case(
        "compose-refuses",
        (COMPOSE, 'ports: ["8666:8000"]', 'deploy: {replicas: 2}\n    ports:\n      - "8666:8000"  # wrong'),
    ),
    case(
        "compose-refuses",
        (COMPOSE, 'ports: ["8666:8000"]', "scale: 2\n    container_name: gateway  # wrong\n    expose: [8000]"),
    ),
    case("unread-file", ("docker-compose.override.yml", "", "services: {}  # wrong\n")),
    case("unread-file", (COMPOSE, "services:\n", "include: [other.yml]  # wrong\nservices:\n")),
    case("unread-file", (COMPOSE, "  nats:\n", "  nats:\n    extends: {file: b.yml, service: c}  # wrong\n")),
    case(
        "local-credential",
        (
            "docker-compose.override.yml",
            "",
            "services:\n  db:\n    environment:\n      - POSTGRES_PASSWORD=hunter22  # wrong\n",
        ),
    ),
    case(
        "depends-on",
        (COMPOSE, "db: {condition: service_healthy}", "db: {condition: service_started}  # wrong"),
    ),
    case(
        "depends-on",
        (
            COMPOSE,
            "depends_on: &dependencies\n      db: {condition: service_healthy}\n      nats: {condition: service_healthy}",
            "depends_on: &dependencies\n      - db\n      - nats  # wrong",
        ),
    ),
    case("depends-on", (COMPOSE, "nats: {condition: service_healthy}", "nats: {condition: service_started}  # wrong")),
    case(
        "restart-policy",
        (
            COMPOSE,
            "  nats:\n    image: nats:2.11-alpine\n    restart: unless-stopped",
            "  nats:  # wrong\n    image: nats:2.11-alpine",
        ),
    ),
    # keys
    case(
        "unknown-key",
        (A_PRODUCTION, "min_machines_running = 2", "min_machine_running = 2  # wrong\nmin_machines_running = 2"),
    ),
    case("unknown-key", (A_PRODUCTION, REGION, f'{REGION}\nregion = "lax"  # wrong')),
    case("unknown-key", (A_PRODUCTION, CHECK, f"{CHECK}\n[[services.checks]]  # wrong\n")),
    case("unknown-key", (N_PRODUCTION, "port = 4222\n\n", "port = 4222\nforce_ssl = true  # wrong\n\n")),
    case("compose-refuses", (COMPOSE, 'command: ["-m", "8222"]', "comand: x  # wrong")),
    case("compose-refuses", (COMPOSE, "start_period: 10s", "grace_period: 10s  # wrong\n      start_period: 10s")),
    case("compose-refuses", (COMPOSE, "db: {condition: service_healthy}", "db: {condition: healthy}  # wrong")),
    case("compose-refuses", (COMPOSE, "db: {condition: service_healthy}", "db: {required: true}  # wrong")),
    case("compose-refuses", (COMPOSE, 'command: ["-m", "8222"]', "depends_on:\n      - nats  # wrong")),
    case("compose-refuses", (COMPOSE, 'command: ["-m", "8222"]', "networks:\n      - front  # wrong")),
    case("compose-refuses", (COMPOSE, 'command: ["-m", "8222"]', "volumes:\n      - data:/data  # wrong")),
    case("compose-refuses", (COMPOSE, 'command: ["-m", "8222"]', "secrets:\n      - source: key  # wrong")),
    case("compose-refuses", (COMPOSE, "services:\n", "service: {}  # wrong\nservices:\n")),
    # pipelines
    case(
        "unguarded-production",
        (DEPLOY, "  production:\n    needs: [build, staging]", "  production:  # wrong\n    needs: build"),
    ),
    case(
        "unguarded-production",
        (GITLAB, "production:\n  stage: production", "production:  # wrong\n  needs: [build]\n  stage: production"),
    ),
    case(
        "untested-staging",
        (DEPLOY, "gaia deploy-and-test staging", "gaia deploy staging"),
        (DEPLOY, "  production:\n", "  production:  # wrong\n"),
    ),
    case(
        "untested-staging",
        (GITLAB, "gaia deploy-and-test staging", "gaia deploy staging"),
        (GITLAB, "production:\n", "production:  # wrong\n"),
    ),
    step("sleep-as-readiness", "sleep 60"),
    step("sleep-as-readiness", "echo waiting && sleep 30s", "staging"),
    step("sleep-as-readiness", "sleep $PAUSE"),
    case(
        "sleep-as-readiness",
        (
            GITLAB,
            "    - gaia deploy-and-test production",
            "    - sleep 5  # wrong\n    - gaia deploy-and-test production",
        ),
    ),
    case(
        "automatic-rollback",
        (
            DEPLOY,
            "      - run: gaia deploy-and-test production",
            (
                "      - if: failure()\n        run: gaia rollback production --confirm production  # wrong\n"
                "      - run: gaia deploy-and-test production"
            ),
        ),
    ),
    case(
        "automatic-rollback",
        (
            DEPLOY,
            "      - run: gaia deploy-and-test production",
            (
                "      - if: ${{ failure() }}\n        name: Roll back\n        run: ci/undo  # wrong\n"
                "      - run: gaia deploy-and-test production"
            ),
        ),
    ),
    step("automatic-rollback", "gaia full-test production || gaia rollback production --confirm production"),
    case(
        "automatic-rollback",
        (
            GITLAB,
            "production:\n  stage: production",
            (
                "undo:\n  stage: production\n  when: on_failure\n  script: gaia rollback production  # wrong\n"
                "production:\n  stage: production"
            ),
        ),
    ),
    step("immediate-strategy", "flyctl deploy --image $IMAGE --strategy immediate"),
    step("ignored-failure", "flyctl deploy --image $IMAGE --detach"),
    step("credential", "flyctl secrets set JWT_SECRET=s3cret -a gaia-auth-production"),
    case(
        "credential",
        (
            A_PRODUCTION,
            "[[vm]]",
            '[[files]]\nguest_path = "/etc/tls/server.key"\nraw_value = "czNjcmV0"  # wrong\n\n[[vm]]',
        ),
    ),
    case(
        "local-credential",
        (DEPLOY, "on:\n  push", "env:\n  DATABASE_URL: postgresql://test:test@localhost/test  # wrong\non:\n  push"),
    ),
    step("rebuilt-per-environment", "docker build -t gaia ."),
    step("rebuilt-per-environment", "scripts/deploy.sh --env production --services all"),
    case("unguarded-production", (DEPLOY, "  production:\n", "  production:  # wrong\n    if: ${{ always() }}\n")),
    case("unguarded-production", (GITLAB, "production:\n  stage", "production:  # wrong\n  when: always\n  stage")),
    step("rebuilt-per-environment", "flyctl deploy -c fly.search.production.toml --remote-only"),
    step("rebuilt-per-environment", "gaia deploy staging --rebuild", "staging"),
    step("ignored-failure", "pytest --gaia-env=production || true"),
    step("ignored-failure", "pytest --gaia-env=production | tee log"),
    case(
        "ignored-failure",
        (
            DEPLOY,
            "      - run: gaia deploy-and-test production",
            (
                "      - continue-on-error: true\n        run: pytest -m health  # wrong\n"
                "      - run: gaia deploy-and-test production"
            ),
        ),
    ),
    case(
        "unprotected-production",
        (DEPLOY, "    environment: production\n", ""),
        (DEPLOY, "  production:\n", "  production:  # wrong\n"),
    ),
    case(
        "parallel-deployments",
        (DEPLOY, "    concurrency: production\n", ""),
        (DEPLOY, "  production:\n", "  production:  # wrong\n"),
    ),
    case(
        "parallel-deployments",
        (GITLAB, "  resource_group: staging\n", ""),
        (GITLAB, "staging:\n  stage", "staging:  # wrong\n  stage"),
    ),
    case(
        "cancelled-deployment",
        (DEPLOY, "concurrency: production", "concurrency: {group: production, cancel-in-progress: true}"),
        (DEPLOY, "  production:\n", "  production:  # wrong\n"),
    ),
    case(
        "cancelled-deployment",
        (GITLAB, "  resource_group: staging\n", "  resource_group: staging\n  interruptible: true\n"),
        (GITLAB, "staging:\n  stage", "staging:  # wrong\n  stage"),
    ),
    case(
        "optional-approval",
        (
            GITLAB,
            "production:\n",
            "approve:  # wrong\n  stage: staging\n  when: manual\n  script: echo\n\nproduction:\n",
        ),
    ),
    # allowances
    case(
        "unexplained-allowance", (A_PRODUCTION, "running = 2", "running = 1  # gaia: allow too-few-machines  # wrong")
    ),
    case("unexplained-allowance", (A_PRODUCTION, APP, f"{APP}  # gaia: allow because I say so  # wrong")),
    case("unused-allowance", (A_PRODUCTION, APP, f"{APP}  # gaia: allow app-name because it is old  # wrong")),
    case("unused-allowance", (A_PRODUCTION, APP, f"{APP}  # gaia: allow ap-name because it is old  # wrong")),
    case(
        "unused-allowance",
        (DEPLOY, "name: Deploy", "name: Deploy  # gaia: allow ignored-failure because it is old  # wrong"),
    ),
]
