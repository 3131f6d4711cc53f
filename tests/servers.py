"""Real stores for tests: each in its own directory, on loopback or a unix socket, ended by pid.

All of them go through `shared.store.server`, so they die with the test process, however it dies.
"""

import datetime as dt
import ipaddress
import secrets
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.errors import StoreError
from shared.store.server import Server
from shared.store.server_place import Fsync, socket_path

DEBIAN_REDIS = Path("/usr/bin/redis-server")
START_TIMEOUT_S = 30.0
PORT_TRIES = 5


@dataclass(frozen=True, slots=True)
class TlsStore:
    """A password-protected TLS server: `url` verifies against its CA; `bare_url` names none."""

    url: str
    bare_url: str
    password: str


def debian_redis() -> Path:
    if not DEBIAN_REDIS.exists():
        pytest.fail(f"{DEBIAN_REDIS} is missing: run scripts/install-redis", pytrace=False)
    return DEBIAN_REDIS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def valkey_server(data_dir: Path, *, fsync: Fsync = "everysec") -> Iterator[Server]:
    """The embedded Valkey on a unix socket; everysec because tests rarely need more."""
    server = Server(data_dir, fsync=fsync)
    server.start(START_TIMEOUT_S)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def redis7_server(data_dir: Path) -> Iterator[str]:
    """Debian's Redis 7 on a loopback TCP port."""
    binary = debian_redis()
    for _ in range(PORT_TRIES):
        port = free_port()
        server = Server(data_dir, fsync="everysec", port=port, binary=binary)
        try:
            server.start(START_TIMEOUT_S)
        except StoreError:  # another process took the port between our look and its bind
            continue
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.stop()
        return
    pytest.fail(f"redis-server did not start: {(data_dir / 'server.log').read_text()[-2000:]}")


@contextmanager
def redis_tls_server(data_dir: Path) -> Iterator[TlsStore]:
    """Debian's Redis 7 on a loopback TLS port that asks for a password."""
    binary = debian_redis()
    data_dir.mkdir(parents=True, exist_ok=True)
    ca_file, cert_file, key_file = make_certificates(data_dir)
    password = secrets.token_urlsafe(16) + "/@:%"
    for _ in range(PORT_TRIES):
        port = free_port()
        arguments = (
            *("--tls-port", str(port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(cert_file), "--tls-key-file", str(key_file)),
            *("--tls-ca-cert-file", str(ca_file)),
        )
        server = Server(data_dir, fsync="everysec", binary=binary, extra=arguments)
        try:
            server.start(START_TIMEOUT_S)
        except StoreError:
            continue
        try:
            set_password(server, password)
            bare = f"rediss://:{quote(password, safe='')}@127.0.0.1:{port}/0"
            url = f"{bare}?ssl_ca_certs={quote(str(ca_file))}"
            yield TlsStore(url=url, bare_url=bare, password=password)
        finally:
            server.stop()
        return
    pytest.fail(f"redis-server did not start: {(data_dir / 'server.log').read_text()[-2000:]}")


def set_password(server: Server, password: str) -> None:
    """Sets it over the unix socket, so that it never shows in a command line."""
    path = socket_path(server.options.data_dir)
    with socket.socket(socket.AF_UNIX) as admin:
        admin.settimeout(START_TIMEOUT_S)
        admin.connect(str(path))
        admin.sendall(f"CONFIG SET requirepass {password}\r\n".encode())
        answer = admin.recv(512)
    if not answer.startswith(b"+OK"):
        pytest.fail(f"no password could be set: {answer!r}")


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """A CA and a certificate of 127.0.0.1 and localhost signed by it: CA, certificate, key."""
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False)
        .sign(ca_key, hashes.SHA256())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        _certificate(name, ca_name, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False
        )
        .sign(ca_key, hashes.SHA256())
    )
    ca_file, cert_file, key_file = (directory / n for n in ("ca.pem", "cert.pem", "key.pem"))
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    ssl.create_default_context(cafile=str(ca_file))  # a broken CA fails here, not in a test
    return ca_file, cert_file, key_file


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
