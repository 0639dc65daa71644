//! The `database` engine: neighbors and scores computed by Postgres itself, for data that
//! outgrows the memory of one machine.
//!
//! The same numbers as in memory, bit for bit: interactions are weighed by the same rules, sums
//! are of doubles and have the same order (the smallest first within one entry, that of the items
//! for dot products, that of the neighbors for scores), and ties are broken by id in byte order. Each question is one
//! statement of materialised steps whose joins follow the keys: by `item_id` from the user's
//! items to everyone who has them, then by `user_id` to the sums in `user_norms`. That is the
//! shape a cluster can distribute; `docs/citus.md` has the commands.

use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, PgPool};

use crate::recommend::data::Kind;
use crate::recommend::source::{
    Evidence, ItemTies, MIN_SIMILARITY, Neighbor, Owned, ScoredItem, Similarity, SourceError,
};
use crate::recommend::weights::{Repeats, Weighing};
use crate::store::StoreError;
use crate::store::rows::source_error;

/// Neighbors and scores out of Postgres. Made by [`crate::store::Store::evidence`].
#[derive(Debug, Clone)]
pub(super) struct PostgresEvidence {
    pool: PgPool,
    repeats: Repeats,
}

impl PostgresEvidence {
    /// Switches the engine on in the database, or over to another weighing: the sums of all
    /// users are then made anew, while writers wait. All replicas must be configured alike.
    pub async fn new(pool: PgPool, weighing: &Weighing) -> Result<Self, StoreError> {
        weighing.validate().map_err(StoreError::Setup)?;
        let mut transaction = pool.begin().await?;
        // Replicas that start together: the first does it, the others find it done.
        sqlx::query("SELECT pg_advisory_xact_lock(7024831121)").execute(&mut *transaction).await?;
        let events: Vec<&str> = weighing.events.keys().map(String::as_str).collect();
        let factors: Vec<f64> = weighing.events.values().copied().map(f64::from).collect();
        let repeats = match weighing.repeats {
            Repeats::Add => "add",
            Repeats::Last => "last",
        };
        let is_so: bool = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT 1 FROM weighing WHERE repeats = $1 AND other_events = $2
                     AND half_life_days IS NOT DISTINCT FROM $3 AND reference_time = $4)
             AND NOT EXISTS (
                 (SELECT event, factor FROM event_weights
                  EXCEPT SELECT * FROM unnest($5::text[], $6::float8[]))
                 UNION ALL
                 (SELECT * FROM unnest($5::text[], $6::float8[])
                  EXCEPT SELECT event, factor FROM event_weights))",
        )
        .bind(repeats)
        .bind(f64::from(weighing.other_events))
        .bind(weighing.half_life_days)
        .bind(weighing.reference_time)
        .bind(&events)
        .bind(&factors)
        .fetch_one(&mut *transaction)
        .await?;
        if !is_so {
            // Waiting for writers to finish is in order here, those of items among them: who
            // changes a kind without seeing that norms are kept leaves them as they are.
            sqlx::raw_sql(
                "SET LOCAL lock_timeout = 0;
                 SET LOCAL work_mem = '256MB';
                 LOCK TABLE items IN SHARE MODE;
                 LOCK TABLE interactions IN SHARE ROW EXCLUSIVE MODE;
                 DELETE FROM weighing;
                 DELETE FROM event_weights;",
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "INSERT INTO weighing (repeats, other_events, half_life_days, reference_time)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(repeats)
            .bind(f64::from(weighing.other_events))
            .bind(weighing.half_life_days)
            .bind(weighing.reference_time)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "INSERT INTO event_weights (event, factor)
                 SELECT * FROM unnest($1::text[], $2::float8[])",
            )
            .bind(&events)
            .bind(&factors)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("SELECT medserve_refresh_norms(ARRAY(SELECT id FROM users))")
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(Self { pool, repeats: weighing.repeats })
    }

    /// The step `own`: the items of kind `$2` that user `$1` has, with the combined `weight`
    /// under the name the caller wants.
    fn own(&self, weight: &str) -> String {
        let cells = self.cells(
            "own_cells",
            "items i JOIN counted_interactions n ON n.item_id = i.id AND i.kind = $2
                 AND n.user_id = $1",
            "",
        );
        format!("{cells}, own AS MATERIALIZED (SELECT item_id, {weight} FROM own_cells)")
    }

    /// A step `name`: rows of `from` (in which `n` are counted interactions) combined to one for
    /// each item and user; `more` are further columns, which these determine.
    fn cells(&self, name: &str, from: &str, more: &str) -> String {
        match self.repeats {
            Repeats::Add => format!(
                "{name} AS MATERIALIZED (
                     SELECT n.item_id, n.user_id{more},
                         least(sum(n.counted ORDER BY n.counted), 3.4028234663852886e38)
                             ::real::float8 AS weight
                     FROM {from} WHERE n.counted IS NOT NULL
                     GROUP BY n.item_id, n.user_id{more})"
            ),
            Repeats::Last => format!(
                "{name} AS MATERIALIZED (
                     SELECT DISTINCT ON (n.item_id, n.user_id) n.item_id, n.user_id{more},
                         n.counted AS weight
                     FROM {from} WHERE n.counted IS NOT NULL
                     ORDER BY n.item_id, n.user_id, n.occurred_at DESC, n.counted DESC)"
            ),
        }
    }

    async fn read_history(&self, kind: Kind, user_id: &str) -> Result<Vec<Owned>, StoreError> {
        let sql =
            format!("WITH {} SELECT item_id, weight::real FROM own ORDER BY item_id", self.own("weight"));
        let rows: Vec<(String, f32)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(user_id)
            .bind(kind.as_str())
            .fetch_all(&self.pool)
            .await?;
        let owned = |(item_id, weight)| Owned { item_id, weight };
        Ok(rows.into_iter().map(owned).collect())
    }

    async fn read_neighbors(
        &self,
        kind: Kind,
        user_id: &str,
        similarity: Similarity,
        count: usize,
    ) -> Result<Vec<Neighbor>, StoreError> {
        let own = self.own("weight AS own");
        let cells = self.cells(
            "cells",
            "own o JOIN counted_interactions n ON n.item_id = o.item_id AND n.user_id <> $1",
            ", o.own",
        );
        let similarity = match similarity {
            Similarity::Cosine => "d.dot / (sqrt(me.squares) * sqrt(t.squares))",
            Similarity::Pearson => {
                "CASE WHEN (me.m * me.squares - me.total * me.total)
                         * (me.m * t.squares - t.total * t.total) > 0
                     THEN (me.m * d.dot - me.total * t.total)
                         / sqrt((me.m * me.squares - me.total * me.total)
                             * (me.m * t.squares - t.total * t.total)) END"
            }
            Similarity::Euclidean => "1 / (1 + sqrt(greatest(0, me.squares + t.squares - 2 * d.dot)))",
        };
        let sql = format!(
            "WITH {own},
             me AS MATERIALIZED (
                 SELECT sum(own ORDER BY item_id) AS total,
                     sum(own * own ORDER BY item_id) AS squares,
                     (SELECT count(*) FROM items WHERE kind = $2)::float8 AS m
                 FROM own),
             {cells},
             dots AS MATERIALIZED (
                 SELECT user_id, sum(own * weight ORDER BY item_id) AS dot
                 FROM cells GROUP BY user_id),
             alike AS MATERIALIZED (
                 SELECT d.user_id, {similarity} AS similarity
                 FROM dots d
                 JOIN user_norms t ON t.user_id = d.user_id AND t.kind = $2
                 CROSS JOIN me)
             SELECT user_id, similarity FROM alike
             WHERE similarity >= $3 ORDER BY similarity DESC, user_id LIMIT $4"
        );
        let rows: Vec<(String, f64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(user_id)
            .bind(kind.as_str())
            .bind(MIN_SIMILARITY)
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        let neighbor = |(user_id, similarity)| Neighbor { user_id, similarity };
        Ok(rows.into_iter().map(neighbor).collect())
    }

    async fn read_scores(&self, kind: Kind, neighbors: &[Neighbor]) -> Result<Vec<ScoredItem>, StoreError> {
        let cells = self.cells(
            "cells",
            "them JOIN counted_interactions n ON n.user_id = them.user_id
             JOIN items i ON i.id = n.item_id AND i.kind = $3",
            "",
        );
        let sql = format!(
            "WITH {THEM}, {cells}
             SELECT c.item_id, sum(t.similarity * c.weight ORDER BY t.place), count(*)
             FROM cells c JOIN them t ON t.user_id = c.user_id
             GROUP BY c.item_id"
        );
        let rows: Vec<(String, f64, i64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(ids(neighbors))
            .bind(similarities(neighbors))
            .bind(kind.as_str())
            .fetch_all(&self.pool)
            .await?;
        let scored = |(item_id, score, count): (String, f64, i64)| ScoredItem {
            item_id,
            score,
            supporting_neighbors: u32::try_from(count).unwrap_or(u32::MAX),
        };
        Ok(rows.into_iter().map(scored).collect())
    }

    async fn read_popular(&self, kind: Kind, count: usize) -> Result<Vec<ScoredItem>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT n.item_id, count(DISTINCT n.user_id) AS users
             FROM counted_interactions n JOIN items i ON i.id = n.item_id
             WHERE i.kind = $1 AND n.counted IS NOT NULL
             GROUP BY n.item_id ORDER BY users DESC, n.item_id LIMIT $2",
        )
        .bind(kind.as_str())
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let scored = |(item_id, users): (String, i64)| ScoredItem {
            item_id,
            score: users as f64,
            supporting_neighbors: u32::try_from(users).unwrap_or(u32::MAX),
        };
        Ok(rows.into_iter().map(scored).collect())
    }

    async fn read_ties(
        &self,
        own: &[Owned],
        neighbors: &[Neighbor],
        item_id: &str,
        count: usize,
    ) -> Result<ItemTies, StoreError> {
        let cells = self.cells(
            "cells",
            "them JOIN counted_interactions n ON n.user_id = them.user_id
                 AND n.item_id = ANY ($3 || $5::text)",
            "",
        );
        let sql = format!(
            "WITH {THEM}, {cells},
             own AS MATERIALIZED (
                 SELECT * FROM unnest($3::text[], $4::float8[]) AS own (item_id, weight)),
             supporters AS MATERIALIZED (
                 SELECT t.* FROM them t JOIN cells c ON c.user_id = t.user_id
                 WHERE c.item_id = $5)
             SELECT ARRAY(SELECT user_id FROM supporters),
                 ARRAY(
                     SELECT item_id FROM (
                         SELECT c.item_id,
                             sum(s.similarity * o.weight * c.weight ORDER BY s.place) AS tie
                         FROM cells c
                         JOIN supporters s ON s.user_id = c.user_id
                         JOIN own o ON o.item_id = c.item_id
                         GROUP BY c.item_id) ties
                     WHERE tie > 0 ORDER BY tie DESC, item_id LIMIT $6)"
        );
        let (supporters, shared_items) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(ids(neighbors))
            .bind(similarities(neighbors))
            .bind(own.iter().map(|own| own.item_id.as_str()).collect::<Vec<_>>())
            .bind(own.iter().map(|own| f64::from(own.weight)).collect::<Vec<_>>())
            .bind(item_id)
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch_one(&self.pool)
            .await?;
        Ok(ItemTies { supporters, shared_items })
    }

    async fn read_with_history(&self, kind: Kind, user_ids: &[String]) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT user_id FROM user_norms WHERE kind = $1 AND user_id = ANY ($2)")
            .bind(kind.as_str())
            .bind(user_ids)
            .fetch_all(&self.pool)
            .await?)
    }
}

