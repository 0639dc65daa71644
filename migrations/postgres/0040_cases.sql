-- Cases: texts to be found again by their words and by what they mean, with their vectors.

CREATE TABLE cases (
    id text COLLATE "C" PRIMARY KEY CHECK (id <> ''),
    text text NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    -- The model that made the vector, and its version.
    model text,
    version text,
    -- 32-bit floats, the lowest byte first.
    vector bytea,
    CHECK ((vector IS NULL) = (model IS NULL) AND (vector IS NULL) = (version IS NULL))
);

-- Vectors do not compress, and are read with every case.
ALTER TABLE cases ALTER COLUMN vector SET STORAGE EXTERNAL;

-- Their own change log, read as the other one is, and trimmed at the same snapshots: a process that knows
-- nothing of cases takes a change that names neither user nor item for one of everything.
CREATE TABLE case_changes (
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- Nothing: the whole table was emptied.
    case_id text COLLATE "C"
);

CREATE INDEX case_changes_transaction ON case_changes (transaction);

CREATE FUNCTION medserve_cases_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO case_changes (case_id) SELECT id FROM changed;
    RETURN NULL;
END $$;

CREATE FUNCTION medserve_cases_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO case_changes (case_id) SELECT id FROM before UNION SELECT id FROM after;
    RETURN NULL;
END $$;

CREATE FUNCTION medserve_cases_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO case_changes DEFAULT VALUES;
    RETURN NULL;
END $$;

CREATE TRIGGER cases_inserted AFTER INSERT ON cases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_cases_changed();
CREATE TRIGGER cases_updated AFTER UPDATE ON cases
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_cases_updated();
CREATE TRIGGER cases_deleted AFTER DELETE ON cases
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_cases_changed();
CREATE TRIGGER cases_truncated AFTER TRUNCATE ON cases
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_cases_truncated();
