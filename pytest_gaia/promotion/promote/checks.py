"""Release checks by tools: whether an environment runs a release, and whether experimental features are off.

The check of experimental features has two conditions. First, no deploy file of the release switches such a feature on in
the target environment, with a variable such as ``EXPERIMENTAL…``, ``ENABLE_EXPERIMENTAL…`` or ``FEATURE_…EXPERIMENTAL…``.
Second, no evidence depends on such a feature: the environment excludes experimental tests, or the newest run of the
release in the previous stage ran none of them.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from pytest_gaia.config.deployfiles.model import Deployment
from pytest_gaia.config.environment import Environment
from pytest_gaia.config.resolve import Options, resolve_each
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import CHECK, CheckPredicate, CheckStatus, RunPredicate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.promote.signing import signers_for
from pytest_gaia.promotion.release.comparison import check_files, check_running, deploy_files, look
from pytest_gaia.promotion.release.kept import Release, configs_folder

Found: TypeAlias = tuple[CheckStatus, str, tuple[str, ...]]
"""status, reason, findings"""
CHECK_ID = "no-experimental-features"
"""ID of the release check"""
NAME = re.compile(r"^(?:\w*_)?(?:ENABLE_)?EXPERIMENTAL|^FEATURES?_\w*EXPERIMENTAL", re.IGNORECASE)
"""names of variables that switch an experimental feature"""
_OFF = ("", "0", "false", "no", "off", "none", "disabled", "never")
_VARIABLE = re.compile(r"\$\{?\w")


def environment_apart(promotion: Promotion, name: str) -> Environment:
    """Return the environment ``name``. Variables such as ``GAIA_ORDERS_URL`` apply to one environment only.

    Otherwise two environments in a comparison could have the same address. Raises ``ConfigError`` for an unknown name.
    """
    found = resolve_each(Options(project=promotion.project, environ=promotion.environ), apart=True)
    if name not in found:
        raise ConfigError(f"no environment is named {name!r}; {nearest(name, found)}")
    environment = found[name]
    if isinstance(environment, Exception):
        raise environment
    return environment


def not_running(promotion: Promotion, environment: Environment, release: Release, now: datetime) -> str:
    """Return the reason why it is not known that ``environment`` runs ``release``; '' if it does.

    If gaia deploys the environment, it is observed. Otherwise the newest deployment in the ledger counts.
    """
    if environment.deploy is None:
        return _not_said_to_run(promotion, environment.name, release, now)
    checks = list(check_running(release, look(environment, promotion.rootdir), environment.name))
    for each in checks:
        if each.status not in ("same", "left out"):
            return f"{environment.name} does not run release {release.short}: {each.what}: {each.reason}"
    if any(each.status == "same" for each in checks):
        return ""
    return f"{environment.name} runs no service of release {release.short}"


def record_check(
    promotion: Promotion,
    environment: str,
    release: Release,
    check: str,
    found: tuple[CheckStatus, str, Sequence[str]],
    now: datetime,
) -> Entry:
    """Write the result (status, reason, findings) of ``check`` to the ledger; return the entry.

    Raises ``ConfigError`` if the entry needs a signature and there is no key.
    """
    status, reason, findings = found
    predicate = CheckPredicate(
        environment=environment,
        release=release.id,
        check=check,
        status=status,
        reason=reason,
        findings=tuple(findings),
        time=now.isoformat(timespec="seconds"),
    )
    signers = signers_for(promotion, environment)
    return promotion.ledger.append(CHECK, release.subjects(), predicate, signers=signers)


def _not_said_to_run(promotion: Promotion, name: str, release: Release, now: datetime) -> str:
    stay = promotion.situation(name, release, now).stay(name)
    if stay.since or stay.gone:
        return stay.gone
    return f"no evidence that {name} runs release {release.short}; run: gaia promote {name} {release.short}"


def check_experimental(promotion: Promotion, environment: str, release: Release, now: datetime) -> Found:
    """Return the result of the check for a promotion of ``release`` to ``environment``.

    Raises ``ConfigError`` for an unknown environment, and if the deploy files cannot be read.
    """
    settings = promotion.resolve(environment, {})
    files, problem = _files(promotion, settings, release)
    on, unseen = sorted(_switched_on(files)), sorted(_unseen(files, settings))
    if on:
        return "failed", f"switched on in {environment}: {', '.join(on)}", tuple(on)
    if problem or unseen:
        return "inconclusive", problem or f"unknown value of {', '.join(unseen)}", tuple(unseen)
    status, reason = _runs(promotion, settings, release, now)
    names = ", ".join(sorted({app.path.name for app in files.apps})) if files else ""
    return (status, f"no experimental feature in {names}; {reason}" if status == "proved" else reason, ())


def _files(promotion: Promotion, environment: Environment, release: Release) -> tuple[Deployment | None, str]:
    """Return the saved deploy files of the release for the environment, or the reason why there are none."""
    folder = promotion.project.deploy_files_in(configs_folder(promotion.rootdir, release))
    source = environment.deploy_source
    if source is None:
        return None, f"{environment.name} has no deploy files, so its variables are unknown"
    changed = [each for each in check_files(release, deploy_files(folder), what="kept file") if each.status != "same"]
    if changed or not release.configs:
        reason = f"{changed[0].what} {changed[0].reason}" if changed else "it has none"
        return None, f"the saved deploy files of release {release.short} are missing or changed: {reason}"
    try:
        return folder.deployment(environment.name, source), ""
    except ConfigError as error:
        return None, str(error)


def _switched_on(files: Deployment | None) -> Iterator[str]:
    for app in files.apps if files else ():
        for name, value in app.env.items():
            if NAME.search(name) and not _VARIABLE.search(value) and value.strip().lower() not in _OFF:
                yield f"{app.service} {name}={value}"


def _unseen(files: Deployment | None, environment: Environment) -> Iterator[str]:
    """Yield experimental features with an unknown value: it comes from another variable or from a secret."""
    for app in files.apps if files else ():
        for name, value in app.env.items():
            if NAME.search(name) and _VARIABLE.search(value):
                yield f"{app.service} {name}"
    for name in environment.deploy.secrets if environment.deploy else ():
        if NAME.search(name):
            yield f"the secret {name}"


def _runs(
    promotion: Promotion, environment: Environment, release: Release, now: datetime
) -> tuple[Literal["proved", "inconclusive"], str]:
    if not environment.experimental:
        return "proved", f"{environment.name} runs no experimental test"
    previous = promotion.stage(environment.name).previous
    if previous is None:
        return "inconclusive", (
            f"{environment.name} runs experimental tests, and has no previous stage; exclude them "
            f"(`experimental = false` in [env.{environment.name}] of gaia.toml)"
        )
    run = promotion.situation(environment.name, release, now).newest(RunPredicate, previous)
    if run is None:
        return (
            "inconclusive",
            f"no valid run of this release in {previous}; run: gaia promote {previous} {release.short}",
        )
    if count := run.says.details.experimental_run:
        return "inconclusive", (
            f"the newest run in {previous} includes {count} experimental tests; exclude them "
            f"(`experimental = false` in [env.{previous}] of gaia.toml), or in [env.{environment.name}]"
        )
    return "proved", f"the newest run in {previous} ran no experimental test"
