//! A directory of Hugging Face's form: what is in it, and everything that it must not have.
//!
//! Three files are read: `config.json`, `tokenizer.json` and `model.safetensors`, and of sentence-transformers
//! `modules.json` with what it names. Nothing in a directory is ever run, so a model that is a program of its own
//! cannot be adopted, nor weights in a form that is one (pickles).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::labels::{self, TagOutputs};
use anyhow::{Context, Result, bail, ensure};
use model::manifest::{
    EncoderConfig, EncoderHead, HeadActivation, RelativeConfig, RotaryConfig, TextPooling,
};
use serde_json::Value;

/// Families that are known, as `config.json` names them.
const FAMILIES: [&str; 6] = ["bert", "distilbert", "roberta", "xlm-roberta", DISENTANGLED, MODERN];
/// The family whose places are angles.
pub const MODERN: &str = "modernbert";
/// The family whose attention reads distances; its third version has the same name.
pub const DISENTANGLED: &str = "deberta-v2";
/// Endings of files that are pickles.
const PICKLES: [&str; 6] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle"];

/// What a model was trained for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Rows of a text, of which a vector is made.
    None,
    /// One of these labels a text, in the order of the outputs.
    Labels(Vec<String>),
    /// One tag a word.
    Tags(TagOutputs),
}

/// What is read of a directory, before its weights.
#[derive(Debug)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// Sizes; of tags the threshold is yet to be set.
    pub config: EncoderConfig,
    /// What it was trained for.
    pub head: Head,
    /// Added to the variance under the root.
    pub epsilon: f64,
    /// Places at the beginning of the table that are for no token.
    pub offset: usize,
    /// Most tokens of a text that it was made for.
    pub most: usize,
    /// The content of `tokenizer.json`, without padding and truncation, which are the server's.
    pub tokenizer: Vec<u8>,
    /// Digests of what was read, by name.
    pub sha256: BTreeMap<String, String>,
}

impl Directory {
    /// Reads and checks a directory; `pooling` is taken before what the directory says, and so are `labels`, names of the
    /// outputs of a head.
    ///
    /// # Errors
    /// A sentence that says what is missing or must not be there, and what is accepted.
    pub fn read(path: &Path, pooling: Option<TextPooling>, labels: &[String]) -> Result<Directory> {
        let shown = path.display();
        ensure!(
            path.is_dir(),
            "{shown} is no directory; one with config.json, tokenizer.json and model.safetensors is asked for"
        );
        let mut sha256 = BTreeMap::new();
        let bytes = file(path, "config.json", &mut sha256)?
            .with_context(|| format!("{shown} has no config.json, which says what kind of model it is"))?;
        let config: Value = serde_json::from_slice(&bytes).with_context(|| format!("{shown}/config.json"))?;
        no_program(path, &config)?;
        let tokenizer = file(path, "tokenizer.json", &mut sha256)?.with_context(|| {
            format!(
                "{shown} has no tokenizer.json; save the tokenizer as a fast one (transformers: AutoTokenizer.from_pretrained(...)\
                 .save_pretrained(...)), since vocab.txt alone does not say how a text is cut"
            )
        })?;
        weights_file(path)?;
        let members = Members { shown: format!("{shown}/config.json"), config: &config };
        let family = members.text("model_type")?;
        ensure!(
            FAMILIES.contains(&family),
            "{shown}: models of the type \"{family}\" are not known; these are: {}",
            FAMILIES.join(", ")
        );
        let head = members.head(labels)?;
        let pooling = match (pooling, &head) {
            (Some(pooling), _) => pooling,
            (None, Head::None) => pooling_of(path)?,
            (None, _) if members.config["classifier_pooling"] == "mean" => TextPooling::Mean,
            (None, _) => TextPooling::Cls,
        };
        let (mut config, epsilon, offset) = members.sizes(family, pooling)?;
        config.head = match &head {
            Head::None => None,
            Head::Labels(_) if family == "distilbert" => {
                Some(EncoderHead::Labels { activation: HeadActivation::Relu })
            }
            Head::Labels(_) if family == MODERN => {
                Some(EncoderHead::Labels { activation: HeadActivation::Gelu })
            }
            Head::Labels(_) if family == DISENTANGLED => {
                Some(EncoderHead::Labels { activation: HeadActivation::GeluAlone })
            }
            Head::Labels(_) => Some(EncoderHead::Labels { activation: HeadActivation::Tanh }),
            Head::Tags(_) => Some(EncoderHead::Tags { threshold: 0.5 }),
        };
        let most = most(path)?.unwrap_or(config.positions).min(config.positions);
        let tokenizer = plain(&tokenizer).with_context(|| format!("{shown}/tokenizer.json"))?;
        Ok(Directory { path: path.to_path_buf(), config, head, epsilon, offset, most, tokenizer, sha256 })
    }
}

