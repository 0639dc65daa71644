//! The `database` engine: neighbors and scores computed by Postgres itself, for data that
//! outgrows the memory of one machine.
//!
//! The same numbers as in memory, bit for bit: interactions are weighed by the same rules, sums
//! are of doubles and have the same order (the smallest first within one entry, that of the items
//! for dot products, that of the neighbors for scores), and ties are broken by id in byte order,
//! at the last place among the neighbors too.
//!
//! What a request asks is one statement of materialised steps, which sees one moment and whose
//! joins follow the keys: by `item_id` from the user's items to everyone who has them, by
//! `user_id` to the sums in `user_norms` and on to all the best of them have. That is the shape a
//! cluster can distribute; `docs/citus.md` has the commands. What the statement cannot know is
//! which items may be recommended, so it does not cut them, and tells of each who speaks for it.

use futures::TryStreamExt;
use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, PgPool};

use crate::store::StoreError;
use crate::store::rows::source_error;
use recommend::{
    Evidence, Found, Kind, Learned, MIN_SIMILARITY, Neighbor, Owned, PopularItem, Repeats, ScoredItem,
    Similarity, SourceError, Summed, Weighing,
};

/// Neighbors and scores out of Postgres. Made by [`crate::store::Store::evidence`].
#[derive(Debug, Clone)]
pub(super) struct PostgresEvidence {
    pub(super) pool: PgPool,
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

    /// Rows of `from` (in which `n` are counted interactions) combined to one for each item and
    /// user; `more` are further columns, which these determine.
    pub(super) fn cells(&self, from: &str, more: &str) -> String {
        match self.repeats {
            Repeats::Add => format!(
                "SELECT n.item_id, n.user_id{more},
                     least(sum(n.counted ORDER BY n.counted), 3.4028234663852886e38)
                         ::real::float8 AS weight
                 FROM {from} WHERE n.counted IS NOT NULL
                 GROUP BY n.item_id, n.user_id{more}"
            ),
            Repeats::Last => format!(
                "SELECT DISTINCT ON (n.item_id, n.user_id) n.item_id, n.user_id{more},
                     n.counted AS weight
                 FROM {from} WHERE n.counted IS NOT NULL
                 ORDER BY n.item_id, n.user_id, n.occurred_at DESC, n.counted DESC"
            ),
        }
    }

    /// The steps from user `$1` to the `$4` neighbors of at least similarity `$3`, by the items of
    /// kind `$2`: `own`, what the user has; `me`, its sums; `cells`, what others have of it;
    /// `dots`, their dot products; `alike`, their similarities; and `them`, the neighbors, each
    /// with a place.
    fn steps_to_neighbors(&self, similarity: Similarity) -> String {
        let own = self.cells(
            "items i JOIN counted_interactions n ON n.item_id = i.id AND i.kind = $2
                 AND n.user_id = $1",
            "",
        );
        let cells = self.cells(
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
        format!(
            "own_cells AS MATERIALIZED ({own}),
             own AS MATERIALIZED (SELECT item_id, weight AS own FROM own_cells),
             me AS MATERIALIZED (
                 SELECT sum(own ORDER BY item_id) AS total,
                     sum(own * own ORDER BY item_id) AS squares,
                     (SELECT count(*) FROM items WHERE kind = $2)::float8 AS m
                 FROM own),
             cells AS MATERIALIZED ({cells}),
             dots AS MATERIALIZED (
                 SELECT user_id, sum(own * weight ORDER BY item_id) AS dot
                 FROM cells GROUP BY user_id),
             alike AS MATERIALIZED (
                 SELECT d.user_id, {similarity} AS similarity
                 FROM dots d
                 JOIN user_norms t ON t.user_id = d.user_id AND t.kind = $2
                 CROSS JOIN me),
             them AS MATERIALIZED (
                 SELECT user_id, similarity,
                     (row_number() OVER (ORDER BY similarity DESC, user_id) - 1)::integer AS place
                 FROM (
                     SELECT user_id, similarity FROM alike
                     WHERE similarity >= $3 ORDER BY similarity DESC, user_id LIMIT $4) best)"
        )
    }

    /// The step `scored`, from the neighbors in `them` and the user's items in `own`: all items of
    /// kind `$2` the neighbors have. Grouped by item, so that on a cluster every machine adds up
    /// its own.
    fn step_to_scores(&self) -> String {
        let cells = self.cells(
            "them t JOIN counted_interactions n ON n.user_id = t.user_id
             JOIN items i ON i.id = n.item_id AND i.kind = $2",
            ", t.similarity, t.place",
        );
        format!(
            "scored AS MATERIALIZED (
                 SELECT c.item_id, sum(c.similarity * c.weight ORDER BY c.place) AS score,
                     array_agg(c.place ORDER BY c.place) AS supporters,
                     array_agg(c.weight::real ORDER BY c.place)
                         FILTER (WHERE o.item_id IS NOT NULL) AS weights
                 FROM ({cells}) c LEFT JOIN own o ON o.item_id = c.item_id
                 GROUP BY c.item_id)"
        )
    }

