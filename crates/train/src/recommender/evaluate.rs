//! `train evaluate-recommender`: reads interactions from a CSV file and reports how well the
//! recommender would have done on them.

use std::cell::RefCell;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use recommend::{
    Candidate, CsvTable, DrugLists, Groups, HeldOut, Interaction, Item, Partition, Prediction, Scoring,
    Settings, Similarity, Split, Unknown, User, clock, compare_predictions, measure, rank_by_neighbors,
};

use super::InteractionOptions;
use super::choose::{Choice, NeighborSettings, Ranking, known_events};
use super::circumstances::{CircumstanceOptions, Circumstances, json_lines};
use super::ease::{Ease, EaseSettings};
use super::head::{Head, Lifts};
use super::train::check_memory;

/// What recommends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// Neighbors by the options given
    Cosine,
    /// Neighbors: similarity, number and amplification chosen on a held-out part
    Neighbors,
    /// Weights between items in closed form, settings chosen on a held-out part unless given, with a
    /// ranking model over circumstances and popularity where that does better there
    Ease,
    /// The better of the last two on a held-out part
    Auto,
}

/// What is done about drugs where something is not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Missing {
    /// Recommend none
    Abstain,
    /// Treat it as none
    Allow,
}

/// Settings of `train evaluate-recommender`.
#[derive(Debug, Clone, clap::Args)]
pub struct EvaluationOptions {
    #[command(flatten)]
    pub file: InteractionOptions,
    #[command(flatten)]
    pub circumstances: CircumstanceOptions,
    /// What recommends
    #[arg(long, env = "MEDSERVE_RECOMMENDER_ARCH", value_enum, default_value = "cosine")]
    pub arch: Arch,
    /// What is held out: leave-one-out, ratio:R, or time:R (each person's latest), R between 0 and 1
    #[arg(long, env = "MEDSERVE_HELD_OUT", default_value = "leave-one-out")]
    pub split: Split,
    /// File of what is held out, with the same columns: somebody else's split, in place of --split
    #[arg(long, env = "MEDSERVE_TEST")]
    pub test: Option<PathBuf>,
    /// Folder to write the split to, as train.csv and test.csv (user_id, item_id, weight)
    #[arg(long, env = "MEDSERVE_SPLIT_OUT")]
    pub split_out: Option<PathBuf>,
    /// CSV file of what is known of people, with the same column of their identifier
    #[arg(long, env = "MEDSERVE_GROUPS", requires = "group_columns")]
    pub groups: Option<PathBuf>,
    /// Columns of that file that metrics are given by, such as sex,age; numbers of more than twelve
    /// values are taken in tens
    #[arg(long, env = "MEDSERVE_GROUP_COLUMNS", value_delimiter = ',', requires = "groups")]
    pub group_columns: Vec<String>,
    /// JSON lines of drugs, as `medserve import items` reads them: lists are measured before and after
    /// their rules. What a person takes is what is known of the person's items; allergies and
    /// conditions are those of --people
    #[arg(long, env = "MEDSERVE_RULES")]
    pub rules: Option<PathBuf>,
    /// Of --rules, what is done where allergies or whatever a rule needs are not recorded: abstain, as
    /// the server does, or allow
    #[arg(long, env = "MEDSERVE_UNKNOWN", value_enum, default_value = "abstain", requires = "rules")]
    pub unknown: Missing,
    /// Number of items recommended
    #[arg(long, env = "MEDSERVE_K", default_value = "10")]
    pub k: NonZeroUsize,
    /// cosine, pearson or euclidean
    #[arg(long, env = "MEDSERVE_SIMILARITY", default_value = "cosine")]
    pub similarity: Similarity,
    /// Number of neighbors; default: the server's
    #[arg(long, env = "MEDSERVE_NEIGHBORS")]
    pub neighbors: Option<NonZeroUsize>,
    /// Power that similarities are raised to in a score; default: the server's
    #[arg(long, env = "MEDSERVE_AMPLIFICATION")]
    pub amplification: Option<f64>,
    /// Take weights for ratings and predict them, as the setting scoring = "explicit" does
    #[arg(long, env = "MEDSERVE_EXPLICIT")]
    pub explicit: bool,
    /// Of --explicit, the raters of an item that count; default: the server's
    #[arg(long, env = "MEDSERVE_RATERS")]
    pub raters: Option<NonZeroUsize>,
    /// Of --explicit, the least raters; default: the server's
    #[arg(long, env = "MEDSERVE_MIN_RATERS")]
    pub min_raters: Option<NonZeroUsize>,
    /// Of --explicit, how far few raters are believed; default: the server's
    #[arg(long, env = "MEDSERVE_SHRINKAGE")]
    pub shrinkage: Option<f64>,
    /// Of ease, the penalty; default: chosen on a held-out part, with the base and the dropout
    #[arg(long, env = "MEDSERVE_LAMBDA")]
    pub lambda: Option<f64>,
    /// Predictions made elsewhere (columns user_id, item_id, prediction): compare with them instead
    #[arg(long, env = "MEDSERVE_ORACLE")]
    pub oracle: Option<PathBuf>,
    /// Seed of what is held out
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
}

