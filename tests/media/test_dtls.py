"""The DTLS server side against OpenSSL as the client, over datagrams that are handed across in memory."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from monitor.media.dtls import MTU, DtlsIdentity, DtlsServer, DtlsState, fingerprint_of
from monitor.media.srtp import CM, GCM, keying_octets

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
OURS = DtlsIdentity(NOW)
Datagrams = list[bytes]


def make_certificate() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """What a browser has for each connection."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=30))
    return key, builder.sign(key, hashes.SHA256())


CLIENT_KEY, CLIENT_CERTIFICATE = make_certificate()
FINGERPRINT = ("sha-256", fingerprint_of(CLIENT_CERTIFICATE, "sha-256"))


class Client:
    """A browser's side."""

    def __init__(self, profiles: bytes = GCM + b":" + CM, *, certificate: bool = True) -> None:
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        if certificate:
            context.use_certificate(CLIENT_CERTIFICATE)
            context.use_privatekey(CLIENT_KEY)
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(MTU)
        self.ssl.set_connect_state()
        self.done = False

    def shake(self, datagrams: Datagrams) -> Datagrams:
        """Take datagrams; what it answers."""
        for datagram in datagrams:
            self.ssl.bio_write(datagram)
        if not self.done:
            try:
                self.ssl.do_handshake()
                self.done = True
            except SSL.WantReadError:
                pass
        return self.read()

    def read(self) -> Datagrams:
        try:
            data = self.ssl.bio_read(65536)
        except SSL.WantReadError:
            return []
        records, at = [], 0
        while at < len(data):
            size = 13 + int.from_bytes(data[at + 11 : at + 13], "big")
            records.append(data[at : at + size])
            at += size
        return records

    def keys(self, profile: bytes) -> bytes:
        return self.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", keying_octets(profile))


def serve(server: DtlsServer, datagrams: Datagrams) -> Datagrams:
    return [answer for datagram in datagrams for answer in server.receive(datagram)]


def shake_hands(
    server: DtlsServer, client: Client, lose: Callable[[int, Datagrams], Datagrams] = lambda _, flight: flight
) -> int:
    """Hand flights over until both are done or nothing moves any more; how many there were. `lose` takes each flight
    (numbered) and gives what of it arrives."""
    flight, number = client.shake([]), 0
    while flight and number < 30:
        arriving = lose(number, flight)
        flight = client.shake(arriving) if number % 2 else serve(server, arriving)
        number += 1
    return number


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(GCM + b":" + CM, GCM), (CM + b":" + GCM, GCM), (CM, CM), (GCM, GCM), (b"SRTP_AES128_CM_SHA1_32:" + CM, CM)],
)
def test_the_profile_is_our_choice_and_both_sides_have_the_same_keys(offered: bytes, chosen: bytes) -> None:
    """Chromium names AES_CM_128_HMAC_SHA1_80 first and takes AEAD_AES_128_GCM all the same."""
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client(offered)
    shake_hands(server, client)
    assert server.state is DtlsState.CONNECTED
    assert client.done
    assert server.keys is not None
    assert server.keys.profile == client.ssl.get_selected_srtp_profile() == chosen
    exported, (key, salt) = client.keys(chosen), (16, 12 if chosen == GCM else 14)
    client_key, server_key = exported[:key], exported[key : 2 * key]
    client_salt, server_salt = exported[2 * key : 2 * key + salt], exported[2 * key + salt :]
    assert server.keys.ours == server_key + server_salt  # RFC 5764 section 4.2
    assert server.keys.theirs == client_key + client_salt
    assert server.keys.ours != server.keys.theirs
    assert server.timeout() is None


def test_our_fingerprint_is_that_of_the_certificate_we_show() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client)
    shown = client.ssl.get_peer_certificate(as_cryptography=True)
    assert shown is not None
    assert fingerprint_of(shown, "sha-256") == OURS.fingerprint
    assert OURS.fingerprint != DtlsIdentity(NOW).fingerprint


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_fingerprints_of_each_algorithm(algorithm: str) -> None:
    server = DtlsServer(OURS, [(algorithm, fingerprint_of(CLIENT_CERTIFICATE, algorithm))])
    shake_hands(server, Client())
    assert server.state is DtlsState.CONNECTED


WRONG = FINGERPRINT[1][:-2] + ("00" if FINGERPRINT[1][-2:] != "00" else "01")


@pytest.mark.parametrize(
    "fingerprints",
    [
        [("sha-256", WRONG)],
        [("sha-256", OURS.fingerprint)],
        [FINGERPRINT, ("sha-512", WRONG)],
        [("sha-1", FINGERPRINT[1])],
        [("sha-256", "")],
        [],
    ],
)
def test_a_wrong_fingerprint_is_no_viewer(fingerprints: list[tuple[str, str]]) -> None:
    server, client = DtlsServer(OURS, fingerprints), Client()
    shake_hands(server, client)
    assert server.state is DtlsState.FAILED
    assert server.keys is None
    assert server.receive(b"\x16more") == []
    assert server.close() == []


