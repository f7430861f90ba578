"""Whose signature stands under what machines testify: the key at hand, if it counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.situation import EVIDENCE_ROLE

if TYPE_CHECKING:
    from pytest_gaia.promotion.dsse import Signer
    from pytest_gaia.promotion.project import Promotion


def witness(promotion: Promotion, *environments: str) -> list[Signer]:
    """Return the key that signs evidence that is to count in each of ``environments``; empty where none has to.

    A key that would not count is not used: where unsigned evidence does, nothing is signed. Raises ``ConfigError``
    where a signature is asked for and there is no trusted key with the role ``ci``, and for a key out of its time.
    """
    asking = [name for name in environments if promotion.stage(name).require_signed]
    signers = promotion.signers()
    trusted = {key.keyid: key for key in promotion.ledger.keys}
    key = trusted.get(signers[0].keyid) if signers else None
    if key is not None and not key.valid_at(datetime.now(UTC)):
        raise ConfigError(
            f"{key.name}: this key is not in force now (not_before, not_after in {promotion.settings.keys}/{key.name}.toml),"
            " and what it signs would count for nothing. Nothing was written."
        )
    if key is not None and EVIDENCE_ROLE in key.roles:
        return [*signers]
    if not asking:
        return []
    if not signers:
        why = "there is no key here: set GAIA_SIGNING_KEY_FILE"
    elif key is None:
        why = f"this key ({signers[0].keyid[:12]}) is not trusted: no file in {promotion.settings.keys}/ holds it"
    else:
        why = f"{key.name} has the roles {', '.join(key.roles)}, not {EVIDENCE_ROLE}"
    raise ConfigError(
        f"{', '.join(asking)} takes only evidence that a key with the role {EVIDENCE_ROLE} has signed, and {why}. "
        "`gaia key create --help` tells how to make one. Nothing was written."
    )
