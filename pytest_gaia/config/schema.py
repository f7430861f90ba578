"""The tables of ``gaia.toml`` as types."""

# At run time, because msgspec reads the annotations.
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

# At run time, because msgspec reads the annotations.
from pytest_gaia.config.environment import DeployFiles, HookName, Topology
from pytest_gaia.config.tolerance import SkipMeaning, ToleranceKind, XfailMeaning
from pytest_gaia.files.decoding import OldNames

PlatformName: TypeAlias = Literal["gaia", "none"]
Service: TypeAlias = Literal["gateway", "auth", "asset", "chat", "nats", "postgres"]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=3600)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Meta(min_length=1)]
Milliseconds: TypeAlias = Annotated[float, Meta(gt=0)]

OLD_NAMES = OldNames(
    keys={
        "env.*.deploy.answers": "consecutive_successes",
    },
)
"""names that keys and values of ``gaia.toml`` had before; the old ones are accepted with a notice"""


class UrlTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.urls]``: the base URL of each service."""

    gateway: str | UnsetType = UNSET
    auth: str | UnsetType = UNSET
    asset: str | UnsetType = UNSET
    chat: str | UnsetType = UNSET


class TimeoutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.timeouts]``, in seconds."""

    connect: Seconds | UnsetType = UNSET
    answer: Seconds | UnsetType = UNSET
    stream: Seconds | UnsetType = UNSET
    ready: Seconds | UnsetType = UNSET


class ToleranceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.tolerance]``; the meaning of each key is that of ``Tolerance``."""

    kind: ToleranceKind | UnsetType = UNSET
    budget: Count | UnsetType = UNSET
    least_executed: Count | UnsetType = UNSET
    longest_rule_days: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    xfail: XfailMeaning | UnsetType = UNSET
    skip: SkipMeaning | UnsetType = UNSET


class DeployTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[env.NAME.deploy]``; the meaning of each key is that of ``DeploySettings``."""

    hook: HookName | UnsetType = UNSET
    command: Annotated[tuple[str, ...], Meta(min_length=1)] | UnsetType = UNSET
    services: tuple[Service, ...] | UnsetType = UNSET
    deadline: Annotated[float, Meta(gt=0, le=7200)] | UnsetType = UNSET
    consecutive_successes: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    org: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    secrets: tuple[str, ...] | UnsetType = UNSET


class FreezeTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[env.NAME.stage.freeze]]``; the meaning of each key is that of ``Freeze``."""

    begins: datetime = field(name="from")
    until: datetime
    why: Text


class StageTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[env.NAME.stage]``; the meaning of each key is that of ``Stage``. Durations are texts, such as ``"24h"``."""

    previous: str | UnsetType = field(default=UNSET, name="from")
    suites: Texts | UnsetType = UNSET
    services: Annotated[tuple[Service, ...], Meta(min_length=1)] | UnsetType = UNSET
    soak: str | UnsetType = UNSET
    evidence_age: str | UnsetType = UNSET
    sign: tuple[Text, ...] | UnsetType = UNSET
    require_signed: bool | UnsetType = UNSET
    freeze: tuple[FreezeTable, ...] | UnsetType = UNSET


class SloTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[env.NAME.slo]]``; the meaning of each key is that of ``Slo``."""

    route: str
    fail_ms: Milliseconds
    warn_ms: Milliseconds | UnsetType = UNSET
    percentile: Annotated[float, Meta(ge=50, lt=100)] | UnsetType = UNSET
    least_samples: Annotated[int, Meta(ge=2)] | UnsetType = UNSET


class EnvironmentTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[env.NAME]``. What is not set here is left to the layer below."""

    topology: Topology | UnsetType = UNSET
    url: str | UnsetType = UNSET
    """template with ``{service}`` for all services; without it, the URL of the gateway"""
    urls: UrlTable | UnsetType = UNSET
    nats: str | UnsetType = UNSET
    services: tuple[Service, ...] | UnsetType = UNSET
    required: tuple[Service, ...] | UnsetType = UNSET
    hosts: tuple[str, ...] | UnsetType = UNSET
    loopback: bool | UnsetType = UNSET
    timeouts: TimeoutTable | UnsetType = UNSET
    tolerance: ToleranceTable | UnsetType = UNSET
    writes: bool | UnsetType = UNSET
    experimental: bool | UnsetType = UNSET
    core_only: bool | UnsetType = UNSET
    safe_posts: tuple[str, ...] | UnsetType = UNSET
    suites: tuple[str, ...] | UnsetType = UNSET
    max_answer_mib: Annotated[int, Meta(ge=1, le=4096)] | UnsetType = UNSET
    release: str | UnsetType = UNSET
    source: DeployFiles | UnsetType = field(default=UNSET, name="from")
    deploy: DeployTable | UnsetType = UNSET
    stage: StageTable | UnsetType = UNSET
    slo: tuple[SloTable, ...] | UnsetType = UNSET


class LedgerTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[ledger]``; the meaning of each key is that of ``LedgerSettings``."""

    path: Text | UnsetType = UNSET
    git: Text | UnsetType = UNSET
    remote: Text | UnsetType = UNSET
    keys: Text | UnsetType = UNSET


class GaiaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """``[gaia]``: settings of the project."""

    platform: PlatformName | UnsetType = UNSET
    """whose shipped description lies below the project file"""
    environment: str | UnsetType = UNSET
    suites: tuple[str, ...] | UnsetType = UNSET
    deploy_files: str | UnsetType = UNSET
    """folder of the deploy files, relative to the project file"""
    allowed_differences: tuple[str, ...] | UnsetType = UNSET
    """what the deploy files of staging and production may differ in"""


def set_values(table: object) -> dict[str, Any]:
    """Return the values that are set in ``table``; nothing for a table that is not set itself."""
    if not isinstance(table, Struct):
        return {}
    return {key: value for key in table.__struct_fields__ if (value := getattr(table, key)) is not UNSET}
