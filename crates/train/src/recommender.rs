//! `train evaluate-recommender`: reads interactions from a CSV file and reports how well the
//! recommender would have done on them.

use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use recommend::evaluate::{Event, Options, Prediction, Split, compare_predictions, evaluate};
use recommend::recommender::Settings;
use recommend::source::Similarity;

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
    /// Column of the time, in whole numbers that grow
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
    let columns = Columns {
        user: options.user_column.clone(),
        item: options.item_column.clone(),
        weight: options.weight_column.clone(),
        time: options.time_column.clone(),
        drop_items: options.no_item.clone(),
    };
    let events = read_events(&options.interactions, &columns)?;
    let settings = Settings::default();
    if let Some(oracle) = &options.oracle {
        return Ok(serde_json::to_value(compare_predictions(
            &events,
            &read_predictions(oracle)?,
            settings.raters,
        ))?);
    }
    let options = Options {
        split: options.split,
        k: options.k.get(),
        similarity: options.similarity,
        neighbors: options.neighbors.map_or(settings.neighbors, NonZeroUsize::get),
        scoring: settings.scoring,
        raters: settings.raters,
        weighing: settings.weighing,
        seed: options.seed,
    };
    Ok(serde_json::to_value(evaluate(&events, &options))?)
}

/// Which columns of a file hold what, by the names in its header.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    pub user: String,
    pub item: String,
    /// Without one, every interaction weighs 1.
    pub weight: Option<String>,
    /// Whole numbers that grow with time. Without one, order in time is not known.
    pub time: Option<String>,
    /// Values of the item column that stand for no item, such as "refused"; their rows are left
    /// out.
    pub drop_items: Vec<String>,
}

/// Reads interactions. Errors name the file, the line and the column.
pub fn read_events(path: &Path, columns: &Columns) -> Result<Vec<Event>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    events_from(file, columns).with_context(|| format!("in {}", path.display()))
}

fn events_from(input: impl Read, columns: &Columns) -> Result<Vec<Event>> {
    let mut reader = csv::Reader::from_reader(input);
    let header = reader.headers()?.clone();
    let user = position(&header, &columns.user)?;
    let item = position(&header, &columns.item)?;
    let weight = columns.weight.as_deref().map(|name| position(&header, name)).transpose()?;
    let time = columns.time.as_deref().map(|name| position(&header, name)).transpose()?;
    let mut events = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        let (user_id, item_id) = (field(user), field(item));
        if user_id.is_empty() {
            bail!("line {line}: column {:?} is empty", columns.user);
        }
        if item_id.is_empty() || columns.drop_items.iter().any(|drop| drop == item_id) {
            continue;
        }
        let weight = match weight {
            None => 1.0,
            Some(at) => match field(at).parse::<f32>() {
                Ok(weight) if weight.is_finite() && weight > 0.0 => weight,
                _ => bail!("line {line}: weight {:?} is not a finite number above 0", field(at)),
            },
        };
        let time = match time {
            None => 0,
            Some(at) => field(at)
                .parse()
                .with_context(|| format!("line {line}: time {:?} is not a whole number", field(at)))?,
        };
        events.push(Event { user_id: user_id.to_owned(), item_id: item_id.to_owned(), weight, time });
    }
    if events.is_empty() {
        bail!("there are no interactions");
    }
    Ok(events)
}

/// Reads predictions to compare with: columns `user_id`, `item_id` and `prediction`.
pub fn read_predictions(path: &Path) -> Result<Vec<Prediction>> {
    let read = || -> Result<Vec<Prediction>> {
        let mut reader = csv::Reader::from_path(path)?;
        let header = reader.headers()?.clone();
        let user = position(&header, "user_id")?;
        let item = position(&header, "item_id")?;
        let rating = position(&header, "prediction")?;
        let mut predictions = Vec::new();
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = |at: usize| record.get(at).unwrap_or_default().trim();
            predictions.push(Prediction {
                user_id: field(user).to_owned(),
                item_id: field(item).to_owned(),
                rating: field(rating).parse().with_context(|| {
                    format!("line {line}: prediction {:?} is not a number", field(rating))
                })?,
            });
        }
        Ok(predictions)
    };
    read().with_context(|| format!("in {}", path.display()))
}

fn position(header: &csv::StringRecord, name: &str) -> Result<usize> {
    let found = header.iter().position(|column| column.trim() == name);
    found.with_context(|| {
        let columns: Vec<&str> = header.iter().collect();
        format!("there is no column {name:?}; the columns are {}", columns.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns {
            user: "person".into(),
            item: "drug".into(),
            weight: Some("days".into()),
            time: None,
            drop_items: vec!["99999".into()],
        }
    }

    #[test]
    fn rows_without_an_item_are_left_out() {
        let text = "person,days,drug\n1,2,a\n1,3,\n2,1,99999\n2,0.5,b c\n";
        let events = events_from(text.as_bytes(), &columns()).unwrap();
        let read: Vec<_> =
            events.iter().map(|e| (e.user_id.as_str(), e.item_id.as_str(), e.weight)).collect();
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
        let error = |text: &str| events_from(text.as_bytes(), &columns()).unwrap_err().to_string();
        assert_eq!(
            error("person,days,drug\n1,2,a\n1,-3,b\n"),
            "line 3: weight \"-3\" is not a finite number above 0"
        );
        assert_eq!(
            error("person,days,what\n1,2,a\n"),
            "there is no column \"drug\"; the columns are person, days, what"
        );
        assert_eq!(error("person,days,drug\n,2,a\n"), "line 2: column \"person\" is empty");
        assert_eq!(error("person,days,drug\n"), "there are no interactions");
    }
}