impl EvaluationOptions {
    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::default();
        let number = |given: Option<NonZeroUsize>, other| given.map_or(other, NonZeroUsize::get);
        settings.neighbors = number(self.neighbors, settings.neighbors);
        settings.amplification = self.amplification.unwrap_or(settings.amplification);
        settings.raters = number(self.raters, settings.raters);
        settings.min_raters = number(self.min_raters, settings.min_raters);
        settings.unknown = match self.unknown {
            Missing::Abstain => Unknown::Abstain,
            Missing::Allow => Unknown::Allow,
        };
        settings.shrinkage = self.shrinkage.unwrap_or(settings.shrinkage);
        if self.explicit {
            settings.scoring = Scoring::Explicit;
            settings.weighing.repeats = recommend::Repeats::Last;
        }
        let problems = settings.validate(false);
        ensure!(problems.is_empty(), "{}", problems.join("; "));
        Ok(settings)
    }

    /// The rules that lists are measured by, where they are given.
    fn drug_lists(&self, partition: &Partition, settings: &Settings) -> Result<Option<DrugLists>> {
        let Some(file) = &self.rules else { return Ok(None) };
        let now = clock::now();
        let drugs = json_lines(file, |item: &Item| item.validate(""))?;
        let people = match &self.circumstances.people {
            Some(file) => json_lines(file, |user: &User| user.validate("", now))?,
            None => Vec::new(),
        };
        let lists = DrugLists::new(drugs, people, &partition.known, settings, self.k.get(), now);
        ensure!(
            lists.known_drugs() > 0,
            "{}: none of its drugs is among the items of {}",
            file.display(),
            self.file.interactions.display()
        );
        Ok(Some(lists))
    }

    fn partition(&self, interactions: &[Interaction], settings: &Settings) -> Result<Partition> {
        if let Some(test) = &self.test {
            let partition = Partition::given(interactions, &self.file.read_file(test)?, &settings.weighing);
            ensure!(
                !partition.held_out.is_empty(),
                "{}: every pair of it is in {} as well, so nothing is held out",
                test.display(),
                self.file.interactions.display()
            );
            return Ok(partition);
        }
        if let Split::Time(_) = self.split {
            ensure!(
                self.file.time_column.is_some(),
                "--split time needs --time-column, to know what came last"
            );
            let first = interactions[0].time;
            ensure!(
                interactions.iter().any(|event| event.time != first),
                "--split time: every interaction has the same time, so nothing came last"
            );
        }
        let partition = Partition::new(interactions, self.split, self.seed, &settings.weighing);
        ensure!(
            !partition.held_out.is_empty(),
            "{}: there is nobody with two items, so nothing is held out and nothing can be measured",
            self.file.interactions.display()
        );
        Ok(partition)
    }
}

