"""What machines testify: whose signature stands under it, and how a deployment outside of a promotion is written down."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pytest_gaia.config.project import Project
from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.gate._outside import done_here, last_deployment
from pytest_gaia.promotion.ledger._dsse import Signer
from pytest_gaia.promotion.ledger.keys import SigningKey, TrustedKey
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import DEPLOYMENT, NO_RELEASE, DeploymentPredicate, Subject
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.rollout.model import RolloutResult


def signers_for(promotion: Promotion, *environments: str) -> list[Signer]:
    """Return the key that signs evidence that is to count in each of ``environments``; empty where none has to.

    A key that would not count is not used: where unsigned evidence does, nothing is signed. Raises ``ConfigError``
    where a signature is asked for (by the stage, or because the ledger is signed) and there is no trusted key with the
    role ``ci``, and for a key out of its time.
    """
    asking = [name for name in environments if promotion.stage(name).require_signed]
    signers, key = _at_hand(promotion)
    if key is not None and key.testifies:
        return [*signers]
    if not asking and not promotion.ledger.must_sign:
        return []
    reason = _unusable(promotion, signers)
    if key is not None:
        reason = f"{key.name} has the roles {', '.join(key.roles)}, not {MACHINE_ROLE}"
    who = ", ".join(asking) or f"the ledger ({promotion.ledger.store.name})"
    raise ConfigError(
        f"{who} takes only evidence that a key with the role {MACHINE_ROLE} has signed, and {reason}. "
        "`gaia key create --help` tells how to make one. Nothing was written."
    )


def any_signer(promotion: Promotion) -> list[Signer]:
    """Return the trusted key at hand, whatever its roles; empty where nothing has to be signed.

    It is for what holds a release back and never promotes one. Raises ``ConfigError`` where the ledger is signed and
    there is no such key.
    """
    signers, key = _at_hand(promotion)
    if key is None and promotion.ledger.must_sign:
        raise ConfigError(f"the ledger ({promotion.ledger.store.name}) is signed, and {_unusable(promotion, signers)}.")
    return [] if key is None else [*signers]


def record(promotion: Promotion, result: RolloutResult) -> Entry | None:
    """Write a roll-out that was no part of a promotion into the ledger; return the entry.

    None: nothing was touched, and what runs is what the ledger knows already; or it knows of no deployment there, so that
    no gate could take this one for a promotion's. Raises ``GaiaError`` where it cannot be written.
    """
    # A rollback begins with its witness.
    from pytest_gaia.promotion.promote.rollback import outcome_of

    name, began = result.environment, datetime.fromisoformat(result.started)
    latest = last_deployment(promotion.ledger.entries(), name)
    done = [each for each in done_here(promotion.rootdir, (name,)) if each.time >= began]
    if latest is None or name not in promotion.stages or not done:
        return None
    seen = {service: digest for service, digest in done[-1].services.items() if digest}
    if not done[-1].changed and seen.items() <= getattr(latest.predicate, "services", {}).items():
        return None
    says = DeploymentPredicate(
        environment=name,
        release=NO_RELEASE,
        outcome=outcome_of(result),
        reason=str(done[-1]),
        services=seen,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    images = [Subject(service, dict([digest.split(":", 1)])) for service, digest in sorted(seen.items())]
    return promotion.ledger.append(DEPLOYMENT, images, says, signers=any_signer(promotion))


def recorded(project: Project, result: RolloutResult) -> str:
    """Write a roll-out outside of a promotion into the ledger, if it can be; return what people should know of that."""
    name = result.environment
    holds = f"the gate of {name} holds until a bundle is promoted there again (gaia promote {name} --bundle ID)"
    try:
        entry = record(Promotion.of(project), result)
    except GaiaError as problem:
        return f"this was outside of a promotion, and could not be written into the ledger: {problem} Here, {holds}"
    return f"this was outside of a promotion, entry {entry.sequence} of the ledger: {holds}" if entry else ""


def _at_hand(promotion: Promotion) -> tuple[list[SigningKey], TrustedKey | None]:
    """Return the key that would sign here, and what the project trusts it as. Raises ``ConfigError`` for a retired one."""
    signers, now = promotion.signers(), datetime.now(UTC)
    trusted = {key.keyid: key for key in promotion.ledger.keys}
    key = trusted.get(signers[0].keyid) if signers else None
    if key is not None and not key.valid_at(now):
        raise ConfigError(
            f"{key.name}: this key is not in force now (not_before, not_after in {promotion.settings.keys}/{key.name}.toml),"
            " and what it signs would count for nothing. Nothing was written."
        )
    return signers, key


def _unusable(promotion: Promotion, signers: Sequence[SigningKey]) -> str:
    if not signers:
        return "there is no key here: set GAIA_SIGNING_KEY_FILE"
    return f"this key ({signers[0].keyid[:12]}) is not trusted: no file in {promotion.settings.keys}/ holds it"
