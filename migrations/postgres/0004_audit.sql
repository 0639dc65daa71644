-- The audit: one row an answer, only ever added. It names callers, models and answers, and of
-- what was sent only the digest.

CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The run of the program and the place in it: a batch sent twice is written once.
    run bigint NOT NULL,
    sequence bigint NOT NULL,
    time timestamptz NOT NULL,
    request_id text NOT NULL,
    caller text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    status integer NOT NULL,
    model text,
    version text,
    input_sha256 text NOT NULL,
    -- A list of labels or item ids; null in it is an abstention.
    answers jsonb NOT NULL CHECK (jsonb_typeof(answers) = 'array'),
    abstained boolean NOT NULL,
    latency_ms double precision NOT NULL,
    UNIQUE (run, sequence)
);

CREATE FUNCTION medserve_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A day is the shortest time for which an audit can be kept.
    IF TG_OP = 'DELETE' AND OLD.time < now() - interval '1 day' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit is only ever added to, and kept for a day at least';
END $$;

CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION medserve_audit_is_kept();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION medserve_audit_is_kept();
