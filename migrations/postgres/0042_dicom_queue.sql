-- Images that came over the DICOM network and wait for their answer: one row an instance, with its file, which
-- goes with the answer. Of one that could not be answered the row stays, without the file, and says why.

CREATE TABLE dicom_queue (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- SOP Instance UID, Study Instance UID and Patient ID.
    sop_instance text NOT NULL,
    study text NOT NULL,
    patient text NOT NULL,
    -- The application entity that sent it, and from where.
    caller text NOT NULL,
    address text NOT NULL,
    -- Milliseconds since 1970.
    received bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    -- When somebody may take it: whoever has it puts this off.
    due bigint NOT NULL,
    failure text,
    file bytea,
    CHECK (file IS NOT NULL OR failure IS NOT NULL)
);

-- An instance that is sent again while it waits waits once.
CREATE UNIQUE INDEX dicom_queue_waiting ON dicom_queue (sop_instance) WHERE failure IS NULL;
CREATE INDEX dicom_queue_due ON dicom_queue (due) WHERE failure IS NULL;
CREATE INDEX dicom_queue_by_patient ON dicom_queue (patient);

CREATE FUNCTION medserve_dicom_queue_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM dicom_queue WHERE patient = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER dicom_queue_goes_with_the_user AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION medserve_dicom_queue_of_user();

-- Files are compressed already, or are not worth it.
ALTER TABLE dicom_queue ALTER COLUMN file SET STORAGE EXTERNAL;
