//! `train evaluate-recommender`: reads interactions from a CSV file and reports how well the
//! recommender would have done on them.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use recommend::{
    CsvTable, Interaction, InteractionColumns, InteractionLine, InteractionReader, Options, Prediction,
    Settings, Similarity, Split, clock, compare_predictions, evaluate,
};

/// Settings of `train evaluate-recommender`.
#[derive(Debug, Clone, clap::Args)]
pub struct EvaluationOptions {
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
    /// What is held out: leave-one-out, or ratio:R with R between 0 and 1
    #[arg(long, env = "MEDSERVE_HELD_OUT", default_value = "leave-one-out")]
    pub split: Split,
    /// Number of items recommended
    #[arg(long, env = "MEDSERVE_K", default_value = "10")]
    pub k: NonZeroUsize,
    /// cosine, pearson or euclidean
    #[arg(long, env = "MEDSERVE_SIMILARITY", default_value = "cosine")]
    pub similarity: Similarity,
    /// Number of neighbors; default: the server's
    #[arg(long, env = "MEDSERVE_NEIGHBORS")]
    pub neighbors: Option<NonZeroUsize>,
    /// Predictions made elsewhere (columns user_id, item_id, prediction): compare with them instead
    #[arg(long, env = "MEDSERVE_ORACLE")]
    pub oracle: Option<PathBuf>,
    /// Seed of what is held out
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
}

/// The report: metrics beside popularity and random, or the comparison with an oracle.
///
/// # Errors
/// A file that cannot be read, with line and column.
pub fn report(options: &EvaluationOptions) -> Result<serde_json::Value> {
    let columns = InteractionColumns {
        user: options.user_column.clone(),
        item: options.item_column.clone(),
        weight: options.weight_column.clone(),
        time: options.time_column.clone(),
        event: "interaction".to_string(),
        no_item: options.no_item.clone(),
    };
    let path = &options.interactions;
    let read =
        File::open(path).map_err(anyhow::Error::from).and_then(|file| read_interactions(file, &columns));
    let interactions = read.with_context(|| format!("in {}", path.display()))?;
    let mut settings = Settings::default();
    settings.neighbors = options.neighbors.map_or(settings.neighbors, NonZeroUsize::get);
    if let Some(oracle) = &options.oracle {
        let predictions = read_predictions(oracle).with_context(|| format!("in {}", oracle.display()))?;
        return Ok(serde_json::to_value(compare_predictions(&interactions, &predictions, settings.raters))?);
    }
    let options = Options {
        split: options.split,
        k: options.k.get(),
        similarity: options.similarity,
        settings,
        seed: options.seed,
    };
    Ok(serde_json::to_value(evaluate(&interactions, &options))?)
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

/// Reads predictions to compare with: columns `user_id`, `item_id` and `prediction`.
fn read_predictions(path: &Path) -> Result<Vec<Prediction>> {
    let mut table = CsvTable::new(File::open(path)?)?;
    let (user, item) = (table.column("user_id")?, table.column("item_id")?);
    let rating = table.column("prediction")?;
    let mut predictions = Vec::new();
    while let Some(row) = table.next_row()? {
        predictions.push(Prediction {
            user_id: row.get(user).to_owned(),
            item_id: row.get(item).to_owned(),
            rating: row.get(rating).parse().map_err(|_| row.error("column prediction is not a number"))?,
        });
    }
    Ok(predictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> InteractionColumns {
        InteractionColumns {
            user: "person".into(),
            item: "drug".into(),
            weight: Some("days".into()),
            time: None,
            event: "interaction".to_string(),
            no_item: vec!["99999".into()],
        }
    }

    #[test]
    fn rows_without_an_item_are_left_out() {
        let text = "person,days,drug\n1,2,a\n1,3,\n2,1,99999\n2,0.5,b c\n";
        let read = read_interactions(text.as_bytes(), &columns()).unwrap();
        let read: Vec<_> = read.iter().map(|e| (e.user_id.as_str(), e.item_id.as_str(), e.weight)).collect();
        assert_eq!(read, [("1", "a", 2.0), ("2", "b c", 0.5)]);
    }

    #[test]
    fn nothing_is_not_recommended_by_nobody() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            options: EvaluationOptions,
        }
        let given = |more: [&str; 2]| {
            let columns = ["train", "--interactions", "f.csv", "--user-column", "u", "--item-column", "i"];
            <Cli as clap::Parser>::try_parse_from(columns.into_iter().chain(more)).map(|cli| cli.options)
        };
        assert_eq!(given(["--k", "3"]).map(|options| options.k.get()).unwrap(), 3);
        assert!(given(["--k", "0"]).is_err() && given(["--neighbors", "0"]).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let error = |text: &str| read_interactions(text.as_bytes(), &columns()).unwrap_err().to_string();
        assert_eq!(
            error("person,days,drug\n1,2,a\n1,-3,b\n"),
            "line 3: column days must be a finite number above 0"
        );
        assert_eq!(
            error("person,days,what\n1,2,a\n"),
            "there is no column \"drug\"; the columns are person, days, what"
        );
        assert_eq!(error("person,days,drug\n,2,a\n"), "line 2: column person must not be empty");
        assert_eq!(error("person,days,drug\n"), "there are no interactions");
    }
}