/// The neighbors given as `$1` and `$2`, with their places.
const THEM: &str = "them AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::float8[]) WITH ORDINALITY
        AS them (user_id, similarity, place))";

fn ids(neighbors: &[Neighbor]) -> Vec<&str> {
    neighbors.iter().map(|one| one.user_id.as_str()).collect()
}

fn similarities(neighbors: &[Neighbor]) -> Vec<f64> {
    neighbors.iter().map(|one| one.similarity).collect()
}

impl Evidence for PostgresEvidence {
    fn history<'a>(&'a self, kind: Kind, user_id: &'a str) -> BoxFuture<'a, Result<Vec<Owned>, SourceError>> {
        Box::pin(async move { self.read_history(kind, user_id).await.map_err(source_error) })
    }

    fn neighbors<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        similarity: Similarity,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Neighbor>, SourceError>> {
        Box::pin(
            async move { self.read_neighbors(kind, user_id, similarity, count).await.map_err(source_error) },
        )
    }

    fn scores<'a>(
        &'a self,
        kind: Kind,
        neighbors: &'a [Neighbor],
    ) -> BoxFuture<'a, Result<Vec<ScoredItem>, SourceError>> {
        Box::pin(async move { self.read_scores(kind, neighbors).await.map_err(source_error) })
    }

    fn popular(&self, kind: Kind, count: usize) -> BoxFuture<'_, Result<Vec<ScoredItem>, SourceError>> {
        Box::pin(async move { self.read_popular(kind, count).await.map_err(source_error) })
    }

    fn with_history<'a>(
        &'a self,
        kind: Kind,
        user_ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, SourceError>> {
        Box::pin(async move { self.read_with_history(kind, user_ids).await.map_err(source_error) })
    }

    fn ties<'a>(
        &'a self,
        _kind: Kind,
        own: &'a [Owned],
        neighbors: &'a [Neighbor],
        item_id: &'a str,
        count: usize,
    ) -> BoxFuture<'a, Result<ItemTies, SourceError>> {
        Box::pin(async move { self.read_ties(own, neighbors, item_id, count).await.map_err(source_error) })
    }
}
