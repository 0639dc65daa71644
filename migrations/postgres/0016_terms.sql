-- The hospital's own terminology, added to the built-in one: one row a name and kind.

CREATE TABLE terms (
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('drug', 'class', 'allergen', 'condition', 'none')),
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    term jsonb NOT NULL CHECK (jsonb_typeof(term) = 'object'),
    PRIMARY KEY (kind, name)
);

-- What a term means, everything may mean: as after the emptying of a table, a change that names
-- neither user nor item has all of it read anew.
CREATE FUNCTION medserve_terms_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes DEFAULT VALUES;
    RETURN NULL;
END $$;

CREATE TRIGGER terms_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON terms
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_terms_changed();
