"""SRTP towards one viewer: keys, and the encryption of RTP and RTCP.

AES-128-GCM (RFC 7714) is done in place by `cryptography`; a client without it is served by libsrtp with AES-CM and
HMAC-SHA1 (RFC 3711). RTCP goes through libsrtp in both cases: it is rare. This module must never keep a packet.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray
from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi, lib

GCM = b"SRTP_AEAD_AES_128_GCM"
CM = b"SRTP_AES128_CM_SHA1_80"
PROFILES = GCM + b":" + CM
"""In the order that we, the DTLS server, prefer."""
HEADER = 12
TAG = 16
"""Bytes of the GCM authentication tag (RFC 7714 section 5.1)."""
_SIZES = {GCM: (16, 12, Policy.SRTP_PROFILE_AEAD_AES_128_GCM), CM: (16, 14, Policy.SRTP_PROFILE_AES128_CM_SHA1_80)}


def keying_octets(profile: bytes) -> int:
    """How many bytes of keying material DTLS must export for a profile (RFC 5764 section 4.2)."""
    key, salt, _ = _SIZES[profile]
    return 2 * (key + salt)


def session_key(master_key: bytes, master_salt: bytes, label: int, size: int) -> bytes:
    """Key derivation with a key derivation rate of 0 (RFC 3711 section 4.3; a 12-byte salt as RFC 7714 section 11):
    label 0 gives the RTP key, 2 the RTP salt."""
    x = bytearray(master_salt.ljust(14, b"\0"))
    x[7] ^= label
    encryptor = Cipher(algorithms.AES(master_key), modes.CTR(bytes(x) + b"\0\0")).encryptor()
    return encryptor.update(b"\0" * size)


def c_memory(memory: mmap.mmap) -> Any:
    """A mapping as libsrtp takes it."""
    return ffi.cast("char *", ffi.from_buffer(memory))


@dataclass(frozen=True)
class Keys:
    """What DTLS agreed: our sending key and the viewer's."""

    profile: bytes
    ours: bytes
    """Master key and salt, concatenated."""
    theirs: bytes

    @classmethod
    def for_server(cls, profile: bytes, exported: bytes) -> Keys:
        """Cut the exported keying material for the DTLS server's side (RFC 5764 section 4.2)."""
        key, salt, _ = _SIZES[profile]
        client_key, server_key = exported[:key], exported[key : 2 * key]
        client_salt, server_salt = exported[2 * key : 2 * key + salt], exported[2 * key + salt : 2 * (key + salt)]
        return cls(profile, server_key + server_salt, client_key + client_salt)


class Srtp:
    """The cryptographic contexts of one viewer."""

    def __init__(self, keys: Keys, ssrc: int) -> None:
        key_size, _, libsrtp_profile = _SIZES[keys.profile]
        outbound = Policy(key=keys.ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=libsrtp_profile)
        outbound.allow_repeat_tx = True  # a retransmission is the same packet once more
        outbound.window_size = 2048
        self._outbound = Session(outbound)
        self._size = ffi.new("int *")
        inbound = Policy(key=keys.theirs, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=libsrtp_profile)
        self._inbound = Session(inbound)
        self.gcm: AESGCM | None = None
        self.nonce_words: NDArray[np.uint32] = np.zeros(3, np.uint32)
        """Salt XOR (00 00 ‖ SSRC ‖ 00…), as three words: XOR the 48-bit packet index into the last six bytes and it is
        the nonce (RFC 7714 section 8.1)."""
        if keys.profile == GCM:
            master_key, master_salt = keys.ours[:key_size], keys.ours[key_size:]
            self.gcm = AESGCM(session_key(master_key, master_salt, 0, 16))
            salt = session_key(master_key, master_salt, 2, 12)
            mask = bytes(2) + ssrc.to_bytes(4, "big") + bytes(6)
            mixed = bytes(a ^ b for a, b in zip(salt, mask, strict=True))
            self.nonce_words = np.frombuffer(mixed, ">u4").astype(np.uint32)

    def protect_in_place(self, memory: Any, start: int, size: int) -> int:
        """Protect the RTP packet at `start` of `memory` (from `c_memory`) where it lies; its new size. Needs 16 bytes
        of room behind it. Only for viewers without GCM: the roll-over counter is libsrtp's own.

        pylibsrtp's own `protect` copies twice and takes no packet above 1,356 bytes, so its binding is called directly.
        Raises pylibsrtp.Error.
        """
        self._size[0] = size
        status = lib.srtp_protect(self._outbound._srtp[0], memory + start, self._size)
        if status != lib.srtp_err_status_ok:
            raise Error(f"srtp_protect: status {status}")
        return int(self._size[0])

    def protect_rtcp(self, packet: bytes) -> bytes:
        """A compound RTCP packet, protected."""
        return self._outbound.protect_rtcp(packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """A viewer's RTCP packet in the clear. Raises pylibsrtp.Error where it is forged, replayed or broken."""
        return self._inbound.unprotect_rtcp(packet)
