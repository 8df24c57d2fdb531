"""Keys that sign: a small protocol, and the software key kept in a Web3 v3 keystore. Keys never reach logs or reprs."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any, Protocol

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from pdfed_sdk.errors import KeystoreError
from pdfed_sdk.types import Address

_MAX_KEYSTORE = 1 << 16


class Signer(Protocol):
    """Signs for one address. ``deterministic``: equal messages give equal signatures, so salts can be derived."""

    @property
    def address(self) -> Address: ...

    @property
    def deterministic(self) -> bool: ...

    @property
    def lock_path(self) -> Path:
        """File that processes with this key lock while they take a nonce."""
        ...

    def sign_transaction(self, transaction: dict[str, Any]) -> bytes: ...

    def sign_typed(self, message: dict[str, Any]) -> bytes: ...


class LocalSigner:
    """A software key. Its signatures are deterministic (RFC 6979)."""

    deterministic = True

    def __init__(self, account: LocalAccount, lock_path: Path) -> None:
        self._account = account
        self.lock_path = lock_path
        self.address = Address(account.address)

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"

    @classmethod
    def from_key(cls, key: bytes | str, *, lock_folder: Path | None = None) -> LocalSigner:
        """From a raw key, for tests and development chains."""
        try:
            account: LocalAccount = Account.from_key(key)
        except Exception:
            raise KeystoreError("the key is not a 32-byte secp256k1 key", hint="use a keystore file") from None
        folder = lock_folder or Path.home() / ".pdfed" / "locks"
        return cls(account, folder / f"{account.address.lower()}.lock")

    @classmethod
    def from_keystore(
        cls,
        path: Path | str,
        *,
        password: str | None = None,
        password_file: Path | str | None = None,
        env: str | None = None,
        prompt: bool = True,
    ) -> LocalSigner:
        """Open a Web3 v3 keystore. Password: argument, file, variable ``env``, or a prompt on a terminal."""
        path = Path(path)
        keystore = _read_keystore(path)
        secret = _password(path, password, password_file, env, prompt)
        try:
            key = Account.decrypt(keystore, secret)
        except ValueError:
            raise KeystoreError(f"{path}: the password is wrong", hint="check the password file or variable") from None
        except Exception as error:
            raise KeystoreError(f"{path}: not a Web3 v3 keystore ({type(error).__name__})") from None
        return cls(Account.from_key(key), path.with_name(path.name + ".lock"))

    @classmethod
    def create_keystore(cls, path: Path | str, password: str, *, key: bytes | None = None) -> LocalSigner:
        """Write a new keystore (mode 0600, never over an existing file); ``key`` imports one, else it is made here."""
        path = Path(path)
        account: LocalAccount = Account.from_key(key or secrets.token_bytes(32))
        text = json.dumps(Account.encrypt(account.key, password))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise KeystoreError(f"{path} exists already", hint="choose another name") from None
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return cls(account, path.with_name(path.name + ".lock"))

    def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
        return bytes(self._account.sign_transaction(transaction).raw_transaction)

    def sign_typed(self, message: dict[str, Any]) -> bytes:
        """65-byte signature of EIP-712 typed data."""
        return bytes(self._account.sign_message(encode_typed_data(full_message=message)).signature)


def _read_keystore(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_KEYSTORE:
            raise KeystoreError(f"{path} has {path.stat().st_size} bytes, a keystore has at most {_MAX_KEYSTORE}")
        keystore = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise KeystoreError(f"{path}: cannot be read ({error})", hint="give the path of a v3 JSON") from None
    if not isinstance(keystore, dict) or "crypto" not in {str(key).lower() for key in keystore}:
        raise KeystoreError(f"{path}: not a Web3 v3 keystore", hint="give the path of a v3 JSON")
    return keystore


def _password(path: Path, password: str | None, password_file: Path | str | None, env: str | None, prompt: bool) -> str:
    if password is not None:
        return password
    if password_file is not None:
        try:
            return Path(password_file).read_text().rstrip("\r\n")
        except OSError as error:
            raise KeystoreError(f"password file {password_file} cannot be read ({error.strerror})") from None
    if env is not None and env in os.environ:
        return os.environ[env]
    if prompt and sys.stdin.isatty():
        return getpass.getpass(f"Password of {path.name}: ")
    raise KeystoreError(f"no password for {path}", hint="name a password file or an environment variable")
