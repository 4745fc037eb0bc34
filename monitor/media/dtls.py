"""The DTLS server side of one viewer (RFC 5764), over pyOpenSSL's memory BIOs.

It takes datagrams and gives datagrams, keeps no task and no thread, and ends in keys or in a reason. The peer's
certificate is accepted only by the fingerprint of the SDP offer (RFC 8122 section 5): WebRTC has no other trust.
aiortc's RTCDtlsTransport does the same with a task, an event emitter and libsrtp sessions for each viewer; nothing of
that is needed here.
"""

from __future__ import annotations

import datetime
import enum
import hmac
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from monitor.media.srtp import PROFILES, Keys, keying_octets

MTU = 1200
RECORD_HEADER = 13
"""Bytes of a DTLS record's header; its last two are the length (RFC 6347 section 4.1)."""
CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384"
DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}


class DtlsState(enum.Enum):
    """handshaking → connected → closed, or handshaking → failed."""

    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


class DtlsIdentity:
    """Our certificate, made anew at each start of the process, and the context that all viewers share."""

    def __init__(self, now: datetime.datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(16))])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = fingerprint_of(certificate, "sha-256")
        context = SSL.Context(SSL.DTLS_SERVER_METHOD)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU)
        # the chain cannot be verified and need not be: the fingerprint is compared after the handshake
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_cipher_list(CIPHERS)
        context.set_tlsext_use_srtp(PROFILES)
        self.context = context


def fingerprint_of(certificate: x509.Certificate, algorithm: str) -> str:
    """`AA:BB:…` of a certificate. Raises KeyError for an algorithm that is not in DIGESTS."""
    return certificate.fingerprint(DIGESTS[algorithm]).hex(":").upper()


class DtlsServer:
    """One viewer's handshake. `fingerprints` are the offer's (algorithm in lower case, value in upper case)."""

    def __init__(self, identity: DtlsIdentity, fingerprints: list[tuple[str, str]]) -> None:
        self._fingerprints = fingerprints
        self._ssl = SSL.Connection(identity.context)
        self._ssl.set_ciphertext_mtu(MTU)
        self._ssl.set_accept_state()
        self.state = DtlsState.HANDSHAKING
        self.keys: Keys | None = None

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram; the datagrams to send in answer. Look at `state` afterwards."""
        if self.state in (DtlsState.CLOSED, DtlsState.FAILED):
            return []
        self._ssl.bio_write(datagram)
        if self.state is DtlsState.HANDSHAKING:
            self._handshake()
        else:
            try:
                self._ssl.recv(MTU)
            except SSL.ZeroReturnError:
                self.state = DtlsState.CLOSED
            except SSL.Error:
                pass  # nothing but a close is expected on this connection; anything else is dropped by OpenSSL
        return self._outgoing()

    def timeout(self) -> float | None:
        """Seconds until `on_timeout` must be called for a retransmission, None where none is due."""
        return self._ssl.DTLSv1_get_timeout() if self.state is DtlsState.HANDSHAKING else None

    def on_timeout(self) -> list[bytes]:
        """Retransmit the last flight (RFC 6347 section 4.2.4)."""
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error:
            self.state = DtlsState.FAILED
        return self._outgoing()

    def close(self) -> list[bytes]:
        """Say goodbye; the datagrams to send."""
        if self.state is not DtlsState.CONNECTED:
            return []
        try:
            self._ssl.shutdown()
        except SSL.Error:
            return []
        self.state = DtlsState.CLOSED
        return self._outgoing()

    def _handshake(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error:
            self.state = DtlsState.FAILED
            return
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None or not self._is_expected(certificate):
            self.state = DtlsState.FAILED
            return
        profile = self._ssl.get_selected_srtp_profile()
        if profile not in PROFILES.split(b":"):
            self.state = DtlsState.FAILED
            return
        exported = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", keying_octets(profile))
        self.keys = Keys.for_server(profile, exported)
        self.state = DtlsState.CONNECTED

    def _is_expected(self, certificate: x509.Certificate) -> bool:
        """Every fingerprint of a known algorithm must fit, and there must be one."""
        known = [(algorithm, value) for algorithm, value in self._fingerprints if algorithm in DIGESTS]
        return bool(known) and all(
            hmac.compare_digest(fingerprint_of(certificate, algorithm), value) for algorithm, value in known
        )

    def _outgoing(self) -> list[bytes]:
        """What OpenSSL wants to send, cut into datagrams at record borders: the BIO itself knows no borders."""
        data = b""
        while True:
            try:
                data += self._ssl.bio_read(65536)
            except SSL.WantReadError:
                break
        datagrams: list[bytes] = []
        position = 0
        while position + RECORD_HEADER <= len(data):
            stop = position + RECORD_HEADER + int.from_bytes(data[position + 11 : position + 13], "big")
            record = data[position:stop]
            if datagrams and len(datagrams[-1]) + len(record) <= MTU:
                datagrams[-1] += record
            else:
                datagrams.append(record)
            position = stop
        return datagrams
