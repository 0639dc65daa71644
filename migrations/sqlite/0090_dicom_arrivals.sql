-- Images that came by STOW-RS and are answered while their sender waits: one row each, for so long. An answer is kept only
-- while its row is there: it goes where the image comes again and has changed, and where the person is erased.

CREATE TABLE dicom_arrivals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SOP Instance UID.
    sop_instance TEXT NOT NULL,
    -- The digest of what the image says and shows.
    image TEXT NOT NULL,
    -- Its Patient ID.
    patient TEXT NOT NULL,
    -- The models that its sender may ask, joined by commas; nothing where that is any.
    models TEXT NOT NULL,
    -- When its sender waits no more, in milliseconds since 1970: what a process left behind that ended goes then.
    until INTEGER NOT NULL
) STRICT;

CREATE INDEX dicom_arrivals_by_instance ON dicom_arrivals (sop_instance);
CREATE INDEX dicom_arrivals_by_patient ON dicom_arrivals (patient);

CREATE TRIGGER dicom_arrivals_go_with_the_user AFTER DELETE ON users BEGIN
    DELETE FROM dicom_arrivals WHERE patient = OLD.id;
END;
