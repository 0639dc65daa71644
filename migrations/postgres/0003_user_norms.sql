-- What the `database` engine needs beside the data: each user's row of weights summed up, per
-- kind, kept true by every write.
--
-- Nothing here costs a writer anything until the engine is switched on, which is when `weighting`
-- has its row.

CREATE TABLE weighting (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Repeats of the same user and item: added up, or the last one alone.
    repeats text NOT NULL CHECK (repeats IN ('sum', 'last'))
);

-- The factor of each event; an event that is not listed counts once.
CREATE TABLE event_weights (
    event text COLLATE "C" PRIMARY KEY,
    factor double precision NOT NULL CHECK (factor >= 0 AND factor < 'Infinity')
);

CREATE TABLE user_norms (
    user_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- The sums of the weights and of their squares over the user's items of the kind.
    total double precision NOT NULL,
    squares double precision NOT NULL,
    PRIMARY KEY (user_id, kind)
);

-- The combined weights of these users: one row for each item, in 32 bits as in memory.
CREATE FUNCTION medserve_cells(of_users text[])
RETURNS TABLE (user_id text, kind text, item_id text, weight double precision)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF (SELECT repeats FROM weighting) = 'last' THEN
        RETURN QUERY
        SELECT DISTINCT ON (n.user_id, n.item_id)
            n.user_id::text, i.kind::text, n.item_id::text,
            (n.weight::float8 * coalesce(e.factor, 1))::real::float8
        FROM interactions n
        JOIN items i ON i.id = n.item_id
        LEFT JOIN event_weights e ON e.event = n.event
        WHERE n.user_id = ANY (of_users)
        ORDER BY n.user_id, n.item_id, n.occurred_at DESC, n.event DESC;
    ELSE
        RETURN QUERY
        SELECT n.user_id::text, i.kind::text, n.item_id::text,
            sum(n.weight::float8 * coalesce(e.factor, 1) ORDER BY n.occurred_at, n.event)::real::float8
        FROM interactions n
        JOIN items i ON i.id = n.item_id
        LEFT JOIN event_weights e ON e.event = n.event
        WHERE n.user_id = ANY (of_users)
        GROUP BY n.user_id, i.kind, n.item_id;
    END IF;
END $$;
