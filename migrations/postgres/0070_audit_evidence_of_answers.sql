-- What an answer rested on, as JSON text: packages, probabilities, reasons, rules, exclusions. A text, so that it is
-- read back as it was chained; nothing for rows that are older.

ALTER TABLE audit ADD COLUMN evidence text;