    async fn read_found(
        &self,
        kind: Kind,
        user_id: &str,
        similarity: Similarity,
        count: usize,
    ) -> Result<Found, StoreError> {
        // The value of a neighbor is its similarity, so the order is that of the places.
        let sql = format!(
            "WITH {}, {}
             SELECT 'own' AS step, item_id AS id, own AS value,
                 NULL::integer[] AS supporters, NULL::real[] AS weights FROM own
             UNION ALL SELECT 'neighbor', user_id, similarity, NULL, NULL FROM them
             UNION ALL SELECT 'scored', item_id, score, supporters, weights FROM scored
             ORDER BY step, value DESC, id",
            self.steps_to_neighbors(similarity),
            self.step_to_scores()
        );
        let mut rows = sqlx::query_as::<_, Step>(AssertSqlSafe(sql))
            .bind(user_id)
            .bind(kind.as_str())
            .bind(MIN_SIMILARITY)
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch(&self.pool);
        let mut found = Found::default();
        while let Some((step, id, value, supporters, weights)) = rows.try_next().await? {
            match step.as_str() {
                "own" => found.own.push(Owned { item_id: id, weight: value as f32 }),
                "neighbor" => found.neighbors.push(Neighbor { user_id: id, similarity: value }),
                _ => found.scored.push(scored((id, value, supporters.unwrap_or_default(), weights))),
            }
        }
        Ok(found)
    }

    async fn read_neighbors(
        &self,
        kind: Kind,
        user_id: &str,
        similarity: Similarity,
        count: usize,
    ) -> Result<Vec<Neighbor>, StoreError> {
        let steps = self.steps_to_neighbors(similarity);
        let sql = format!("WITH {steps} SELECT user_id, similarity FROM them ORDER BY place");
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

    async fn read_scores(
        &self,
        kind: Kind,
        own: &[Owned],
        neighbors: &[Neighbor],
    ) -> Result<Vec<ScoredItem>, StoreError> {
        let sql = format!(
            "WITH them AS MATERIALIZED (
                 SELECT user_id, similarity, (place - 1)::integer AS place
                 FROM unnest($1::text[], $3::float8[]) WITH ORDINALITY
                     AS them (user_id, similarity, place)),
             own AS MATERIALIZED (SELECT item_id FROM unnest($4::text[]) AS own (item_id)),
             {}
             SELECT item_id, score, supporters, weights FROM scored",
            self.step_to_scores()
        );
        let rows: Vec<Scored> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(neighbors.iter().map(|one| one.user_id.as_str()).collect::<Vec<_>>())
            .bind(kind.as_str())
            .bind(neighbors.iter().map(|one| one.similarity).collect::<Vec<_>>())
            .bind(own.iter().map(|one| one.item_id.as_str()).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(scored).collect())
    }

    async fn read_popular(&self, kind: Kind, count: usize) -> Result<Vec<PopularItem>, StoreError> {
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
        let popular =
            |(item_id, users)| PopularItem { item_id, users: u32::try_from(users).unwrap_or(u32::MAX) };
        Ok(rows.into_iter().map(popular).collect())
    }

    async fn read_with_history(&self, kind: Kind, user_ids: &[String]) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT user_id FROM user_norms WHERE kind = $1 AND user_id = ANY ($2)")
            .bind(kind.as_str())
            .bind(user_ids)
            .fetch_all(&self.pool)
            .await?)
    }
}

/// A row of what [`PostgresEvidence::read_found`] asks for: of which step, an id, its value, and of
/// a scored item the last two of [`Scored`].
type Step = (String, String, f64, Option<Vec<i32>>, Option<Vec<f32>>);

/// A scored item as a row: id, score, places of the supporters, weights if it is an own item.
type Scored = (String, f64, Vec<i32>, Option<Vec<f32>>);

fn scored((item_id, score, supporters, weights): Scored) -> ScoredItem {
    let supporters = supporters.into_iter().map(i32::cast_unsigned).collect();
    ScoredItem { item_id, score, supporters, weights: weights.unwrap_or_default() }
}

impl Evidence for PostgresEvidence {
    fn find<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        similarity: Similarity,
        count: usize,
    ) -> BoxFuture<'a, Result<Found, SourceError>> {
        Box::pin(async move { self.read_found(kind, user_id, similarity, count).await.map_err(source_error) })
    }

    fn keep<'a>(&'a self, package: &'a Learned) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move { self.write_package(package).await.map_err(source_error) })
    }

    fn sums<'a>(
        &'a self,
        kind: Kind,
        user_id: &'a str,
        package: &'a Learned,
        features: &'a [u32],
    ) -> BoxFuture<'a, Result<Option<Summed>, SourceError>> {
        Box::pin(async move { self.read_sums(kind, user_id, package, features).await.map_err(source_error) })
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
        own: &'a [Owned],
        neighbors: &'a [Neighbor],
    ) -> BoxFuture<'a, Result<Vec<ScoredItem>, SourceError>> {
        Box::pin(async move { self.read_scores(kind, own, neighbors).await.map_err(source_error) })
    }

    fn popular(&self, kind: Kind, count: usize) -> BoxFuture<'_, Result<Vec<PopularItem>, SourceError>> {
        Box::pin(async move { self.read_popular(kind, count).await.map_err(source_error) })
    }

    fn with_history<'a>(
        &'a self,
        kind: Kind,
        user_ids: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, SourceError>> {
        Box::pin(async move { self.read_with_history(kind, user_ids).await.map_err(source_error) })
    }
}
