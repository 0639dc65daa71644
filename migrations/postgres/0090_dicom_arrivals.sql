-- Images that came by STOW-RS and are answered while their sender waits: one row each, for so long. An answer is kept only
-- while its row is there: it goes where the image comes again and has changed, and where the person is erased.

CREATE TABLE dicom_arrivals (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- SOP Instance UID.
    sop_instance text NOT NULL,
    -- The digest of what the image says and shows.
    image text NOT NULL,
    -- Its Patient ID.
    patient text NOT NULL,
    -- The models that its sender may ask, joined by commas; nothing where that is any.
    models text NOT NULL,
    -- When its sender waits no more, in milliseconds since 1970: what a process left behind that ended goes then.
    until bigint NOT NULL
);

CREATE INDEX dicom_arrivals_by_instance ON dicom_arrivals (sop_instance);
CREATE INDEX dicom_arrivals_by_patient ON dicom_arrivals (patient);

CREATE FUNCTION medserve_dicom_arrivals_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM dicom_arrivals WHERE patient = OLD.id;
    RETURN NULL;
END $$;
-- By its name it comes before those of what is made: who keeps an answer has the row until that is there.
CREATE TRIGGER dicom_arrivals_go_with_the_user AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION medserve_dicom_arrivals_of_user();
