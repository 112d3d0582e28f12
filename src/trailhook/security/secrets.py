"""What a source keeps sealed, and as what: credentials, signing secrets, extra headers."""

import base64
import secrets
from collections.abc import Mapping, Sequence

import msgspec

from trailhook.model import Credentials, Source, Value
from trailhook.security.base import Vault

COLLECTION = "sources"
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix of Standard Webhooks, no secret


class SigningSecret(Value, frozen=True, kw_only=True):
    """One signing secret. `until_at` is set once a newer one has taken its place."""

    secret: bytes
    until_at: float | None = None

    def __repr__(self) -> str:
        return "SigningSecret(***)"


def new_signing_secret() -> SigningSecret:
    """32 random bytes."""
    return SigningSecret(secret=secrets.token_bytes(SECRET_BYTES))


def shown_once(secret: SigningSecret) -> str:
    """As Standard Webhooks writes it: `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret.secret).decode()


class SourceSecrets:
    """Seals and opens the three secret fields of a source; a sealed value opens for its own source only."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal_credentials(self, source_id: str, credentials: Credentials) -> bytes:
        return self._seal(source_id, "credentials", credentials)

    def credentials(self, source: Source) -> Credentials:
        """Raises `KeyUnavailable`."""
        return msgspec.json.decode(self._open(source, "credentials"), type=Credentials)

    def seal_signing(self, source_id: str, secrets_newest_first: Sequence[SigningSecret]) -> bytes:
        return self._seal(source_id, "signing", list(secrets_newest_first))

    def signing(self, source: Source, now: float) -> list[bytes]:
        """The secrets that sign at `now`, newest first. Raises `KeyUnavailable`."""
        return [each.secret for each in self.all_signing(source) if each.until_at is None or each.until_at > now]

    def all_signing(self, source: Source) -> list[SigningSecret]:
        """Every signing secret, ended ones too. Raises `KeyUnavailable`."""
        return msgspec.json.decode(self._open(source, "signing"), type=list[SigningSecret])

    def seal_headers(self, source_id: str, headers: Mapping[str, str]) -> bytes:
        return self._seal(source_id, "headers", dict(headers))

    def headers(self, source: Source) -> dict[str, str]:
        """The extra headers of the callback, empty if there are none. Raises `KeyUnavailable`."""
        if "headers" not in source.sealed:
            return {}
        return msgspec.json.decode(self._open(source, "headers"), type=dict[str, str])

    def _seal(self, source_id: str, field: str, value: object) -> bytes:
        return self._vault.seal(msgspec.json.encode(value), collection=COLLECTION, owner=source_id, field=field)

    def _open(self, source: Source, field: str) -> bytes:
        return self._vault.open(source.sealed[field], collection=COLLECTION, owner=source.id, field=field)