/// A file's content, nothing where there is no such file.
pub(super) fn file(
    path: &Path,
    name: &str,
    sha256: &mut BTreeMap<String, String>,
) -> Result<Option<Vec<u8>>> {
    let file = path.join(name);
    if !file.is_file() {
        return Ok(None);
    }
    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
    sha256.insert(name.to_string(), model::package::sha256(&bytes));
    Ok(Some(bytes))
}

/// Refuses a model that is a program of its own.
pub(super) fn no_program(path: &Path, config: &Value) -> Result<()> {
    let shown = path.display();
    if let Some(map) = config.get("auto_map") {
        let names: Vec<String> = map
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or("...")))
            .collect();
        bail!(
            "{shown}/config.json has \"auto_map\" ({}): the model is a program of its own, which transformers runs with \
             trust_remote_code; nothing of a directory is ever run here",
            names.join(", ")
        )
    }
    for entry in std::fs::read_dir(path).with_context(|| shown.to_string())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure!(
            !name.ends_with(".py"),
            "{shown} has the program {name}; a model that brings its own code (trust_remote_code) cannot be adopted: nothing of \
             a directory is ever run"
        );
    }
    Ok(())
}

/// Refuses a directory without `model.safetensors`, and says what there is in its place.
pub(super) fn weights_file(path: &Path) -> Result<()> {
    let shown = path.display();
    if path.join("model.safetensors").is_file() {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| shown.to_string())?.flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let ends = |name: &str| PICKLES.iter().any(|ending| name.ends_with(&format!(".{ending}")));
    if let Some(pickle) = names.iter().find(|name| ends(name)) {
        bail!(
            "{shown} has its weights in {pickle}, a pickle, which is a program that runs when it is read; save them as \
             model.safetensors (transformers: model.save_pretrained(..., safe_serialization=True))"
        )
    }
    if names.iter().any(|name| name.ends_with(".safetensors.index.json")) {
        bail!("{shown} has its weights in several files; save them as one model.safetensors (max_shard_size)")
    }
    bail!("{shown} has no model.safetensors")
}

/// Members of `config.json`.
struct Members<'a> {
    shown: String,
    config: &'a Value,
}

