//! The weights of learned recommenders in Postgres, and the sums that they make of a history.
//!
//! A package is written whole in one transaction when it is loaded, under the digest of what is in it, so that the
//! next start and the next replica find it there. Of what was loaded before, the latest few of a name stay: replicas
//! that are replaced one after another serve two versions for a while.
//!
//! A question is one statement, which reads the history as it is at that moment and the rows of what is in it.
//! Sums are of doubles and added in the order that is kept in memory: the base, the own items by their identifiers,
//! the circumstances. So they are the same to the bit.

use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::evidence::PostgresEvidence;
use crate::store::StoreError;
use recommend::{Kind, Learned, Owned, SparseRows, Sum, Summed};

/// How many packages of a name are kept, the one that is written among them.
const KEPT: i64 = 3;

/// About how many weights go into one statement.
const BATCH: usize = 250_000;

/// A row of the answer: of which step, an own item and what it weighs, or the number of an item, its sum and logarithm.
type Row = (String, Option<String>, Option<i32>, f64, f64);

impl PostgresEvidence {
    /// Writes a package, unless it is there.
    pub(super) async fn write_package(&self, package: &Learned) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Of replicas that start together one writes it, however long that takes, and the others find it there.
        sqlx::raw_sql("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(7024831122)")
            .execute(&mut *transaction)
            .await?;
        let there = sqlx::query(
            "UPDATE learned_packages SET loaded_at = clock_timestamp(), kind = $2, name = $3, version = $4
             WHERE digest = $1",
        );
        let new =
            sqlx::query("INSERT INTO learned_packages (digest, kind, name, version) VALUES ($1, $2, $3, $4)");
        let described = |query: sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>| {
            let Learned { kind, name, version, .. } = package;
            query
                .bind(package.digest().to_owned())
                .bind(kind.as_str())
                .bind(name.clone())
                .bind(version.clone())
        };
        if described(there).execute(&mut *transaction).await?.rows_affected() == 0 {
            described(new).execute(&mut *transaction).await?;
            write_items(&mut transaction, package).await?;
            let weights = package.weights();
            write_rows(&mut transaction, package, "item", weights.rows(), weights.items().len()).await?;
            if let Some(context) = package.context() {
                let count = context.features().len();
                write_rows(&mut transaction, package, "context", context.parts(), count).await?;
                write_rows(&mut transaction, package, "factor", context.factors(), count).await?;
            }
        }
        sqlx::query(
            "DELETE FROM learned_packages WHERE kind = $1 AND name = $2 AND digest NOT IN (
                 SELECT digest FROM learned_packages WHERE kind = $1 AND name = $2
                 ORDER BY loaded_at DESC, digest LIMIT $3)",
        )
        .bind(package.kind.as_str())
        .bind(&package.name)
        .bind(KEPT)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What the package makes of the history of a user; nothing where the package is not there.
    pub(super) async fn read_sums(
        &self,
        kind: Kind,
        user_id: &str,
        package: &Learned,
        features: &[u32],
    ) -> Result<Option<Summed>, StoreError> {
        let own = self.cells(
            "items i JOIN counted_interactions n ON n.item_id = i.id AND i.kind = $2 AND n.user_id = $1",
            "",
        );
        let sql = format!(
            "WITH own_cells AS MATERIALIZED ({own}),
             own AS MATERIALIZED (SELECT item_id, weight FROM own_cells),
             who AS MATERIALIZED (
                 SELECT number, place FROM unnest($4::integer[]) WITH ORDINALITY AS who (number, place)),
             sources AS MATERIALIZED (
                 SELECT 1 AS step, i.number::bigint AS place, r.targets, r.weights
                 FROM own o
                 JOIN learned_items i ON i.package = $3 AND i.item_id = o.item_id
                 JOIN learned_rows r ON r.package = $3 AND r.part = 'item' AND r.source = i.number
                 UNION ALL
                 SELECT 2, who.place, r.targets, r.weights
                 FROM who JOIN learned_rows r ON r.package = $3 AND r.part = 'context' AND r.source = who.number),
             parts AS MATERIALIZED (
                 SELECT number AS target, 0 AS step, 0::bigint AS place, base::float8 AS weight
                 FROM learned_items WHERE package = $3 AND base <> 0
                 UNION ALL
                 SELECT part.target, s.step, s.place, part.weight::float8
                 FROM sources s CROSS JOIN LATERAL unnest(s.targets, s.weights) AS part (target, weight)),
             sums AS MATERIALIZED (
                 SELECT target, sum(weight ORDER BY step, place) AS total FROM parts GROUP BY target),
             logarithms AS MATERIALIZED (
                 SELECT part.target, sum(part.weight::float8 ORDER BY who.place) AS total
                 FROM who
                 JOIN learned_rows r ON r.package = $3 AND r.part = 'factor' AND r.source = who.number
                 CROSS JOIN LATERAL unnest(r.targets, r.weights) AS part (target, weight)
                 GROUP BY part.target)
             SELECT 'package' AS step, NULL AS id, NULL::integer AS number, 0::float8 AS total, 0::float8 AS logarithm
             FROM learned_packages WHERE digest = $3
             UNION ALL SELECT 'own', item_id, NULL, weight, 0 FROM own
             UNION ALL SELECT 'sum', NULL, s.target, s.total, coalesce(l.total, 0)
             FROM sums s LEFT JOIN logarithms l ON l.target = s.target WHERE s.total > 0"
        );
        let features: Vec<i32> = features.iter().map(|number| number.cast_signed()).collect();
        let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(user_id)
            .bind(kind.as_str())
            .bind(package.digest())
            .bind(features)
            .fetch_all(&self.pool)
            .await?;
        let (mut there, mut summed) = (false, Summed::default());
        for (step, id, number, total, logarithm) in rows {
            match (step.as_str(), id, number) {
                ("own", Some(item_id), _) => summed.own.push(Owned { item_id, weight: total as f32 }),
                ("sum", _, Some(item)) => {
                    summed.sums.push(Sum { item: item.cast_unsigned(), sum: total, logarithm });
                }
                _ => there = true,
            }
        }
        Ok(there.then_some(summed))
    }
}

