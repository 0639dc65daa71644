-- Records that are pulled from a hospital's FHIR server on a schedule: when the next pull is due, and up to when the last
-- one went. One row an export, so that of several replicas one pulls.

CREATE TABLE bulk_exports (
    -- The address that an export is asked for at.
    export text PRIMARY KEY,
    -- Milliseconds since 1970. Whoever pulls puts this off.
    due bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    -- The server's own time of the last export that was taken in, in its words.
    since text,
    -- Why the last one was not.
    failure text
);
