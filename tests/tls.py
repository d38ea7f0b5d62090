"""A private CA, an https server on 127.0.0.1 with a certificate of it, and a proxy; made by tests, for tests."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


def make_certificates(folder: Path) -> Path:
    """Write `ca.pem`, the certificate of a new CA, and `server.pem`, a certificate of it with its key; the first."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A private CA")])
    ca = _certificate(name, name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=0))
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    certificate = _certificate(own, name, key, ca_key, address)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "ca.pem"


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Any, signer: Any, extension: x509.ExtensionType
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


@contextmanager
def https(certificate: Path, to: str) -> Iterator[str]:
    """Pass everything that arrives over https on to the http server `to`; the address, `https://127.0.0.1:PORT`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    target = (HOST, int(to.rpartition(":")[2]))

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            _relay(secured, target, hosts)

    with _listening(serve) as port:
        # The sandbox answers to its own host and port only.
        hosts = (f"Host: {HOST}:{port}".encode(), f"Host: {HOST}:{target[1]}".encode())
        yield f"https://{HOST}:{port}"


@contextmanager
def proxy(asked: list[str]) -> Iterator[str]:
    """Tunnel as an http proxy does, and note in `asked` where to; the address, `http://127.0.0.1:PORT`."""

    def serve(connection: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(4096)
        asked.append(request.decode().split("\r\n")[0])
        host, _, port = request.decode().split(" ")[1].rpartition(":")
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _relay(connection, (host, int(port)))

    with _listening(serve) as port:
        yield f"http://{HOST}:{port}"


@contextmanager
def _listening(serve: Any) -> Iterator[int]:
    listener = socket.create_server((HOST, 0))

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # a client that does not trust the certificate hangs up
            serve(connection)

    def accept() -> None:
        with suppress(OSError):  # closed at the end
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _relay(client: socket.socket, to: tuple[str, int], replace: tuple[bytes, bytes] = (b"", b"")) -> None:
    """Copy bytes both ways until either side is through, and put something else in place of what the client sends."""
    with socket.create_connection(to) as server:

        def back() -> None:
            with suppress(OSError):
                while data := server.recv(65536):
                    client.sendall(data)
                client.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=back, daemon=True).start()
        while data := client.recv(65536):
            server.sendall(data.replace(*replace) if replace[0] else data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
