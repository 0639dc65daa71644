-- What was made of DICOM images: structured reports, pictures with their evidence, segmentations; kept for a while,
-- and until they are sent where they are to be sent.

CREATE TABLE dicom_results (
    sop_instance text PRIMARY KEY,
    series text NOT NULL,
    study text NOT NULL,
    sop_class text NOT NULL,
    -- The SOP Instance UID of the image.
    source text NOT NULL,
    -- Its Patient ID.
    patient text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    -- Milliseconds since 1970.
    created bigint NOT NULL,
    -- When it is to be sent next; nothing where it has been sent, or is for nobody.
    due bigint,
    tries bigint NOT NULL DEFAULT 0,
    -- Why it was given up to send it.
    failure text,
    -- As DICOM's JSON has it, without pixels.
    metadata text NOT NULL,
    file bytea NOT NULL
);

CREATE INDEX dicom_results_by_study ON dicom_results (study, series);
CREATE INDEX dicom_results_by_patient ON dicom_results (patient);
CREATE INDEX dicom_results_by_age ON dicom_results (created);
CREATE INDEX dicom_results_due ON dicom_results (due) WHERE due IS NOT NULL;

CREATE FUNCTION medserve_dicom_results_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM dicom_results WHERE patient = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER dicom_results_go_with_the_user AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION medserve_dicom_results_of_user();

-- Files are compressed already, or are not worth it.
ALTER TABLE dicom_results ALTER COLUMN file SET STORAGE EXTERNAL;
