-- The audit as evidence: whom a row is about, from where it was asked, a digest over the whole request,
-- and a chain over the rows whose end is signed, so that what was changed outside shows.

-- The address that asked.
ALTER TABLE audit ADD COLUMN address TEXT NOT NULL DEFAULT '';
-- SHA-256 over method, target and body.
ALTER TABLE audit ADD COLUMN request_sha256 TEXT NOT NULL DEFAULT '';
-- The people concerned: keyed pseudonyms, or identifiers.
ALTER TABLE audit ADD COLUMN people TEXT NOT NULL DEFAULT '[]' CHECK (json_type(people) = 'array');
-- The time of audit_clock at which the row was written; retention goes by it.
ALTER TABLE audit ADD COLUMN clock INTEGER NOT NULL DEFAULT 0;
-- SHA-256 over the row and the chain of the row before; none of rows that are older than the chain.
ALTER TABLE audit ADD COLUMN chain TEXT;

-- Who is named in which rows.
CREATE TABLE audit_people (
    person TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (person, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_people_by_number ON audit_people (number);

CREATE TRIGGER audit_people_are_named AFTER INSERT ON audit WHEN NEW.people <> '[]' BEGIN
    INSERT OR IGNORE INTO audit_people (person, number) SELECT value, NEW.number FROM json_each(NEW.people);
END;

-- REPLACE takes rows away without a word to the triggers of deletion.
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
    OR EXISTS (SELECT 1 FROM audit WHERE run = NEW.run AND sequence = NEW.sequence) BEGIN
    SELECT RAISE(ABORT, 'the audit has this row already');
END;

-- The end of the chain, and its beginning.
CREATE TABLE audit_head (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    -- The secret of this database's audit, where no file holds one; 64 hexadecimal digits, empty before
    -- the first use.
    secret TEXT NOT NULL DEFAULT '',
    -- The number of the last row and its chain.
    number INTEGER NOT NULL,
    chain TEXT NOT NULL DEFAULT '',
    -- The same of the last row that was dropped when its time had passed.
    dropped INTEGER NOT NULL,
    dropped_chain TEXT NOT NULL DEFAULT '',
    -- The signature over these four; empty before the first row.
    signature TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO audit_head (number, dropped)
    SELECT coalesce(max(number), 0), coalesce(max(number), 0) FROM audit;

-- Milliseconds during which a server has run on this database. Ages of rows are counted by it and not
-- by the time of day, which somebody may set.
CREATE TABLE audit_clock (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    ms INTEGER NOT NULL,
    -- The time of day when it last moved on.
    seen INTEGER NOT NULL
) STRICT;
INSERT INTO audit_clock (ms, seen) VALUES (1, 0);

-- A day of running is the shortest time for which an audit can be kept.
DROP TRIGGER audit_is_kept;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN OLD.clock >= (SELECT ms FROM audit_clock) - 86400000 BEGIN
    SELECT RAISE(ABORT, 'the audit is kept for a day at least');
END;
CREATE TRIGGER audit_people_go_with_it AFTER DELETE ON audit BEGIN
    DELETE FROM audit_people WHERE number = OLD.number;
END;