impl<'a> Members<'a> {
    fn text(&self, name: &str) -> Result<&'a str> {
        let value = self.config.get(name).and_then(Value::as_str);
        value.with_context(|| format!("{}: no member \"{name}\" that is a string", self.shown))
    }

    fn number(&self, name: &str) -> Result<usize> {
        let value = self.config.get(name).and_then(Value::as_u64);
        let value =
            value.with_context(|| format!("{}: no member \"{name}\" that is a whole number", self.shown))?;
        Ok(usize::try_from(value)?)
    }

    /// Refuses a member of another value than this one, where it is there.
    fn only(&self, name: &str, accepted: &[&str]) -> Result<()> {
        match self.config.get(name).and_then(Value::as_str) {
            Some(found) if !accepted.contains(&found) => {
                bail!("{}: \"{name}\" is \"{found}\"; {} is computed here", self.shown, accepted.join(" or "))
            }
            _ => Ok(()),
        }
    }

    /// How places are told apart, in the words of one version of transformers or another.
    fn rotary(&self) -> Result<RotaryConfig> {
        let config = self.config;
        let layers = self.number("num_hidden_layers")?;
        let base = |kind: &str, old: &str, otherwise: f64| {
            let own = &config["rope_parameters"][kind];
            if let Some(kind) = own["rope_type"].as_str().filter(|kind| *kind != "default") {
                bail!("{}: \"rope_type\" is \"{kind}\"; default is computed here", self.shown)
            }
            Ok(own["rope_theta"].as_f64().or_else(|| config[old].as_f64()).unwrap_or(otherwise) as f32)
        };
        ensure!(
            config.get("rope_scaling").is_none_or(Value::is_null),
            "{}: \"rope_scaling\" is not computed here",
            self.shown
        );
        let every = match config.get("layer_types").and_then(Value::as_array) {
            Some(kinds) => {
                let whole = |layer: usize| kinds.get(layer).is_some_and(|kind| kind == "full_attention");
                let every =
                    (1..=layers).find(|every| (0..layers).all(|at| whole(at) == at.is_multiple_of(*every)));
                every.with_context(|| {
                    format!(
                        "{}: in \"layer_types\" the layers of full attention are not the first and every n-th from it on",
                        self.shown
                    )
                })?
            }
            None => config["global_attn_every_n_layers"].as_u64().unwrap_or(3).max(1) as usize,
        };
        Ok(RotaryConfig {
            base: base("full_attention", "global_rope_theta", 160_000.0)?,
            local_base: base("sliding_attention", "local_rope_theta", 10_000.0)?,
            reach: config["local_attention"].as_u64().unwrap_or(128) as usize / 2,
            every,
        })
    }

    /// How distances are told apart.
    fn relative(&self) -> Result<RelativeConfig> {
        let config = self.config;
        let number = |name: &str| config[name].as_i64().filter(|value| *value > 0);
        ensure!(
            config["relative_attention"] == true,
            "{}: \"relative_attention\" is not true; without it no DeBERTa is computed here",
            self.shown
        );
        for (name, other) in [("embedding_size", "hidden_size"), ("pooler_hidden_size", "hidden_size")] {
            let same = config.get(name).is_none_or(|value| value.is_null() || *value == config[other]);
            ensure!(same, "{}: \"{name}\" is not \"{other}\", as is computed here", self.shown);
        }
        ensure!(
            number("conv_kernel_size").is_none(),
            "{}: \"conv_kernel_size\" is not 0; a convolution beside the first layer is not computed here",
            self.shown
        );
        let head =
            number("hidden_size").zip(number("num_attention_heads")).map(|(width, heads)| width / heads);
        ensure!(
            number("attention_head_size").is_none_or(|size| Some(size) == head),
            "{}: \"attention_head_size\" is not the width of a head",
            self.shown
        );
        self.only("pooler_hidden_act", &["gelu"])?;
        let kinds: Vec<&str> = match &config["pos_att_type"] {
            Value::String(kinds) => kinds.split('|').map(str::trim).filter(|kind| !kind.is_empty()).collect(),
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if let Some(other) = kinds.iter().find(|kind| !["c2p", "p2c"].contains(kind)) {
            bail!("{}: \"pos_att_type\" has \"{other}\"; c2p and p2c are computed here", self.shown)
        }
        let most = number("max_relative_positions").or(number("max_position_embeddings"));
        let most = usize::try_from(most.unwrap_or(0))?;
        let buckets = number("position_buckets").map(usize::try_from).transpose()?;
        Ok(RelativeConfig {
            span: buckets.unwrap_or(most),
            most: buckets.map(|_| most),
            keys: kinds.contains(&"c2p"),
            queries: kinds.contains(&"p2c"),
            places: config["position_biased_input"] != false,
        })
    }

    /// What the model was trained for, by the name of its class.
    fn head(&self, labels: &[String]) -> Result<Head> {
        let class = self.config["architectures"][0].as_str().unwrap_or_default();
        let names = || labels::outputs(&self.shown, self.config, labels);
        if class.ends_with("ForSequenceClassification") {
            return Ok(Head::Labels(names()?));
        }
        if class.ends_with("ForTokenClassification") {
            return Ok(Head::Tags(labels::tags(&self.shown, &names()?)?));
        }
        ensure!(
            labels.is_empty(),
            "{}: \"architectures\" is \"{class}\", which gives no labels that --labels could name",
            self.shown
        );
        Ok(Head::None)
    }

    fn sizes(&self, family: &str, pooling: TextPooling) -> Result<(EncoderConfig, f64, usize)> {
        let distilled = family == "distilbert";
        let [width, heads, layers, feed_forward] = match distilled {
            true => ["dim", "n_heads", "n_layers", "hidden_dim"],
            false => ["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size"],
        };
        let activation = match family {
            "distilbert" => "activation",
            MODERN => "hidden_activation",
            _ => "hidden_act",
        };
        self.only(activation, &["gelu"])?;
        self.only("classifier_activation", &["gelu"])?;
        self.only("classifier_pooling", &["cls", "mean"])?;
        self.only("position_embedding_type", &["absolute"])?;
        ensure!(
            self.config.get("is_decoder").and_then(Value::as_bool) != Some(true),
            "{}: it is a decoder, which reads texts from one end; encoders can be adopted",
            self.shown
        );
        let offset = match family {
            "roberta" | "xlm-roberta" => {
                self.config.get("pad_token_id").and_then(Value::as_u64).unwrap_or(1) as usize + 1
            }
            _ => 0,
        };
        let places = self.number("max_position_embeddings")?;
        ensure!(places > offset, "{}: {places} places are too few", self.shown);
        let epsilon = match distilled {
            true => 1e-12,
            // Its weights cannot be scaled so that another one comes to the same.
            false if family == MODERN => {
                let epsilon = self.config.get("norm_eps").and_then(Value::as_f64).unwrap_or(1e-5);
                ensure!((epsilon - 1e-5).abs() < 1e-9, "{}: norm_eps is {epsilon}, not 1e-5", self.shown);
                1e-5
            }
            false => {
                let usual = if family == DISENTANGLED { 1e-7 } else { 1e-12 };
                self.config.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(usual)
            }
        };
        ensure!(
            (1e-15..=1e-5).contains(&epsilon),
            "{}: layer_norm_eps is {epsilon}, not from 1e-15 to 1e-5",
            self.shown
        );
        let config = EncoderConfig {
            family: family.to_string(),
            vocabulary: self.number("vocab_size")?,
            width: self.number(width)?,
            heads: self.number(heads)?,
            layers: self.number(layers)?,
            feed_forward: self.number(feed_forward)?,
            positions: places - offset,
            pooling,
            rotary: if family == MODERN { Some(self.rotary()?) } else { None },
            relative: if family == DISENTANGLED { Some(self.relative()?) } else { None },
            head: None,
        };
        Ok((config, epsilon, offset))
    }
}