def test_an_unknown_algorithm_beside_a_known_one_does_not_matter() -> None:
    server = DtlsServer(OURS, [("md5", "00"), FINGERPRINT])
    shake_hands(server, Client())
    assert server.state is DtlsState.CONNECTED


def test_a_client_without_a_certificate_is_no_viewer() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client(certificate=False)
    with pytest.raises(SSL.Error):
        shake_hands(server, client)
        client.ssl.recv(100)
    assert server.state is DtlsState.FAILED
    assert server.keys is None


@pytest.mark.parametrize("profiles", [b"", b"SRTP_AES128_CM_SHA1_32"])
def test_without_a_profile_in_common_there_are_no_keys(profiles: bytes) -> None:
    server = DtlsServer(OURS, [FINGERPRINT])
    shake_hands(server, Client(profiles))
    assert server.state is DtlsState.FAILED
    assert server.keys is None


def test_each_datagram_fits_its_way() -> None:
    sizes: list[int] = []
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()

    def measure(number: int, flight: Datagrams) -> Datagrams:
        sizes.extend(len(datagram) for datagram in flight if number % 2)
        return flight

    shake_hands(server, client, measure)
    assert server.state is DtlsState.CONNECTED
    assert sizes
    assert max(sizes) <= MTU


# ---- what is lost ----------------------------------------------------------------------------------------------------


def wait_for(seconds: float | None) -> None:
    assert seconds is not None
    assert 0 < seconds <= 1.0  # RFC 6347 section 4.2.4.1: one second at first
    time.sleep(seconds + 0.02)


def test_our_flight_is_sent_again_when_it_was_lost() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    assert shake_hands(server, client, lambda number, flight: flight if number != 1 else []) == 2
    assert server.state is DtlsState.HANDSHAKING
    assert server.on_timeout() == [], "not due yet"
    wait_for(server.timeout())
    again = server.on_timeout()
    assert again
    flight, number = client.shake(again), 2
    while flight and number < 30:
        flight = client.shake(flight) if number % 2 else serve(server, flight)
        number += 1
    assert server.state is DtlsState.CONNECTED
    assert client.done


def test_our_last_flight_is_sent_again_when_the_client_asks() -> None:
    """The server is connected already, the client has not heard of it: it repeats itself, and is answered."""
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client, lambda number, flight: flight if number != 3 else [])
    assert server.state is DtlsState.CONNECTED
    assert not client.done
    wait_for(client.ssl.DTLSv1_get_timeout())
    client.ssl.DTLSv1_handle_timeout()
    client.shake(serve(server, client.read()))
    assert client.done
    assert server.state is DtlsState.CONNECTED
    assert server.keys is not None
    assert client.keys(server.keys.profile)[16:32] == server.keys.ours[:16]


def test_datagrams_that_come_twice_do_no_harm() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client, lambda _, flight: [one for datagram in flight for one in (datagram, datagram)])
    assert server.state is DtlsState.CONNECTED
    assert client.done


def test_a_flight_that_comes_the_other_way_round_is_mended_by_a_retransmission() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client, lambda number, flight: flight[::-1] if number == 2 else flight)
    if not client.done:  # OpenSSL throws a ChangeCipherSpec away that comes too early
        wait_for(client.ssl.DTLSv1_get_timeout())
        client.ssl.DTLSv1_handle_timeout()
        client.shake(serve(server, client.read()))
    assert server.state is DtlsState.CONNECTED
    assert client.done


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_garbage_does_not_end_a_handshake(garbage: list[bytes]) -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    hello = client.shake([])
    for datagram in garbage:
        server.receive(b"\x16" + datagram)
    if server.state is DtlsState.FAILED:
        return  # a well-made alert may end it: nobody without the viewer's address gets this far
    flight, number = serve(server, hello), 1
    while flight and number < 30:
        flight = client.shake(flight) if number % 2 else serve(server, flight)
        number += 1
    assert server.state is DtlsState.CONNECTED


def test_garbage_on_a_connection_changes_nothing() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client)
    for datagram in (b"\x17", bytes(100), b"\x17\xfe\xfd" + bytes(60), b"\x15\xfe\xfd" + bytes(8) + b"\0\2\1\0"):
        assert server.receive(datagram) == []
        assert server.state is DtlsState.CONNECTED


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_the_client_says_goodbye() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client)
    client.ssl.shutdown()
    serve(server, client.read())
    assert server.state is DtlsState.CLOSED
    assert server.receive(b"\x17") == []


def test_we_say_goodbye() -> None:
    server, client = DtlsServer(OURS, [FINGERPRINT]), Client()
    shake_hands(server, client)
    goodbye = server.close()
    assert goodbye
    assert server.state is DtlsState.CLOSED
    for datagram in goodbye:
        client.ssl.bio_write(datagram)
    with pytest.raises(SSL.ZeroReturnError):
        client.ssl.recv(100)
    assert server.close() == []
    assert server.timeout() is None


def test_a_handshake_that_is_not_done_ends_without_a_word() -> None:
    server = DtlsServer(OURS, [FINGERPRINT])
    assert server.close() == []
    assert server.state is DtlsState.HANDSHAKING
