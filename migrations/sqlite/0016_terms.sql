-- The hospital's own terminology, added to the built-in one: one row a name and kind.

CREATE TABLE terms (
    kind TEXT NOT NULL CHECK (kind IN ('drug', 'class', 'allergen', 'condition', 'none')),
    name TEXT NOT NULL CHECK (name <> ''),
    term TEXT NOT NULL CHECK (json_type(term) = 'object'),
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- What a term means, everything may mean: a change that names neither user nor item has all of it
-- read anew. A row for each term, since a reader may have seen the one before.
CREATE TRIGGER terms_inserted AFTER INSERT ON terms BEGIN
    INSERT INTO changes (user_id, item_id) VALUES (NULL, NULL);
END;

CREATE TRIGGER terms_updated AFTER UPDATE ON terms BEGIN
    INSERT INTO changes (user_id, item_id) VALUES (NULL, NULL);
END;

CREATE TRIGGER terms_deleted AFTER DELETE ON terms BEGIN
    INSERT INTO changes (user_id, item_id) VALUES (NULL, NULL);
END;
