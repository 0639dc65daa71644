-- Tries that ended with neither an answer nor the image given back: the process ended while it was read. Odd while it is read, even
-- while it waits to be read alone. What ends a server that reads it alone is given up, so that it does not end every one that starts.

ALTER TABLE dicom_queue ADD COLUMN unfinished bigint NOT NULL DEFAULT 0;
