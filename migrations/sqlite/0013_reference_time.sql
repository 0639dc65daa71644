-- The moment ages are counted from. One row at most. Kept here so that every start counts ages
-- alike.

CREATE TABLE reference_time (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    -- Milliseconds since 1970.
    moment INTEGER NOT NULL
) STRICT;
