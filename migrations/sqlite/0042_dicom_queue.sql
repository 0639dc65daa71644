-- Images that came over the DICOM network and wait for their answer: one row an instance, with its file, which
-- goes with the answer. Of one that could not be answered the row stays, without the file, and says why.

CREATE TABLE dicom_queue (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SOP Instance UID, Study Instance UID and Patient ID.
    sop_instance TEXT NOT NULL,
    study TEXT NOT NULL,
    patient TEXT NOT NULL,
    -- The application entity that sent it, and from where.
    caller TEXT NOT NULL,
    address TEXT NOT NULL,
    -- Milliseconds since 1970.
    received INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    -- When somebody may take it: whoever has it puts this off.
    due INTEGER NOT NULL,
    failure TEXT,
    file BLOB,
    CHECK (file IS NOT NULL OR failure IS NOT NULL)
) STRICT;

-- An instance that is sent again while it waits waits once.
CREATE UNIQUE INDEX dicom_queue_waiting ON dicom_queue (sop_instance) WHERE failure IS NULL;
CREATE INDEX dicom_queue_due ON dicom_queue (due) WHERE failure IS NULL;
CREATE INDEX dicom_queue_by_patient ON dicom_queue (patient);

CREATE TRIGGER dicom_queue_goes_with_the_user AFTER DELETE ON users BEGIN
    DELETE FROM dicom_queue WHERE patient = OLD.id;
END;
