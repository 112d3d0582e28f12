"""The vault: AES-256-GCM under a fresh data key for each value, wrapped by a master key.

A sealed value is `1 | length of kid | kid | nonce | wrapped data key | nonce | ciphertext`. Both layers are bound
to the format's version and to the place (collection, owner, field); the wrapping also to its key id, the ciphertext
not, so that `rewrap` can put the data key under a newer master key without touching what it encrypts.

The key file of an embedded installation holds the master keys, one a line, newest first; mode 0600.
"""

import base64
import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trailhook.errors import KeyUnavailable, SettingsError
from trailhook.model import Value
from trailhook.security.base import Vault

KEY_BYTES = 32
ORIGIN: Final = "TRAILHOOK_MASTER_KEYS"

_VERSION = 1
_NONCE_BYTES = 12
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16
_KID = re.compile(r"[a-z0-9_-]{1,32}")
_CHECK_PLACE = {"collection": "vault", "owner": "trailhook", "field": "key_check"}
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class MasterKeys:
    """The master keys, newest first: the newest seals, all of them open. They are never shown."""

    def __init__(self, newest_first: Sequence[tuple[str, bytes]]) -> None:
        self._keys = dict(newest_first)
        self.newest = newest_first[0][0]

    @classmethod
    def parse(cls, text: str, origin: str = ORIGIN) -> "MasterKeys":
        """Read `kid:base64-of-32-bytes`, separated by commas or line ends, newest first.

        Raises SettingsError, which names `origin` and the place in the list and shows no value.
        """
        entries = [each for each in re.split(r"[,\s]+", text) if each]
        if not entries:
            raise SettingsError(f"{origin} holds no key; `trailhook key new` makes one")
        keys = [_entry(each, f"{origin}, key {number}") for number, each in enumerate(entries, 1)]
        if len({kid for kid, _ in keys}) != len(keys):
            raise SettingsError(f"{origin} has two keys of the same name")
        return cls(keys)

    @property
    def kids(self) -> tuple[str, ...]:
        """The names of the keys, newest first."""
        return tuple(self._keys)

    def key(self, kid: str) -> bytes:
        """Raises `KeyUnavailable`."""
        if kid not in self._keys:
            raise KeyUnavailable(f"the master key {kid} is not at hand")
        return self._keys[kid]

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(self._keys)})"


def new_key() -> str:
    """A fresh master key under a fresh name, as `MasterKeys.parse` reads it."""
    return f"k-{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


class _Sealed(Value, frozen=True, kw_only=True):
    kid: str
    wrapped: bytes
    """Nonce and the data key's ciphertext."""
    content: bytes
    """Nonce and the value's ciphertext."""

    def pack(self) -> bytes:
        kid = self.kid.encode()
        return bytes([_VERSION, len(kid)]) + kid + self.wrapped + self.content

    @classmethod
    def unpack(cls, sealed: bytes) -> "_Sealed":
        head, rest = sealed[:2], sealed[2:]
        if len(head) != 2 or head[0] != _VERSION:  # noqa: PLR2004 - version and length, a byte each
            _unreadable()
        kid, rest = rest[: head[1]], rest[head[1] :]
        if len(rest) < _WRAPPED_BYTES + _NONCE_BYTES or not _KID.fullmatch(kid.decode(errors="replace")):
            _unreadable()
        return cls(kid=kid.decode(), wrapped=rest[:_WRAPPED_BYTES], content=rest[_WRAPPED_BYTES:])


