-- The change log: which users and items changed, so that every replica's matrix can follow.
--
-- A row names a user or an item, never what changed; readers then read its present state. Each
-- row carries the transaction that wrote it. A reader keeps the snapshot of its last read and
-- asks for the rows of transactions that snapshot did not see, so a transaction that takes an
-- early number and commits late is found when it commits. (Neither "id above the last one seen",
-- which loses such rows, nor "below the oldest running transaction", which makes every reader
-- wait for the slowest writer.)

CREATE TABLE changes (
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    user_id text COLLATE "C",
    item_id text COLLATE "C",
    -- Neither user nor item: a whole table was emptied.
    CHECK (user_id IS NULL OR item_id IS NULL)
);

CREATE INDEX changes_transaction ON changes (transaction);

-- Snapshots taken at each trimming. The log is cut at a snapshot old enough, never by the time a
-- row was written: a long transaction's rows are old on the day they become visible.
CREATE TABLE change_marks (
    taken_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    snapshot pg_snapshot NOT NULL
);

-- One row at most: everything this snapshot saw may be gone from the log.
CREATE TABLE change_horizon (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    snapshot pg_snapshot NOT NULL
);

CREATE FUNCTION medserve_users_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (user_id) SELECT id FROM changed;
    RETURN NULL;
END $$;

CREATE FUNCTION medserve_users_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (user_id) SELECT id FROM before UNION SELECT id FROM after;
    RETURN NULL;
END $$;

CREATE TRIGGER users_inserted AFTER INSERT ON users
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_users_changed();
CREATE TRIGGER users_updated AFTER UPDATE ON users
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_users_updated();
CREATE TRIGGER users_deleted AFTER DELETE ON users
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_users_changed();

CREATE FUNCTION medserve_items_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (item_id) SELECT id FROM changed;
    RETURN NULL;
END $$;

CREATE FUNCTION medserve_items_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (item_id) SELECT id FROM before UNION SELECT id FROM after;
    RETURN NULL;
END $$;

CREATE TRIGGER items_inserted AFTER INSERT ON items
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_items_changed();
CREATE TRIGGER items_updated AFTER UPDATE ON items
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_items_updated();
CREATE TRIGGER items_deleted AFTER DELETE ON items
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_items_changed();

-- An item that changes its kind moves its interactions from one matrix to another, which is a
-- change of the users. (Ids do not change: the foreign keys forbid it where there is a history.)
CREATE FUNCTION medserve_item_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM medserve_interactions_changed(ARRAY(
        SELECT DISTINCT user_id FROM interactions WHERE item_id = NEW.id));
    RETURN NULL;
END $$;

CREATE TRIGGER items_moved AFTER UPDATE OF kind ON items
    FOR EACH ROW WHEN (OLD.kind IS DISTINCT FROM NEW.kind)
    EXECUTE FUNCTION medserve_item_moved();

-- All that follows from a change of these users' interactions. A later migration adds to it.
CREATE FUNCTION medserve_interactions_changed(changed_users text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (user_id) SELECT unnest(changed_users);
END $$;

CREATE FUNCTION medserve_interactions_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM medserve_interactions_changed(ARRAY(SELECT DISTINCT user_id FROM changed));
    RETURN NULL;
END $$;

CREATE TRIGGER interactions_inserted AFTER INSERT ON interactions
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_interactions_trigger();
CREATE TRIGGER interactions_deleted AFTER DELETE ON interactions
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_interactions_trigger();

-- An update may move an interaction from one user to another.
CREATE FUNCTION medserve_interactions_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM medserve_interactions_changed(ARRAY(
        SELECT user_id FROM before UNION SELECT user_id FROM after));
    RETURN NULL;
END $$;

CREATE TRIGGER interactions_updated AFTER UPDATE ON interactions
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_interactions_updated();

CREATE FUNCTION medserve_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes DEFAULT VALUES;
    RETURN NULL;
END $$;

CREATE TRIGGER users_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_truncated();
CREATE TRIGGER items_truncated AFTER TRUNCATE ON items
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_truncated();
CREATE TRIGGER interactions_truncated AFTER TRUNCATE ON interactions
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_truncated();
