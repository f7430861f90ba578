"""The tables of ``gaia.toml`` as types, and their JSON Schema."""

# Not only for type checkers: msgspec reads the annotations.
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

# Not only for type checkers: msgspec reads the annotations.
from pytest_gaia.config.environment import DeployFiles, DeploySettings, Direct, Environment, HookName, Role
from pytest_gaia.config.platform import MAX_CONCURRENCY
from pytest_gaia.config.services import SERVICE_NAME, PlatformTable, ServiceTable, TimeoutTable
from pytest_gaia.config.stages import Freeze, LedgerSettings, Slo, Stage
from pytest_gaia.config.tolerance import BaselineMeaning, SkipMeaning, Tolerance, ToleranceKind, XfailMeaning
from pytest_gaia.files.decoding import OldNames

ENVIRONMENT_NAME = r"[a-z][a-z0-9-]*"

PlatformName: TypeAlias = Literal["gaia", "none"]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Meta(min_length=1)]
Milliseconds: TypeAlias = Annotated[float, Meta(gt=0)]

Table = TypeVar("Table", bound=Struct)

OLD_NAMES = OldNames(
    keys={
        "env.*.deploy.answers": "consecutive_successes",
        "env.*.tolerance.least_executed": "min_tests",
        "env.*.tolerance.longest_rule_days": "max_expectation_age_days",
        "env.*.max_answer_mib": "max_response_mib",
        "env.*.slo.least_samples": "min_samples",
        "env.*.stage.evidence_age": "max_evidence_age",
        "env.*.stage.freeze.why": "reason",
        "env.*.stage.from": "promote_from",
        "env.*.stage.sign": "required_approvals",
        "env.*.timeouts.answer": "response",
    },
    values={
        "env.*.tolerance.kind": {"open": "advisory", "listed": "known-failures", "zero": "strict"},
        "env.*.tolerance.skip": {"listed": "expected", "fails": "fail"},
        "env.*.tolerance.xfail": {"fails": "fail"},
    },
)
"""names that keys and values of ``gaia.toml`` had before; the old ones are accepted with a notice"""


class ToleranceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.tolerance]``: which failures block a release."""

    kind: ToleranceKind | UnsetType = UNSET
    budget: Count | UnsetType = UNSET
    min_tests: Count | UnsetType = UNSET
    max_expectation_age_days: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    xfail: XfailMeaning | UnsetType = UNSET
    skip: SkipMeaning | UnsetType = UNSET
    baseline: BaselineMeaning | UnsetType = UNSET


class DeployTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.deploy]``: how the environment is deployed."""

    hook: HookName | UnsetType = UNSET
    """deploy hook: a built-in one (fly, compose, kubernetes), an executable (command), or one in conftest.py (plugin)"""
    command: Annotated[tuple[str, ...], Meta(min_length=1)] | UnsetType = UNSET
    services: tuple[Text, ...] | UnsetType = UNSET
    deadline: Annotated[float, Meta(gt=0, le=7200)] | UnsetType = UNSET
    stable_for: Annotated[float, Meta(ge=0, le=600)] | UnsetType = UNSET
    consecutive_successes: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    org: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    context: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    namespace: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    secrets: tuple[str, ...] | UnsetType = UNSET


class FreezeTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[env.NAME.stage.freeze]]``: a period without promotions."""

    begins: datetime = field(name="from")
    """first moment of the freeze, with its time zone"""
    until: datetime
    """end of the freeze, with its time zone"""
    reason: Text
    """reason of the freeze"""


class StageTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[env.NAME.stage]``: what a release needs before promotion. Durations have units, such as ``"24h"``."""

    previous: str | UnsetType = field(default=UNSET, name="promote_from")
    suites: Texts | UnsetType = UNSET
    services: Annotated[tuple[Text, ...], Meta(min_length=1)] | UnsetType = UNSET
    soak: str | UnsetType = UNSET
    evidence_age: str | UnsetType = field(default=UNSET, name="max_evidence_age")
    sign: tuple[Text, ...] | UnsetType = field(default=UNSET, name="required_approvals")
    require_signed: bool | UnsetType = UNSET
    freeze: tuple[FreezeTable, ...] | UnsetType = UNSET
    """periods in which nothing is promoted to this environment"""


class SloTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[env.NAME.slo]]``: how long a route may take."""

    route: str
    fail_ms: Milliseconds
    """a slower response at the percentile violates the objective, in milliseconds"""
    warn_ms: Milliseconds | UnsetType = UNSET
    """a slower response at the percentile is a warning, in milliseconds"""
    percentile: Annotated[float, Meta(ge=50, lt=100)] | UnsetType = UNSET
    """percentile of the response times that is compared; 95 by default"""
    min_samples: Annotated[int, Meta(ge=2)] | UnsetType = UNSET


class EnvironmentTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[env.NAME]``: one environment. Keys that are not set have built-in defaults."""

    role: Role | UnsetType = UNSET
    """what it is for, which decides tolerance and stage; by default its own name, if that is a role"""
    url: str | UnsetType = UNSET
    """URL of all HTTP services, with `{service}` or `{unit}` in it; without, the URL of the entry"""
    urls: dict[str, str] | UnsetType = UNSET
    """URL of each service, without passwords; "disabled" if there is none; takes precedence over `url`"""
    services: tuple[Text, ...] | UnsetType = UNSET
    """services that are expected to run; by default all"""
    without: tuple[Text, ...] | UnsetType = UNSET
    """services that do not run here"""
    required: tuple[Text, ...] | UnsetType = UNSET
    """services without which no test runs (exit code 12)"""
    hosts: tuple[str, ...] | UnsetType = UNSET
    """host names that belong to this environment only; `*` is allowed as the first label"""
    loopback: bool | UnsetType = UNSET
    """whether a release may be tested here while its services run on this machine"""
    timeouts: TimeoutTable | UnsetType = UNSET
    """how long to wait for responses and for readiness"""
    tolerance: ToleranceTable | UnsetType = UNSET
    """which failures block a release here"""
    writes: bool | UnsetType = UNSET
    """whether tests marked `writes=True` may write"""
    direct: Direct | UnsetType = UNSET
    """connections to services without their clients: "refuse" (default without `writes`), "warn" (default with `writes`), "allow\""""
    experimental: bool | UnsetType = UNSET
    """whether tests marked `experimental=True` apply"""
    core_only: bool | UnsetType = UNSET
    """whether only tests marked `core=True` run when nothing is selected"""
    concurrency: Annotated[int, Meta(ge=1, le=MAX_CONCURRENCY)] | UnsetType = UNSET
    """maximum number of concurrent tests in one process"""
    suites: tuple[str, ...] | UnsetType = UNSET
    """suites that run when nothing is selected; by default all"""
    max_response_mib: Annotated[int, Meta(ge=1, le=4096)] | UnsetType = UNSET
    """largest response body that is read, in MiB"""
    release: str | UnsetType = UNSET
    """version that is deployed, for the header"""
    source: DeployFiles | UnsetType = field(default=UNSET, name="from")
    """deploy tool whose files contain addresses and services"""
    deploy: DeployTable | UnsetType = UNSET
    """how the environment is deployed"""
    stage: StageTable | UnsetType = UNSET
    """what a release needs before it may be promoted to this environment"""
    slo: tuple[SloTable, ...] | UnsetType = UNSET
    """service level objectives: how long a route may take"""


class LedgerTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[ledger]``: where evidence is stored, and whose signatures are trusted."""

    path: Text | UnsetType = UNSET
    git: Text | UnsetType = UNSET
    remote: Text | UnsetType = UNSET
    keys: Text | UnsetType = UNSET


class GaiaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[gaia]``: settings of the project."""

    platform: PlatformName | UnsetType = UNSET
    """built-in platform that lies under this file: its services and environments; "none" by default"""
    environment: str | UnsetType = UNSET
    """default environment"""
    suites: tuple[str, ...] | UnsetType = UNSET
    """folders of tests; each subfolder is a suite, and its name is a marker"""
    deploy_files: str | UnsetType = UNSET
    """folder of the deploy files, relative to this file"""
    repository_url: Text | UnsetType = UNSET
    """web address of the repository, for links to commits; without it, that of the git remote origin"""
    issue_url: Text | UnsetType = UNSET
    """web address of an issue, with "{issue}" for its key"""
    allowed_differences: tuple[str, ...] | UnsetType = UNSET
    """settings that may differ between the deploy files of staging and production"""


class ProjectTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a project that is tested with pytest-gaia."""

    gaia: GaiaTable | UnsetType = UNSET
    platform: PlatformTable | UnsetType = UNSET
    services: dict[str, ServiceTable] | UnsetType = UNSET
    """services by name, in the order in which tables show them"""
    env: dict[str, EnvironmentTable] | UnsetType = UNSET
    """environments by name; what a table does not set is built in"""
    ledger: LedgerTable | UnsetType = UNSET


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``gaia.toml``."""
    # Only this command needs it.
    from pytest_gaia.files.decoding import json_schema

    meanings: dict[type, tuple[type, ...]] = {
        EnvironmentTable: (Environment,),
        ToleranceTable: (Tolerance,),
        DeployTable: (DeploySettings,),
        StageTable: (Stage,),
        FreezeTable: (Freeze,),
        SloTable: (Slo,),
        LedgerTable: (LedgerSettings,),
    }
    found = json_schema(ProjectTable, "gaia.toml", meanings)
    properties = found["$defs"]["ProjectTable"]["properties"]
    properties["env"]["propertyNames"] = {"pattern": f"^{ENVIRONMENT_NAME}$"}
    properties["services"]["propertyNames"] = {"pattern": f"^{SERVICE_NAME}$"}
    return found


def overlay(lower: Table, upper: Table) -> Table:
    """Return ``lower`` with every key that ``upper`` sets, also in nested tables."""
    changes: dict[str, Any] = {}
    for name in upper.__struct_fields__:
        below, above = getattr(lower, name), getattr(upper, name)
        if isinstance(below, Struct) and isinstance(above, Struct):
            changes[name] = overlay(below, above)
        elif isinstance(below, dict) and isinstance(above, dict):
            changes[name] = below | above
        elif above is not UNSET:
            changes[name] = above
    return structs.replace(lower, **changes)


def set_values(table: object) -> dict[str, Any]:
    """Return the values that are set in ``table``; nothing for a table that is not set itself."""
    if not isinstance(table, Struct):
        return {}
    return {key: value for key in table.__struct_fields__ if (value := getattr(table, key)) is not UNSET}
