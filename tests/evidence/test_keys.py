"""The signing key: made once and whole, its owner's alone, and what it did not sign is not taken for signed."""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from monitor.core.errors import InputError
from monitor.evidence import keys
from monitor.evidence.keys import FILE_NAME, ensure_key, fingerprint, load_key, public_hex, sign, verify

# RFC 8032 section 7.1, test 2.
RFC_SECRET = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
RFC_PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
RFC_SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_it_signs_as_the_rfc_says() -> None:
    key = keys.SigningKey.from_private_bytes(bytes.fromhex(RFC_SECRET))
    assert public_hex(key) == RFC_PUBLIC
    assert sign(key, b"\x72").hex() == RFC_SIGNATURE
    assert verify(RFC_PUBLIC, b"\x72", bytes.fromhex(RFC_SIGNATURE))


def test_what_was_not_signed_is_not_taken_for_signed() -> None:
    key, other = keys.SigningKey.generate(), keys.SigningKey.generate()
    signature = sign(key, b"report")
    assert verify(public_hex(key), b"report", signature)
    assert not verify(public_hex(key), b"Report", signature)
    assert not verify(public_hex(other), b"report", signature)
    for position in range(len(signature)):
        edited = bytearray(signature)
        edited[position] ^= 1
        assert not verify(public_hex(key), b"report", bytes(edited))
    for public, given in (("", signature), ("zz" * 32, signature), (public_hex(key)[:-2], signature)):
        assert not verify(public, b"report", given)
    assert not verify(public_hex(key), b"report", b"")


def test_it_is_made_once_and_is_its_owners_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(InputError, match="no signing key"):
        load_key(tmp_path)
    first = ensure_key(tmp_path)
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME], "nothing else is left"
    for again in (ensure_key(tmp_path), load_key(tmp_path)):
        assert public_hex(again) == public_hex(first)
    assert len(caplog.records) == 1
    assert fingerprint(public_hex(first)) in caplog.text
    secret = first.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    assert secret.hex() not in caplog.text


def test_all_who_come_at_once_get_the_same_key(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        found.append(public_hex(ensure_key(tmp_path)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 6
    assert len(set(found)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    ensure_key(tmp_path)
    (tmp_path / FILE_NAME).chmod(mode)
    for get in (ensure_key, load_key):
        with pytest.raises(InputError, match="can be used by others") as refused:
            get(tmp_path)
        assert "chmod 600" in refused.value.hint
    (tmp_path / FILE_NAME).chmod(0o400)
    load_key(tmp_path)  # negative control


def other_kinds() -> list[bytes]:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return [
        b"",
        b"no key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption()),
        keys.SigningKey.generate().private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"x")),
    ]


@pytest.mark.parametrize("content", other_kinds())
def test_what_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match="not an Ed25519 key"):
        ensure_key(tmp_path)
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    ensure_key(tmp_path / "elsewhere")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere" / FILE_NAME)
    with pytest.raises(InputError, match="cannot be read"):
        load_key(tmp_path)


def test_no_directory_no_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        ensure_key(tmp_path / "missing")


def test_a_key_that_cannot_be_finished_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            ensure_key(tmp_path)
    assert list(tmp_path.iterdir()) == []
    ensure_key(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_made_by_root_it_belongs_to_the_directorys_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    ensure_key(tmp_path)
    seen = (tmp_path / FILE_NAME).stat()
    assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (65534, 65534, 0o600)


def test_fingerprints_are_for_people_to_compare() -> None:
    key = keys.SigningKey.generate()
    digits = fingerprint(public_hex(key))
    assert re.fullmatch(r"([0-9a-f]{4} ){7}[0-9a-f]{4}", digits)
    assert digits != fingerprint(public_hex(keys.SigningKey.generate()))
