//! stub
pub struct EvidenceOptions; pub enum Repeats { Sum }
#[derive(Debug)] pub struct PostgresEvidence;
impl PostgresEvidence { pub async fn new(_p: sqlx::PgPool, _o: &EvidenceOptions) -> Result<Self, crate::store::StoreError> { Ok(Self) } }
