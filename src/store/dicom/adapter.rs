//! The adapter of a database for DICOM, as one macro: the statements are the same for both.

/// Makes the adapter of one database: its type and that of its connections, how it begins a write, how it names an error,
/// and how it passes over rows that another process has just taken.
macro_rules! adapter {
    ($store:ty, $connection:ty, $begin:ident, $error:path, $skip:literal) => {
        impl $store {
            /// Erases what there is of an image as it was before it was this one, and says how much of it waited in the queue.
            /// What waits goes first: who keeps an answer has its row, so its results are there to be erased thereafter.
            async fn end_dicom(
                &self,
                connection: &mut $connection,
                sop_instance: &str,
                image: &str,
            ) -> Result<i64, StoreError> {
                const OLD: [&str; 4] = [
                    "DELETE FROM dicom_queue WHERE sop_instance = $1 AND failure IS NULL AND image <> $2",
                    "DELETE FROM dicom_arrivals WHERE sop_instance = $1 AND image <> $2",
                    "DELETE FROM dicom_results WHERE source = $1 AND image <> $2",
                    "DELETE FROM hl7_results WHERE source = $1 AND image <> $2",
                ];
                let mut gone = [0; OLD.len()];
                for (old, gone) in OLD.into_iter().zip(&mut gone) {
                    let done = sqlx::query(old).bind(sop_instance).bind(image).execute(&mut *connection).await;
                    *gone = done.map_err($error)?.rows_affected();
                }
                if gone != [0; OLD.len()] {
                    let [queued, arrived, results, messages] = gone;
                    tracing::info!(queued, arrived, results, messages, "a DICOM image has changed; what it was goes");
                    self.erased();
                }
                Ok(i64::try_from(gone[0]).unwrap_or(i64::MAX))
            }

            /// Whether all that would go of an image as it was is of these models alone.
            async fn may_end_dicom(
                &self,
                connection: &mut $connection,
                arrival: &Arrival,
                models: &[String],
                now: Millis,
            ) -> Result<bool, StoreError> {
                // What waits in the queue is for all models.
                let others: Vec<String> = sqlx::query_scalar(
                    "SELECT '' FROM dicom_queue WHERE sop_instance = $1 AND failure IS NULL AND image <> $2
                     UNION SELECT models FROM dicom_arrivals WHERE sop_instance = $1 AND image <> $2 AND until >= $3
                     UNION SELECT model FROM dicom_results WHERE source = $1 AND image <> $2",
                )
                .bind(&arrival.sop_instance)
                .bind(&arrival.image)
                .bind(now)
                .fetch_all(&mut *connection)
                .await
                .map_err($error)?;
                Ok(others.iter().flat_map(|some| some.split(',')).all(|own| models.iter().any(|may| may == own)))
            }
        }

        impl crate::store::dicom::DicomStore for $store {
            fn queue_dicom<'a>(&'a self, instances: &'a [Received], most: u32) -> Answer<'a, Vec<bool>> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    let names: Vec<&str> = instances.iter().map(|own| own.sop_instance.as_str()).collect();
                    self.in_order(&mut transaction, &names).await?;
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
                        let changed =
                            self.end_dicom(&mut transaction, &instance.sop_instance, &instance.image).await?;
                        waiting -= changed;
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
                        "UPDATE dicom_queue SET due = $2, tries = tries + 1,
                             unfinished = unfinished + CASE WHEN unfinished = 0 OR unfinished % 2 = 1 THEN 1 ELSE 0 END
                         WHERE number = (
                             SELECT number FROM dicom_queue WHERE failure IS NULL AND due <= $1
                             ORDER BY due, number LIMIT 1 ",
                        $skip,
                        ") RETURNING number, tries, unfinished, sop_instance, image, study, patient, caller, address,
                             received, file"
                    ))
                    .bind(now)
                    .bind(until)
                    .fetch_optional(self.leases())
                    .await
                    .map_err($error)?;
                    Ok(row.map(Queued::from))
                })
            }

            fn read_dicom_alone(&self, number: i64, until: Millis) -> Answer<'_, bool> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    let done = sqlx::query(
                        "UPDATE dicom_queue SET due = $2, unfinished = unfinished + 1
                         WHERE number = $1 AND failure IS NULL AND unfinished % 2 = 0",
                    )
                    .bind(number)
                    .bind(until)
                    .execute(&self.pool)
                    .await
                    .map_err($error)?;
                    Ok(done.rows_affected() == 1)
                })
            }

            fn give_back_dicom(&self, number: i64, due: Millis) -> Answer<'_, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("UPDATE dicom_queue SET due = $2, unfinished = 0 WHERE number = $1")
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

            fn arrive_dicom<'a>(
                &'a self,
                arrivals: &'a [Arrival],
                models: Option<&'a [String]>,
                (now, until): (Millis, Millis),
            ) -> Answer<'a, Vec<Arrived>> {
                Box::pin(async move {
                    let mut transaction = self.$begin().await?;
                    let names: Vec<&str> = arrivals.iter().map(|own| own.sop_instance.as_str()).collect();
                    self.in_order(&mut transaction, &names).await?;
                    if arrivals.iter().any(|arrival| arrival.waits) {
                        sqlx::query(concat!(
                            "DELETE FROM dicom_arrivals WHERE number IN (
                                 SELECT number FROM dicom_arrivals WHERE until < $1 ",
                            $skip,
                            ")"
                        ))
                        .bind(now)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    let mut arrived = Vec::with_capacity(arrivals.len());
                    for arrival in arrivals {
                        if let Some(models) = models
                            && !self.may_end_dicom(&mut transaction, arrival, models, now).await?
                        {
                            arrived.push(Arrived::NotAllowed);
                            continue;
                        }
                        self.end_dicom(&mut transaction, &arrival.sop_instance, &arrival.image).await?;
                        if !arrival.waits {
                            arrived.push(Arrived::Ended);
                            continue;
                        }
                        let number: i64 = sqlx::query_scalar(
                            "INSERT INTO dicom_arrivals (sop_instance, image, patient, models, until)
                             VALUES ($1, $2, $3, $4, $5) RETURNING number",
                        )
                        .bind(&arrival.sop_instance)
                        .bind(&arrival.image)
                        .bind(&arrival.patient)
                        .bind(models.unwrap_or_default().join(","))
                        .bind(until)
                        .fetch_one(&mut *transaction)
                        .await
                        .map_err($error)?;
                        arrived.push(Arrived::Waits(number));
                    }
                    transaction.commit().await.map_err($error)?;
                    Ok(arrived)
                })
            }

            fn replaced_dicom<'a>(&'a self, images: &'a [(&'a str, &'a str)]) -> Answer<'a, Vec<String>> {
                Box::pin(async move {
                    let mut people = Vec::new();
                    for (sop_instance, image) in images {
                        let found: Vec<String> = sqlx::query_scalar(
                            "SELECT patient FROM dicom_queue WHERE sop_instance = $1 AND failure IS NULL AND image <> $2
                             UNION SELECT patient FROM dicom_arrivals WHERE sop_instance = $1 AND image <> $2
                             UNION SELECT patient FROM dicom_results WHERE source = $1 AND image <> $2
                             UNION SELECT patient FROM hl7_results WHERE source = $1 AND image <> $2",
                        )
                        .bind(sop_instance)
                        .bind(image)
                        .fetch_all(&self.pool)
                        .await
                        .map_err($error)?;
                        people.extend(found.into_iter().filter(|id| !id.is_empty()));
                    }
                    Ok(people)
                })
            }

            fn leave_dicom(&self, number: i64) -> Answer<'_, ()> {
                Box::pin(async move {
                    let _turn = self.turn().await?;
                    sqlx::query("DELETE FROM dicom_arrivals WHERE number = $1")
                        .bind(number)
                        .execute(&self.pool)
                        .await
                        .map_err($error)?;
                    Ok(())
                })
            }

            fn answer_dicom<'a>(&'a self, turn: Turn, answer: DicomAnswer<'a>) -> Answer<'a, Kept> {
                Box::pin(async move {
                    let (number, waits) = match turn {
                        Turn::Queued(number) => (
                            number,
                            "DELETE FROM dicom_queue WHERE number = $1 AND failure IS NULL RETURNING sop_instance",
                        ),
                        Turn::Arrived(number) => {
                            (number, "DELETE FROM dicom_arrivals WHERE number = $1 RETURNING sop_instance")
                        }
                    };
                    let mut transaction = self.$begin().await?;
                    let source: Option<String> = sqlx::query_scalar(waits)
                        .bind(number)
                        .fetch_optional(&mut *transaction)
                        .await
                        .map_err($error)?;
                    let Some(source) = source else { return Ok(Kept::Gone) };
                    for uid in answer.known {
                        // Where nobody gets results this only looks whether it is there.
                        let known = sqlx::query(
                            "UPDATE dicom_results SET due = coalesce($2, due), tries = 0, failure = NULL
                             WHERE sop_instance = $1",
                        )
                        .bind(uid)
                        .bind(answer.due)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                        if known.rows_affected() == 0 {
                            return Ok(Kept::Again);
                        }
                    }
                    if let Some(due) = answer.said_again.filter(|_| !answer.known.is_empty()) {
                        sqlx::query("UPDATE hl7_results SET due = $2, tries = 0, failure = NULL WHERE source = $1")
                            .bind(&source)
                            .bind(due)
                            .execute(&mut *transaction)
                            .await
                            .map_err($error)?;
                    }
                    if matches!(turn, Turn::Queued(_)) {
                        sqlx::query("DELETE FROM dicom_queue WHERE sop_instance = $1 AND failure IS NOT NULL")
                            .bind(&source)
                            .execute(&mut *transaction)
                            .await
                            .map_err($error)?;
                    }
                    for message in answer.messages {
                        sqlx::query(
                            "INSERT INTO hl7_results (id, source, patient, created, due, message, image)
                             VALUES ($1, $2, $3, $4, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
                        )
                        .bind(&message.id)
                        .bind(&message.source)
                        .bind(&message.patient)
                        .bind(message.created)
                        .bind(&message.message)
                        .bind(&message.image)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    for result in answer.results {
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
                        .bind(answer.due)
                        .bind(&result.metadata)
                        .bind(&result.file[..])
                        .bind(&result.image)
                        .execute(&mut *transaction)
                        .await
                        .map_err($error)?;
                    }
                    transaction.commit().await.map_err($error)?;
                    self.erased();
                    Ok(Kept::Yes)
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
