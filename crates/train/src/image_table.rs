//! Pictures with several labels at once, or with a number: a folder with a table `labels.csv`, or folders of labels.
//!
//! The table has a column `file`, a path below the folder, and one column a label of 0 and 1, or the number. The split is the
//! column `split`, or else the first folder of every path, or else it is drawn as for folders of labels. Whatever cannot be
//! trained on is said by its line or file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::examples::{SPLITS, Source, children, file_name, format_of};
use super::splits::{self, Grouping};
use super::targets::{SHARE, fewest};
use model::package::sha256;
use nn::random;
use vision::{DecodeOptions, Image, decode};

/// The table of a folder.
pub const TABLE: &str = "labels.csv";
/// Its columns that are no labels.
const FILE: &str = "file";
const SPLIT: &str = "split";
/// The folder of pictures of which no label holds.
const NONE: &str = "none";

/// What is wanted of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Which labels hold: these in this order, or all that there are.
    Labels(&'a [String]),
    /// The number of this column, or of the only one.
    Number(Option<&'a str>),
}

/// Pictures with what is to be said of them.
pub struct ImageTable {
    /// The pictures, each with its place among the targets of its split; its labels are the names of the values. The table
    /// counts as one of the files.
    pub source: Source,
    /// By split one row a picture: 0 or 1 for each label, or the number.
    pub targets: BTreeMap<String, Vec<Vec<f32>>>,
}

/// A picture before it is read.
struct Row {
    file: PathBuf,
    split: Option<String>,
    values: Vec<f32>,
}

impl ImageTable {
    /// Reads a folder; without splits it is parted by `seed`, files of one content and of one group together.
    ///
    /// # Errors
    /// What is missing or cannot be read, by its line or file.
    pub fn read(path: &Path, wanted: Wanted, seed: u64, groups: Option<&Grouping>) -> Result<ImageTable> {
        ensure!(
            path.is_dir(),
            "{}: no folder; a table of labels lies in the folder of its pictures",
            path.display()
        );
        let table = path.join(TABLE);
        let (names, rows, mut digests) = match (table.is_file(), wanted) {
            (true, _) => {
                let bytes = fs::read(&table).with_context(|| table.display().to_string())?;
                let (names, rows) = of_table(&bytes, wanted).with_context(|| table.display().to_string())?;
                (names, rows, BTreeMap::from([(PathBuf::from(TABLE), sha256(&bytes))]))
            }
            (false, Wanted::Labels(labels)) => {
                let (names, rows) = of_folders(path, labels)?;
                (names, rows, BTreeMap::new())
            }
            (false, Wanted::Number(_)) => bail!("{}: there is no {TABLE} with numbers", path.display()),
        };
        ensure!(!rows.is_empty(), "{}: no pictures", path.display());
        let mut read = Vec::new();
        for row in rows {
            let file = path.join(&row.file);
            let format = format_of(&file)
                .with_context(|| format!("{}: no PNG, JPEG or DICOM file", file.display()))?;
            let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
            let image = decode(format, &bytes, &DecodeOptions::default())
                .with_context(|| file.display().to_string())?;
            let digest = sha256(&bytes);
            let group = groups.map_or_else(|| Ok(digest.clone()), |groups| groups.of(&file_name(&file)))?;
            digests.insert(row.file.clone(), digest);
            read.push((row, group, image));
        }
        let splits = splits_of(&read, seed, groups.is_some())?;
        let values: Vec<String> = read.iter().map(|(row, ..)| format!("{:?}", row.values)).collect();
        let mut warnings =
            splits::shared(read.iter().zip(&splits).zip(&values).map(|(((row, ..), split), values)| {
                (split.as_str(), digests[&row.file].as_str(), values.as_str())
            }));
        if digests.contains_key(Path::new(TABLE)) {
            let strangers = pictures(path)?.into_iter().filter(|file| !digests.contains_key(file)).count();
            if strangers > 0 {
                warnings.push(format!("{strangers} pictures of the folder are not in {TABLE}"));
            }
        }
        let line = |(file, digest): (&PathBuf, &String)| format!("{digest}  {}\n", file.display());
        let lines: String = digests.iter().map(line).collect();
        let sha256 = BTreeMap::from([(file_name(path), sha256(lines.as_bytes()))]);
        let mut source = Source { labels: names, splits: BTreeMap::new(), sha256, warnings };
        let mut targets: BTreeMap<String, Vec<Vec<f32>>> = BTreeMap::new();
        for ((row, _, image), split) in read.into_iter().zip(splits) {
            let rows = targets.entry(split.clone()).or_default();
            source.splits.entry(split).or_default().push((image, rows.len()));
            rows.push(row.values);
        }
        Ok(ImageTable { source, targets })
    }

    /// Refuses what cannot be trained on: a split that is missing, a label that all pictures have, or too few.
    ///
    /// # Errors
    /// The first such split or label.
    pub fn check_trainable(&self, wanted: Wanted) -> Result<()> {
        for split in ["train", "val"] {
            let count = self.targets.get(split).map_or(0, Vec::len);
            ensure!(count >= 2, "the data has {count} pictures in the split \"{split}\"; two are the least");
            let rows = &self.targets[split];
            for (place, name) in self.source.labels.iter().enumerate() {
                match wanted {
                    Wanted::Labels(_) => {
                        let with = rows.iter().filter(|row| row[place] > 0.5).count();
                        let without = rows.len() - with;
                        ensure!(
                            with > 0 && without > 0,
                            "the label \"{name}\" holds for {with} and not for {without} pictures of {split}; of either \
                             one is the least"
                        );
                    }
                    Wanted::Number(_) if split == "val" => ensure!(
                        rows.len() >= fewest(),
                        "the data has {} pictures in the split \"val\"; an interval that holds {:.0} % of the numbers takes {}",
                        rows.len(),
                        100.0 * SHARE,
                        fewest()
                    ),
                    Wanted::Number(_) => ensure!(
                        rows.iter().any(|row| row[place] != rows[0][place]),
                        "all pictures of {split} have the same {name}"
                    ),
                }
            }
        }
        Ok(())
    }
}

/// All pictures below a folder, by their paths from there.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = open.pop() {
        for path in children(&next)? {
            if path.is_dir() {
                open.push(path);
            } else if format_of(&path).is_some() {
                found.push(path.strip_prefix(folder).unwrap_or(&path).to_path_buf());
            }
        }
    }
    Ok(found)
}

