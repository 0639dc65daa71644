-- How many tries in a row ended with neither an answer nor the image given back: the process ended while it was read. Such an
-- image is given up, so that none ends every server that starts.

ALTER TABLE dicom_queue ADD COLUMN unfinished INTEGER NOT NULL DEFAULT 0;
