"""Parameters of a DSN: the known ones reach the server in its own words, or not at all; others are refused once."""

from __future__ import annotations

import pytest

from pytest_gaia.config.addresses import database_url
from pytest_gaia.config.dsn import check_parameters, for_client
from pytest_gaia.config.layers import variable_layer
from pytest_gaia.config.variables import Variables
from pytest_gaia.errors import ConfigError
from tests.projects import gaia_platform

HERE = "postgresql://gaia:s3cret@h:5432/d"

GIVEN = {
    "": "",
    "?": "",
    "?sslmode=require&channel_binding=require": "?sslmode=require",
    "?pgbouncer=true": "",
    "?schema=public&connection_limit=1": "",
    "?schema=shop&pool_timeout=3": "?search_path=shop",
    "?schema=My%20shop": "?search_path=%22My%20shop%22",
    "?ssl=true": "?sslmode=require",
    "?ssl=verify-full&sslrootcert=/a/b.pem": "?sslmode=verify-full&sslrootcert=/a/b.pem",
    "?SSLMode=disable&connect_timeout=10": "?sslmode=disable",
    "?options=-c%20geqo%3Doff&application_name=a+b": "?options=-c%20geqo%3Doff&application_name=a%20b",
    "?search_path=shop&my.setting=1": "?search_path=shop&my.setting=1",
    "?host=/run/pg,b&target_session_attrs=any": "?host=/run/pg,b&target_session_attrs=any",
}


@pytest.mark.parametrize(("given", "taken"), GIVEN.items())
def test_a_known_parameter_is_taken_translated_or_dropped(given: str, taken: str) -> None:
    check_parameters(f"{HERE}{given}", "GAIA_X")
    assert for_client(f"{HERE}{given}") == f"{HERE}{taken}"
    assert for_client(for_client(f"{HERE}{given}")) == f"{HERE}{taken}"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sslmod=require", "its parameter 'sslmod' is unknown; did you mean sslmode?"),
        ("sslmode=disable&zebra=1", "its parameter 'zebra' is unknown. Write a setting of the server as options="),
        ("sslmode=requir", "sslmode must be one of disable, allow"),
        ("ssl=yes", "ssl must be one of disable, allow"),
        ("password=pa&zuq=1", "its parameter 2 is unknown"),
        ("password=pa&zuq", "a parameter of the DSN is not name=value"),
    ],
)
def test_another_parameter_is_refused_once(query: str, problem: str) -> None:
    variables = Variables({"GAIA_DATABASE_URL": f"{HERE}?{query}"}, {})

    with pytest.raises(ConfigError) as error:
        variable_layer(variables, "staging", gaia_platform())

    assert str(error.value).startswith("GAIA_DATABASE_URL: postgres: ")
    assert problem in str(error.value)
    assert "s3cret" not in str(error.value)
    assert "zuq" not in str(error.value)


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgres+psycopg2", "PostgreSQL+asyncpg"])
def test_a_driver_in_the_scheme_is_refused_with_what_is_meant(scheme: str) -> None:
    meant = scheme.lower().partition("+")[0]
    with pytest.raises(ConfigError, match=rf"GAIA_X: .* did you mean {meant}://\?"):
        database_url(f"{scheme}://gaia:s3cret@h/d", "GAIA_X")
