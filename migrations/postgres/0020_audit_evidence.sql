-- The audit as evidence: whom a row is about, from where it was asked, a digest over the whole request,
-- and a chain over the rows whose end is signed, so that what was changed outside shows.

ALTER TABLE audit
    -- The address that asked.
    ADD COLUMN address text NOT NULL DEFAULT '',
    -- SHA-256 over method, target and body.
    ADD COLUMN request_sha256 text NOT NULL DEFAULT '',
    -- The people concerned: keyed pseudonyms, or identifiers.
    ADD COLUMN people jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(people) = 'array'),
    -- The time of audit_clock at which the row was written; retention goes by it.
    ADD COLUMN clock bigint NOT NULL DEFAULT 0,
    -- SHA-256 over the row and the chain of the row before; none of rows that are older than the chain.
    ADD COLUMN chain text;

-- Who is named in which rows.
CREATE TABLE audit_people (
    person text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (person, number)
);
CREATE INDEX audit_people_by_number ON audit_people (number);

CREATE FUNCTION medserve_audit_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_people (person, number)
        SELECT DISTINCT value, NEW.number FROM jsonb_array_elements_text(NEW.people);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_people_are_named AFTER INSERT ON audit
    FOR EACH ROW WHEN (NEW.people <> '[]') EXECUTE FUNCTION medserve_audit_people();

-- The end of the chain, and its beginning.
CREATE TABLE audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The secret of this database's audit, where no file holds one; 64 hexadecimal digits, empty before
    -- the first use.
    secret text NOT NULL DEFAULT '',
    -- The number of the last row and its chain.
    number bigint NOT NULL,
    chain text NOT NULL DEFAULT '',
    -- The same of the last row that was dropped when its time had passed.
    dropped bigint NOT NULL,
    dropped_chain text NOT NULL DEFAULT '',
    -- The signature over these four; empty before the first row.
    signature text NOT NULL DEFAULT ''
);
INSERT INTO audit_head (number, dropped)
    SELECT coalesce(max(number), 0), coalesce(max(number), 0) FROM audit;

-- Milliseconds during which a server has run on this database. Ages of rows are counted by it and not
-- by the time of day, which somebody may set.
CREATE TABLE audit_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ms bigint NOT NULL,
    -- The time of day when it last moved on.
    seen bigint NOT NULL
);
INSERT INTO audit_clock (ms, seen) VALUES (1, 0);

CREATE OR REPLACE FUNCTION medserve_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A day of running is the shortest time for which an audit can be kept.
    IF TG_OP = 'DELETE' THEN
        IF OLD.clock < (SELECT ms FROM audit_clock) - 86400000 THEN
            DELETE FROM audit_people WHERE number = OLD.number;
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit is only ever added to, and kept for a day at least';
END $$;
