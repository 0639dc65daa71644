-- The change log: which users and items changed, so that the matrices of every process that has
-- this file open can follow.
--
-- SQLite has one writer at a time, so rows commit in the order of their numbers and "above the
-- last number seen" loses nothing. AUTOINCREMENT keeps numbers from being used again when the
-- log has been trimmed.

CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT,
    item_id TEXT
) STRICT;

-- The highest number at each trimming, so that the log is cut by age.
CREATE TABLE change_marks (
    -- Milliseconds since 1970.
    taken_at INTEGER PRIMARY KEY NOT NULL,
    number INTEGER NOT NULL
) STRICT;

-- One row at most: everything up to this number may be gone from the log.
CREATE TABLE change_horizon (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    number INTEGER NOT NULL
) STRICT;

CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
    INSERT INTO changes (user_id) VALUES (NEW.id);
END;

CREATE TRIGGER users_updated AFTER UPDATE ON users BEGIN
    INSERT INTO changes (user_id) VALUES (OLD.id);
    INSERT INTO changes (user_id) SELECT NEW.id WHERE NEW.id <> OLD.id;
END;

-- The foreign keys would do the same, but a connection has to ask for them (the sqlite3 program
-- does not), and a deleted user's history must not stay behind for that.
CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    DELETE FROM interactions WHERE user_id = OLD.id;
    INSERT INTO changes (user_id) VALUES (OLD.id);
END;

CREATE TRIGGER items_inserted AFTER INSERT ON items BEGIN
    INSERT INTO changes (item_id) VALUES (NEW.id);
END;

-- An item that changes its kind moves its interactions from one matrix to another, which is a
-- change of the users.
CREATE TRIGGER items_updated AFTER UPDATE ON items BEGIN
    INSERT INTO changes (item_id) VALUES (OLD.id);
    INSERT INTO changes (item_id) SELECT NEW.id WHERE NEW.id <> OLD.id;
    INSERT INTO changes (user_id)
        SELECT DISTINCT user_id FROM interactions
        WHERE item_id IN (OLD.id, NEW.id) AND (NEW.kind <> OLD.kind OR NEW.id <> OLD.id);
END;

CREATE TRIGGER items_deleted AFTER DELETE ON items BEGIN
    DELETE FROM interactions WHERE item_id = OLD.id;
    INSERT INTO changes (item_id) VALUES (OLD.id);
END;

CREATE TRIGGER interactions_inserted AFTER INSERT ON interactions BEGIN
    INSERT INTO changes (user_id) VALUES (NEW.user_id);
END;

CREATE TRIGGER interactions_updated AFTER UPDATE ON interactions BEGIN
    INSERT INTO changes (user_id) VALUES (OLD.user_id);
    INSERT INTO changes (user_id) SELECT NEW.user_id WHERE NEW.user_id <> OLD.user_id;
END;

CREATE TRIGGER interactions_deleted AFTER DELETE ON interactions BEGIN
    INSERT INTO changes (user_id) VALUES (OLD.user_id);
END;
