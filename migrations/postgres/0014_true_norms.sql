-- Norms that stay true when an item changes its kind at the moment somebody gets it, sums in one
-- order, and the moment ages are counted from.

-- One row at most. Kept here so that every replica and every start counts ages alike.
CREATE TABLE reference_time (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Milliseconds since 1970.
    moment bigint NOT NULL
);

-- The change of an item's kind sums up those it can see to have the item. Whoever is getting it in
-- a transaction of the same moment is not among them, and that one cannot see the new kind. So
-- what adds interactions holds its items in share: of the two, the second waits for the first and
-- then sees what it did. Items are locked before users, and each in the order of the ids, here as
-- in the statements of the program. (Who loses an interaction is seen to have it until then, so
-- deletions need no such lock.)
CREATE FUNCTION medserve_hold_items(held text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM weighing) THEN
        PERFORM 1 FROM items WHERE id = ANY (held) ORDER BY id FOR SHARE;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION medserve_interactions_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM medserve_hold_items(ARRAY(SELECT DISTINCT item_id FROM changed));
    END IF;
    PERFORM medserve_interactions_changed(ARRAY(SELECT DISTINCT user_id FROM changed));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION medserve_interactions_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM medserve_hold_items(ARRAY(SELECT DISTINCT item_id FROM after));
    PERFORM medserve_interactions_changed(ARRAY(
        SELECT user_id FROM before UNION SELECT user_id FROM after));
    RETURN NULL;
END $$;

-- As before, but with the order of every sum fixed.
CREATE OR REPLACE FUNCTION medserve_refresh_norms(of_users text[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM users WHERE id = ANY (of_users) ORDER BY id FOR NO KEY UPDATE;

    DELETE FROM user_norms WHERE user_id = ANY (of_users);

    -- Every sum has a fixed order: the smallest first within an item, then that of the items: the
    -- same bits as in memory. The conflict is never met at READ COMMITTED; above it, it is what
    -- makes the later of two fail.
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
                least(sum(n.counted ORDER BY n.counted), 3.4028234663852886e38)
                    ::real::double precision AS weight
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
