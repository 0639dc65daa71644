-- The audit: one row an answer, only ever added. It names callers, models and answers, and of
-- what was sent only the digest.

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The run of the program and the place in it: a batch sent twice is written once.
    run INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    time INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    method TEXT NOT NULL,
    route TEXT NOT NULL,
    status INTEGER NOT NULL,
    model TEXT,
    version TEXT,
    input_sha256 TEXT NOT NULL,
    -- A list of labels or item ids; null in it is an abstention.
    answers TEXT NOT NULL CHECK (json_type(answers) = 'array'),
    abstained INTEGER NOT NULL CHECK (abstained IN (0, 1)),
    latency_ms REAL NOT NULL,
    UNIQUE (run, sequence)
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is only ever added to');
END;

-- A day is the shortest time for which an audit can be kept.
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN OLD.time > (unixepoch() - 86400) * 1000 BEGIN
    SELECT RAISE(ABORT, 'the audit is kept for a day at least');
END;