class AesVault:
    """The `Vault` of `security.base`, with master keys that can be rotated."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys

    @property
    def kids(self) -> tuple[str, ...]:
        return self._keys.kids

    def seal(self, plain: bytes, *, collection: str, owner: str, field: str) -> bytes:
        place = (collection, owner, field)
        data_key = secrets.token_bytes(KEY_BYTES)
        content = _encrypt(data_key, plain, _bound("content", *place))
        return self._wrapped(data_key, content, place).pack()

    def open(self, sealed: bytes, *, collection: str, owner: str, field: str) -> bytes:
        place = (collection, owner, field)
        parts = _Sealed.unpack(sealed)
        return _decrypt(self._data_key(parts, place), parts.content, _bound("content", *place))

    def rewrap(self, sealed: bytes, *, collection: str, owner: str, field: str) -> bytes:
        """The same value under the newest master key, its ciphertext untouched; as it is if it is there already.

        Raises `KeyUnavailable`.
        """
        parts = _Sealed.unpack(sealed)
        if parts.kid == self._keys.newest:
            return sealed
        place = (collection, owner, field)
        return self._wrapped(self._data_key(parts, place), parts.content, place).pack()

    def _wrapped(self, data_key: bytes, content: bytes, place: tuple[str, str, str]) -> _Sealed:
        kid = self._keys.newest
        wrapped = _encrypt(self._keys.key(kid), data_key, _bound("key", *place, kid))
        return _Sealed(kid=kid, wrapped=wrapped, content=content)

    def _data_key(self, parts: _Sealed, place: tuple[str, str, str]) -> bytes:
        return _decrypt(self._keys.key(parts.kid), parts.wrapped, _bound("key", *place, parts.kid))


def key_id(sealed: bytes) -> str:
    """The name of the master key that a value is sealed under. Raises `KeyUnavailable` if it is no sealed value."""
    return _Sealed.unpack(sealed).kid


def key_check(vault: Vault) -> bytes:
    """A sealed value to keep in a new store, by which a later start knows its master keys."""
    return vault.seal(b"", **_CHECK_PLACE)


def verify_key_check(vault: Vault, sealed: bytes) -> None:
    """Return if `vault` has the master key of the store that `sealed` was kept in, else raise `KeyUnavailable`."""
    vault.open(sealed, **_CHECK_PLACE)


def load_or_create_key_file(path: Path) -> tuple[MasterKeys, bool]:
    """The master keys in `path`, and whether it was made just now, durably, with one new key in it.

    Of several that start at once one makes it and all read the same. Blocks. Raises SettingsError if it cannot be
    read or made, holds no keys, or may be read by others.
    """
    with _naming(path):
        created = not path.exists() and _create(path)
        return MasterKeys.parse(_read(path), str(path)), created


def add_key(path: Path) -> MasterKeys:
    """Put a new key before those in `path`, in one step; it seals from the next start on. Errors as above."""
    with _naming(path):
        text = f"{new_key()}\n{_read(path)}"
        keys = MasterKeys.parse(text, str(path))
        with _written_beside(path, text) as written:
            written.replace(path)
        return keys


def _entry(text: str, where: str) -> tuple[str, bytes]:
    kid, _, encoded = text.partition(":")
    if not _KID.fullmatch(kid):
        raise SettingsError(f"{where}: its name must be 1 to 32 of a-z, 0-9, _ and -, before a colon")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{where}: after the colon must be the base64 of {KEY_BYTES} bytes")
    return kid, key


def _bound(*parts: str) -> bytes:
    """Associated data: the version and each part behind its length, so that no two places read the same."""
    encoded = [part.encode() for part in parts]
    return bytes([_VERSION]) + b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except InvalidTag:
        raise KeyUnavailable("a sealed value is not from here, was changed, or is of another master key") from None


def _unreadable() -> NoReturn:
    raise KeyUnavailable("these bytes are no sealed value of this version")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the key file {path} cannot be used: {type(error).__name__}") from error


def _read(path: Path) -> str:
    with path.open(encoding="ascii") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _FOR_OTHERS:
            raise SettingsError(f"the key file {path} may be used by others (mode {mode:04o}): chmod 600 it")
        return file.read()


def _create(path: Path) -> bool:
    """Linked into place whole, so that neither a crash nor a second process leaves or sees half a file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _written_beside(path, f"{new_key()}\n") as written:
        try:
            path.hardlink_to(written)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _written_beside(path: Path, text: str) -> Iterator[Path]:
    """A new 0600 file next to `path` with `text` on the disk; what is done with it inside is durable after."""
    written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield written
    finally:
        written.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
