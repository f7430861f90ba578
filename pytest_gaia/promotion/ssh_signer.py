"""Signing with an SSH key, through ``ssh-keygen -Y sign``: also one that an agent or a token holds, and never shows."""

from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pytest_gaia.errors import ConfigError
from pytest_gaia.promotion.keys import key_id, raw_public
from pytest_gaia.promotion.sshsig import NAMESPACE

_TIMEOUT = 120
"""seconds; somebody may have to type a passphrase or touch a token"""


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
            # S603: the path is the user's own, and no shell sees it.
            done = subprocess.run(command, input=message, capture_output=True, timeout=_TIMEOUT, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise ConfigError(f"--ssh-key {self.path}: not signed within {_TIMEOUT} s. Nothing was written.") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"ssh-keygen ended with {done.returncode}"
            raise ConfigError(f"--ssh-key {self.path}: not signed: {said.rstrip('.')}. Nothing was written.")
        return base64.b64decode("".join(line for line in done.stdout.decode().splitlines() if not line.startswith("-")))
