-- What was done with a card is looked up by the row of the card; rows that say so are few among many.

CREATE INDEX audit_feedback ON audit (number) WHERE route = '/cds-services/{id}/feedback';
