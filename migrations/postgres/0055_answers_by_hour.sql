-- How many answers each model gave in an hour, by label, and how sure it was of them: what a drift is seen by. Nothing
-- of a request or of a person is in it.

CREATE TABLE answers_by_hour (
    model text NOT NULL,
    version text NOT NULL,
    -- Hours since 1970-01-01T00:00:00Z.
    hour bigint NOT NULL,
    -- Empty for answers that were withheld.
    label text NOT NULL,
    answers bigint NOT NULL,
    -- Sum of their highest probabilities, in millionths.
    confidence bigint NOT NULL,
    PRIMARY KEY (model, version, hour, label)
);
CREATE INDEX answers_by_hour_by_age ON answers_by_hour (hour);