/// The split of each picture.
fn splits_of(read: &[(Row, String, Image)], seed: u64, grouped: bool) -> Result<Vec<String>> {
    let given: Vec<Option<&String>> = read.iter().map(|(row, ..)| row.split.as_ref()).collect();
    if given.iter().all(Option::is_some) {
        if grouped {
            let pairs =
                read.iter().filter_map(|(row, group, _)| Some((row.split.as_deref()?, group.clone())));
            splits::check_apart(pairs)?;
        }
        return Ok(given.into_iter().flatten().cloned().collect());
    }
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (row, group, _) in read {
        // Every split gets its share of each label: a picture of several counts by its first.
        let label = row.values.iter().position(|value| *value > 0.5).map_or(0, |place| place + 1);
        groups.entry(group.clone()).or_default().push(if row.values.len() == 1 { 0 } else { label });
    }
    let assigned = splits::assign(&groups, &mut random::stream(seed, "split"));
    Ok(read.iter().map(|(_, group, _)| assigned[group].to_string()).collect())
}

fn of_table(bytes: &[u8], wanted: Wanted) -> Result<(Vec<String>, Vec<Row>)> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header: Vec<String> = reader.headers()?.iter().map(str::to_string).collect();
    let place = |name: &str| header.iter().position(|own| own == name);
    let file = place(FILE).with_context(|| format!("no column \"{FILE}\""))?;
    let split = place(SPLIT);
    let others: Vec<&String> = header.iter().filter(|name| ![FILE, SPLIT].contains(&name.as_str())).collect();
    let distinct: BTreeSet<&&String> = others.iter().collect();
    ensure!(distinct.len() == others.len(), "a column is there twice");
    let names: Vec<String> = match wanted {
        Wanted::Labels([]) => others.into_iter().cloned().collect(),
        Wanted::Labels(labels) => labels.to_vec(),
        Wanted::Number(Some(name)) => vec![name.to_string()],
        Wanted::Number(None) => match others[..] {
            [only] => vec![only.clone()],
            _ => bail!("{} columns could be the number; --number names one", others.len()),
        },
    };
    ensure!(!names.is_empty(), "no column beside \"{FILE}\" and \"{SPLIT}\"");
    let columns: Vec<usize> = names
        .iter()
        .map(|name| place(name).with_context(|| format!("no column \"{name}\"")))
        .collect::<Result<_>>()?;
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, record) in reader.records().enumerate() {
        let line = at + 2;
        let record = record?;
        let field = |column: usize| record.get(column).unwrap_or("");
        let path = PathBuf::from(field(file));
        let below = path.components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(
            below && !field(file).is_empty(),
            "line {line}: \"{}\" is no path below the folder",
            field(file)
        );
        ensure!(seen.insert(path.clone()), "line {line}: {} is there twice", path.display());
        let value = |(name, column): (&String, &usize)| -> Result<f32> {
            let text = field(*column);
            match (wanted, text) {
                (Wanted::Labels(_), "0") => Ok(0.0),
                (Wanted::Labels(_), "1") => Ok(1.0),
                (Wanted::Labels(_), _) => bail!("line {line}: \"{name}\" is \"{text}\", not 0 or 1"),
                (Wanted::Number(_), _) => {
                    let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
                    number.with_context(|| format!("line {line}: \"{name}\" is \"{text}\", no number"))
                }
            }
        };
        let values = names.iter().zip(&columns).map(value).collect::<Result<_>>()?;
        let split = match split {
            Some(column) => {
                let split = field(column);
                ensure!(
                    SPLITS.contains(&split),
                    "line {line}: the split \"{split}\" is none of {}",
                    SPLITS.join(", ")
                );
                Some(split.to_string())
            }
            None => None,
        };
        rows.push(Row { file: path, split, values });
    }
    if split.is_none() {
        let first = |row: &Row| {
            let first = row.file.components().next()?.as_os_str().to_str()?;
            SPLITS.contains(&first).then(|| first.to_string())
        };
        if rows.iter().all(|row| first(row).is_some()) {
            rows.iter_mut().for_each(|row| row.split = first(row));
        }
    }
    Ok((names, rows))
}

