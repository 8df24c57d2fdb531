"""The key a node signs manifests with: P-256 (C2PA knows no secp256k1), certified by an authority of the node's own.

One file beside the wallet's keystore holds the certificates in clear and the private key encrypted. The authority's key
signs one certificate and is forgotten. The certificate proves nothing about the wallet: what binds them is that the
wallet submitted the digest of this manifest.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pdfed_sdk.artifacts.store import storage_errors, sync_folder, temporary_file
from pdfed_sdk.errors import KeystoreError

_FORMAT = "pdfed-signing-identity"
_VALID_FOR = dt.timedelta(days=3650)
_SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}  # 64 MiB, about 0.2 s: no weaker than the wallet keystore beside it
_MAX_SCRYPT = {"n": 1 << 20, "r": 16, "p": 16}


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """A P-256 key and its certificate chain (PEM, leaf first). ``authority`` is the chain's last certificate (PEM)."""

    certificates: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def authority(self) -> str:
        """The node's own root certificate: give it to those who want to read ``Trusted`` instead of ``Valid``."""
        return "-----BEGIN" + self.certificates.split("-----BEGIN")[-1]

    def private_pem(self) -> bytes:
        """The private key in clear, for the signing library's memory only; it must never reach a file."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @classmethod
    def create(cls, name: str = "node") -> SigningIdentity:
        """A fresh key with an authority of its own; ``name`` appears in the certificate."""
        authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        issuer, subject = _name(f"{name} authority"), _name(name)
        root = _certificate(issuer, issuer, authority, authority, authority=True)
        leaf = _certificate(subject, issuer, key, authority, authority=False)
        return cls("".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in (leaf, root)), key)

    @classmethod
    def load_or_create(cls, path: Path, password: str, name: str = "node") -> SigningIdentity:
        """Load the identity at ``path``, or make one and keep it there. Raises KeystoreError."""
        if not path.exists():
            cls.create(name).save(path, password)
        return cls.load(path, password)

    def save(self, path: Path, password: str) -> None:
        """Write the file, readable by its owner only. An identity that is there already stays. Raises KeystoreError."""
        if not password:
            raise KeystoreError("the signing key needs a password", hint="use the password of the wallet's keystore")
        salt = os.urandom(16)
        secret = serialization.BestAvailableEncryption(_stretch(password, salt, _SCRYPT))
        pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
        content = {
            "format": _FORMAT,
            "version": 1,
            "kdf": {"name": "scrypt", "salt": salt.hex(), **_SCRYPT},
            "private_key": pem.decode(),
            "certificates": self.certificates,
        }
        with storage_errors("writing the signing key", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary_file(path.parent) as partial:
                partial.chmod(0o600)
                partial.write_text(json.dumps(content, indent=1))
                try:
                    path.hardlink_to(partial)
                except FileExistsError:
                    return
                sync_folder(path.parent)

    @classmethod
    def load(cls, path: Path, password: str) -> SigningIdentity:
        """Read and decrypt. Raises KeystoreError if the file is missing, unreadable, or the password is wrong."""
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            if content["format"] != _FORMAT or content["version"] != 1:
                raise ValueError("unknown format")
            kdf = content["kdf"]
            work = {name: int(kdf[name]) for name in _SCRYPT}
            if any(work[name] > bound for name, bound in _MAX_SCRYPT.items()):
                raise ValueError("key stretching beyond reason")
            salt, pem, certificates = bytes.fromhex(kdf["salt"]), content["private_key"], content["certificates"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeystoreError(
                f"the signing key {path} cannot be read ({error})",
                hint="restore it from a backup, or move it away: a new one is made, older packages stay valid",
            ) from error
        try:
            key = serialization.load_pem_private_key(pem.encode(), _stretch(password, salt, work))
        except ValueError:
            raise KeystoreError(
                f"wrong password for the signing key {path}", hint="give the keystore's password"
            ) from None
        leaf = x509.load_pem_x509_certificates(certificates.encode())[0]
        if not isinstance(key, ec.EllipticCurvePrivateKey) or leaf.public_key() != key.public_key():
            raise KeystoreError(f"key and certificate in {path} do not belong together", hint="restore a backup")
        return cls(certificates, key)


def _stretch(password: str, salt: bytes, work: dict[str, int]) -> bytes:
    """The password of the PEM: PKCS8 by itself stretches so little that it would give the wallet's password away."""
    derived = hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=work["n"],
        r=work["r"],
        p=work["p"],
        maxmem=256 * work["n"] * work["r"],
        dklen=32,
    )
    return derived.hex().encode()


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "PDFed"),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    """Certificate profile of C2PA: end entities sign with digitalSignature and the purpose emailProtection."""
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not authority:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purposes, critical=False)
    return builder.sign(signer, hashes.SHA256())
