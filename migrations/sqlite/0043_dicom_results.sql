-- What was made of DICOM images: structured reports, pictures with their evidence, segmentations; kept for a while,
-- and until they are sent where they are to be sent.

CREATE TABLE dicom_results (
    sop_instance TEXT PRIMARY KEY,
    series TEXT NOT NULL,
    study TEXT NOT NULL,
    sop_class TEXT NOT NULL,
    -- The SOP Instance UID of the image.
    source TEXT NOT NULL,
    -- Its Patient ID.
    patient TEXT NOT NULL,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    -- Milliseconds since 1970.
    created INTEGER NOT NULL,
    -- When it is to be sent next; nothing where it has been sent, or is for nobody.
    due INTEGER,
    tries INTEGER NOT NULL DEFAULT 0,
    -- Why it was given up to send it.
    failure TEXT,
    -- As DICOM's JSON has it, without pixels.
    metadata TEXT NOT NULL,
    file BLOB NOT NULL
) STRICT;

CREATE INDEX dicom_results_by_study ON dicom_results (study, series);
CREATE INDEX dicom_results_by_patient ON dicom_results (patient);
CREATE INDEX dicom_results_by_age ON dicom_results (created);
CREATE INDEX dicom_results_due ON dicom_results (due) WHERE due IS NOT NULL;

CREATE TRIGGER dicom_results_go_with_the_user AFTER DELETE ON users BEGIN
    DELETE FROM dicom_results WHERE patient = OLD.id;
END;
