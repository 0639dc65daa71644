-- How many answers each model gave in an hour, by label, and how sure it was of them: what a drift is seen by. Nothing
-- of a request or of a person is in it.

CREATE TABLE answers_by_hour (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    -- Hours since 1970-01-01T00:00:00Z.
    hour INTEGER NOT NULL,
    -- Empty for answers that were withheld.
    label TEXT NOT NULL,
    answers INTEGER NOT NULL,
    -- Sum of their highest probabilities, in millionths.
    confidence INTEGER NOT NULL,
    PRIMARY KEY (model, version, hour, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_hour_by_age ON answers_by_hour (hour);
