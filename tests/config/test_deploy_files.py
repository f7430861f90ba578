"""``from``: an environment takes addresses, services and topology from its deploy files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.errors import ConfigError
from tests.config.deploying import HTTP, SERVICES
from tests.projects import SERVICES_OF_GAIA

if TYPE_CHECKING:
    from tests.config.deploying import Deployed


def test_addresses_services_and_hosts_come_from_the_files(deployed: Deployed) -> None:
    deployed.full(nats="[[services]]\ninternal_port = 4222\n[[services.ports]]\nport = 4222\n")

    staging = deployed.resolve()

    assert staging.source == "fly"
    assert dict(staging.urls) == {service: f"https://acme-{service}-staging.fly.dev" for service in SERVICES}
    assert staging.url_of("nats") == "nats://acme-nats-staging.fly.dev:4222"
    assert staging.services == (*SERVICES, "nats", "postgres")
    assert {f"acme-{service}-staging.fly.dev" for service in (*SERVICES, "nats")} <= set(staging.hosts)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            'services:\n  gateway:\n    ports: ["${GATEWAY_PORT:?set it}:8000"]\n',
            "deploy/compose.yaml:3: services.gateway.ports: '${GATEWAY_PORT:?set it}:8000' depends on a variable",
        ),
        ("services: {db: {image: postgres}}\n", "deploy/compose.yaml: none of its services is gateway (found: db)."),
        (
            "include: [x.yml]\nservices: {gateway: {extends: {service: y}}}\n",
            "services.gateway: gateway publishes no port. Without Compose, gaia does not read `include` and `extends`.",
        ),
        ('services: {gateway: {ports: ["0:8000"]}}\n', "services.gateway: gateway publishes no port."),
    ],
)
def test_why_there_is_no_address_is_named_and_only_a_run_needs_one(deployed: Deployed, file: str, said: str) -> None:
    deployed.settings('[env.local]\nfrom = "compose"\n')
    deployed.write("deploy/compose.yaml", file)

    with pytest.raises(ConfigError) as error:
        deployed.resolve("local")

    assert said in str(error.value)
    assert "Therefore the environment local has no address" in str(error.value)
    assert not deployed.resolve("local", addressed=False).urls


def test_each_value_names_file_line_and_key(deployed: Deployed) -> None:
    deployed.full(gateway='NATS_URL = "disabled"\n')

    sources = deployed.resolve().sources

    assert sources["urls.auth"] == "deploy/fly.auth.staging.toml:1 app"
    assert sources["urls.nats"] == "deploy/fly.gateway.staging.toml:5 env.NATS_URL"
    assert sources["services"] == sources["hosts"] == "deploy/fly.*.staging.toml"
    assert sources["from"] == sources["deploy.hook"] == "gaia.toml:5"
    assert sources["writes"] == sources["deploy.deadline"] == "default"


def test_what_the_project_says_itself_goes_before_the_files(deployed: Deployed) -> None:
    deployed.full()
    deployed.settings(
        '[env.staging]\nfrom = "fly"\nnats = "nats://broker.example:4222"\nservices = ["gateway"]\n'
        '[env.staging.urls]\ngateway = "https://gateway.example"\n'
    )

    staging = deployed.resolve()

    assert staging.urls == {
        "gateway": "https://gateway.example",
        **{service: f"https://acme-{service}-staging.fly.dev" for service in SERVICES[1:]},
    }
    assert (staging.url_of("nats"), staging.sources["urls.nats"]) == ("nats://broker.example:4222", "gaia.toml:6")


def test_what_a_run_says_goes_before_the_files(deployed: Deployed) -> None:
    deployed.full()

    assert deployed.resolve(urls=("http://localhost:1",)).urls["gateway"] == "http://localhost:1"


def test_nothing_of_the_shipped_addresses_shines_through(deployed: Deployed) -> None:
    deployed.write("deploy/fly.gateway.staging.toml", f'app = "acme-gateway-staging"\n{HTTP}')
    deployed.write("deploy/fly.auth.staging.toml", 'app = "acme-auth-staging"\n')

    staging = deployed.resolve()

    assert dict(staging.urls) == {"gateway": "https://acme-gateway-staging.fly.dev"}
    assert staging.url_of("nats") is None
    assert staging.services == ("gateway", "auth", "postgres")


def test_a_gateway_that_stands_alone_is_gateway_only(deployed: Deployed) -> None:
    deployed.write(
        "deploy/fly.staging.toml",
        f'app = "acme-staging"\n{HTTP}[env]\nAUTH_SERVICE_URL = "http://localhost:8000"\nNATS_URL = "disabled"\n',
    )

    staging = deployed.resolve()

    assert staging.disabled == {"nats"}
    assert staging.services == ("gateway", "postgres")
    assert staging.sources["services"] == "deploy/fly.staging.toml"


def test_a_service_that_the_gateway_finds_elsewhere_is_a_service(deployed: Deployed) -> None:
    url = 'AUTH_SERVICE_URL = "http://somewhere.internal:8000"\n'
    deployed.write("deploy/fly.gateway.staging.toml", f'app = "acme-gateway-staging"\n{HTTP}[env]\n{url}')

    staging = deployed.resolve()

    assert staging.services == ("gateway", "auth", "postgres")


@pytest.mark.parametrize(
    ("told", "nats", "address"),
    [
        ("nats://acme-nats-staging.internal:4222", "", None),
        ("nats://acme-nats-staging.internal:4222", "[[services]]\ninternal_port = 4222\n", None),
        ("${NATS_URL}", "", None),
        ("nats://broker.example:4222", "", "nats://broker.example:4222"),
        ("", HTTP, "nats://acme-nats-staging.fly.dev:4222"),
        (
            "nats://acme-nats-staging.internal:4222",
            "[[services]]\ninternal_port = 4222\n[[services.ports]]\nport = 10222\n",
            "nats://acme-nats-staging.fly.dev:10222",
        ),
        ("disabled", HTTP, "disabled"),
    ],
)
def test_the_broker_is_where_it_is_reached_from_outside(
    deployed: Deployed, told: str, nats: str, address: str | None
) -> None:
    deployed.full(gateway=f'NATS_URL = "{told}"\n', nats=nats)

    staging = deployed.resolve()

    assert ("disabled" if "nats" in staging.disabled else staging.url_of("nats")) == address


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (HTTP, "https://acme.fly.dev"),
        ('[[services]]\n[[services.ports]]\nport = 443\nhandlers = ["tls", "http"]\n', "https://acme.fly.dev"),
        ('[[services]]\n[[services.ports]]\nport = 80\nhandlers = ["http"]\n', "http://acme.fly.dev"),
        ('[[services]]\n[[services.ports]]\nport = 8443\nhandlers = ["tls", "http"]\n', "https://acme.fly.dev:8443"),
    ],
)
def test_the_url_is_that_of_the_ports_that_are_served(deployed: Deployed, text: str, url: str) -> None:
    deployed.write("deploy/fly.staging.toml", f'app = "acme"\n{text}')

    assert deployed.resolve().urls == {"gateway": url}


def test_compose_gives_the_published_ports(deployed: Deployed) -> None:
    deployed.settings('[env.local]\nfrom = "compose"\n')
    deployed.write(
        "deploy/docker-compose.yml",
        "services:\n"
        "  gateway:\n"
        '    ports: ["9090:9090", "${GATEWAY_PORT:-8777}:8000"]\n'
        "    environment: {AUTH_SERVICE_URL: 'http://auth-service:8000', NATS_URL: 'nats://nats:4222'}\n"
        "    healthcheck: {test: curl http://localhost:8000/health}\n"
        "  auth-service: {image: a}\n"
        '  nats: {image: "nats:2", ports: ["8222:8222", "14222:4222"]}\n'
        "  db: {image: postgres}\n",
    )

    local = deployed.resolve("local")

    assert dict(local.urls) == {"gateway": "http://localhost:8777"}
    assert local.url_of("nats") == "nats://localhost:14222"
    assert local.services == ("gateway", "auth", "nats", "postgres")
    assert local.sources["urls.gateway"] == "deploy/docker-compose.yml:3 services.gateway.ports"
    assert local.sources["services"] == "deploy/docker-compose.yml"


def test_a_broker_that_compose_does_not_publish_has_no_address(deployed: Deployed) -> None:
    deployed.settings('[env.local]\nfrom = "compose"\n')
    deployed.write("deploy/docker-compose.yml", 'services:\n  gateway: {ports: ["1:1"]}\n  nats: {image: nats}\n')

    local = deployed.resolve("local")

    assert (local.url_of("nats"), local.services) == (None, ("gateway", "nats"))


def test_deploy_files_stand_beside_the_project_file_by_default(deployed: Deployed) -> None:
    deployed.write("gaia.toml", '[env.preview]\nfrom = "fly"\n' + SERVICES_OF_GAIA)
    deployed.write("fly.preview.toml", f'app = "acme-preview"\n{HTTP}')

    assert deployed.resolve("preview").sources["urls.gateway"] == "fly.preview.toml:1 app"


def test_files_that_nobody_asks_for_are_not_read(deployed: Deployed) -> None:
    deployed.write("deploy/fly.gateway.dev.toml", "not = [toml")

    assert deployed.resolve("dev").sources["urls.gateway"] == "default"


def test_a_simulation_has_the_shape_that_the_files_say(deployed: Deployed) -> None:
    deployed.write("deploy/fly.staging.toml", f'app = "acme-staging"\n{HTTP}[env]\nNATS_URL = "disabled"\n')

    staging = deployed.resolve(simulate=True)

    assert (staging.simulated, staging.services) == (True, ("gateway", "postgres"))


def test_a_nats_url_that_is_none_is_named_with_its_place(deployed: Deployed) -> None:
    deployed.full(gateway='NATS_URL = "http://broker.example"\n')

    with pytest.raises(ConfigError) as error:
        deployed.resolve()

    assert str(error.value).startswith("deploy/fly.gateway.staging.toml:5 env.NATS_URL: not the URL of a NATS server")


def test_files_without_an_address_say_so(deployed: Deployed) -> None:
    deployed.write("deploy/fly.staging.toml", 'app = "acme-staging"\n')

    with pytest.raises(ConfigError, match="environment staging has no address"):
        deployed.resolve()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('[env.staging]\nfrom = "flly"\n', "gaia.toml:5: env.staging.from: unknown value 'flly'; did you mean fly?"),
        ("[env.staging]\nfrom = true\n", "gaia.toml:5: env.staging.from: expected a string, got true or false"),
        (
            '[env.staging]\nfrom = "fly"\n',
            "no deploy files found for staging; looked in deploy for fly.staging",
        ),
        (
            '[env.staging]\nfrom = "compose"\n',
            "no compose file found for staging; looked in deploy for compose.yaml",
        ),
        ('[env.sandbox]\nfrom = "fly"\n', "gaia.toml:5: env.sandbox.from: the sandbox cannot be deployed"),
    ],
)
def test_every_usage_error_with_from_has_one_message(deployed: Deployed, settings: str, message: str) -> None:
    deployed.settings(settings)

    with pytest.raises(ConfigError) as error:
        deployed.resolve()

    assert str(error.value).startswith(message)


def test_a_folder_that_is_not_there_is_named(deployed: Deployed) -> None:
    deployed.write("gaia.toml", '[gaia]\ndeploy_files = "deply"\n[env.staging]\nfrom = "fly"\n')

    with pytest.raises(ConfigError, match=r"^deply: folder of deploy files not found"):
        deployed.resolve()
