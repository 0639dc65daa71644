-- What cards of CDS Hooks suggested to whom, and which ordered drugs they were about: kept for some days where feedback
-- becomes interactions, since a client tells of a card by its id alone.

CREATE TABLE cds_offers (
    card TEXT NOT NULL,
    -- Empty for an order that the card is about.
    suggestion TEXT NOT NULL,
    patient TEXT NOT NULL,
    item_id TEXT NOT NULL,
    -- Milliseconds since 1970.
    offered INTEGER NOT NULL,
    PRIMARY KEY (card, suggestion, item_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX cds_offers_by_patient ON cds_offers (patient);
CREATE INDEX cds_offers_by_age ON cds_offers (offered);

CREATE TRIGGER cds_offers_go_with_the_user AFTER DELETE ON users BEGIN
    DELETE FROM cds_offers WHERE patient = OLD.id;
END;
