"""The tables, and how an older file becomes a newer one.

Bodies and columns lie beside their batches, so that listing and settling never touch them. Indexes that serve what
waits are partial: a million delivered batches or finished units cost the hot queries nothing.
"""

import apsw

from trailhook.errors import SettingsError

_FIRST = """
CREATE TABLE state (                     -- one row
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token INTEGER NOT NULL DEFAULT 0,    -- the last fencing token given out
    batch INTEGER NOT NULL DEFAULT 0,    -- the last batch number given out
    checked_at REAL NOT NULL DEFAULT 0
) STRICT;
INSERT INTO state (id) VALUES (1);

CREATE TABLE documents (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    changed_at REAL NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX documents_idempotency ON documents (changed_at) WHERE kind = 'idempotency';

CREATE TABLE leases (name TEXT PRIMARY KEY, token INTEGER NOT NULL, until_at REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lanes (key TEXT PRIMARY KEY, doc BLOB NOT NULL, waits_until_at REAL NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE sources (
    num INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    doc BLOB,                            -- NULL once removed: the log still names the source
    created_at REAL NOT NULL,
    next_fetch_at REAL NOT NULL,
    paused INTEGER NOT NULL,
    lane TEXT NOT NULL,
    held INTEGER NOT NULL,
    listens INTEGER NOT NULL,
    notify_at REAL                       -- NULL: everybody was told
) STRICT;

CREATE TABLE totals (                    -- one row per source that is not removed
    source INTEGER PRIMARY KEY,
    read INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0,
    filtered INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    dead_lettered INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    waiting INTEGER NOT NULL DEFAULT 0,
    waiting_batches INTEGER NOT NULL DEFAULT 0,
    waiting_bytes INTEGER NOT NULL DEFAULT 0,
    replayed INTEGER NOT NULL DEFAULT 0,
    dead_batches INTEGER NOT NULL DEFAULT 0,
    dead_bytes INTEGER NOT NULL DEFAULT 0,
    last_event_at REAL,
    last_sent_event_at REAL,
    clean_to INTEGER NOT NULL DEFAULT 0, -- hour: no ledger key was last seen before it
    clean_cursor BLOB,                   -- how far the walk over the ledger has come, NULL between walks
    clean_next INTEGER NOT NULL DEFAULT 0 -- what clean_to becomes when the walk ends
) STRICT;
CREATE TABLE unit_totals (
    source INTEGER NOT NULL,
    label TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (source, label)
) STRICT, WITHOUT ROWID;

CREATE TABLE samples (                   -- what was counted up to a time, for pictures of it
    source INTEGER NOT NULL,
    step_s INTEGER NOT NULL,
    slot INTEGER NOT NULL,               -- which minute, or hour
    at REAL NOT NULL,
    read INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    filtered INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    dead_lettered INTEGER NOT NULL,
    discarded INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    PRIMARY KEY (source, step_s, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX samples_age ON samples (step_s, slot);

CREATE TABLE watermarks (
    source INTEGER NOT NULL,
    intake TEXT NOT NULL,
    place TEXT NOT NULL,
    prefix TEXT NOT NULL,
    mark_at REAL NOT NULL,
    reconciled_at REAL NOT NULL,
    start_from_at REAL NOT NULL,
    rhythm BLOB NOT NULL,
    PRIMARY KEY (source, intake, place, prefix)
) STRICT, WITHOUT ROWID;

CREATE TABLE units (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL,
    identity BLOB NOT NULL,              -- hash of place and name, then one of intake and version
    intake TEXT NOT NULL,
    place TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    endpoint_url TEXT,
    region TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    labelled_at REAL NOT NULL,
    modified_at REAL NOT NULL,
    ignored TEXT,
    backfill INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    found_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0,
    records_taken INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    token INTEGER NOT NULL DEFAULT 0,    -- 0: nobody holds it
    available_at REAL NOT NULL,          -- due time, or the lease's end
    sha256 BLOB NOT NULL DEFAULT x''     -- of the inflated content, if the source asked for it
) STRICT;
CREATE UNIQUE INDEX units_identity ON units (source, identity);
CREATE INDEX units_state ON units (source, state, backfill, found_at);
CREATE INDEX units_next ON units (source, backfill, labelled_at, available_at) WHERE state = 'waiting';
CREATE INDEX units_due ON units (source, backfill, available_at) WHERE state = 'waiting';

CREATE TABLE ledger (
    source INTEGER NOT NULL,
    key BLOB NOT NULL,                   -- begins with the event time: inserts are nearly append-only
    seen INTEGER NOT NULL,               -- hour
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    source INTEGER NOT NULL,
    unit_id INTEGER NOT NULL,
    place TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_source ON quarantine (source);

CREATE TABLE batches (
    num INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source INTEGER NOT NULL,
    place BLOB NOT NULL,                 -- order of sending: the number, and for children their place in the parent's
    kind TEXT NOT NULL,
    type TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    body_bytes INTEGER NOT NULL,
    wire_bytes INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_event_at REAL NOT NULL,
    last_event_at REAL NOT NULL,
    parent TEXT,
    refusals INTEGER NOT NULL,
    state TEXT NOT NULL,
    frozen_at REAL NOT NULL,
    backfill INTEGER NOT NULL DEFAULT 0,
    known_at REAL GENERATED ALWAYS AS (iif(first_event_at > 0 AND NOT backfill, first_event_at, frozen_at)) VIRTUAL,
    due_at REAL NOT NULL,
    available_at REAL NOT NULL,          -- due_at, or the lease's end
    attempts INTEGER NOT NULL DEFAULT 0,
    first_attempt_at REAL,
    held_mark_s REAL NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0,
    last_class TEXT NOT NULL DEFAULT '',
    last_error TEXT NOT NULL DEFAULT '',
    settled_at REAL,
    token INTEGER NOT NULL DEFAULT 0     -- 0: nobody holds it
) STRICT;
CREATE INDEX batches_source ON batches (source, state, num, frozen_at);
CREATE INDEX batches_state ON batches (state, num, frozen_at);
CREATE INDEX batches_dead ON batches (source, last_class, last_error, num, frozen_at, count, settled_at)
    WHERE state = 'dead';
CREATE INDEX batches_parent ON batches (parent) WHERE parent IS NOT NULL;
CREATE INDEX batches_next ON batches (source, place, available_at) WHERE state = 'waiting';
CREATE INDEX batches_due ON batches (source, available_at) WHERE state = 'waiting';
CREATE INDEX batches_known ON batches (source, known_at) WHERE state = 'waiting' AND kind = 'events';
CREATE INDEX batches_kept ON batches (source, frozen_at) WHERE state IN ('waiting', 'dead');
CREATE INDEX batches_log ON batches (last_event_at, num, first_event_at) WHERE kind = 'events';
CREATE INDEX batches_source_log ON batches (source, last_event_at, num, first_event_at) WHERE kind = 'events';
CREATE INDEX batches_ended ON batches (settled_at) WHERE state IN ('delivered', 'discarded', 'split');

CREATE TABLE bodies (batch INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE columns (batch INTEGER PRIMARY KEY, columns BLOB NOT NULL) STRICT;
CREATE TABLE attempts (num INTEGER PRIMARY KEY, batch INTEGER NOT NULL, doc BLOB NOT NULL) STRICT;
CREATE INDEX attempts_batch ON attempts (batch);

CREATE VIEW batch_rows AS
    SELECT b.num, b.id, s.id AS source_id, b.kind, b.type, b.sha256, b.wire_bytes, b.content_type, b.content_encoding,
        b.count, b.first_event_at, b.last_event_at, b.parent, b.refusals, b.state, b.frozen_at, b.backfill, b.due_at,
        b.attempts, b.first_attempt_at, b.held_mark_s, b.uncertain, b.last_class, b.last_error, b.settled_at, b.token
    FROM batches b JOIN sources s ON s.num = b.source;
CREATE VIEW unit_rows AS
    SELECT u.id, s.id AS source_id, u.intake, u.place, u.name, u.version, u.endpoint_url, u.region, u.size_bytes,
        u.labelled_at, u.modified_at, u.ignored, u.backfill, u.state, u.found_at, u.attempts, u.records_taken,
        u.token, u.sha256
    FROM units u JOIN sources s ON s.num = u.source;
CREATE VIEW quarantine_rows AS
    SELECT q.num, substr(q.kind, 1, 1) || '-' || q.num AS id, q.kind, s.id AS source_id, q.place, q.name, q.position,
        q.reason, q.detail, q.at, q.unit_id, q.body
    FROM quarantine q JOIN sources s ON s.num = q.source;
"""

MIGRATIONS = (_FIRST,)
"""Script n takes a file from version n to n + 1. Never edit one that was released."""


def migrate(db: apsw.Connection) -> None:
    """Bring the file up to date, all or nothing. Raises SettingsError if a newer Trailhook wrote it."""
    version = int(db.pragma("user_version"))
    if version > len(MIGRATIONS):
        raise SettingsError(
            f"{db.filename} was written by a newer Trailhook (schema {version}, this one knows {len(MIGRATIONS)}): "
            "install that version, or restore the backup made before the upgrade"
        )
    with db:
        for script in MIGRATIONS[version:]:
            db.execute(script)
        db.pragma("user_version", len(MIGRATIONS))


def take_over(db: apsw.Connection) -> None:
    """End every lease of the owner before: it is dead. What it was sending may have arrived."""
    with db:
        db.execute("DELETE FROM leases")
        db.execute("UPDATE units SET token = 0, available_at = 0 WHERE state = 'waiting' AND token <> 0")
        db.execute(
            "UPDATE batches SET token = 0, available_at = due_at, uncertain = 1 WHERE state = 'waiting' AND token <> 0"
        )
