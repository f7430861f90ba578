"""Each error in gaia.toml is one message with file, line and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_gaia.config.project import Project
from pytest_gaia.errors import ConfigError
from tests.projects import SERVICES_OF_GAIA

if TYPE_CHECKING:
    from pathlib import Path

USAGE_ERRORS = {
    "an unknown key": (
        '[env.preview]\nurl = "https://{service}.example"\nwritable = true\n',
        "gaia.toml:3: env.preview.writable: unknown key; did you mean writes?",
    ),
    "an unknown key without a near one lists all": (
        "[env.preview]\nzzz = 1\n",
        "gaia.toml:2: env.preview.zzz: unknown key; Known: concurrency, core_only, deploy, direct, experimental, from, hosts, loopback, max_response_mib, release, required, role, services, slo,",
    ),
    "an unknown service": (
        '[env.preview.urls]\n\n# comment\ngatway = "http://x"\n',
        "gaia.toml:4: env.preview.urls.gatway: unknown service 'gatway'; did you mean gateway?",
    ),
    "an unknown service in an inline table": (
        '[env]\npreview = { urls = { chta = "http://x" } }\n',
        "gaia.toml:2: env.preview.urls.chta: unknown service 'chta'; did you mean chat?",
    ),
    "an unknown timeout": (
        "[env.staging.timeouts]\nreddy = 3\n",
        "gaia.toml:2: env.staging.timeouts.reddy: unknown key; did you mean ready?",
    ),
    "a string for a number": (
        '[env.staging.timeouts]\nready = "3s"\n',
        "gaia.toml:2: env.staging.timeouts.ready: expected a number, got a string",
    ),
    "a timeout of nothing": (
        "[env.staging]\ntimeouts.ready = 0\n",
        "gaia.toml:2: env.staging.timeouts.ready: expected a number > 0",
    ),
    "no concurrent test": (
        "[env.staging]\nconcurrency = 0\n",
        "gaia.toml:2: env.staging.concurrency: expected a whole number >= 1",
    ),
    "too many concurrent tests": (
        "[env.staging]\nconcurrency = 101\n",
        "gaia.toml:2: env.staging.concurrency: expected a whole number <= 100",
    ),
    "a word for the number of concurrent tests": (
        '[env.staging]\nconcurrency = "many"\n',
        "gaia.toml:2: env.staging.concurrency: expected a whole number, got a string",
    ),
    "a truth value for the number of concurrent tests": (
        "[env.staging]\nconcurrency = true\n",
        "gaia.toml:2: env.staging.concurrency: expected a whole number, got true or false",
    ),
    "no request in flight": (
        "[services.web]\nmax_in_flight = 0\n",
        "gaia.toml:2: services.web.max_in_flight: expected a whole number >= 1",
    ),
    "a limit of requests for messages": (
        '[services.events]\nkind = "nats"\nmax_in_flight = 5\n',
        'gaia.toml:3: services.events.max_in_flight: only a service of kind "http" has this key',
    ),
    "a string for a truth value": (
        '[env.staging]\nwrites = "no"\n',
        "gaia.toml:2: env.staging.writes: expected true or false, got a string",
    ),
    "a string for a list": (
        '[env.staging]\nhosts = "x.example"\n',
        "gaia.toml:2: env.staging.hosts: expected a list, got a string",
    ),
    "a number in a list of strings": (
        '[env.staging]\nsuites = ["health", 3]\n',
        "gaia.toml:2: env.staging.suites: expected a string, got a number",
    ),
    "a value for a table": ("env = 3\n", "gaia.toml:1: env: expected tables, such as [env.preview]."),
    "a value for an environment": ("[env]\nstaging = 3\n", "gaia.toml:2: env.staging: expected a table, written"),
    "an unknown topology": (
        '[env.staging]\ntopology = "gateway_only"\n',
        "gaia.toml:2: env.staging.topology: unknown key; list the services of staging in `services`.",
    ),
    "an unknown member": (
        '[env.staging]\nservices = [\n  "gateway",\n  "assets",\n]\n',
        "gaia.toml:2: env.staging.services: unknown service 'assets'; did you mean asset?",
    ),
    "a table of another name": (
        '[envs.preview]\nurl = "http://x"\n',
        "gaia.toml:1: envs: unknown table; did you mean env?",
    ),
    "an environment at the top": (
        '\n[staging]\nurl = "http://x"\n',
        "gaia.toml:2: staging: unknown table; write an environment as [env.staging].",
    ),
    "an unknown default": (
        '[gaia]\nenvironment = "stagign"\n',
        "gaia.toml:2: gaia.environment: unknown environment 'stagign'; did you mean staging?",
    ),
    "an unknown platform": (
        '[gaia]\nplatform = "shop"\n',
        "gaia.toml:2: gaia.platform: unknown value 'shop'; Known: gaia, none.",
    ),
    "an unknown setting of the project": (
        '[gaia]\nsuite = ["x"]\n',
        "gaia.toml:2: gaia.suite: unknown key; did you mean suites?",
    ),
    "a folder of suites that is not there": (
        '[gaia]\nsuites = ["checks"]\n',
        "gaia.toml:2: suites: there is no folder 'checks' next to the file.",
    ),
    "a reserved name": ('[env.adhoc]\nurl = "http://x"\n', "gaia.toml:1: env.adhoc: this name is reserved"),
    "a name that no variable can hold": (
        '[env."My Env"]\nurl = "http://x"\n',
        "gaia.toml:1: env.My Env: use lower-case letters",
    ),
    "a URL without a scheme": (
        '[env.preview]\nurl = "localhost:8666"\n',
        "gaia.toml:2: env.preview.url: 'localhost:8666' does not start with http:// or https://; did you mean",
    ),
    "a URL of another scheme": (
        '[env.preview.urls]\nauth = "ftp://x"\n',
        "gaia.toml:2: env.preview.urls.auth: 'ftp://x' does not start with http:// or https://.",
    ),
    "a URL without a host": (
        '[env.preview]\nurl = "http://"\n',
        "gaia.toml:2: env.preview.url: 'http://' has no host.",
    ),
    "a URL with a bad port": (
        '[env.preview]\nurl = "http://x:86666"\n',
        "gaia.toml:2: env.preview.url: 'http://x:86666' is not a URL; check its port",
    ),
    "a URL with port 0": (
        '[env.preview]\nurl = "http://x:0"\n',
        "gaia.toml:2: env.preview.url: 'http://x:0': 0 is not a",
    ),
    "a URL with a space": (
        '[env.preview]\nurl = "http://x y"\n',
        "gaia.toml:2: env.preview.url: 'http://x y' contains a space",
    ),
    "a URL with a query": (
        '[env.preview]\nurl = "http://x/?a=1"\n',
        "gaia.toml:2: env.preview.url: expected a base URL",
    ),
    "another placeholder": (
        '[env.preview]\nurl = "http://{name}.example"\n',
        "gaia.toml:2: env.preview.url: unknown placeholder {name}; Known: app, env, service, unit.",
    ),
    "a broker that is no URL": (
        '[env.preview]\nnats = "none"\n',
        "gaia.toml:2: env.preview.urls.nats: not the URL of a NATS server, such as nats://localhost:4222, or 'disabled'",
    ),
    "several brokers": (
        '[env.preview]\nnats = "nats://a,nats://b"\n',
        "gaia.toml:2: env.preview.urls.nats: expected one URL",
    ),
    "a URL for the sandbox": (
        '[env.sandbox]\nwrites = true\nurl = "http://x"\n',
        "gaia.toml:3: env.sandbox.url: the sandbox has its own addresses",
    ),
    "a URL among the hosts": (
        '[env.staging]\nhosts = ["https://x.example"]\n',
        "gaia.toml:2: env.staging.hosts: 'https://x.example' is not a host name",
    ),
    "a star in the middle of a host": (
        '[env.staging]\nhosts = ["gaia-*.example"]\n',
        "gaia.toml:2: env.staging.hosts: 'gaia-*.example' is not a host name",
    ),
    "a safe request of an environment": (
        '[env.staging]\nsafe_posts = ["/x"]\n',
        "gaia.toml:2: env.staging.safe_posts: safe requests now belong to a service",
    ),
    "a broker that is no service": (
        '[services.web]\n[env.preview]\nnats = "disabled"\n',
        "gaia.toml:3: env.preview.nats: the project declares no service of this name; remove this key",
    ),
    "addresses that are a word": ("[env.preview]\nurls = 3\n", "gaia.toml:2: env.preview.urls: expected a table"),
    "two lists of services": (
        '[env.preview]\nservices = ["auth"]\nwithout = ["chat"]\n',
        "gaia.toml:3: env.preview.without: `services` and `without` exclude each other",
    ),
    "another role for the name of a role": (
        '[env.production]\nrole = "dev"\n',
        "gaia.toml:2: env.production.role: the role of an environment with this name is production",
    ),
    "an unknown role": (
        '[env.live]\nrole = "prod"\n',
        "gaia.toml:2: env.live.role: unknown value 'prod'; did you mean production?",
    ),
    "a production without a stage before it": (
        '[env.live]\nrole = "production"\n',
        "gaia.toml:1: env.live.stage.promote_from: an environment with the role production needs a stage before it",
    ),
    "a line that is no TOML": ("[gaia]\n\nwrites: true\n", "gaia.toml:3: not valid TOML: "),
    "a list that is never closed": ('[gaia]\nsuites = [\n  "a",\n\n', "gaia.toml:2: not valid TOML: "),
    "a string that is never closed": ('[gaia]\nenvironment = "dev\n', "gaia.toml:2: not valid TOML: "),
    "a table declared twice": ("[env.a]\n[env.a]\n", "gaia.toml:2: not valid TOML: "),
}


@pytest.mark.parametrize(("text", "message"), USAGE_ERRORS.values(), ids=USAGE_ERRORS.keys())
def test_a_usage_error_in_the_project_file_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    # Errors of TOML may depend on what follows.
    services = "" if "TOML" in message or "[services." in text else SERVICES_OF_GAIA
    (tmp_path / "gaia.toml").write_text(text + services, encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        _ = Project(tmp_path).suites

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ('api_key = "hunter2"', "GAIA_STAGING_API_KEY (or GAIA_API_KEY)"),
        ('jwt_secret = "hunter2"', "GAIA_STAGING_JWT_SECRET (or GAIA_JWT_SECRET)"),
        ('token = "hunter2"', "GAIA_STAGING_TOKEN (or GAIA_TOKEN)"),
        ('database = "postgresql://u:hunter2@h/d"', "GAIA_STAGING_DATABASE_URL (or GAIA_DATABASE_URL)"),
        ('password = "hunter2"', "GAIA_STAGING_DATABASE_URL"),
        ('nats = "nats://u:hunter2@h:4222"', "GAIA_STAGING_NATS_URL (or GAIA_NATS_URL)"),
        ('nats = "nats://hunter2@h:4222"', "GAIA_STAGING_NATS_URL"),
        ('url = "https://u:hunter2@h"', "GAIA_STAGING_API_KEY"),
        ('urls.chat = "https://u:hunter2@h"', "GAIA_STAGING_API_KEY"),
    ],
)
def test_a_secret_in_the_project_file_is_refused_and_not_repeated(tmp_path: Path, line: str, variable: str) -> None:
    (tmp_path / "gaia.toml").write_text(f"[env.staging]\n{line}\n{SERVICES_OF_GAIA}", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"gaia\.toml:2: env\.staging\.\S+: secrets do not belong") as caught:
        _ = Project(tmp_path).suites

    assert variable in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_project_file_in_another_encoding_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").write_bytes(b'[gaia]\nenvironment = "d\xe9v"\n')

    with pytest.raises(ConfigError, match=r"gaia\.toml: not UTF-8 \(byte 23\)"):
        _ = Project(tmp_path).suites


def test_a_folder_named_like_the_project_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "gaia.toml").mkdir()

    with pytest.raises(ConfigError, match=r"gaia\.toml: cannot be read"):
        _ = Project(tmp_path).suites
