//! Recommenders: measured (`evaluate`) and fitted (`train`) on interactions from a CSV file.

pub mod choose;
pub mod circumstances;
pub mod ease;
pub mod evaluate;
pub mod head;
pub mod inverse;
pub mod train;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use recommend::{Interaction, InteractionColumns, InteractionLine, InteractionReader, clock};

pub use evaluate::{EvaluationOptions, report};

/// A file of interactions and what its columns are.
#[derive(Debug, Clone, clap::Args)]
pub struct InteractionOptions {
    /// CSV file with a header
    #[arg(long, env = "MEDSERVE_INTERACTIONS")]
    pub interactions: PathBuf,
    /// Column of the user's identifier
    #[arg(long, env = "MEDSERVE_USER_COLUMN")]
    pub user_column: String,
    /// Column of the item's identifier
    #[arg(long, env = "MEDSERVE_ITEM_COLUMN")]
    pub item_column: String,
    /// Column of the weight or rating; default: every interaction weighs 1
    #[arg(long, env = "MEDSERVE_WEIGHT_COLUMN")]
    pub weight_column: Option<String>,
    /// Column of the time: dates, RFC 3339, or seconds or milliseconds since 1970
    #[arg(long, env = "MEDSERVE_TIME_COLUMN")]
    pub time_column: Option<String>,
    /// Values of the item column that stand for no item, such as a survey's code for "refused"
    #[arg(long, env = "MEDSERVE_NO_ITEM", value_delimiter = ',')]
    pub no_item: Vec<String>,
}

impl InteractionOptions {
    fn columns(&self) -> InteractionColumns {
        InteractionColumns {
            user: self.user_column.clone(),
            item: self.item_column.clone(),
            weight: self.weight_column.clone(),
            time: self.time_column.clone(),
            event: "interaction".to_string(),
            no_item: self.no_item.clone(),
        }
    }

    /// The interactions of the file.
    ///
    /// # Errors
    /// A file that cannot be read, with line and column.
    pub fn read(&self) -> Result<Vec<Interaction>> {
        self.read_file(&self.interactions)
    }

    /// Those of another file with the same columns.
    ///
    /// # Errors
    /// A file that cannot be read, with line and column.
    pub fn read_file(&self, path: &Path) -> Result<Vec<Interaction>> {
        let file = File::open(path).map_err(anyhow::Error::from);
        let read = file.and_then(|file| read_interactions(file, &self.columns()));
        read.with_context(|| format!("in {}", path.display()))
    }
}

fn read_interactions(file: impl Read, columns: &InteractionColumns) -> Result<Vec<Interaction>> {
    let mut reader = InteractionReader::new(file, columns, clock::now())?;
    let mut interactions = Vec::new();
    while let Some((_, told)) = reader.next_line()? {
        if let InteractionLine::Interaction(interaction) = told {
            interactions.push(interaction);
        }
    }
    if interactions.is_empty() {
        bail!("there are no interactions");
    }
    Ok(interactions)
}