/// The report: metrics beside popularity and random, or the comparison with an oracle.
///
/// # Errors
/// A file that cannot be read, with line and column; settings that cannot be meant; weights that
/// do not fit into memory.
pub fn report(options: &EvaluationOptions) -> Result<Value> {
    let interactions = options.file.read()?;
    let settings = options.settings()?;
    if let Some(oracle) = &options.oracle {
        let predictions = read_predictions(oracle).with_context(|| format!("in {}", oracle.display()))?;
        return Ok(serde_json::to_value(compare_predictions(&interactions, &predictions, settings.raters))?);
    }
    let partition = options.partition(&interactions, &settings)?;
    let circumstances = Circumstances::read(&options.circumstances, &options.file, None)?.unwrap_or_default();
    if let Some(folder) = &options.split_out {
        write_split(folder, &partition).with_context(|| format!("in {}", folder.display()))?;
    }
    if matches!(options.arch, Arch::Ease | Arch::Auto) {
        check_memory(partition.known.items.len(), None)?;
    }
    let groups = match &options.groups {
        Some(file) => read_groups(file, &options.file.user_column, &options.group_columns)
            .with_context(|| format!("in {}", file.display()))?,
        None => circumstances.groups(partition.held_out.iter().map(|case| case.user_id.as_str())),
    };
    let lists = options.drug_lists(&partition, &settings)?.map(RefCell::new);
    let (k, seed, known) = (options.k.get(), options.seed, &partition.known);
    let measured = |rank: &dyn Fn(&HeldOut) -> Vec<Candidate>| {
        let mut problem = None;
        let report = measure(&partition, k, seed, &groups, &mut |case| {
            let candidates = rank(case);
            if let Some(lists) = &lists {
                problem = lists.borrow_mut().add(case, &candidates).err().or(problem.take());
            }
            candidates
        });
        problem.map_or(Ok(report), |problem| Err(anyhow::Error::from(problem)))
    };
    let neighbors = |similarity, settings: &Settings| {
        measured(&|case| rank_by_neighbors(known, case, similarity, settings))
    };
    let split = if options.test.is_some() { Split::Ratio(0.2) } else { options.split };
    // Drawn apart from what is held out.
    let choose_by = seed ^ 0x63686f6f7365;
    let choice = || Choice::new(&known_events(&partition), split, k, choose_by, &settings, &circumstances);
    let by_neighbors = |chosen: NeighborSettings| -> Result<(Value, _)> {
        let report = neighbors(chosen.similarity, &chosen.settings(&settings))?;
        Ok((json!({"arch": "neighbors", "chosen": chosen}), report))
    };
    let by_weights = |chosen: EaseSettings, head: Option<Head>| -> Result<(Value, _)> {
        let ease = Ease::fit(known, chosen, &circumstances)?;
        let head = head.map(|head| (head, Lifts::new(known, &circumstances)));
        let coefficients = head.as_ref().map(|(head, lifts)| head.by_name(lifts));
        let ranking = Ranking { ease, head, circumstances: &circumstances };
        let report = measured(&|case| ranking.candidates(&partition, case))?;
        Ok((json!({"arch": "ease", "chosen": chosen, "coefficients": coefficients}), report))
    };
    let (about, report) = match options.arch {
        Arch::Cosine => (json!({"arch": "cosine"}), neighbors(options.similarity, &settings)?),
        Arch::Neighbors => by_neighbors(choice()?.neighbors().0)?,
        Arch::Ease => match options.lambda {
            Some(lambda) => {
                ensure!(lambda.is_finite() && lambda > 0.0, "--lambda must be a finite number above 0");
                by_weights(EaseSettings::plain(lambda), None)?
            }
            None => {
                let choice = choice()?;
                let (weights, ..) = choice.weights()?;
                by_weights(weights, choice.head(weights)?.map(|(head, ..)| head))?
            }
        },
        Arch::Auto => {
            let choice = choice()?;
            let (neighbors, _, theirs) = choice.neighbors();
            let (weights, _, ours) = choice.weights()?;
            let head = choice.head(weights)?;
            let ours = head.as_ref().map_or(ours, |(.., goal)| ours.max(*goal));
            if ours > theirs {
                by_weights(weights, head.map(|(head, ..)| head))?
            } else {
                by_neighbors(neighbors)?
            }
        }
    };
    let mut value = serde_json::to_value(report)?;
    if let (Value::Object(members), Value::Object(about)) = (&mut value, about) {
        members.extend(about);
        if let Some(lists) = lists {
            members.insert("drug_lists".to_owned(), serde_json::to_value(lists.into_inner().report())?);
        }
    }
    Ok(value)
}

/// Writes what is known and what is held out, for others to compute from.
fn write_split(folder: &Path, partition: &Partition) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut train = csv::Writer::from_path(folder.join("train.csv"))?;
    let mut test = csv::Writer::from_path(folder.join("test.csv"))?;
    train.write_record(["user_id", "item_id", "weight"])?;
    test.write_record(["user_id", "item_id", "weight"])?;
    for event in known_events(partition) {
        train.write_record([&event.user_id, &event.item_id, &event.weight.to_string()])?;
    }
    for case in &partition.held_out {
        for item in &case.item_ids {
            test.write_record([case.user_id.as_str(), item, "1"])?;
        }
    }
    train.flush()?;
    test.flush()?;
    Ok(())
}

