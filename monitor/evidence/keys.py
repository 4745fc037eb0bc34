"""The site's signing key: made on first run; what it signs can be checked by anybody who has the public key.

Ed25519 (RFC 8032). The private key stands in the state directory, readable by its owner alone. It must never be shown,
logged or sent, and a key that others can read is refused: what it signed would prove nothing any more.

Whoever has the private key can sign what he likes, so signatures do not hold against root on this machine. They hold
against everybody else, and later: a report that has been handed over carries the public key and the journal's head.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monitor.core.errors import InputError

logger = logging.getLogger(__name__)

FILE_NAME = "evidence.key"
FINGERPRINT_BYTES = 16
MAX_FILE_BYTES = 4096
"""A PEM of an Ed25519 key has 119 bytes."""

SigningKey = Ed25519PrivateKey


def ensure_key(state_dir: Path) -> SigningKey:
    """The key in `state_dir`, made where there is none: whole or not at all, and once only, whoever comes at once.

    Made by root it belongs to the state directory's owner, who has to sign with it too. Raises InputError where it
    cannot be read or written, is no key, or can be read by others.
    """
    path = state_dir / FILE_NAME
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise InputError(
            f"the signing key cannot be written into {state_dir}: {error.strerror}",
            "give the directory to the user that runs Vigil",
        ) from error
    return load_key(state_dir)


def load_key(state_dir: Path) -> SigningKey:
    """The key in `state_dir`. Raises InputError where there is none, or as `ensure_key` does."""
    path = state_dir / FILE_NAME
    try:
        # Not blocking: of a pipe that somebody put there no key is waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise InputError(f"there is no signing key {path}", "it is made when `vigil serve` runs first") from None
    except OSError as error:
        raise InputError(f"the signing key {path} cannot be read: {error.strerror}", "run as its owner") from error
    try:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        pem = os.read(descriptor, MAX_FILE_BYTES) if stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(descriptor)
    if mode & 0o077 and pem:
        raise InputError(
            f"the signing key {path} can be used by others (mode {mode:04o})",
            f"if nobody used it: chmod 600 {path}; if in doubt move it away, and a new one is made",
        )
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{path} is not an Ed25519 key (PEM, without a passphrase)",
            "restore it from a copy, or move it away: a new one is made, and what the old one signed counts as such",
        )
    return key


def public_hex(key: SigningKey) -> str:
    """The public key: 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def fingerprint(public: str) -> str:
    """What people compare: the first 16 bytes of SHA-256 of the public key, in groups of four hexadecimal digits.

    Raises ValueError where `public` is not hexadecimal.
    """
    digits = hashlib.sha256(bytes.fromhex(public)).digest()[:FINGERPRINT_BYTES].hex()
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def sign(key: SigningKey, data: bytes) -> bytes:
    """The signature: 64 bytes."""
    return key.sign(data)


def verify(public: str, data: bytes, signature: bytes) -> bool:
    """Whether the owner of the public key (hexadecimal) signed `data`; False too where key or signature is none."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _make(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        # A link, not a rename: it fails where another process made a key meanwhile, and that one counts.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
            logger.info("made the signing key %s: its fingerprint is %s", path, fingerprint(public_hex(key)))
    finally:
        os.unlink(temporary)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