/// A picture has the labels of all folders that it lies in under one name with one content.
fn of_folders(path: &Path, labels: &[String]) -> Result<(Vec<String>, Vec<Row>)> {
    let mut roots: Vec<(Option<&str>, PathBuf)> = SPLITS
        .iter()
        .map(|split| (Some(*split), path.join(split)))
        .filter(|(_, root)| root.is_dir())
        .collect();
    if roots.is_empty() {
        roots.push((None, path.to_path_buf()));
    }
    type Found<'a> = BTreeMap<(Option<&'a str>, String, String), (PathBuf, BTreeSet<String>)>;
    let (mut found, mut names): (Found, BTreeSet<String>) = (BTreeMap::new(), BTreeSet::new());
    for (split, root) in &roots {
        for folder in children(root)?.into_iter().filter(|child| child.is_dir()) {
            let label = file_name(&folder);
            ensure!(
                labels.is_empty() || label == NONE || labels.contains(&label),
                "the folder {} is none of the labels {}",
                folder.display(),
                labels.join(", ")
            );
            if label != NONE {
                names.insert(label.clone());
            }
            for file in children(&folder)?.into_iter().filter(|file| format_of(file).is_some()) {
                let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
                let relative = file.strip_prefix(path).unwrap_or(&file).to_path_buf();
                let key = (*split, file_name(&file), sha256(&bytes));
                let own = found.entry(key).or_insert_with(|| (relative, BTreeSet::new()));
                own.1.insert(label.clone());
            }
        }
    }
    let names: Vec<String> = if labels.is_empty() { names.into_iter().collect() } else { labels.to_vec() };
    let mut rows = Vec::with_capacity(found.len());
    for ((split, ..), (file, own)) in found {
        let values = names.iter().map(|name| f32::from(u8::from(own.contains(name)))).collect();
        rows.push(Row { file, split: split.map(str::to_string), values });
    }
    Ok((names, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(file: &Path, value: u8) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut encoder = png::Encoder::new(fs::File::create(file).unwrap(), 4, 4);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[value; 16]).unwrap();
    }

    /// A folder with these files and this table.
    fn folder(files: &[&str], table: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (at, file) in files.iter().enumerate() {
            png(&folder.path().join(file), at as u8);
        }
        if !table.is_empty() {
            fs::write(folder.path().join(TABLE), table).unwrap();
        }
        folder
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_table_says_labels_numbers_and_splits() {
        let files = ["train/a.png", "train/b.png", "val/c.png"];
        let folder = folder(
            &files,
            "file,mass,age,split\ntrain/a.png,1,40.5,val\ntrain/b.png,0,7,train\nval/c.png,1,60,train\n",
        );
        let read = |wanted| ImageTable::read(folder.path(), wanted, 0, None);
        let labels = names(&["mass"]);
        let table = read(Wanted::Labels(&labels)).unwrap();
        assert_eq!(table.targets["train"], [vec![0.0], vec![1.0]]);
        assert_eq!(table.targets["val"], [vec![1.0]]);
        let table = read(Wanted::Number(Some("age"))).unwrap();
        assert_eq!(
            (table.source.labels.clone(), &table.targets["train"]),
            (names(&["age"]), &vec![vec![7.0], vec![60.0]])
        );
        assert_eq!(table.source.splits["train"].iter().map(|(_, place)| *place).collect::<Vec<_>>(), [0, 1]);
        // Another label is other data.
        let before = table.source.sha256;
        let text = fs::read_to_string(folder.path().join(TABLE)).unwrap();
        fs::write(folder.path().join(TABLE), text.replace("40.5", "40.6")).unwrap();
        assert_ne!(read(Wanted::Number(Some("age"))).unwrap().source.sha256, before);
        // Without a column the folders are the splits.
        fs::write(folder.path().join(TABLE), "file,age\ntrain/a.png,1\ntrain/b.png,2\nval/c.png,3\n")
            .unwrap();
        assert_eq!(read(Wanted::Number(None)).unwrap().targets["val"], [vec![3.0]]);
    }

    #[test]
    fn a_wrong_table_is_refused_by_its_line() {
        let files = ["a.png", "b.png"];
        let cases = [
            ("name,mass\na.png,1\n", "no column \"file\""),
            ("file,mass\na.png,2\n", "line 2: \"mass\" is \"2\", not 0 or 1"),
            ("file,mass\na.png,1\nb.png,\n", "line 3: \"mass\" is \"\""),
            ("file,mass\na.png,1\na.png,1\n", "line 3: a.png is there twice"),
            ("file,mass\n../a.png,1\n", "no path below the folder"),
            ("file,mass\n/etc/passwd,1\n", "no path below the folder"),
            ("file,mass,split\na.png,1,dev\n", "the split \"dev\" is none of"),
            ("file,mass\nc.png,1\n", "c.png"),
            ("file,mass,mass\na.png,1,1\n", "there twice"),
            ("file\na.png\n", "no column beside"),
            ("file,mass\n", "no pictures"),
        ];
        for (table, words) in cases {
            let folder = folder(&files, table);
            let error = ImageTable::read(folder.path(), Wanted::Labels(&[]), 0, None).err().unwrap();
            assert!(format!("{error:#}").contains(words), "{words}: {error:#}");
        }
        let folder = folder(&files, "file,age,size\na.png,1,2\n");
        let error = |wanted| format!("{:#}", ImageTable::read(folder.path(), wanted, 0, None).err().unwrap());
        assert!(error(Wanted::Number(None)).contains("--number names one"));
        assert!(error(Wanted::Number(Some("weight"))).contains("no column \"weight\""));
        fs::write(folder.path().join(TABLE), "file,age\na.png,NaN\n").unwrap();
        assert!(error(Wanted::Number(None)).contains("\"age\" is \"NaN\", no number"));
    }

    #[test]
    fn a_picture_in_two_folders_has_both_labels() {
        let folder = folder(&["train/mass/a.png", "train/fluid/b.png", "train/none/c.png"], "");
        fs::copy(folder.path().join("train/mass/a.png"), folder.path().join("train/fluid/a.png")).unwrap();
        let table = ImageTable::read(folder.path(), Wanted::Labels(&[]), 0, None).unwrap();
        assert_eq!(table.source.labels, ["fluid", "mass"]);
        let mut rows = table.targets["train"].clone();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(rows, [vec![0.0, 0.0], vec![1.0, 0.0], vec![1.0, 1.0]]);
        assert!(table.check_trainable(Wanted::Labels(&[])).unwrap_err().to_string().contains("\"val\""));
    }

    #[test]
    fn a_table_says_what_it_leaves_out_and_a_number_takes_nine_pictures_to_bound() {
        let names: Vec<String> =
            (0..12).map(|i| format!("{}/{i}.png", if i < 3 { "train" } else { "val" })).collect();
        let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
        files.push("train/stranger.png");
        let table = |rows: usize| {
            let rows: String =
                names[..rows].iter().enumerate().map(|(i, file)| format!("{file},{i}\n")).collect();
            format!("file,age\n{rows}")
        };
        let folder = folder(&files, &table(12));
        fs::copy(folder.path().join("train/0.png"), folder.path().join("val/3.png")).unwrap();
        let wanted = Wanted::Number(None);
        let read = ImageTable::read(folder.path(), wanted, 0, None).unwrap();
        read.check_trainable(wanted).unwrap();
        assert_eq!(
            read.source.warnings,
            [
                "1 pictures of val are in train as well",
                "1 pictures are there more than once, with different labels",
                "1 pictures of the folder are not in labels.csv"
            ]
        );
        fs::write(folder.path().join(TABLE), table(11)).unwrap();
        let read = ImageTable::read(folder.path(), wanted, 0, None).unwrap();
        let error = read.check_trainable(wanted).unwrap_err().to_string();
        assert!(error.contains("8 pictures in the split \"val\"") && error.contains("takes 9"), "{error}");
    }
}