/// The groups that people are in by some columns, as "column: value".
fn read_groups(path: &Path, user_column: &str, columns: &[String]) -> Result<Groups> {
    let mut table = CsvTable::new(File::open(path)?)?;
    let user = table.column(user_column)?;
    let places = columns.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    while let Some(row) = table.next_row()? {
        rows.push((
            row.get(user).to_owned(),
            places.iter().map(|&place| row.get(place).to_owned()).collect(),
        ));
    }
    let mut groups = Groups::new();
    for (place, column) in columns.iter().enumerate() {
        let mut values: Vec<&str> = rows.iter().map(|(_, values)| values[place].as_str()).collect();
        values.sort_unstable();
        values.dedup();
        let number = |text: &str| text.parse::<f64>().ok();
        let in_tens =
            values.len() > 12 && values.iter().all(|value| value.is_empty() || number(value).is_some());
        for (user, values) in &rows {
            let value = match number(&values[place]).filter(|_| in_tens) {
                Some(value) => {
                    format!("{0}-{1}", (value / 10.0).floor() * 10.0, (value / 10.0).floor() * 10.0 + 9.0)
                }
                None if values[place].is_empty() => continue,
                None => values[place].clone(),
            };
            groups.entry(user.clone()).or_default().push(format!("{column}: {value}"));
        }
    }
    if groups.values().flatten().collect::<std::collections::BTreeSet<_>>().len() > 1_000 {
        bail!("there are more than 1000 groups; name columns of few values");
    }
    Ok(groups)
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
    use recommend::InteractionColumns;

    use crate::recommender::read_interactions;

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

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: EvaluationOptions,
    }

    fn try_options(given: &[&str]) -> Result<EvaluationOptions, clap::Error> {
        let columns = ["train", "--user-column", "u", "--item-column", "i"];
        <Cli as clap::Parser>::try_parse_from(columns.iter().chain(given)).map(|cli| cli.options)
    }

    fn options(given: &[&str]) -> EvaluationOptions {
        try_options(given).unwrap()
    }

    #[test]
    fn nothing_is_not_recommended_by_nobody() {
        let given = |more: [&str; 2]| try_options(&[&["--interactions", "f.csv"][..], &more].concat());
        assert_eq!(given(["--k", "3"]).map(|options| options.k.get()).unwrap(), 3);
        assert!(given(["--k", "0"]).is_err() && given(["--neighbors", "0"]).is_err());
    }

    #[test]
    fn nobody_to_evaluate_is_no_measure_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.csv");
        std::fs::write(&file, "u,i\nu1,a\n").unwrap();
        let told = report(&options(&["--interactions", &file.display().to_string()])).unwrap_err();
        assert!(told.to_string().contains("nobody with two items"), "{told}");
    }

    #[test]
    fn lists_of_drugs_are_measured_before_and_after_the_rules() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        // Nine people who have three drugs of four, of which warfarin and aspirin interact.
        let drugs = ["qwarfarin", "qaspirin", "qstatin", "qinsulin"];
        let mut text = String::from("u,i\n");
        let mut people = String::new();
        for person in 0..9 {
            for (place, drug) in drugs.iter().enumerate() {
                if place != person % 4 {
                    text += &format!("p{person},{drug}\n");
                }
            }
            let sex = if person % 2 == 0 { "female" } else { "male" };
            people += &format!(
                "{{\"user_id\": \"p{person}\", \"profile\": {{\"sex\": \"{sex}\", \"birth_year\": 1960, \"allergies\": []}}}}\n"
            );
        }
        std::fs::write(at("f.csv"), text).unwrap();
        std::fs::write(at("people.jsonl"), people).unwrap();
        let rules = |id: &str| {
            let item = json!({"item_id": id, "kind": "drug", "name": id, "contraindications": {"interacts_with": ["qaspirin"]}});
            std::fs::write(at("rules.jsonl"), item.to_string()).unwrap();
        };
        rules("qwarfarin");
        let (events, people, file) = (at("f.csv"), at("people.jsonl"), at("rules.jsonl"));
        let given = [
            "--interactions",
            &events,
            "--people",
            &people,
            "--rules",
            &file,
            "--split",
            "leave-one-out",
            "--k",
            "3",
        ];
        let found = report(&options(&given)).unwrap();
        let (before, after) = (&found["drug_lists"]["before"], &found["drug_lists"]["after"]);
        assert_eq!(found["drug_lists"]["known_drugs"], 1);
        assert!(before["conflicts"].as_u64().unwrap() > 0, "{found}");
        assert_eq!((&after["conflicts"], &after["ddi_rate"]), (&json!(0), &json!(0.0)), "{found}");
        assert!(found["by_group"]["sex: female"]["users"].as_u64() > Some(0), "{found}");
        rules("qother");
        let error = report(&options(&given)).unwrap_err().to_string();
        assert!(error.contains("none of its drugs is among the items"), "{error}");
    }

    #[test]
    fn a_split_by_time_needs_times() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.csv").display().to_string();
        std::fs::write(&file, "u,i,at\n1,a,2020-01-01\n1,b,2020-01-01\n2,a,2020-01-01\n").unwrap();
        let given = ["--interactions", &file, "--split", "time:0.5"];
        let error = report(&options(&given)).unwrap_err().to_string();
        assert!(error.contains("needs --time-column"), "{error}");
        let error =
            report(&options(&[&given[..], &["--time-column", "at"]].concat())).unwrap_err().to_string();
        assert!(error.contains("every interaction has the same time"), "{error}");
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
