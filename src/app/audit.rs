//! The audit's key, and `medserve audit`: to verify the chain, to export it, to sign its end.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::backup::beside;
use crate::config::{self, AuditMode, Config};
use crate::store::audit::export;
use crate::store::audit::verify::{self, Verified};
use crate::store::import::Lined;
use crate::store::{self, AuditKey, Naming, Store, StoreError, StoreOptions};
use crate::telemetry::of_tenant;

/// What is done with the audit.
#[derive(Debug, clap::Subcommand)]
pub enum Audit {
    /// Compare every row with the chain and its signed end; the exit status is the answer
    Verify {
        /// An export to check in place of the database, without access to it
        #[arg(long, requires = "public_key")]
        export: Option<PathBuf>,
        /// An earlier export, or its last line, which the audit of the database must go on from
        #[arg(long, conflicts_with = "export")]
        since: Option<PathBuf>,
        /// Public key that the export must be signed by, as `verify` prints it; with --since by default the key of now
        #[arg(long)]
        public_key: Option<String>,
    },
    /// Write the rows as JSON lines, the last of which signs the others
    Export {
        /// File to write; default: standard output
        #[arg(long)]
        out: Option<PathBuf>,
        /// Only rows numbered above this
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
    /// Sign the end of the chain as it is, after the key was changed, or something was looked into
    Sign,
    /// Print a new secret for --audit-key-file
    Key,
}

impl Audit {
    /// Whether it looks at a database.
    pub fn needs_database(&self) -> bool {
        !matches!(self, Audit::Key | Audit::Verify { export: Some(_), .. })
    }
}

/// The key of the audit, from its file or from the database; and a look at whether the audit is in
/// order. What is not is logged, and where answers wait for the audit ends the start.
///
/// # Errors
/// A database that does not answer; with [`AuditMode::Fail`] an audit that is not in order.
pub async fn open(config: &Config, tenant: &str, store: &dyn Store) -> Result<Arc<AuditKey>> {
    let key = key(config.audit_secret, tenant, config.audit_people, store).await?;
    let mut problems: Vec<String> = store.missing_audit_guards().await?;
    problems.iter_mut().for_each(|guard| *guard = format!("its trigger {guard} is not there as it was made"));
    let foreign = store.foreign_audit_triggers().await?.into_iter();
    problems.extend(foreign.map(|name| format!("a trigger {name} on it was made by no migration")));
    problems.extend(begin(store, &key).await?.err().map(|error| error.to_string()));
    for problem in &problems {
        tracing::error!(problem, "the audit is not in order");
    }
    metrics::gauge!("medserve_audit_problems", of_tenant(tenant, [])).set(problems.len() as f64);
    if config.audit == AuditMode::Fail && !problems.is_empty() {
        bail!("the audit is not in order, and answers wait for it: {}", problems.join("; "));
    }
    Ok(Arc::new(key))
}

/// Looks at the end of the chain, and signs it where nothing was ever written: from then on one that nobody has signed is
/// that of an audit which was emptied.
async fn begin(store: &dyn Store, key: &AuditKey) -> Result<Result<(), StoreError>, StoreError> {
    let head = store.audit_head().await?;
    let signed = !head.signature.is_empty() && head.is_signed_by(key);
    if signed || !head.is_empty() {
        return Ok(head.check(key));
    }
    // Before the first row also one that was signed by another key, as where the first start had no file.
    let checked = head.check_new(&store.audit_traces().await?);
    if checked.is_ok()
        && let Err(error) = store.sign_audit(key).await
    {
        // Where the database takes no writes now the first row signs it.
        tracing::warn!(%error, "the audit's beginning was not signed");
    }
    Ok(checked)
}

/// Signs the end of an audit that nothing was ever written to, as a server does at its first start: before a command fills
/// a database that no server has opened yet, which would else look like one whose audit was emptied.
pub(super) async fn begin_for_command(store: &dyn Store) -> Result<()> {
    let head = store.audit_head().await?;
    if head.is_empty() && head.signature.is_empty() {
        let key = key(None, "", Naming::Pseudonym, store).await?;
        // What is wrong with an older database the server says, and `verify`.
        let _ = begin(store, &key).await?;
    }
    Ok(())
}

async fn key(secret: Option<[u8; 32]>, tenant: &str, naming: Naming, store: &dyn Store) -> Result<AuditKey> {
    let secret = match secret {
        Some(secret) if tenant.is_empty() => secret,
        // Each tenant has a key of its own, so that an export of one does not pass for one of another,
        // and the same person is not named the same in both.
        Some(secret) => Sha256::new()
            .chain_update("medserve audit of the tenant ")
            .chain_update(tenant)
            .chain_update([0])
            .chain_update(secret)
            .finalize()
            .into(),
        None => {
            let kept = store.audit_secret(&hex::encode(rand::random::<[u8; 32]>())).await?;
            let mut secret = [0; 32];
            hex::decode_to_slice(&kept, &mut secret).context("the audit's secret in the database is none")?;
            secret
        }
    };
    Ok(AuditKey::new(secret, naming))
}

/// Carries out a command on the audit of the tenant whose database is at `url`.
///
/// # Errors
/// A database or a file that cannot be read; an audit that is not as it was written.
pub fn run(url: &str, tenant: &str, key_file: Option<&str>, what: Audit) -> Result<()> {
    Runtime::new()?.block_on(carry_out(url, tenant, key_file, what))
}

async fn carry_out(url: &str, tenant: &str, key_file: Option<&str>, what: Audit) -> Result<()> {
    let secret = key_file.map(config::read_audit_secret).transpose().map_err(anyhow::Error::msg)?;
    match what {
        Audit::Key => {
            println!("{}", hex::encode(rand::random::<[u8; 32]>()));
            return Ok(());
        }
        Audit::Verify { export: Some(file), public_key, .. } => {
            let seal = export::verify_export(read(&file)?, &public_key.unwrap_or_default())
                .with_context(|| file.display().to_string())?;
            println!("{} rows up to number {}: as they were exported", seal.rows, seal.last);
            return Ok(());
        }
        _ => {}
    }
    let store = store::connect(url, &StoreOptions::default()).await.context("opening the database")?;
    let key = key(secret, tenant, Naming::Pseudonym, store.as_ref()).await?;
    let done = match what {
        Audit::Verify { since, public_key, .. } => {
            let mut result = verify::verify(store.as_ref(), &key).await?;
            if let Some(file) = since {
                let seal = export::read_seal(read(&file)?, &public_key.unwrap_or_else(|| key.public()))
                    .with_context(|| file.display().to_string())?;
                verify::goes_on(store.as_ref(), &seal, &mut result).await?;
            }
            verified(&result, &key)
        }
        Audit::Export { out: Some(file), after } => {
            // Under its name only when it is whole: it may take the place of an earlier one.
            let pipe = fs::metadata(&file).is_ok_and(|there| !there.is_file());
            let partial = if pipe { file.clone() } else { beside(&file, ".partial") };
            let mut options = fs::OpenOptions::new();
            let opened = options.write(true).create(true).truncate(!pipe).mode(0o600).open(&partial);
            let opened = opened.with_context(|| partial.display().to_string())?;
            let seal = export::export(store.as_ref(), &key, after, BufWriter::new(&opened)).await?;
            if !pipe {
                opened.sync_all()?;
                fs::rename(&partial, &file).with_context(|| file.display().to_string())?;
            }
            println!("{} rows up to number {}", seal.rows, seal.last);
            Ok(())
        }
        Audit::Export { out: None, after } => {
            export::export(store.as_ref(), &key, after, std::io::stdout().lock()).await.map(|_| ())
        }
        Audit::Sign => {
            store.sign_audit(&key).await?;
            println!("the end of the chain is signed by the key {}", key.public());
            Ok(())
        }
        Audit::Key => Ok(()),
    };
    store.close().await;
    done
}

fn read(file: &Path) -> Result<BufReader<Lined<File>>> {
    Ok(BufReader::new(Lined::new(File::open(file).with_context(|| file.display().to_string())?)))
}

fn verified(result: &Verified, key: &AuditKey) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} rows fit the chain; public key {}", result.rows, key.public())?;
    if result.older > 0 {
        writeln!(out, "{} rows are older than the chain, and nothing is known of them", result.older)?;
    }
    for finding in &result.findings {
        writeln!(out, "- {finding}")?;
    }
    if result.more > 0 {
        writeln!(out, "- and {} more", result.more)?;
    }
    ensure!(result.findings.is_empty(), "the audit is not as it was written");
    Ok(())
}