/// How sentence-transformers makes one vector of a text's; the mean where nothing is said.
fn pooling_of(path: &Path) -> Result<TextPooling> {
    let modules = path.join("modules.json");
    if !modules.is_file() {
        return Ok(TextPooling::Mean);
    }
    let shown = modules.display();
    let modules: Value =
        serde_json::from_slice(&std::fs::read(&modules)?).with_context(|| shown.to_string())?;
    let mut pooling = TextPooling::Mean;
    for module in modules.as_array().with_context(|| format!("{shown} is no array"))? {
        let kind = module["type"].as_str().unwrap_or_default();
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Normalize" => {}
            "Pooling" => {
                let own = module["path"].as_str().unwrap_or("1_Pooling");
                let plain = !own.is_empty() && own.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                ensure!(plain, "{shown}: the path \"{own}\" is no folder's name");
                pooling = pooling_in(&path.join(own).join("config.json"))?;
            }
            other => bail!(
                "{shown}: the module {other} is not computed here; Transformer, Pooling and Normalize are"
            ),
        }
    }
    Ok(pooling)
}

fn pooling_in(file: &Path) -> Result<TextPooling> {
    let shown = file.display();
    let config: Value = serde_json::from_slice(&std::fs::read(file).with_context(|| shown.to_string())?)
        .with_context(|| shown.to_string())?;
    let members = config.as_object().into_iter().flatten();
    let chosen: Vec<&str> = members
        .filter(|(name, value)| name.starts_with("pooling_mode") && **value == Value::Bool(true))
        .map(|(name, _)| name.as_str())
        .chain(config["pooling_mode"].as_str())
        .collect();
    match chosen.as_slice() {
        ["pooling_mode_mean_tokens" | "mean"] => Ok(TextPooling::Mean),
        ["pooling_mode_cls_token" | "cls"] => Ok(TextPooling::Cls),
        _ => bail!(
            "{shown}: texts are pooled by {}; by the mean or by the first token (cls) is computed here",
            match chosen.is_empty() {
                true => "nothing".to_string(),
                false => chosen.join(" and "),
            }
        ),
    }
}

/// Most tokens that sentence-transformers reads.
fn most(path: &Path) -> Result<Option<usize>> {
    let file = path.join("sentence_bert_config.json");
    if !file.is_file() {
        return Ok(None);
    }
    let config: Value =
        serde_json::from_slice(&std::fs::read(&file)?).with_context(|| file.display().to_string())?;
    Ok(config["max_seq_length"].as_u64().filter(|most| *most > 0).map(|most| most as usize))
}

/// A tokenizer without padding and truncation.
fn plain(json: &[u8]) -> Result<Vec<u8>> {
    let mut tokenizer: serde_json::Map<String, Value> = serde_json::from_slice(json)?;
    tokenizer.insert("padding".to_string(), Value::Null);
    tokenizer.insert("truncation".to_string(), Value::Null);
    Ok(serde_json::to_vec(&tokenizer)?)
}
