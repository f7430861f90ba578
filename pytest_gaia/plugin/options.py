"""The pytest options of this package, their settings, and whether a run uses Gaia."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_gaia.wording import note_renamed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

RANDOM = "random"
"""value of ``--gaia-shuffle`` without a seed"""

_FILE = {"metavar": "FILE", "type": Path}
_LIST = {"action": "append", "default": []}
_FLAG = {"action": "store_true"}

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--gaia-env": {"metavar": "NAME", "help": "test this environment: sandbox (default), or one from gaia.toml; "
        "also GAIA_ENV"},
    "--gaia-url": {"metavar": "SERVICE=URL", **_LIST, "help": "send the requests for a service to this URL "
        "(repeatable); a bare URL is that of the first HTTP service (`entry` in [platform]); without --gaia-env, test these URLs alone; also "
        "GAIA_<SERVICE>_URL"},
    "--gaia-sandbox-without": {"metavar": "SERVICE,…", **_LIST, "help": "start the sandbox with these services "
        "stopped"},
    "--gaia-sandbox-no-known-bugs": {**_FLAG, "help": "start the sandbox with all known bugs fixed"},
    "--gaia-sandbox-api": {"metavar": "current|next", "help": "API of the Gaia Platform that the sandbox offers; next: "
        "that of its newest release, with kb and web"},
    "--gaia-simulate": {**_FLAG, "help": "run the environment's tests against a sandbox with the same services"},
    "--gaia-concurrency": {"metavar": "N", "help": "run up to N tests at the same time in each process, N from 1 to 100; "
        "default: `concurrency` in [env.NAME] of gaia.toml"},
    "--gaia-shuffle": {"metavar": "SEED", "nargs": "?", "const": RANDOM, "help": "run the tests in a random order, "
        "which finds those that depend on each other; the header shows SEED, a number that repeats the order"},
    "--gaia-report-log": {**_FILE, "help": "write the result of every test to FILE (JSON Lines) as it happens; "
        "`gaia replay FILE` evaluates it again"},
    "--gaia-verdict-file": {**_FILE, "help": "write the verdict and the outcome of every test to FILE (JSON)"},
    "--gaia-attest": {**_FILE, "help": "write the verdict to FILE as a signed in-toto test result (DSSE); needs the key in "
        "GAIA_SIGNING_KEY or GAIA_SIGNING_KEY_FILE"},
    "--gaia-baseline": {**_FILE, "metavar": "PATH", "help": "compare the API with this earlier release: a folder of `gaia api "
        "snapshot`, or a results log; by default the last saved documents of the environment"},
    "--gaia-plan-out": {**_FILE, "help": "write the test plan to FILE after collection: every test that the "
        "environment requires"},
    "--gaia-plan": {**_FILE, "help": "require every test in the plan FILE to run; HOLD if any is missing"},
    "--gaia-shard": {"metavar": "K/N", "help": "run the part K of N of the tests, the same each time; `gaia merge` joins the "
        "results of all parts"},
    "--gaia-durations": {**_FILE, "metavar": "RESULTS", "help": "with --gaia-plan-out or --gaia-shard: balance the shards by "
        "the durations in this results log"},
    "--gaia-require-full": {**_FLAG, "help": "end a partial run with HOLD (11) instead of PARTIAL (0)"},
    "--gaia-deadline": {"metavar": "SECONDS", "help": "end the whole run after SECONDS, whatever it waits for (readiness, "
        "tests, final check): verdict HOLD, exit code 2"},
    "--gaia-release": {"metavar": "ID", "help": "test this release; its ID is written to the plan and the results log"},
    "--gaia-deploy": {**_FLAG, "help": "deploy the environment after collection and before the first test"},
    "--gaia-deploy-services": {"metavar": "SERVICE,…", **_LIST, "help": "with --gaia-deploy: deploy only these services "
        "(repeatable); all: every service"},
    "--gaia-deploy-image": {"metavar": "SERVICE=IMAGE", **_LIST, "help": "with --gaia-deploy: deploy this image instead "
        "of building one (repeatable)"},
    "--gaia-deploy-region": {"metavar": "REGION", "help": "with --gaia-deploy: use this primary region, such as fra"},
    "--gaia-deploy-rebuild": {**_FLAG, "help": "with --gaia-deploy: build without the cache of earlier builds"},
    "--gaia-allure-expected": {"choices": ("failed", "skipped"), "help": "with --alluredir: show non-blocking failures "
        "as failed known issues (default) or as skipped"},
    # For `gaia legacy`, `gaia expectations` and `gaia prove`.
    "--gaia-command": {**_LIST, "help": argparse.SUPPRESS},
    "--gaia-argument": {**_LIST, "help": argparse.SUPPRESS},
    "--gaia-sandbox-faults": {"action": "store_true", "help": argparse.SUPPRESS},
    "--gaia-subjects": {**_FILE, "help": argparse.SUPPRESS},
}  # fmt: skip

_RENAMED = {
    "--gaia-sandbox-fixed": "--gaia-sandbox-no-known-bugs",
    "--gaia-rehearse": "--gaia-simulate",
    "--gaia-record": "--gaia-report-log",
    "--gaia-report": "--gaia-verdict-file",
    "--gaia-seal": "--gaia-plan-out",
    "--gaia-bundle": "--gaia-release",
}
"""old name → new name"""

_SETTINGS: Mapping[str, Any] = {
    "gaia_env": "string",
    "gaia_url": "args",
    "gaia_sandbox_without": "args",
    "gaia_sandbox_no_known_bugs": "bool",
    "gaia_sandbox_api": "string",
    "gaia_simulate": "bool",
    "gaia_concurrency": "string",
    "gaia_shuffle": "string",
    "gaia_report_log": "string",
    "gaia_verdict_file": "string",
    "gaia_baseline": "string",
    "gaia_plan_out": "string",
    "gaia_plan": "string",
    "gaia_shard": "string",
    "gaia_durations": "string",
    "gaia_require_full": "bool",
    "gaia_deadline": "string",
    "gaia_release": "string",
    "gaia_allure_expected": Literal["failed", "skipped"],
}
"""name → type; a deployment and an attestation have none, because they must be requested on the command line"""

_SOURCED = ("gaia_env", "gaia_url", "gaia_concurrency")
"""settings of the environment, which are shown with their source"""


_LOOKING = (
    "help",
    "version",
    "collectonly",
    "setupplan",
    "showfixtures",
    "show_fixtures_per_test",
    "markers",
    "cacheshow",
)


class _Renamed(argparse.Action):
    """An old name of an option: stores what the new one stores, and prints a notice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        old = str(option_string)
        note_renamed(old, _RENAMED[old])
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


