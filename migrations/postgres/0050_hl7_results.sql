-- Results on their way to a record system as HL7 messages (ORU^R01): kept until they are acknowledged, and for a while
-- after that, so that an image that is sent again has its message sent again.

CREATE TABLE hl7_results (
    -- The id of the message (MSH-10).
    id text PRIMARY KEY,
    -- The SOP Instance UID of the image, and its Patient ID.
    source text NOT NULL,
    patient text NOT NULL,
    -- Milliseconds since 1970.
    created bigint NOT NULL,
    -- When it is to be sent next; nothing where it has been acknowledged, or was given up.
    due bigint,
    tries bigint NOT NULL DEFAULT 0,
    -- Why it was not taken.
    failure text,
    message text NOT NULL
);

CREATE INDEX hl7_results_by_source ON hl7_results (source);
CREATE INDEX hl7_results_by_patient ON hl7_results (patient);
CREATE INDEX hl7_results_by_age ON hl7_results (created);
CREATE INDEX hl7_results_due ON hl7_results (due) WHERE due IS NOT NULL;

CREATE FUNCTION medserve_hl7_results_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hl7_results WHERE patient = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER hl7_results_go_with_the_user AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION medserve_hl7_results_of_user();
