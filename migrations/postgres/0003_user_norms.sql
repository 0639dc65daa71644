-- What the `database` engine needs beside the data: how interactions are weighed, and each
-- user's row of weights summed up, kept true by every write.
--
-- Nothing here costs a writer anything until the engine is switched on, which is when `weighing`
-- has its row. The rules are those of `recommend/weights.rs`, number for number.

CREATE TABLE weighing (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Several interactions of one user with one item: added up, or the latest alone.
    repeats text NOT NULL CHECK (repeats IN ('add', 'last')),
    -- The factor of an event that is not listed in `event_weights`.
    other_events double precision NOT NULL,
    -- The age at which an interaction counts half, and the moment ages are counted from, in
    -- milliseconds since 1970. NULL: age does not matter.
    half_life_days double precision,
    reference_time bigint NOT NULL
);

CREATE TABLE event_weights (
    event text COLLATE "C" PRIMARY KEY,
    factor double precision NOT NULL
);

CREATE TABLE user_norms (
    user_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    -- The sums of the weights and of their squares over the user's items of the kind.
    total double precision NOT NULL,
    squares double precision NOT NULL,
    PRIMARY KEY (user_id, kind)
);

-- What every interaction counts, in 32 bits as in memory; NULL if nothing is left of it. The
-- power is kept within what 64 bits hold, far outside of what 32 bits do.
CREATE VIEW counted_interactions AS
SELECT item_id, user_id, event, occurred_at,
    CASE WHEN counted >= 1.1754943508222875e-38
        THEN least(counted, 3.4028234663852886e38)::real::double precision
    END AS counted
FROM (
    SELECT n.item_id, n.user_id, n.event, n.occurred_at,
        coalesce(e.factor, w.other_events) * n.weight::double precision
        * CASE WHEN w.half_life_days IS NULL THEN 1
            ELSE power(2::double precision, greatest(-600, least(600,
                -((w.reference_time - (extract(epoch FROM n.occurred_at) * 1000)::bigint)
                    ::double precision / 86400000) / w.half_life_days)))
        END AS counted
    FROM interactions n
    CROSS JOIN weighing w
    LEFT JOIN event_weights e ON e.event = n.event
) weighed;

-- Sums the rows of these users anew.
--
-- Two transactions that write for the same user cannot see each other's rows, so the sums are
-- made under a lock on the user: the second waits, and its next statement (which, in a function
-- that is VOLATILE, sees what has committed by then) counts the rows of the first. Users are
-- locked in the order of their ids, so that batches cannot lock each other out. The lock is the
-- one a profile update takes; it does not disturb the foreign keys' own.
CREATE FUNCTION medserve_refresh_norms(of_users text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM users WHERE id = ANY (of_users) ORDER BY id FOR NO KEY UPDATE;

    DELETE FROM user_norms WHERE user_id = ANY (of_users);

    -- Every sum has a fixed order, that of the items: the same bits as in memory. The conflict
    -- is never met at READ COMMITTED; above it, it is what makes the later of two fail.
    IF (SELECT repeats FROM weighing) = 'last' THEN
        INSERT INTO user_norms (user_id, kind, total, squares)
        SELECT c.user_id, i.kind, sum(c.weight ORDER BY c.item_id),
            sum(c.weight * c.weight ORDER BY c.item_id)
        FROM (
            SELECT DISTINCT ON (n.user_id, n.item_id) n.user_id, n.item_id, n.counted AS weight
            FROM unnest(of_users) AS named (id)
            JOIN counted_interactions n ON n.user_id = named.id
            WHERE n.counted IS NOT NULL
            ORDER BY n.user_id, n.item_id, n.occurred_at DESC, n.counted DESC
        ) c
        JOIN items i ON i.id = c.item_id
        GROUP BY c.user_id, i.kind
        ON CONFLICT (user_id, kind) DO UPDATE
            SET total = EXCLUDED.total, squares = EXCLUDED.squares;
    ELSE
        INSERT INTO user_norms (user_id, kind, total, squares)
        SELECT c.user_id, i.kind, sum(c.weight ORDER BY c.item_id),
            sum(c.weight * c.weight ORDER BY c.item_id)
        FROM (
            SELECT n.user_id, n.item_id,
                least(sum(n.counted), 3.4028234663852886e38)::real::double precision AS weight
            FROM unnest(of_users) AS named (id)
            JOIN counted_interactions n ON n.user_id = named.id
            WHERE n.counted IS NOT NULL
            GROUP BY n.user_id, n.item_id
        ) c
        JOIN items i ON i.id = c.item_id
        GROUP BY c.user_id, i.kind
        ON CONFLICT (user_id, kind) DO UPDATE
            SET total = EXCLUDED.total, squares = EXCLUDED.squares;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION medserve_interactions_changed(changed_users text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (user_id) SELECT unnest(changed_users);
    IF EXISTS (SELECT 1 FROM weighing) THEN
        PERFORM medserve_refresh_norms(changed_users);
    END IF;
END $$;
