"""Environment variables and ``.env``: which one is asked for a value, and which one answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pytest_gaia.config.dotenv import DOTENV_FILE, read_dotenv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gaia.config.options import Options


class Sourced(NamedTuple):
    """A value and where it came from."""

    value: str
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Variables:
    """The process environment over ``.env``. Its ``repr`` shows no values. An empty variable counts as not set."""

    environ: Mapping[str, str]
    dotenv: Mapping[str, tuple[str, int]]
    named_only: bool = False
    """whether only variables count that name their environment, so that no other environment's value is taken"""

    def get(self, name: str) -> Sourced | None:
        """Return the variable ``name`` itself."""
        if self.environ.get(name):
            return Sourced(self.environ[name], name)
        value, line = self.dotenv.get(name, ("", 0))
        return Sourced(value, f"{DOTENV_FILE}:{line}") if value else None

    def of(self, environment: str, key: str) -> Sourced | None:
        """Return ``GAIA_<ENVIRONMENT>_<key>``, or else ``GAIA_<key>``; never another environment's variable."""
        named = self.get(variable_name(environment, key))
        return named if named or self.named_only else self.get(f"GAIA_{key}")


def variable_name(environment: str, key: str) -> str:
    """Return the variable of one environment: ``("pre-prod", "API_KEY")`` → ``GAIA_PRE_PROD_API_KEY``."""
    return f"GAIA_{environment.upper().replace('-', '_')}_{key}"


def read_variables(options: Options) -> Variables:
    """Return the variables of a run; raises ``ConfigError`` for a malformed ``.env``."""
    return Variables(options.environ, read_dotenv(options.rootdir / DOTENV_FILE))
