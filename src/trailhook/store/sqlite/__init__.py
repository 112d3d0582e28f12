"""The embedded store: one SQLite file, one owner, one writer thread that commits in groups."""

from trailhook.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
