"""The certificate made on first run: what it is for, when it is made anew, and that TLS clients agree."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from monitor.core.errors import InputError
from monitor.setup.certificates import check_files, ensure_certificate

NOW = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def read(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def test_what_it_holds(tmp_path: Path) -> None:
    certificate_path, key_path = ensure_certificate(tmp_path, "Vigil.clinic.example", NOW)
    certificate = read(certificate_path)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["vigil.clinic.example", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= 825 * DAY
    assert certificate.not_valid_before_utc < NOW
    assert stat.S_IMODE(os.stat(key_path).st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.key", "certificate.pem"]
    assert check_files(certificate_path, key_path) == ""


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "127.0.0.1", "localhost"])
def test_an_address_is_named_as_an_address(tmp_path: Path, host: str) -> None:
    names = read(ensure_certificate(tmp_path, host, NOW)[0]).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    found = [str(name.value) for name in names.value]
    assert host in found and len(found) == len(set(found))


def test_it_stays_until_thirty_days_before_its_end(tmp_path: Path) -> None:
    first = Path(ensure_certificate(tmp_path, "a.example", NOW)[0]).read_bytes()
    assert Path(ensure_certificate(tmp_path, "a.example", NOW + 790 * DAY)[0]).read_bytes() == first
    later = Path(ensure_certificate(tmp_path, "a.example", NOW + 796 * DAY)[0]).read_bytes()
    assert later != first


def test_it_is_made_anew_for_another_name(tmp_path: Path) -> None:
    first = Path(ensure_certificate(tmp_path, "a.example", NOW)[0]).read_bytes()
    assert Path(ensure_certificate(tmp_path, "b.example", NOW)[0]).read_bytes() != first


@pytest.mark.parametrize("damage", ["key", "certificate", "other-key", "open-key", "clock"])
def test_what_cannot_serve_is_made_anew(tmp_path: Path, damage: str) -> None:
    certificate_path, key_path = ensure_certificate(tmp_path, "a.example", NOW)
    first = Path(certificate_path).read_bytes()
    now = NOW
    if damage == "key":
        Path(key_path).write_text("no key")
    elif damage == "certificate":
        Path(certificate_path).write_text("")
    elif damage == "other-key":
        (tmp_path / "other").mkdir()
        Path(key_path).write_bytes(Path(ensure_certificate(tmp_path / "other", "a.example", NOW)[1]).read_bytes())
    elif damage == "open-key":
        Path(key_path).chmod(0o640)
    else:
        now = NOW - 2 * DAY  # made while the clock stood ahead
    ensure_certificate(tmp_path, "a.example", now)
    assert Path(certificate_path).read_bytes() != first
    assert check_files(certificate_path, key_path) == ""
    assert stat.S_IMODE(os.stat(key_path).st_mode) == 0o600


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        ensure_certificate(tmp_path / "no", "a.example", NOW)


def test_a_tls_client_that_trusts_it_connects(tmp_path: Path) -> None:
    certificate_path, key_path = ensure_certificate(tmp_path, "localhost", datetime.datetime.now(datetime.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_path, key_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.sendall(b"hello")

        thread = threading.Thread(target=serve)
        thread.start()
        trusting = ssl.create_default_context(cafile=certificate_path)
        with (
            socket.create_connection(listener.getsockname(), 10) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            assert secure.recv(5) == b"hello"
        thread.join(10)


def test_files_of_the_clinics_own_are_tried(tmp_path: Path) -> None:
    certificate_path, key_path = ensure_certificate(tmp_path, "a.example", NOW)
    assert "cannot be read" in check_files("/no/such/file", key_path)
    assert "are not a certificate" in check_files(key_path, certificate_path)
    (tmp_path / "other").mkdir()
    _, other = ensure_certificate(tmp_path / "other", "a.example", NOW)
    assert "are not a certificate" in check_files(certificate_path, other)
