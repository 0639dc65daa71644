-- What has to be known of resources that came before: whose each one is and which version of it came last, so that an older
-- version changes nothing and a resource that moves to another person leaves the first; what is in a Medication, to which
-- orders refer that come later. No resource is kept.

CREATE TABLE resources_known (
    -- Type and id: "AllergyIntolerance/a1"; of a person's identifier "Patient#" and its SHA-256.
    name text COLLATE "C" PRIMARY KEY,
    -- Whose it is; of an identifier that two people have, nobody's. Goes with the person.
    user_id text COLLATE "C" REFERENCES users (id) ON DELETE CASCADE,
    -- Of a Medication: the resource.
    said text,
    -- meta.lastUpdated in milliseconds since 1970, and meta.versionId where it is a number.
    updated bigint,
    version bigint
);

CREATE INDEX resources_known_user ON resources_known (user_id);
