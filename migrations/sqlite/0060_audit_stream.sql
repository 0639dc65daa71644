-- How far the audit has been sent to a syslog receiver, and which process sends it.
CREATE TABLE audit_stream (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    -- The number of the last row that arrived.
    number INTEGER NOT NULL,
    -- The run of the program that sends, and until when another may not: milliseconds since 1970.
    holder INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
INSERT INTO audit_stream (number, holder, until) VALUES (0, 0, 0);
