"""The server's own certificate: made on first run, so that a clinic has TLS before it has a certificate authority.

This module must never weaken what is there: the key is readable by its owner alone, is never shown, and is replaced
together with its certificate. Browsers do not know a self-signed certificate; the clinic accepts it once on each
screen, or gives its own in `tls = {cert, key}`.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import logging
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.core.errors import InputError

logger = logging.getLogger(__name__)

LIFETIME = datetime.timedelta(days=825)
"""Longest that browsers on Apple's systems accept from an authority of one's own; counted from BACKDATED on."""
RENEW_BEFORE = datetime.timedelta(days=30)
BACKDATED = datetime.timedelta(hours=1)
"""For screens whose clocks are behind."""

CERTIFICATE = "certificate.pem"
KEY = "certificate.key"


def ensure_certificate(state_dir: Path, public_host: str, now: datetime.datetime) -> tuple[str, str]:
    """Paths of certificate and key in `state_dir`, made anew where they are missing, do not fit, or end within 30 days.

    `public_host` is a DNS name or an IP address; `now` has a time zone. EC P-256, self-signed, valid for `public_host`
    and this machine's loopback names. Raises InputError where `state_dir` cannot be written.
    """
    certificate_path, key_path = state_dir / CERTIFICATE, state_dir / KEY
    why = _why_new(certificate_path, key_path, public_host, now)
    if why:
        logger.info("making a self-signed certificate for %s: %s", public_host, why)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(key, public_host, now)
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            _write(key_path, key_pem, 0o600)
            _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        except OSError as error:
            raise InputError(
                f"the certificate cannot be written into {state_dir}: {error.strerror}",
                "give the directory to the user that runs Vigil, or set tls to files of your own",
            ) from error
    return str(certificate_path), str(key_path)


def check_files(certificate: str, key: str) -> str:
    """What is wrong with a certificate and its key that the clinic gave; "" where a TLS server can use them."""
    for path in (certificate, key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
    try:
        # A password callback that gives none, so that an encrypted key is an error and not a question on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
    except (ssl.SSLError, ValueError):
        return f"{certificate} and {key} are not a certificate (PEM) and its key, without a passphrase"
    return ""


def _names(public_host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    addresses = ["127.0.0.1", "::1"]
    try:
        addresses.insert(0, str(ipaddress.ip_address(public_host)))
    except ValueError:
        names.append(x509.DNSName(public_host.lower()))
    names.append(x509.DNSName("localhost"))
    names.extend(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)
    return list(dict.fromkeys(names))


def _sign(key: ec.EllipticCurvePrivateKey, public_host: str, now: datetime.datetime) -> x509.Certificate:
    # The common name is for people; what browsers read are the alternative names (RFC 6125 section 6.4.4). It holds at
    # most 64 characters (RFC 5280, ub-common-name).
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vigil {public_host}"[:64])])
    begins = now - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_names(public_host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _why_new(certificate_path: Path, key_path: Path, public_host: str, now: datetime.datetime) -> str:
    """Why the files cannot serve; "" where they can."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except FileNotFoundError:
        return "there is none yet"
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return "the one that is there cannot be read"
    if key.public_key() != certificate.public_key():
        return "the key does not fit the one that is there"
    if list(names) != _names(public_host):
        return "the one that is there is for another name"
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE:
        return f"the one that is there ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if key_path.stat().st_mode & 0o077:
        return "others could read the key of the one that is there"
    return ""


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
