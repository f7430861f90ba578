"""What tools find about a bundle: whether it is what runs somewhere, and writing a finding into the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pytest_gaia.config.environment import Environment
from pytest_gaia.config.options import Options
from pytest_gaia.config.resolve import resolve_each
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.promotion.bundle import Bundle
from pytest_gaia.promotion.bundle_checks import check_running
from pytest_gaia.promotion.images import look
from pytest_gaia.promotion.ledger import Entry
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.statements import CHECK, CheckPredicate, CheckStatus
from pytest_gaia.promotion.witness import witness


def environment_apart(promotion: Promotion, name: str) -> Environment:
    """Return the environment ``name`` by its own settings: ``GAIA_GATEWAY_URL`` and its like count for one alone.

    Else two environments that are compared would be one and the same. Raises ``ConfigError`` for an unknown name.
    """
    found = resolve_each(Options(project=promotion.project, environ=promotion.environ), apart=True)
    if name not in found:
        raise ConfigError(f"no environment is named {name!r}; {nearest(name, found)}")
    environment = found[name]
    if isinstance(environment, Exception):
        raise environment
    return environment


def not_running(promotion: Promotion, environment: Environment, bundle: Bundle, now: datetime) -> str:
    """Return why it is not known that ``environment`` runs ``bundle``; an empty text if it does.

    It is observed where it is deployed from here; elsewhere the newest deployment in the ledger says it.
    """
    if environment.deploy is None:
        return _not_said_to_run(promotion, environment.name, bundle, now)
    checks = list(check_running(bundle, look(environment, promotion.rootdir), environment.name))
    for each in checks:
        if each.status not in ("same", "left out"):
            return f"{environment.name} is not seen to run bundle {bundle.short}: {each.what}: {each.why}"
    if any(each.status == "same" for each in checks):
        return ""
    return f"{environment.name} runs nothing that bundle {bundle.short} has an image of"


def record_check(
    promotion: Promotion,
    environment: str,
    bundle: Bundle,
    item: str,
    found: tuple[CheckStatus, str, Sequence[str]],
    now: datetime,
) -> Entry:
    """Write what was found (status, why, findings) about ``item`` into the ledger; return the entry.

    Raises ``ConfigError`` where it would not count for want of a signature.
    """
    status, why, findings = found
    predicate = CheckPredicate(
        environment=environment,
        bundle=bundle.id,
        item=item,
        status=status,
        why=why,
        findings=tuple(findings),
        time=now.isoformat(timespec="seconds"),
    )
    signers = witness(promotion, environment)
    return promotion.ledger.append(CHECK, bundle.subjects(), predicate, signers=signers)


def _not_said_to_run(promotion: Promotion, name: str, bundle: Bundle, now: datetime) -> str:
    stay = promotion.situation(name, bundle, now).stay(name)
    if stay.since or stay.gone:
        return stay.gone
    return f"nothing shows that {name} runs bundle {bundle.short}; gaia promote {name} --bundle {bundle.short}"
