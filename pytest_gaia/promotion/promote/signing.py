"""Writing down what a person says, after every reason was looked for for which it would count for nothing.

They sign with a key of the project, or with one of SSH through ``ssh-keygen -Y sign``: also one that an agent or a token
holds, and never shows.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_gaia.config.stages import Stage
from pytest_gaia.errors import ConfigError, nearest
from pytest_gaia.printable import one_line
from pytest_gaia.promotion.gate.checks import BY_ID
from pytest_gaia.promotion.gate.gate import LONGEST_WAIVER, WAIVER_ROLE, waivable
from pytest_gaia.promotion.ledger._dsse import Signer
from pytest_gaia.promotion.ledger._sshsig import NAMESPACE
from pytest_gaia.promotion.ledger.keys import TrustedKey, key_id, raw_public
from pytest_gaia.promotion.ledger.ledger import Entry
from pytest_gaia.promotion.ledger.statements import SIGNOFF, WAIVER, SignoffPredicate, WaiverPredicate
from pytest_gaia.promotion.project import Promotion
from pytest_gaia.promotion.release.model import Release
from pytest_gaia.system.processes import completed

RELEASE = "release"
"""what signs the release as a whole, as ``sign`` of a stage asks"""


_TIMEOUT = 120
"""seconds; somebody may have to type a passphrase or touch a token"""


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody says of one item, as it was given."""

    check: str
    environment: str
    reason: str
    until: str
    role: str | None


