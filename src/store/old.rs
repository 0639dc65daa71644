//! Dropping what is older than it need be: results that were sent, failures that were seen, suggestions of old cards.
//! Each part of the store names its statements; how they are run is the same for all of them and for both databases.

/// Gives the adapter of one database its `drop_old`: its type, and how it names an error.
macro_rules! old_adapter {
    ($store:ty, $error:path) => {
        impl $store {
            /// Runs statements that delete what is from before a moment, `$1`, and says how much that was. What erasing
            /// leaves behind is seen to where there was any.
            async fn drop_old(
                &self,
                statements: &[&'static str],
                before: recommend::Millis,
            ) -> Result<u64, crate::store::StoreError> {
                let _turn = self.turn().await?;
                let mut gone = 0;
                for statement in statements {
                    let done =
                        sqlx::query(*statement).bind(before).execute(&self.pool).await.map_err($error)?;
                    gone += done.rows_affected();
                }
                if gone > 0 {
                    self.erased();
                }
                Ok(gone)
            }
        }
    };
}
pub(in crate::store) use old_adapter;
