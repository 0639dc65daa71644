-- People, things, and what happened between them.
--
-- Identifiers are text in byte order (COLLATE "C"): ties are broken by id, and the order must be
-- the same here, in memory and on every machine, whatever its locale.

CREATE TABLE users (
    id text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    profile jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(profile) = 'object')
);

CREATE TABLE items (
    id text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    kind text COLLATE "C" NOT NULL
        CHECK (kind IN ('hospital', 'doctor', 'pharmacy', 'drug', 'advice')),
    name text NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    hidden boolean NOT NULL DEFAULT false,
    repeatable boolean NOT NULL DEFAULT false,
    contraindications jsonb NOT NULL DEFAULT '{}'
        CHECK (jsonb_typeof(contraindications) = 'object'),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
);

CREATE INDEX items_kind ON items (kind, id);

-- The key begins with the item: it is read by column, and it is what a cluster distributes by.
-- It carries the weight, and the index by user carries the rest of what a row says, so that both
-- ways through the matrix are answered from an index alone.
CREATE TABLE interactions (
    item_id text COLLATE "C" NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    event text COLLATE "C" NOT NULL CHECK (event <> ''),
    -- Milliseconds, so that a time read back is the time written.
    occurred_at timestamptz(3) NOT NULL DEFAULT now() CHECK (isfinite(occurred_at)),
    weight real NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight < 'Infinity'),
    PRIMARY KEY (item_id, user_id, event, occurred_at) INCLUDE (weight)
);

CREATE INDEX interactions_user ON interactions (user_id) INCLUDE (item_id, event, occurred_at, weight);
