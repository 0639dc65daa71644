-- The sums of all users in two steps, as a cluster needs it: the first combines what one user has
-- of one item, wherever that lies; the second adds up what the first brought together. A cluster
-- refuses ordered sums over groups that are spread over its machines.

-- As before, number for number.
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
        WITH cells AS MATERIALIZED (
            SELECT DISTINCT ON (n.user_id, n.item_id) n.user_id, n.item_id, i.kind,
                n.counted AS weight
            FROM unnest(of_users) AS named (id)
            JOIN counted_interactions n ON n.user_id = named.id
            JOIN items i ON i.id = n.item_id
            WHERE n.counted IS NOT NULL
            ORDER BY n.user_id, n.item_id, n.occurred_at DESC, n.counted DESC
        )
        SELECT user_id, kind, sum(weight ORDER BY item_id), sum(weight * weight ORDER BY item_id)
        FROM cells GROUP BY user_id, kind
        ON CONFLICT (user_id, kind) DO UPDATE
            SET total = EXCLUDED.total, squares = EXCLUDED.squares;
    ELSE
        INSERT INTO user_norms (user_id, kind, total, squares)
        WITH cells AS MATERIALIZED (
            SELECT n.user_id, n.item_id, i.kind,
                least(sum(n.counted ORDER BY n.counted), 3.4028234663852886e38)
                    ::real::double precision AS weight
            FROM unnest(of_users) AS named (id)
            JOIN counted_interactions n ON n.user_id = named.id
            JOIN items i ON i.id = n.item_id
            WHERE n.counted IS NOT NULL
            GROUP BY n.user_id, n.item_id, i.kind
        )
        SELECT user_id, kind, sum(weight ORDER BY item_id), sum(weight * weight ORDER BY item_id)
        FROM cells GROUP BY user_id, kind
        ON CONFLICT (user_id, kind) DO UPDATE
            SET total = EXCLUDED.total, squares = EXCLUDED.squares;
    END IF;
END $$;
