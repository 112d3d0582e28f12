"""What the vault promises to those who keep secrets with it."""

from typing import Protocol


class Vault(Protocol):
    """Seals small secrets for one place and opens them only there."""

    @property
    def kids(self) -> tuple[str, ...]:
        """The names of the master keys at hand, that which seals first."""

    def seal(self, plain: bytes, *, collection: str, owner: str, field: str) -> bytes:
        """Encrypt under a fresh data key, wrapped by the newest master key; bound to the place named."""

    def open(self, sealed: bytes, *, collection: str, owner: str, field: str) -> bytes:
        """The reverse. Raises `KeyUnavailable` if the master key is not at hand or the place is another."""
