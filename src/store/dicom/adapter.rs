//! The adapter of a database for DICOM, as one macro: the statements are the same for both.

/// Makes the adapter of one database: its type, how it begins a write, how it names an error, and how it passes over
/// rows that another process has just taken.
macro_rules! adapter {
    ($store:ty, $begin:ident, $error:path, $skip:literal) => {
        impl crate::store::dicom::DicomStore for $store {
            fn queue_dicom<'a>(&'a self, instances: &'a [Received], most: u32) -> Answer<'a, Vec<bool>> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    let mut waiting: i64 = sqlx::query_scalar(
                        "SELECT count(*) FROM (SELECT 1 FROM dicom_queue WHERE failure IS NULL LIMIT $1) AS waiting",
                    )
                    .bind(i64::from(most))
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err($error)?;
                    let mut waits = Vec::with_capacity(instances.len());
                    for instance in instances {
                        // What waits is the image as it is now.
                        let changed = sqlx::query(
                            "DELETE FROM dicom_queue WHERE sop_instance = $1 AND failure IS NULL AND image <> $2",
                        )
                        .bind(&instance.sop_instance)
                        .bind(&instance.image)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?
                        .rows_affected();
                        waiting -= i64::try_from(changed).unwrap_or(0);
                        if changed == 0 && waiting >= i64::from(most) {
                            let there: i64 = sqlx::query_scalar(
                                "SELECT count(*) FROM dicom_queue WHERE sop_instance = $1 AND failure IS NULL",
                            )
                            .bind(&instance.sop_instance)
                            .fetch_one(&mut *transaction)
                            .await
                            .map_err($error)?;
                            waits.push(there > 0);
                            continue;
                        }
                        let done = sqlx::query(
                            "INSERT INTO dicom_queue
                                 (sop_instance, study, patient, caller, address, received, due, file, image)
                             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)
                             ON CONFLICT (sop_instance) WHERE failure IS NULL DO NOTHING",
                        )
                        .bind(&instance.sop_instance)
                        .bind(&instance.study)
                        .bind(&instance.patient)
                        .bind(&instance.caller)
                        .bind(&instance.address)
                        .bind(instance.received)
                        .bind(&instance.file[..])
                        .bind(&instance.image)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                        waiting += i64::try_from(done.rows_affected()).unwrap_or(0);
                        waits.push(true);
                    }
                    transaction.commit().await.map_err($error)?;
                    Ok(waits)
                })
            }

            fn take_dicom(&self, now: Millis, until: Millis) -> Answer<'_, Option<Queued>> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    let row = sqlx::query_as::<_, QueueRow>(concat!(
                        "UPDATE dicom_queue SET due = $2, tries = tries + 1 WHERE number = (
                             SELECT number FROM dicom_queue WHERE failure IS NULL AND due <= $1
                             ORDER BY due, number LIMIT 1 ",
                        $skip,
                        ") RETURNING number, tries, sop_instance, image, study, patient, caller, address, received, file"
                    ))
                    .bind(now)
                    .bind(until)
                    .fetch_optional(self.leases())
                    .await
                    .map_err($error)?;
                    Ok(row.map(Queued::from))
                })
            }

            fn give_back_dicom(&self, number: i64, due: Millis) -> Answer<'_, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("UPDATE dicom_queue SET due = $2 WHERE number = $1")
                        .bind(number)
                        .bind(due)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn fail_dicom<'a>(&'a self, number: i64, reason: &'a str) -> Answer<'a, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("UPDATE dicom_queue SET failure = $2, file = NULL WHERE number = $1")
                        .bind(number)
                        .bind(reason)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    self.erased();
                    Ok(())
                })
            }

            fn answer_dicom<'a>(
                &'a self,
                number: Option<i64>,
                results: &'a [DicomResult],
                due: Option<Millis>,
            ) -> Answer<'a, ()> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    if let Some(number) = number {
                        let waited: Option<String> =
                            sqlx::query_scalar("DELETE FROM dicom_queue WHERE number = $1 RETURNING sop_instance")
                                .bind(number)
                                .fetch_optional(&mut *transaction)
                                .await
                                .map_err($error)?;
                        let Some(waited) = waited else { return Ok(()) };
                        sqlx::query("DELETE FROM dicom_queue WHERE sop_instance = $1 AND failure IS NOT NULL")
                            .bind(waited)
                            .execute(&mut *transaction)
                            .await
                            .map_err($error)?;
                    }
                    for result in results {
                        sqlx::query("DELETE FROM dicom_results WHERE source = $1 AND image <> $2")
                            .bind(&result.source)
                            .bind(&result.image)
                            .execute(&mut *transaction)
                            .await
                            .map_err($error)?;
                        sqlx::query(
                            "INSERT INTO dicom_results (sop_instance, series, study, sop_class, source, patient, model,
                                 version, created, due, metadata, file, image)
                             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                             ON CONFLICT (sop_instance) DO UPDATE SET due = excluded.due, tries = 0, failure = NULL",
                        )
                        .bind(&result.sop_instance)
                        .bind(&result.series)
                        .bind(&result.study)
                        .bind(&result.sop_class)
                        .bind(&result.source)
                        .bind(&result.patient)
                        .bind(&result.model)
                        .bind(&result.version)
                        .bind(result.created)
                        .bind(due)
                        .bind(&result.metadata)
                        .bind(&result.file[..])
                        .bind(&result.image)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    transaction.commit().await.map_err($error)?;
                    self.erased();
                    Ok(())
                })
            }

            fn supersede_dicom<'a>(&'a self, sop_instance: &'a str, image: &'a str) -> Answer<'a, u64> {
                Box::pin(async move {
                    const OLD: [&str; 3] = [
                        "FROM dicom_results WHERE source = $1 AND image <> $2",
                        "FROM hl7_results WHERE source = $1 AND image <> $2",
                        "FROM dicom_queue WHERE sop_instance = $1 AND failure IS NULL AND image <> $2",
                    ];
                    // Of nearly every image there is nothing, and looking costs no commit.
                    let counted = OLD.map(|old| format!("(SELECT count(*) {old})")).join(" + ");
                    let there: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {counted}")))
                        .bind(sop_instance)
                        .bind(image)
                        .fetch_one(&self.pool)
                        .await
                        .map_err($error)?;
                    if there == 0 {
                        return Ok(0);
                    }
                    let mut gone = 0;
                    let mut transaction = self.$begin().await?;
                    for old in OLD {
                        gone += sqlx::query(sqlx::AssertSqlSafe(format!("DELETE {old}")))
                            .bind(sop_instance)
                            .bind(image)
                            .execute(&mut *transaction)
                            .await
                            .map_err($error)?
                            .rows_affected();
                    }
                    transaction.commit().await.map_err($error)?;
                    self.erased();
                    Ok(gone)
                })
            }

            fn waits_dicom(&self, number: i64) -> Answer<'_, bool> {
                Box::pin(async move {
                    let waiting: i64 =
                        sqlx::query_scalar("SELECT count(*) FROM dicom_queue WHERE number = $1 AND failure IS NULL")
                            .bind(number)
                            .fetch_one(&self.pool)
                            .await
                            .map_err($error)?;
                    Ok(waiting > 0)
                })
            }

            fn known_dicom<'a>(&'a self, sop_instances: &'a [String]) -> Answer<'a, Vec<String>> {
                Box::pin(async move {
                    let mut known = Vec::new();
                    for uid in sop_instances {
                        let found: i64 =
                            sqlx::query_scalar("SELECT count(*) FROM dicom_results WHERE sop_instance = $1")
                                .bind(uid)
                                .fetch_one(&self.pool)
                                .await
                                .map_err($error)?;
                        if found > 0 {
                            known.push(uid.clone());
                        }
                    }
                    Ok(known)
                })
            }

            fn repeat_dicom<'a>(
                &'a self,
                sop_instances: &'a [String],
                due: Option<Millis>,
            ) -> Answer<'a, usize> {
                Box::pin(async move {
                    let Some(due) = due else {
                        return Ok(self.known_dicom(sop_instances).await?.len());
                    };
                    let mut found = 0;
                    for uid in sop_instances {
                        let _turn = self.turn().await?;
                        found += sqlx::query(
                            "UPDATE dicom_results SET due = $2, tries = 0, failure = NULL WHERE sop_instance = $1",
                        )
                        .bind(uid)
                        .bind(due)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?
                        .rows_affected() as usize;
                    }
                    Ok(found)
                })
            }

            fn list_dicom<'a>(&'a self, query: &'a ResultQuery) -> Answer<'a, Vec<DicomResult>> {
                Box::pin(async move {
                    let sql = format!(
                        "SELECT {RESULT} FROM dicom_results
                         WHERE ($1 = '' OR study = $1) AND ($2 = '' OR series = $2) AND ($3 = '' OR sop_instance = $3)
                             AND ($4 = '' OR patient = $4) AND sop_instance > $5
                         ORDER BY sop_instance LIMIT $6"
                    );
                    let rows = sqlx::query_as::<_, ResultRow>(sqlx::AssertSqlSafe(sql))
                        .bind(&query.study)
                        .bind(&query.series)
                        .bind(&query.sop_instance)
                        .bind(&query.patient)
                        .bind(&query.after)
                        .bind(i64::from(query.limit))
                        .fetch_all(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(rows.into_iter().map(DicomResult::from).collect())
                })
            }

            fn get_dicom<'a>(&'a self, sop_instance: &'a str) -> Answer<'a, Option<DicomResult>> {
                Box::pin(async move {
                    let query =
                        ResultQuery { sop_instance: sop_instance.to_string(), limit: 1, ..ResultQuery::default() };
                    let Some(result) = self.list_dicom(&query).await?.pop() else { return Ok(None) };
                    let row = sqlx::query_as::<_, FileRow>(
                        "SELECT sop_instance, file, tries FROM dicom_results WHERE sop_instance = $1",
                    )
                    .bind(sop_instance)
                    .fetch_optional(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(row.map(|row| DicomResult { file: row.file.into(), ..result }))
                })
            }

            fn take_result(&self, now: Millis, until: Millis) -> Answer<'_, Option<(DicomResult, i64)>> {
                Box::pin(async move {
                    let taking = self.turn().await?;
                    let row = sqlx::query_as::<_, FileRow>(concat!(
                        "UPDATE dicom_results SET due = $2, tries = tries + 1 WHERE sop_instance = (
                             SELECT sop_instance FROM dicom_results WHERE due <= $1 ORDER BY due LIMIT 1 ",
                        $skip,
                        ") RETURNING sop_instance, file, tries"
                    ))
                    .bind(now)
                    .bind(until)
                    .fetch_optional(self.leases())
                    .await
                    .map_err($error)?;
                    taking.end();
                    let Some(FileRow { sop_instance, file, tries }) = row else { return Ok(None) };
                    let query = ResultQuery { sop_instance, limit: 1, ..ResultQuery::default() };
                    let result = self.list_dicom(&query).await?.pop();
                    Ok(result.map(|result| (DicomResult { file: file.into(), ..result }, tries)))
                })
            }

            fn sent_result<'a>(
                &'a self,
                sop_instance: &'a str,
                due: Option<Millis>,
                failure: Option<&'a str>,
            ) -> Answer<'a, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("UPDATE dicom_results SET due = $2, failure = $3 WHERE sop_instance = $1")
                        .bind(sop_instance)
                        .bind(due)
                        .bind(failure)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn trim_dicom(&self, before: Millis) -> Answer<'_, u64> {
                Box::pin(self.drop_old(&[
                    "DELETE FROM dicom_results WHERE created < $1 AND due IS NULL",
                    "DELETE FROM dicom_queue WHERE received < $1 AND failure IS NOT NULL",
                ], before))
            }

            fn dicom_backlog(&self) -> Answer<'_, Backlog> {
                Box::pin(async move {
                    let (waiting, unsent): (i64, i64) = sqlx::query_as(
                        "SELECT (SELECT count(*) FROM dicom_queue WHERE failure IS NULL),
                             (SELECT count(*) FROM dicom_results WHERE due IS NOT NULL)",
                    )
                    .fetch_one(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(Backlog { waiting: waiting as u64, unsent: unsent as u64 })
                })
            }
        }
    };
}
pub(in crate::store) use adapter;
