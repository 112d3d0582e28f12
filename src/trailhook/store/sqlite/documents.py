"""Small values by name, and the right to be the only one doing something."""

from collections.abc import Callable, Mapping

import apsw

from trailhook.store.base import NamedLease
from trailhook.store.moving import MARK, Mark, marked
from trailhook.store.sqlite.rows import Due, Part, next_tokens, value


class SqliteDocuments(Part):
    """See `store.base.Documents`."""

    async def document(self, kind: str, key: str) -> bytes | None:
        return await self._read(_document, kind, key)

    async def documents(self, kind: str) -> Mapping[str, bytes]:
        return await self._read(_documents, kind)

    async def change_document(
        self, kind: str, key: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        return await self._write(_change_document, kind, key, change, self._clock.now())

    async def lease(self, name: str, lease_s: float) -> NamedLease | None:
        return await self._lease(_lease, name, lease_s, self._due())

    async def renew(self, lease: NamedLease, lease_s: float) -> bool:
        return await self._lease(_renew, lease, self._clock.now() + lease_s)

    async def release(self, lease: NamedLease) -> None:
        await self._lease(_release, lease)


def _document(db: apsw.Connection, kind: str, key: str) -> bytes | None:
    found: bytes | None = value(db, "SELECT value FROM documents WHERE kind = ? AND key = ?", (kind, key))
    return found


def mark(db: apsw.Connection) -> Mark | None:
    """The mark of a move away from here, if there is one."""
    return marked(_document(db, *MARK))


def _documents(db: apsw.Connection, kind: str) -> dict[str, bytes]:
    return {
        str(key): bytes(content)
        for key, content in db.execute("SELECT key, value FROM documents WHERE kind = ? ORDER BY key", (kind,))
    }


def _change_document(
    db: apsw.Connection, kind: str, key: str, change: Callable[[bytes | None], bytes | None], now: float
) -> bytes | None:
    old = _document(db, kind, key)
    new = change(old)
    if new is None:
        db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))
    elif new != old:
        db.execute(
            """INSERT INTO documents (kind, key, value, changed_at) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at""",
            (kind, key, new, now),
        )
    return new


def _lease(db: apsw.Connection, name: str, lease_s: float, due: Due) -> NamedLease | None:
    until_at = value(db, "SELECT until_at FROM leases WHERE name = ?", (name,))
    if until_at is not None and due.now < until_at <= due.horizon:
        return None
    (token,) = next_tokens(db, 1)
    db.execute(
        """INSERT INTO leases (name, token, until_at) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET token = excluded.token, until_at = excluded.until_at""",
        (name, token, due.now + lease_s),
    )
    return NamedLease(name=name, token=token)


def _renew(db: apsw.Connection, lease: NamedLease, until_at: float) -> bool:
    db.execute("UPDATE leases SET until_at = ? WHERE name = ? AND token = ?", (until_at, lease.name, lease.token))
    return db.changes() == 1


def _release(db: apsw.Connection, lease: NamedLease) -> None:
    db.execute("DELETE FROM leases WHERE name = ? AND token = ?", (lease.name, lease.token))
