-- Cases: texts to be found again by their words and by what they mean, with their vectors.

CREATE TABLE cases (
    id TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),
    text TEXT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}' CHECK (json_type(attributes) = 'object'),
    -- The model that made the vector, and its version.
    model TEXT,
    version TEXT,
    -- 32-bit floats, the lowest byte first.
    vector BLOB,
    CHECK ((vector IS NULL) = (model IS NULL) AND (vector IS NULL) = (version IS NULL))
) STRICT;

-- Their own change log, as a process that knows nothing of cases takes a change that names neither
-- user nor item for one of everything.
CREATE TABLE case_changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id TEXT
) STRICT;

-- The highest number at each trimming, so that the log is cut by age.
CREATE TABLE case_change_marks (
    -- Milliseconds since 1970.
    taken_at INTEGER PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL
) STRICT;

-- One row at most: everything up to this number may be gone from the log.
CREATE TABLE case_change_horizon (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    number INTEGER NOT NULL
) STRICT;

CREATE TRIGGER cases_inserted AFTER INSERT ON cases BEGIN
    INSERT INTO case_changes (case_id) VALUES (NEW.id);
END;

CREATE TRIGGER cases_updated AFTER UPDATE ON cases BEGIN
    INSERT INTO case_changes (case_id) VALUES (OLD.id);
    INSERT INTO case_changes (case_id) SELECT NEW.id WHERE NEW.id <> OLD.id;
END;

CREATE TRIGGER cases_deleted AFTER DELETE ON cases BEGIN
    INSERT INTO case_changes (case_id) VALUES (OLD.id);
END;