async fn write_items(
    transaction: &mut Transaction<'static, Postgres>,
    package: &Learned,
) -> Result<(), StoreError> {
    let weights = package.weights();
    let items: Vec<&str> = weights.items().iter().map(AsRef::as_ref).collect();
    sqlx::query(
        "INSERT INTO learned_items (package, number, item_id, base)
         SELECT $1, (place - 1)::integer, item_id, base
         FROM unnest($2::text[], $3::real[]) WITH ORDINALITY AS items (item_id, base, place)",
    )
    .bind(package.digest())
    .bind(items)
    .bind(weights.base())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes the rows that have weights, some at a time: all their arrays in one, and where each begins and ends.
async fn write_rows(
    transaction: &mut Transaction<'static, Postgres>,
    package: &Learned,
    part: &str,
    rows: &SparseRows,
    count: usize,
) -> Result<(), StoreError> {
    let (mut sources, mut ends) = (Vec::new(), Vec::new());
    let (mut targets, mut weights): (Vec<i32>, Vec<f32>) = (Vec::new(), Vec::new());
    for source in 0..count as u32 {
        let (to, by) = rows.row(source);
        if !to.is_empty() {
            targets.extend(to.iter().map(|target| target.cast_signed()));
            weights.extend_from_slice(by);
            sources.push(source.cast_signed());
            ends.push(i32::try_from(targets.len()).unwrap_or(i32::MAX));
        }
        if targets.len() < BATCH && source as usize + 1 < count || sources.is_empty() {
            continue;
        }
        sqlx::query(
            "INSERT INTO learned_rows (package, part, source, targets, weights)
             SELECT $1, $2, source, ($5::integer[])[first + 1:last], ($6::real[])[first + 1:last]
             FROM (SELECT source, coalesce(lag(last) OVER (ORDER BY place), 0) AS first, last
                   FROM unnest($3::integer[], $4::integer[]) WITH ORDINALITY AS ends (source, last, place)) pieces",
        )
        .bind(package.digest())
        .bind(part)
        .bind(std::mem::take(&mut sources))
        .bind(std::mem::take(&mut ends))
        .bind(std::mem::take(&mut targets))
        .bind(std::mem::take(&mut weights))
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
