"""The keys that sign evidence of machines, and entries for deployments outside of a promotion."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pytest_gaia.config.project import Project
from pytest_gaia.config.stages import MACHINE_ROLE
from pytest_gaia.errors import ConfigError, GaiaError
from pytest_gaia.promotion.gate._outside import done_here, last_deployment
from pytest_gaia.promotion.ledger._signatures import Signer
from pytest_gaia.promotion.ledger.keys import SigningKey, TrustedKey
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import DEPLOYMENT, NO_RELEASE, DeploymentPredicate, Subject
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.rollout.model import RolloutResult


def signers_for(promotion: Promotion, *environments: str) -> list[Signer]:
    """Return the key that signs evidence for ``environments``; empty if unsigned evidence is accepted.

    Raises ``ConfigError`` if a stage or the ledger requires signatures and no trusted key with the role ``ci`` is
    configured, or if the key is not valid now.
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
        f"{who} requires evidence signed by a key with the role {MACHINE_ROLE}, and {reason}. To create a key, run "
        "`gaia key generate`. Nothing was written."
    )


def any_signer(promotion: Promotion) -> list[Signer]:
    """Return the trusted key of this machine, whatever its roles; empty if the ledger is unsigned.

    For entries that can block a release but never promote one. Raises ``ConfigError`` if the ledger is signed and no
    trusted key is configured.
    """
    signers, key = _at_hand(promotion)
    if key is None and promotion.ledger.must_sign:
        raise ConfigError(f"the ledger ({promotion.ledger.store.name}) is signed, and {_unusable(promotion, signers)}.")
    return [] if key is None else [*signers]


def record(promotion: Promotion, result: RolloutResult) -> Entry | None:
    """Write a rollout outside of a promotion to the ledger; return the entry.

    Returns None if nothing changed, or if the ledger has no deployment of this environment. Raises ``GaiaError`` if the
    entry cannot be written.
    """
    # Imported here, because the module imports this one.
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
    """Write a rollout outside of a promotion to the ledger, if possible; return a message for the user."""
    name = result.environment
    holds = f"the gate of {name} holds until you promote a release there (gaia promote {name} RELEASE)"
    try:
        entry = record(Promotion.of(project), result)
    except GaiaError as problem:
        return f"deployed outside of a promotion, which could not be recorded in the ledger: {problem} On this machine, {holds}"
    return f"deployed outside of a promotion (entry {entry.sequence} of the ledger): {holds}" if entry else ""


def _at_hand(promotion: Promotion) -> tuple[list[SigningKey], TrustedKey | None]:
    """Return the key of this machine, and its entry among the trusted keys. Raises ``ConfigError`` if it is revoked."""
    signers, now = promotion.signers(), datetime.now(UTC)
    trusted = {key.keyid: key for key in promotion.ledger.keys}
    key = trusted.get(signers[0].keyid) if signers else None
    if key is not None and not key.valid_at(now):
        raise ConfigError(
            f"{key.name}: this key is not valid now; see not_before and not_after in "
            f"{promotion.settings.keys}/{key.name}.toml. Nothing was written."
        )
    return signers, key


def _unusable(promotion: Promotion, signers: Sequence[SigningKey]) -> str:
    if not signers:
        return "no key is configured: set GAIA_SIGNING_KEY_FILE"
    return f"this key ({signers[0].keyid[:12]}) is not trusted: no file in {promotion.settings.keys}/ has it"