def write_word(
    promotion: Promotion, release: Release, word: Word, kind: str, ssh_key: Path | None, now: datetime, user: str
) -> Entry:
    """Write a sign-off (``kind`` "signoff") or a waiver ("waiver"); return the entry.

    Raises ``ConfigError`` where it would not count: an unknown item, a time that has passed or is too far, no key where
    one is asked for, a key that is not trusted or not in force, has another role, or is an author's, and a ledger that
    is not whole.
    """
    stage = promotion.stage(word.environment)
    _check_name(word, kind, stage)
    until = _end(word, kind, now)
    signer = SshSigner.of(ssh_key) if ssh_key else next(iter(promotion.signers()), None)
    if signer is None and (stage.require_signed or promotion.ledger.must_sign):
        who = word.environment if stage.require_signed else f"the ledger ({promotion.ledger.store.name})"
        raise ConfigError(
            f"{who} takes only what is signed, and there is no key here: set GAIA_SIGNING_KEY_FILE, or "
            "give --ssh-key. `gaia key create --help` tells how to make one. Nothing was written."
        )
    key = _trusted(promotion, signer, release, now) if signer else None
    role = _role(word, _roles(word, kind, stage.sign), key)
    if problems := promotion.ledger.problems():
        raise ConfigError(
            f"the ledger is not whole, and shows nothing any more: {problems[0]}. `gaia ledger verify` says more. Nothing "
            "was written."
        )
    common: dict[str, Any] = {
        "environment": word.environment,
        "release": release.id,
        "check": word.check,
        "role": role,
        "signer": key.name if key else user or "unknown",
        "reason": " ".join(one_line(word.reason).split()),
        "time": now.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
    }
    signers: list[Signer] = [signer] if signer else []
    if kind == "waiver":
        return promotion.ledger.append(WAIVER, release.subjects(), WaiverPredicate(**common), signers=signers)
    return promotion.ledger.append(SIGNOFF, release.subjects(), SignoffPredicate(**common), signers=signers)


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that ``text`` names: ``7d``, ``12h``, a date, or a time in ISO 8601. Raises ``ConfigError``."""
    if span := re.fullmatch(r"(\d{1,5})([hd])", text):
        return now + (timedelta(days=int(span[1])) if span[2] == "d" else timedelta(hours=int(span[1])))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--until {text}: no time; write 7d, 12h, 2027-01-31, or 2027-01-31T12:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _end(word: Word, kind: str, now: datetime) -> datetime:
    until = moment(word.until, now)
    if until <= now:
        raise ConfigError(f"--until {word.until}: has passed.")
    if kind == "waiver" and until - now > LONGEST_WAIVER:
        raise ConfigError(f"--until {word.until}: a waiver holds {LONGEST_WAIVER.days} days at most.")
    if kind == "waiver" and not word.reason.strip():
        raise ConfigError("--why: a waiver needs its reason.")
    return until


def _check_name(word: Word, kind: str, stage: Stage) -> None:
    check = BY_ID.get(word.check)
    known = [*(each.id for each in BY_ID.values() if each.target == word.environment), *waivable(stage)]
    if kind == "signoff":
        known = [each for each in known if each in BY_ID]
        known = [each for each in known if BY_ID[each].roles] + ([RELEASE] if stage.sign else [])
    if word.check in known:
        return
    if check is None:
        what = "can be waived there" if kind == "waiver" else "is signed there"
        raise ConfigError(
            f"{word.check!r}: nothing of that name {what} ({word.environment}); {nearest(word.check, known)}"
        )
    if check.target == word.environment:
        raise ConfigError(f"{word.check}: is proved by evidence, and cannot be signed; gaia checklist {check.target}.")
    raise ConfigError(f"{word.check}: belongs to the way into {check.target}; --env {check.target}.")


def _roles(word: Word, kind: str, sign: tuple[str, ...]) -> tuple[str, ...]:
    if kind == "waiver":
        return (WAIVER_ROLE,)
    return sign if word.check == RELEASE else BY_ID[word.check].roles


def _trusted(promotion: Promotion, signer: Signer, release: Release, now: datetime) -> TrustedKey:
    key = next((each for each in promotion.ledger.keys if each.keyid == signer.keyid), None)
    if key is None:
        raise ConfigError(
            f"this key ({signer.keyid[:12]}) is not trusted by the project: no file in {promotion.settings.keys}/ holds "
            "it. `gaia key trust --help` tells how to add it. Nothing was written."
        )
    if not key.valid_at(now):
        raise ConfigError(
            f"{key.name}: this key is not in force now (not_before, not_after in {promotion.settings.keys}/{key.name}.toml)."
            " Nothing was written."
        )
    if not key.identities:
        raise ConfigError(
            f"{key.name}: this key has no identity, so nobody can tell whether its owner wrote a part of the bundle. Add "
            f'identities = ["name@example.org"] to {promotion.settings.keys}/{key.name}.toml. Nothing was written.'
        )
    authors = {author.lower() for author in release.authors}
    if own := authors & {identity.lower() for identity in key.identities}:
        raise ConfigError(
            f"{key.name} ({', '.join(sorted(own))}) wrote a part of bundle {release.short}, and cannot approve it. "
            "Somebody else has to sign. Nothing was written."
        )
    return key


def _role(word: Word, wanted: tuple[str, ...], key: TrustedKey | None) -> str:
    """Return the role to sign in: the one that was given, or the first that is asked for and the key has."""
    able = [role for role in wanted if key is None or role in key.roles]
    if word.role in able or (word.role is None and able):
        return word.role or able[0]
    has = f"{key.name} has {', '.join(key.roles)}" if key else "this was given: " + (word.role or "none")
    raise ConfigError(f"{word.check} is signed by {' or '.join(wanted)}; {has}. Nothing was written.")


@dataclass(frozen=True, slots=True)
class SshSigner:
    """An Ed25519 key of SSH; ``path`` is the private key, or the public one of a key that an agent holds."""

    path: Path
    keyid: str

    @classmethod
    def of(cls, path: Path) -> SshSigner:
        """Return the signer; ``ConfigError`` for a file that is not there, and for another kind of key."""
        public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
        try:
            raw = raw_public(public.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"--ssh-key {path}: {public.name} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise ConfigError(f"--ssh-key {path}: {error}.") from None
        return cls(path, key_id(raw))

    def sign(self, message: bytes) -> bytes:
        """Return the signature as a binary SSHSIG. Raises ``ConfigError`` where ssh-keygen does not sign."""
        program = shutil.which("ssh-keygen")
        if program is None:
            raise ConfigError("--ssh-key: ssh-keygen is not installed; it signs with SSH keys.")
        command = [program, "-Y", "sign", "-n", NAMESPACE, "-f", str(self.path)]
        try:
            done = completed(command, given=message, environ=os.environ, seconds=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"--ssh-key {self.path}: not signed within {_TIMEOUT} s. Nothing was written.") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"ssh-keygen ended with {done.returncode}"
            raise ConfigError(f"--ssh-key {self.path}: not signed: {said.rstrip('.')}. Nothing was written.")
        return base64.b64decode("".join(line for line in done.stdout.decode().splitlines() if not line.startswith("-")))
