//! `medserve import`: files into the database, with a progress bar, all of a file or nothing.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

use super::import_fhir::{FhirReport, import_fhir};
use crate::store::import::{
    ImportReport, Progress, default_event, import_cases, import_interactions, import_items,
    import_terminology, import_users,
};
use crate::store::{self, StoreOptions};
use recommend::clock;
use recommend::{InteractionColumns, Kind};

/// What is imported.
#[derive(Debug, clap::Subcommand)]
pub enum Import {
    /// Interactions from a CSV file with a header
    Interactions {
        /// The file
        file: PathBuf,
        /// Kind of all items of the file: hospital, doctor, pharmacy, drug or advice
        #[arg(long)]
        kind: Kind,
        /// Column of the user's identifier
        #[arg(long)]
        user_column: String,
        /// Column of the item's identifier
        #[arg(long)]
        item_column: String,
        /// Column of the weight; default: every weight is 1
        #[arg(long)]
        weight_column: Option<String>,
        /// Column of the time; default: every time is 1970-01-01
        #[arg(long)]
        time_column: Option<String>,
        /// Event that all rows tell of; default: what usually happens with items of the kind
        #[arg(long)]
        event: Option<String>,
        /// Values of the item column that stand for no item, such as a survey's code for "refused"
        #[arg(long, value_delimiter = ',')]
        no_item: Vec<String>,
    },
    /// Users from a file of JSON lines
    Users {
        /// The file
        file: PathBuf,
    },
    /// Items from a file of JSON lines
    Items {
        /// The file
        file: PathBuf,
    },
    /// Cases, texts to be found again, from a file of JSON lines
    Cases {
        /// The file
        file: PathBuf,
    },
    /// Electronic records: a FHIR R4 Bundle, a Bulk Data file (NDJSON), or a folder of them
    Fhir {
        /// The file or the folder
        file: PathBuf,
    },
    /// Terms from a CSV file with a header: drugs, classes, allergens and conditions with their
    /// synonyms and codes
    Terminology {
        /// The file
        file: PathBuf,
    },
}

impl Import {
    fn file(&self) -> &Path {
        match self {
            Import::Interactions { file, .. }
            | Import::Users { file }
            | Import::Items { file }
            | Import::Cases { file }
            | Import::Fhir { file }
            | Import::Terminology { file } => file,
        }
    }
}

/// What an import did.
#[derive(Debug)]
pub enum Imported {
    /// Rows of a file.
    Rows(ImportReport),
    /// Electronic records.
    Records(FhirReport),
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Imported::Rows(report) => report.fmt(f),
            Imported::Records(report) => report.fmt(f),
        }
    }
}

/// Imports a file into the database at `url`.
///
/// # Errors
/// A file that cannot be read, the first row that is wrong with its line, a database that does
/// not answer. Nothing of the file is in the database then. Of a tenant that is named nowhere, `unnamed`, also a
/// database that is not there: no server would ever look into what a slip of the pen has made.
pub fn run(url: &str, unnamed: Option<&str>, what: Import) -> Result<Imported> {
    Runtime::new()?.block_on(async {
        if let Some(tenant) = unnamed
            && !store::is_there(url).await.context("looking for the database")?
        {
            bail!(
                "there is no tenant \"{tenant}\": it has no database yet, and --tenants does not name it. To make it, name it \
                 in the server's --config or in MEDSERVE_TENANTS"
            );
        }
        import(url, what).await
    })
}

async fn import(url: &str, what: Import) -> Result<Imported> {
    let path = what.file().to_path_buf();
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    // Of a folder the length says nothing.
    let bar = ProgressBar::new(if path.is_dir() { 0 } else { file.metadata()?.len() });
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left") {
        bar.set_style(style);
    }
    let mut progress = |progress: Progress| {
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} rows", progress.rows));
    };
    let store = store::connect(url, &StoreOptions::default()).await.context("opening the database")?;
    super::audit::begin_for_command(store.as_ref()).await?;
    let now = clock::now();
    let result = match what {
        Import::Fhir { .. } => {
            let report = import_fhir(store.as_ref(), &path, now, &bar).await;
            bar.finish_and_clear();
            store.close().await;
            return report.map(Imported::Records);
        }
        Import::Users { .. } => import_users(store.as_ref(), file, now, &mut progress).await,
        Import::Items { .. } => import_items(store.as_ref(), file, &mut progress).await,
        Import::Cases { .. } => import_cases(store.as_ref(), file, &mut progress).await,
        Import::Terminology { .. } => import_terminology(store.as_ref(), file).await,
        Import::Interactions {
            kind,
            user_column,
            item_column,
            weight_column,
            time_column,
            event,
            no_item,
            ..
        } => {
            let columns = InteractionColumns {
                user: user_column,
                item: item_column,
                weight: weight_column,
                time: time_column,
                event: event.unwrap_or_else(|| default_event(kind).to_string()),
                no_item,
            };
            import_interactions(store.as_ref(), file, kind, &columns, now, &mut progress).await
        }
    };
    bar.finish_and_clear();
    store.close().await;
    let report = result.with_context(|| format!("{}: nothing was imported", path.display()))?;
    Ok(Imported::Rows(report))
}