def add_options(parser: pytest.Parser) -> None:
    """Add every option and setting."""
    add = parser.getgroup("gaia", "pytest-gaia: test an environment and decide on promotion").addoption
    for name, attributes in _OPTIONS.items():
        add(name, **attributes)
    for old, new in _RENAMED.items():
        attributes = _OPTIONS[new]
        nargs = {"nargs": 0} if "action" in attributes else {"type": attributes.get("type")}
        add(old, dest=_key(new), action=_Renamed, help=argparse.SUPPRESS, default=argparse.SUPPRESS, **nargs)
    for key, kind in _SETTINGS.items():
        default = {} if isinstance(kind, str) else {"default": "failed"}
        parser.addini(key, f"default for {_name(key)}", type=kind, **default)


def is_requested(option: Any) -> bool:
    """Whether an option of this package is given. How Allure shows failures is no reason to use Gaia."""
    return any(getattr(option, key, None) for key in map(_key, _OPTIONS) if key != "gaia_allure_expected")


def value_of(config: pytest.Config, option: Any, key: str) -> Any:
    """Return the value of an option: from the command line, or else from pytest's configuration file."""
    given = getattr(option, key, None)
    if given or key not in _SETTINGS:
        return given
    value = config.getini(key)
    is_file = _OPTIONS[_name(key)].get("type") is Path
    return (config.rootpath / value if is_file else value) if value else given


def add_settings(config: pytest.Config) -> None:
    """Give every option that is not on the command line its value from pytest's configuration file."""
    for key in _SETTINGS:
        if key not in _SOURCED:
            setattr(config.option, key, value_of(config, config.option, key))


def environment_settings(config: pytest.Config) -> tuple[str | None, tuple[str, ...]]:
    """Return ``gaia_env`` and ``gaia_url`` of pytest's configuration file."""
    return config.getini("gaia_env") or None, tuple(config.getini("gaia_url"))


def settings_source(config: pytest.Config, key: str) -> str:
    """Return where a setting comes from, such as ``pytest.ini gaia_env``."""
    return f"{config.inipath.name} {key}" if config.inipath else f"-o {key}"


def files_after_a_space(option: Any, words: Sequence[str]) -> list[Path]:
    """Return the files that follow their option as a word of its own, which pytest takes for tests at first."""
    names = [name for name, attributes in _OPTIONS.items() if attributes.get("type") is Path]
    names += [old for old, new in _RENAMED.items() if new in names]
    return [path for name in names if name in words and (path := getattr(option, _key(_RENAMED.get(name, name)), None))]


def _key(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _name(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def runs_no_tests(option: Any) -> bool:
    """Whether pytest only prints information and runs no test. Such a run has no verdict."""
    return any(getattr(option, name, None) for name in _LOOKING)


def may_use_gaia(config: pytest.Config, option: Any) -> bool:
    """Whether there is any sign of Gaia. The cheapest test comes first, because most runs end here."""
    return (
        is_requested(option)
        or any(environment_settings(config))
        or _has_project(config.rootpath, marked=config.inipath is not None)
        or any(name.startswith("GAIA_") for name in os.environ)
    )


def _has_project(root: Path, *, marked: bool) -> bool:
    """Whether there may be settings: in pytest's root, or above it if no configuration file of pytest marks the root."""
    folders = (root,) if marked else (root, *root.parents)
    return any((folder / "gaia.toml").exists() or _mentions_gaia(folder / "pyproject.toml") for folder in folders)


def _mentions_gaia(path: Path) -> bool:
    """Whether ``path`` may have a table ``[tool.gaia]``; a run that uses Gaia looks more closely."""
    try:
        return b"[tool.gaia" in path.read_bytes()
    except OSError:
        return False
