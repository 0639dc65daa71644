-- The weights of learned recommenders, for the engine that computes in the database.
--
-- A package is known by the digests of its files, so that one that is loaded again is found, and two replicas that
-- serve two versions for a while have both. What an item or a circumstance speaks for is one row of two arrays: a
-- catalogue of 20,000 items has some ten million weights, which are read by row and never one by one.

CREATE TABLE learned_packages (
    digest text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    -- When it was last loaded by a server: the latest of a name are kept.
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The items of a package in the order of their identifiers, numbered from 0, and what speaks for each whatever
-- somebody has.
CREATE TABLE learned_items (
    package text COLLATE "C" NOT NULL REFERENCES learned_packages (digest) ON DELETE CASCADE,
    number integer NOT NULL,
    item_id text COLLATE "C" NOT NULL,
    base real NOT NULL,
    PRIMARY KEY (package, number)
);

CREATE INDEX learned_items_by_id ON learned_items (package, item_id) INCLUDE (number);

-- What a source speaks for: the numbers of items, ascending, and how much.
-- - item: the source is the number of an item; weights are added
-- - context: the source is the number of a circumstance; weights are added
-- - factor: the same, and the weights are logarithms of what the sum is multiplied by
CREATE TABLE learned_rows (
    package text COLLATE "C" NOT NULL REFERENCES learned_packages (digest) ON DELETE CASCADE,
    part text COLLATE "C" NOT NULL CHECK (part IN ('item', 'context', 'factor')),
    source integer NOT NULL,
    targets integer[] NOT NULL,
    weights real[] NOT NULL,
    PRIMARY KEY (package, part, source),
    CHECK (cardinality(targets) = cardinality(weights))
);
