//! What the cards of CDS Hooks suggested, kept for as long as feedback to them may come. A client tells what was done
//! with a card by its id alone: whose card it was, and which item a suggestion orders, is looked up here.

use super::Answer;
use super::rows::from_columns;
use recommend::Millis;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

/// An item that a card suggests, or that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdsOffer {
    /// The card's id.
    pub card: String,
    /// The suggestion's id; empty for an order that the card is about.
    pub suggestion: String,
    /// Whose card it was.
    pub patient: String,
    /// The item.
    pub item_id: String,
    /// When the card was answered.
    pub offered: Millis,
}

/// The part of the store that feedback of CDS Hooks needs.
pub trait CdsStore: Send + Sync {
    /// Keeps what cards suggested to people who are stored; what is of others is left out.
    fn keep_offers<'a>(&'a self, offers: &'a [CdsOffer]) -> Answer<'a, ()>;

    /// What a card suggested, and which orders it was about.
    fn list_offers<'a>(&'a self, card: &'a str) -> Answer<'a, Vec<CdsOffer>>;

    /// Drops what was suggested before a moment, and says how much that was.
    fn trim_offers(&self, before: Millis) -> Answer<'_, u64>;
}

from_columns! {
    OfferRow { card, suggestion, patient, item_id, offered }
}

/// A row of `cds_offers`.
pub(super) struct OfferRow {
    card: String,
    suggestion: String,
    patient: String,
    item_id: String,
    offered: i64,
}

impl From<OfferRow> for CdsOffer {
    fn from(row: OfferRow) -> CdsOffer {
        let OfferRow { card, suggestion, patient, item_id, offered } = row;
        CdsOffer { card, suggestion, patient, item_id, offered }
    }
}

/// Makes the adapter of one database: its type, how it begins a write, and how it names an error.
macro_rules! cds_adapter {
    ($store:ty, $begin:ident, $error:path) => {
        impl crate::store::cds::CdsStore for $store {
            fn keep_offers<'a>(&'a self, offers: &'a [CdsOffer]) -> Answer<'a, ()> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    for offer in offers {
                        sqlx::query(
                            "INSERT INTO cds_offers (card, suggestion, patient, item_id, offered)
                             SELECT $1, $2, id, $4, $5 FROM users WHERE id = $3
                             ON CONFLICT (card, suggestion, item_id) DO NOTHING",
                        )
                        .bind(&offer.card)
                        .bind(&offer.suggestion)
                        .bind(&offer.patient)
                        .bind(&offer.item_id)
                        .bind(offer.offered)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    transaction.commit().await.map_err($error)?;
                    Ok(())
                })
            }

            fn list_offers<'a>(&'a self, card: &'a str) -> Answer<'a, Vec<CdsOffer>> {
                Box::pin(async move {
                    let rows = sqlx::query_as::<_, OfferRow>(
                        "SELECT card, suggestion, patient, item_id, offered FROM cds_offers WHERE card = $1
                         ORDER BY suggestion, item_id",
                    )
                    .bind(card)
                    .fetch_all(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(rows.into_iter().map(CdsOffer::from).collect())
                })
            }

            fn trim_offers(&self, before: Millis) -> Answer<'_, u64> {
                Box::pin(self.drop_old(&["DELETE FROM cds_offers WHERE offered < $1"], before))
            }
        }
    };
}
pub(in crate::store) use cds_adapter;
