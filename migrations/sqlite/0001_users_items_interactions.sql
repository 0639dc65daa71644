-- People, things, and what happened between them. Text compares in byte order, as everywhere.

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
    profile TEXT NOT NULL DEFAULT '{}' CHECK (json_type(profile) = 'object')
) STRICT, WITHOUT ROWID;

CREATE TABLE items (
    id TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
    kind TEXT NOT NULL
        CHECK (kind IN ('hospital', 'doctor', 'pharmacy', 'drug', 'advice')),
    name TEXT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}' CHECK (json_type(attributes) = 'object'),
    latitude REAL CHECK (latitude BETWEEN -90 AND 90),
    longitude REAL CHECK (longitude BETWEEN -180 AND 180),
    hidden INTEGER NOT NULL DEFAULT 0 CHECK (hidden IN (0, 1)),
    repeatable INTEGER NOT NULL DEFAULT 0 CHECK (repeatable IN (0, 1)),
    contraindications TEXT NOT NULL DEFAULT '{}' CHECK (json_type(contraindications) = 'object'),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX items_kind ON items (kind, id);

-- Kept in the order of users: a person's history is one stretch of the file.
CREATE TABLE interactions (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    item_id TEXT NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    event TEXT NOT NULL CHECK (event <> ''),
    -- Milliseconds since 1970-01-01T00:00:00Z; now, if not given.
    occurred_at INTEGER NOT NULL
        DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    weight REAL NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight < 9e999),
    PRIMARY KEY (user_id, item_id, event, occurred_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX interactions_item ON interactions (item_id);
