-- What an image said and showed when it came, as a digest: one that comes again under its SOP Instance UID and has changed
-- (another patient, study or picture) is another image, and what was made of it before goes. Of rows from before nothing is known.

ALTER TABLE dicom_queue ADD COLUMN image text NOT NULL DEFAULT '';
ALTER TABLE dicom_results ADD COLUMN image text NOT NULL DEFAULT '';
ALTER TABLE hl7_results ADD COLUMN image text NOT NULL DEFAULT '';
CREATE INDEX dicom_results_by_source ON dicom_results (source);
