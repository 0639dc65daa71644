//! Settings of `train text`.

use super::about::AboutOptions;
use std::path::PathBuf;

/// What kind of network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// Hashed word and character n-grams, linear.
    Bag,
    /// A recurrent network over tokens.
    Lstm,
    /// A small encoder over tokens.
    Transformer,
    /// All three; the best on validation is kept.
    Auto,
}

impl Arch {
    /// The name used on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::Bag => "bag",
            Arch::Lstm => "lstm",
            Arch::Transformer => "transformer",
            Arch::Auto => "auto",
        }
    }
}

/// Settings of `train text`.
#[derive(Debug, Clone, clap::Args)]
pub struct TextOptions {
    /// Data set: a folder with train.csv, val.csv and, if there is one, test.csv; or one .csv, of which a part, the same
    /// share of each label, is held out for validation
    #[arg(long, env = "MEDSERVE_DATA")]
    pub data: PathBuf,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Column of the note
    #[arg(long, env = "MEDSERVE_NOTE_COLUMN", default_value = "note")]
    pub note_column: String,
    /// Column of the label
    #[arg(long, env = "MEDSERVE_LABEL_COLUMN", default_value = "label")]
    pub label_column: String,
    /// Columns that are fields, each NAME, NAME:MIN..MAX, NAME:MIN..MAX:UNIT or NAME:MIN..MAX:UNIT:LOW..HIGH, or none; default: all
    /// other columns that can be one. Beyond LOW to HIGH, where a person is well, a bag over a scale never answers less
    /// urgently the further out a value is
    #[arg(long, env = "MEDSERVE_FIELDS", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Column of what is the same in rows that are held out together, such as a patient or a hospital; it is no field
    #[arg(long, env = "MEDSERVE_GROUP_BY")]
    pub group_by: Option<String>,
    /// Leave out rows without a label instead of refusing them
    #[arg(long, env = "MEDSERVE_SKIP_UNLABELLED")]
    pub skip_unlabelled: bool,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// Kind of network
    #[arg(long, env = "MEDSERVE_ARCH", value_enum, default_value = "bag")]
    pub arch: Arch,
    /// The labels in order; default: by number where all are numbers, else by name
    #[arg(long, env = "MEDSERVE_LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// The labels are steps of the scale of this name, the most urgent first; found by itself where they are
    /// three or more numbers in a row from 1 to 5
    #[arg(long, env = "MEDSERVE_SCALE")]
    pub scale: Option<String>,
    /// The labels are no scale, even if their numbers look like one
    #[arg(long, env = "MEDSERVE_NOMINAL", conflicts_with = "scale")]
    pub nominal: bool,
    /// JSON file of cost[truth][answer] for the labels of a scale: the label of least expected cost is answered
    #[arg(long, env = "MEDSERVE_COST", conflicts_with = "nominal")]
    pub cost: Option<PathBuf>,
    /// What a label means, LABEL=MEANING; may be given several times, in the environment one a line
    #[arg(long = "label-description", env = "MEDSERVE_LABEL_DESCRIPTION", value_delimiter = '\n')]
    pub label_descriptions: Vec<String>,
    /// JSON file of rules for red flags, which goes into the package as it is
    #[arg(long, env = "MEDSERVE_RED_FLAGS")]
    pub red_flags: Option<PathBuf>,
    /// lstm, transformer: what tokens that are words start as, a package of train embed or a file of word2vec's, fastText's or
    /// GloVe's text form
    #[arg(long, env = "MEDSERVE_VECTORS")]
    pub vectors: Option<PathBuf>,
    /// bag: n-grams of words, MIN-MAX, MIN-MAX*SCALE or none
    #[arg(long, env = "MEDSERVE_WORDS", default_value = "1-2")]
    pub words: String,
    /// bag: n-grams of characters within words, MIN-MAX, MIN-MAX*SCALE or none
    #[arg(long, env = "MEDSERVE_CHARACTERS", default_value = "2-5")]
    pub characters: String,
    /// bag: most n-grams kept, those in most notes first
    #[arg(long, env = "MEDSERVE_NGRAMS", default_value_t = 200_000)]
    pub ngrams: usize,
    /// bag: least number of training notes that have an n-gram
    #[arg(long, env = "MEDSERVE_LEAST_NOTES", default_value_t = 1)]
    pub least_notes: usize,
    /// bag: what the fields' inputs are multiplied by
    #[arg(long, env = "MEDSERVE_FIELD_SCALE", default_value_t = 0.45)]
    pub field_scale: f32,
    /// bag: inverse strength of the penalty; default: chosen by cross-validation within training
    #[arg(long, env = "MEDSERVE_INVERSE_PENALTY")]
    pub inverse_penalty: Option<f64>,
    /// bag: weigh n-grams by rarity, true or false; default: chosen by cross-validation within training
    #[arg(long, env = "MEDSERVE_RARITY")]
    pub rarity: Option<bool>,
    /// bag: trees that read the fields and the linear answer, 0 for none; default: 150 where cross-validation
    /// within training shows that they help
    #[arg(long, env = "MEDSERVE_TREES")]
    pub trees: Option<usize>,
    /// bag: after measuring, fit once more with the same settings on training and validation records together
    #[arg(long, env = "MEDSERVE_REFIT")]
    pub refit: bool,
    /// How much records with fields left out at random count in training, beside the records themselves; 0 for none
    #[arg(long, env = "MEDSERVE_FIELD_DROPOUT", default_value_t = 1.0)]
    pub field_dropout: f64,
    /// lstm, transformer: most tokens known
    #[arg(long, env = "MEDSERVE_VOCABULARY", default_value_t = 8192)]
    pub vocabulary: usize,
    /// lstm, transformer: most tokens of a note that are read; of a longer one its head and tail
    #[arg(long, env = "MEDSERVE_MAX_TOKENS", default_value_t = 384)]
    pub max_tokens: usize,
    /// lstm, transformer: values a token
    #[arg(long, env = "MEDSERVE_EMBEDDING", default_value_t = 128)]
    pub embedding: usize,
    /// lstm: values of the state in each direction
    #[arg(long, env = "MEDSERVE_HIDDEN", default_value_t = 128)]
    pub hidden: usize,
    /// lstm: read from the beginning only
    #[arg(long, env = "MEDSERVE_ONE_DIRECTION")]
    pub one_direction: bool,
    /// lstm: dropout of the state between steps
    #[arg(long, env = "MEDSERVE_RECURRENT_DROPOUT", default_value_t = 0.2)]
    pub recurrent_dropout: f32,
    /// transformer: attention heads
    #[arg(long, env = "MEDSERVE_HEADS", default_value_t = 4)]
    pub heads: usize,
    /// transformer: layers
    #[arg(long, env = "MEDSERVE_ENCODER_LAYERS", default_value_t = 2)]
    pub layers: usize,
    /// lstm, transformer: dropout
    #[arg(long, env = "MEDSERVE_TEXT_DROPOUT", default_value_t = 0.2)]
    pub dropout: f32,
    /// lstm, transformer: share of the tokens left out in training
    #[arg(long, env = "MEDSERVE_TOKEN_DROPOUT", default_value_t = 0.2)]
    pub token_dropout: f32,
    /// Most epochs (of a bag: iterations); default by architecture
    #[arg(long, env = "MEDSERVE_EPOCHS")]
    pub epochs: Option<usize>,
    /// lstm, transformer: records a step
    #[arg(long, env = "MEDSERVE_BATCH_SIZE", default_value_t = 32)]
    pub batch_size: usize,
    /// lstm, transformer: highest learning rate; default by architecture
    #[arg(long, env = "MEDSERVE_LR")]
    pub lr: Option<f64>,
    /// lstm, transformer: decay of weights a step, times the learning rate
    #[arg(long, env = "MEDSERVE_WEIGHT_DECAY", default_value_t = 0.05)]
    pub weight_decay: f64,
    /// lstm, transformer: epochs without a better validation loss after which training stops, 0 for never;
    /// default: 4, and 1 where several architectures are tried
    #[arg(long, env = "MEDSERVE_PATIENCE")]
    pub patience: Option<usize>,
    /// Share of the validation examples on which the model may abstain
    #[arg(long, env = "MEDSERVE_ABSTAIN_SHARE", default_value_t = 0.01)]
    pub abstain_share: f64,
    /// Seed of everything random
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    /// lstm, transformer: go on from the checkpoint of an interrupted run with the same settings
    #[arg(long, env = "MEDSERVE_RESUME")]
    pub resume: bool,
    /// Markdown file whose text goes into the card, after the training
    #[arg(long, env = "MEDSERVE_CARD_NOTES")]
    pub card_notes: Option<PathBuf>,
    /// Write a page of plots, groups and wrong answers into the package (report.html); it shows examples of the data
    #[arg(long, env = "MEDSERVE_REPORT")]
    pub report: bool,
    #[command(flatten)]
    pub about: AboutOptions,
}
