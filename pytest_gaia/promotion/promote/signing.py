"""Signed entries of the ledger: approvals and waivers of people, and the key of this machine for its evidence.

Approvals are signed with a key of the project, or with an SSH key through ``ssh-keygen -Y sign``. The SSH key may be in
an agent or on a hardware token. Rollouts outside of a promotion are entries too.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pytest_gaia.config.project import Project
from pytest_gaia.config.stages import MACHINE_ROLE, Stage
from pytest_gaia.errors import ConfigError, GaiaError, nearest
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.gate.gate import BY_ID, LONGEST_WAIVER, WAIVER_ROLE, waivable
from pytest_gaia.promotion.gate.settings import in_force
from pytest_gaia.promotion.gate.situation import last_deployment, local_rollouts
from pytest_gaia.promotion.ledger._signatures import NAMESPACE, Signer
from pytest_gaia.promotion.ledger.keys import SigningKey, TrustedKey, key_id, raw_public
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import (
    DEPLOYMENT,
    NO_RELEASE,
    SIGNOFF,
    WAIVER,
    DeploymentPredicate,
    SignoffPredicate,
    Subject,
    WaiverPredicate,
    sha256_of,
)
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.kept import Release
from pytest_gaia.rollout.model import RolloutResult
from pytest_gaia.system.processes import completed

RELEASE = "release"
"""check ID of an approval of the release as a whole, which ``required_approvals`` of a stage asks for"""


_TIMEOUT = 120
"""seconds; the user may have to type a passphrase or touch a token"""


@dataclass(frozen=True, slots=True)
class Statement:
    """An approval or a waiver, as the user gave it."""

    check: str
    environment: str
    reason: str
    until: str
    role: str | None


def write_statement(
    promotion: Promotion,
    release: Release,
    statement: Statement,
    kind: Literal["signoff", "waiver"],
    ssh_key: Path | None,
    now: datetime,
    user: str,
) -> Entry:
    """Write an approval (``kind`` "signoff") or a waiver to the ledger; return the entry.

    Raises ``ConfigError`` if it would not count: unknown check, expiry in the past or too late, missing key, key that is
    not trusted, not valid now, without the role or of an author, corrupt ledger.
    """
    stage = in_force(promotion.situation(statement.environment, release, now)).stage
    _check_name(statement, kind, promotion, stage)
    until = _end(statement, kind, now)
    signer = SshSigner.of(ssh_key) if ssh_key else next(iter(promotion.signers()), None)
    if signer is None and (stage.require_signed or promotion.ledger.must_sign):
        who = statement.environment if stage.require_signed else f"the ledger ({promotion.ledger.store.name})"
        raise ConfigError(
            f"{who} requires signatures, and no key is configured. Set GAIA_SIGNING_KEY_FILE, or pass --ssh-key. To create "
            "a key, run `gaia key generate`. Nothing was written."
        )
    key = _trusted(promotion, signer, release, now) if signer else None
    role = _role(statement, _roles(statement, kind, stage.sign), key)
    if problems := promotion.ledger.problems():
        raise ConfigError(
            f"the ledger is corrupt, and proves nothing: {problems[0]}. For details, run `gaia ledger verify`. Nothing was "
            "written."
        )
    common: dict[str, Any] = {
        "environment": statement.environment,
        "release": release.id,
        "check": statement.check,
        "role": role,
        "signer": key.name if key else user or "unknown",
        "reason": " ".join(one_line(statement.reason).split()),
        "time": now.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
    }
    signers: list[Signer] = [signer] if signer else []
    if kind == "waiver":
        return promotion.ledger.append(WAIVER, release.subjects(), WaiverPredicate(**common), signers=signers)
    return promotion.ledger.append(SIGNOFF, release.subjects(), SignoffPredicate(**common), signers=signers)


def moment(text: str, now: datetime) -> datetime:
    """Return the time that ``text`` names: ``7d``, ``12h``, a date, or a time in ISO 8601. Raises ``ConfigError``."""
    if span := re.fullmatch(r"(\d{1,5})([hd])", text):
        return now + (timedelta(days=int(span[1])) if span[2] == "d" else timedelta(hours=int(span[1])))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--until {text}: not a time. Write 7d, 12h, 2027-01-31, or 2027-01-31T12:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _end(statement: Statement, kind: str, now: datetime) -> datetime:
    until = moment(statement.until, now)
    if until <= now:
        raise ConfigError(f"--until {statement.until}: this time is in the past.")
    if kind == "waiver" and until - now > LONGEST_WAIVER:
        raise ConfigError(f"--until {statement.until}: waivers are limited to {LONGEST_WAIVER.days} days.")
    if kind == "waiver" and not statement.reason.strip():
        raise ConfigError("--reason: a waiver needs a reason.")
    return until


def _check_name(statement: Statement, kind: str, promotion: Promotion, stage: Stage) -> None:
    role = promotion.project.role(statement.environment)
    check = BY_ID.get(statement.check)
    known = [*(each.id for each in BY_ID.values() if each.target == role), *waivable(stage)]
    if kind == "signoff":
        known = [each for each in known if each in BY_ID]
        known = [each for each in known if BY_ID[each].roles] + ([RELEASE] if stage.sign else [])
    if statement.check in known:
        return
    if check is None:
        action = "waived" if kind == "waiver" else "approved"
        raise ConfigError(
            f"{statement.check!r}: no check of that name can be {action} in {statement.environment}; {nearest(statement.check, known)}"
        )
    if check.target == role:
        raise ConfigError(
            f"{statement.check}: test results decide this check; it cannot be approved. To skip it, run `gaia release waive`."
        )
    stages = " or ".join(promotion.with_role(check.target)[:1])
    raise ConfigError(f"{statement.check}: this is a check of {stages}. Pass -e {stages}.")


def _roles(statement: Statement, kind: str, sign: tuple[str, ...]) -> tuple[str, ...]:
    if kind == "waiver":
        return (WAIVER_ROLE,)
    return sign if statement.check == RELEASE else BY_ID[statement.check].roles


def _trusted(promotion: Promotion, signer: Signer, release: Release, now: datetime) -> TrustedKey:
    key = next((each for each in promotion.ledger.keys if each.keyid == signer.keyid), None)
    if key is None:
        raise ConfigError(
            f"this key ({signer.keyid[:12]}) is not trusted: no file in {promotion.settings.keys}/ has it. To add it, run "
            "`gaia key add`. Nothing was written."
        )
    if not key.valid_at(now):
        raise ConfigError(
            f"{key.name}: this key is not valid now; see not_before and not_after in "
            f"{promotion.settings.keys}/{key.name}.toml. Nothing was written."
        )
    if not key.identities:
        raise ConfigError(
            f"{key.name}: this key has no identity, so its owner may be an author of the release. Add "
            f'identities = ["name@example.org"] to {promotion.settings.keys}/{key.name}.toml. Nothing was written.'
        )
    authors = {author.lower() for author in release.authors}
    if own := authors & {identity.lower() for identity in key.identities}:
        raise ConfigError(
            f"{key.name} ({', '.join(sorted(own))}) is an author of release {release.short}, and cannot approve it. "
            "Another person must sign. Nothing was written."
        )
    return key


def _role(statement: Statement, wanted: tuple[str, ...], key: TrustedKey | None) -> str:
    """Return the role of the signature: the given one, or the first required role that the key has."""
    able = [role for role in wanted if key is None or role in key.roles]
    if statement.role in able or (statement.role is None and able):
        return statement.role or able[0]
    has = f"the key {key.name} has {', '.join(key.roles)}" if key else f"the role given is {statement.role or 'none'}"
    raise ConfigError(f"{statement.check} needs the role {' or '.join(wanted)}; {has}. Nothing was written.")


@dataclass(frozen=True, slots=True)
class SshSigner:
    """An Ed25519 key of SSH; ``path`` is the private key, or the public key if an agent has the private one."""

    path: Path
    keyid: str

    @classmethod
    def of(cls, path: Path) -> SshSigner:
        """Return the signer. Raises ``ConfigError`` for a missing file, or a key of another kind."""
        public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
        try:
            raw = raw_public(public.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"--ssh-key {path}: {public.name} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise ConfigError(f"--ssh-key {path}: {error}.") from None
        return cls(path, key_id(raw))

    def sign(self, message: bytes) -> bytes:
        """Return the signature as a binary SSHSIG. Raises ``ConfigError`` if ssh-keygen does not sign."""
        program = shutil.which("ssh-keygen")
        if program is None:
            raise ConfigError("--ssh-key: ssh-keygen is not installed. Install OpenSSH, or set GAIA_SIGNING_KEY_FILE.")
        command = [program, "-Y", "sign", "-n", NAMESPACE, "-f", str(self.path)]
        try:
            done = completed(command, given=message, environ=os.environ, seconds=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"--ssh-key {self.path}: not signed within {_TIMEOUT} s. Nothing was written.") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reply = lines[-1] if lines else f"ssh-keygen ended with {done.returncode}"
            raise ConfigError(f"--ssh-key {self.path}: not signed: {reply.rstrip('.')}. Nothing was written.")
        return base64.b64decode("".join(line for line in done.stdout.decode().splitlines() if not line.startswith("-")))


def signers_for(promotion: Promotion, *environments: str) -> list[Signer]:
    """Return the key that signs evidence for ``environments``; empty if unsigned evidence is accepted.

    Raises ``ConfigError`` if a stage or the ledger requires signatures and no trusted key with the role ``ci`` is
    configured, or if the key is not valid now.
    """
    asking = [name for name in environments if promotion.stage(name).require_signed]
    signers, key = _at_hand(promotion)
    if key is not None and key.attests:
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
    done = [each for each in local_rollouts(promotion.rootdir, (name,)) if each.time >= began]
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
    subjects = images or _settings_of(promotion)
    return promotion.ledger.append(DEPLOYMENT, subjects, says, signers=any_signer(promotion))


def _settings_of(promotion: Promotion) -> list[Subject]:
    """Return the subject of a statement about unknown images, because in-toto requires one: the file with the settings."""
    path = promotion.project.path
    return [Subject(path.name, {"sha256": sha256_of(path.read_bytes())})] if path else []


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
