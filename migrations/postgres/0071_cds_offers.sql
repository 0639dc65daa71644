-- What cards of CDS Hooks suggested to whom, and which ordered drugs they were about: kept for some days where feedback
-- becomes interactions, since a client tells of a card by its id alone.

CREATE TABLE cds_offers (
    card text NOT NULL,
    -- Empty for an order that the card is about.
    suggestion text NOT NULL,
    patient text NOT NULL,
    item_id text NOT NULL,
    -- Milliseconds since 1970.
    offered bigint NOT NULL,
    PRIMARY KEY (card, suggestion, item_id)
);

CREATE INDEX cds_offers_by_patient ON cds_offers (patient);
CREATE INDEX cds_offers_by_age ON cds_offers (offered);

CREATE FUNCTION medserve_cds_offers_of_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM cds_offers WHERE patient = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER cds_offers_go_with_the_user AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION medserve_cds_offers_of_user();
