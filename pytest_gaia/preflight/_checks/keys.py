"""The keys that flyctl and docker compose know. A table that is not listed here may have any keys."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_gaia.config.deployfiles.model import App
from pytest_gaia.config.deployfiles.read import meant
from pytest_gaia.files.toml import Place
from pytest_gaia.preflight.files import DeployFiles, standing
from pytest_gaia.preflight.findings import Found, check

_CHECK = "interval timeout grace_period method path protocol tls_skip_verify tls_server_name headers"
_SERVED = (
    "internal_port auto_stop_machines auto_start_machines min_machines_running processes concurrency machine_checks"
)
_TLS = "alpn versions default_self_signed"
_HTTP_OPTIONS = "compress response headers_read_timeout idle_timeout h2_backend replay_cache"
_PORT = "port start_port end_port handlers force_https tls_options http_options proxy_proto_options"
_MACHINE_CHECK = "image command entrypoint kill_signal kill_timeout"
_VM = (
    "size memory memory_mb max_memory_mb cpus cpu_kind gpus gpu_kind host_dedication_id kernel_args processes "
    "persist_rootfs"
)

_TABLES = {
    "": (
        "app primary_region kill_signal kill_timeout swap_size_mb console_command host_dedication_id machine_config "
        "container experimental build deploy env processes mounts mount http_service services checks files "
        "machine_checks restart vm compute computes statics metrics metric"
    ),
    "experimental": (
        "cmd entrypoint exec auto_rollback enable_consul enable_etcd lazy_load_images attached machine_config "
        "kill_timeout metrics_port metrics_path"
    ),
    "build": (
        "builder args buildpacks image settings builtin dockerfile ignorefile build-target build_target compose "
        "compression compression_level"
    ),
    "deploy": (
        "strategy max_unavailable wait_timeout release_command release_command_timeout release_command_vm seed_command"
    ),
    "deploy.release_command_vm": _VM,
    "mounts": (
        "source destination initial_size snapshot_retention scheduled_snapshots auto_extend_size_threshold "
        "auto_extend_size_increment auto_extend_size_limit processes"
    ),
    "http_service": f"{_SERVED} force_https checks tls_options http_options",
    "http_service.concurrency": "type hard_limit soft_limit",
    "http_service.tls_options": _TLS,
    "http_service.http_options": _HTTP_OPTIONS,
    "http_service.checks": _CHECK,
    "http_service.machine_checks": _MACHINE_CHECK,
    "services": f"{_SERVED} protocol ports tcp_checks http_checks",
    "services.concurrency": "type hard_limit soft_limit",
    "services.ports": _PORT,
    "services.ports.tls_options": _TLS,
    "services.ports.http_options": _HTTP_OPTIONS,
    "services.tcp_checks": "interval timeout grace_period",
    "services.http_checks": _CHECK,
    "services.machine_checks": _MACHINE_CHECK,
    "checks.*": f"{_CHECK} type port processes name",
    "files": "guest_path local_path secret_name raw_value processes",
    "machine_checks": _MACHINE_CHECK,
    "restart": "policy retries processes",
    "vm": _VM,
    "statics": "guest_path url_prefix tigris_bucket index_document",
    "metrics": "port path https processes",
}
_KNOWN = {table: frozenset(keys.split()) for table, keys in _TABLES.items()}

_COMPOSE = """
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec
depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc
isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit
models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start
pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets
security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits umask
use_api_socket user userns_mode uts volumes volumes_from working_dir
"""
_COMPOSED = {
    "": _COMPOSE,
    "healthcheck": "disable interval retries start_interval start_period test timeout",
    "deploy": "endpoint_mode labels mode placement replicas resources restart_policy rollback_config update_config",
}
"""table of a service in a compose file → its keys"""
_PROJECT = "configs include models name networks secrets services version volumes"
_RENAMED = {"grace_period": "start_period"}
"""keys of flyctl that have another name in a compose file"""


def known_below(step: tuple[str, ...]) -> frozenset[str] | None:
    """Return the keys that flyctl knows in the table at ``step``; None if it accepts any.

    >>> "timeout" in known_below(("checks", "status"))
    True
    """
    is_named_check = len(step) == len(("checks", "NAME")) and step[0] == "checks"
    if step == ("checks",):
        return frozenset("*")
    return _KNOWN.get("checks.*" if is_named_check else ".".join(step))


@check("unknown-key", "warning")
def unknown_key(files: DeployFiles) -> Iterator[Found]:
    """flyctl does not know a key.

    It ignores unknown keys, so the setting has no effect.
    """
    for environment, app in files.apps("fly"):
        for step, known in _unknown(app.document, ()):
            what = f"{_plain(step)} is not a key of fly.toml"
            yield Found(app.place(*step), what, _fix(step[-1], known), environment)


def refused_keys(app: App, *, is_first: bool) -> Iterator[tuple[Place, str, str]]:
    """Yield (place, problem, fix) of every key of a compose service, or of the file of the first one, that Compose rejects."""
    if is_first:
        for key, fix in _strange(app.project, _PROJECT):
            yield app.place(key), f"{key} is not a key of a compose file", fix
    for table, known in _COMPOSED.items():
        given = app.document.get(table) if table else app.document
        for key, fix in _strange(given, known):
            step = (table, key) if table else (key,)
            yield standing(app, *step), f"{'.'.join(step)} is not a key of a compose service", fix


def _strange(table: Any, known: str) -> Iterator[tuple[str, str]]:
    names = frozenset(known.split())
    for key in map(str, table if isinstance(table, dict) else ()):
        if key not in names and not key.startswith("x-"):
            right = _RENAMED.get(key)
            yield key, f"write {right}" if right in names else _fix(key, names)


def _fix(key: str, known: frozenset[str]) -> str:
    right = meant(key, known)
    return f"write {right}" if right else "remove it; no known key has a similar name"


def _unknown(table: Mapping[str, Any], step: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """Yield (key part by part, the keys that are known there) of every unknown key below ``table``."""
    known = known_below(tuple(re.sub(r"\[\d+\]$", "", part) for part in step))
    if known is None:
        return
    for key, value in table.items():
        if key not in known and "*" not in known:
            yield (*step, key), known
        elif isinstance(value, dict):
            yield from _unknown(value, (*step, key))
        elif isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, dict):
                    yield from _unknown(each, (*step, f"{key}[{number}]"))


def _plain(step: tuple[str, ...]) -> str:
    return ".".join(re.sub(r"\[\d+\]$", "", part) for part in step)
