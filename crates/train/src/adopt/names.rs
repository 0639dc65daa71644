//! Weights under the names that transformers gives them, as ours.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, IndexOp, Tensor};

use super::directory::{DISENTANGLED, Directory, Head, MODERN};
use super::labels::TagOutputs;
use model::manifest::RelativeConfig;

/// What our layer normalisation adds to the variance under the root.
const EPSILON: f64 = 1e-5;

/// What is said for a tag that the head does not have.
pub const NEVER: f32 = -1e4;

/// Names of a layer's parts, in the order of [`OURS`]; queries, keys and values first.
const BERT: [&str; 8] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];
const DISTILBERT: [&str; 8] = [
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
];
const DEBERTA: [&str; 8] = [
    "attention.self.query_proj",
    "attention.self.key_proj",
    "attention.self.value_proj",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];
const OURS: [&str; 5] = ["output", "attention_norm", "expand", "contract", "feed_forward_norm"];

/// The weights of a directory's `model.safetensors`, under our names, in 32 bits.
///
/// # Errors
/// A file that is none; a tensor that is missing.
pub fn weights(directory: &Directory) -> Result<(BTreeMap<String, Tensor>, String)> {
    let file = directory.path.join("model.safetensors");
    let shown = file.display().to_string();
    let bytes = std::fs::read(&file).with_context(|| shown.clone())?;
    let all = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .with_context(|| format!("{shown} is no safetensors file"))?;
    let prefixes = ["", "bert.", "roberta.", "distilbert.", "deberta.", "model.", "0.auto_model."];
    let word = match directory.config.family.as_str() {
        MODERN => "embeddings.tok_embeddings.weight",
        _ => "embeddings.word_embeddings.weight",
    };
    let Some(prefix) = prefixes.into_iter().find(|prefix| all.contains_key(&format!("{prefix}{word}")))
    else {
        bail!("{shown} has no tensor \"{word}\", by which its names would be known")
    };
    let found = Found { all: &all, prefix, shown: &shown };
    let weights = match directory.config.family.as_str() {
        MODERN => found.modern(directory)?,
        _ => found.ours(directory)?,
    };
    Ok((weights, model::package::sha256(&bytes)))
}

/// Every row brought to mean 0 and variance 1, then scaled and shifted; what is added to the variance is [`EPSILON`].
fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let normal = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
    Ok(normal.broadcast_mul(weight)?.broadcast_add(bias)?)
}

struct Found<'a> {
    all: &'a std::collections::HashMap<String, Tensor>,
    prefix: &'a str,
    shown: &'a str,
}

impl Found<'_> {
    fn get(&self, name: &str) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let tensor =
            self.all.get(&name).with_context(|| format!("{} has no tensor \"{name}\"", self.shown))?;
        Ok(tensor.to_dtype(DType::F32)?)
    }

    /// A weight or a bias; layer normalisations of old files have them under other names.
    fn part(&self, layer: &str, part: &str) -> Result<Tensor> {
        let old = if part == "weight" { "gamma" } else { "beta" };
        let modern = format!("{layer}.{part}");
        match self.all.contains_key(&format!("{}{modern}", self.prefix)) {
            true => self.get(&modern),
            false => self.get(&format!("{layer}.{old}")).or_else(|_| self.get(&modern)),
        }
    }

    fn ours(&self, directory: &Directory) -> Result<BTreeMap<String, Tensor>> {
        let Directory { config, epsilon, offset, .. } = directory;
        let mut ours = BTreeMap::new();
        let mut tokens = self.get("embeddings.word_embeddings.weight")?;
        // A text is one kind of segment, whose value is every token's.
        let kinds = "embeddings.token_type_embeddings.weight";
        if self.all.contains_key(&format!("{}{kinds}", self.prefix)) {
            tokens = tokens.broadcast_add(&self.get(kinds)?.i(0)?)?;
        }
        // ln(s x; e) is ln(x; e / s^2).
        let scale = (EPSILON / epsilon).sqrt();
        ours.insert("embedding.weight".to_string(), (tokens * scale)?);
        if config.relative.is_none_or(|relative| relative.places) {
            let places = self.get("embeddings.position_embeddings.weight")?;
            ensure!(
                places.dim(0)? == config.positions + offset,
                "{}: {} places, where config.json says {}",
                self.shown,
                places.dim(0)?,
                config.positions + offset
            );
            ours.insert("positions.weight".to_string(), (places.i(*offset..)? * scale)?);
        }
        for part in ["weight", "bias"] {
            ours.insert(format!("embedding_norm.{part}"), self.part("embeddings.LayerNorm", part)?);
        }
        let (parts, layers) = match config.family.as_str() {
            "distilbert" => (DISTILBERT, "transformer.layer"),
            DISENTANGLED => (DEBERTA, "encoder.layer"),
            _ => (BERT, "encoder.layer"),
        };
        for layer in 0..config.layers {
            let theirs = |part: &str| format!("{layers}.{layer}.{part}");
            for part in ["weight", "bias"] {
                let three: Vec<Tensor> = parts[..3]
                    .iter()
                    .map(|name| self.get(&format!("{}.{part}", theirs(name))))
                    .collect::<Result<_>>()?;
                let own = |name: &str| format!("layer{layer}.{name}.{part}");
                ours.insert(own("queries_keys_values"), Tensor::cat(&three, 0)?);
                for (name, theirs_part) in OURS.into_iter().zip(&parts[3..]) {
                    ours.insert(own(name), self.part(&theirs(theirs_part), part)?);
                }
            }
        }
        if let Some(relative) = &config.relative {
            self.distances(directory, relative, &mut ours)?;
        }
        self.head(directory, &mut ours)?;
        Ok(ours)
    }

    /// Adds the keys and queries of distances, which every layer makes of the one table of distances.
    fn distances(
        &self,
        directory: &Directory,
        relative: &RelativeConfig,
        ours: &mut BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let config = &directory.config;
        let mut table = self.get("encoder.rel_embeddings.weight")?;
        ensure!(
            table.dims() == [2 * relative.span, config.width],
            "{}: \"encoder.rel_embeddings\" has the sizes {:?}, where config.json says {} distances of {} values",
            self.shown,
            table.dims(),
            2 * relative.span,
            config.width
        );
        if self.all.contains_key(&format!("{}encoder.LayerNorm.weight", self.prefix)) {
            let norm = |part: &str| self.part("encoder.LayerNorm", part);
            let scale = (EPSILON / directory.epsilon).sqrt();
            table = layer_norm(&(table * scale)?, &norm("weight")?, &norm("bias")?)?;
        }
        for layer in 0..config.layers {
            let at = format!("encoder.layer.{layer}.attention.self");
            let of = |ours: &str, own: &str, shared: &str| -> Result<(String, Tensor)> {
                let own = format!("{at}.{own}");
                // Where the layers do not share them with the tokens', they have weights of their own.
                let name = match self.all.contains_key(&format!("{}{own}.weight", self.prefix)) {
                    true => own,
                    false => format!("{at}.{shared}"),
                };
                let weight = self.get(&format!("{name}.weight"))?;
                let bias = self.or_zeros(&format!("{name}.bias"), weight.dim(0)?)?;
                let rows = table.matmul(&weight.t()?)?.broadcast_add(&bias)?;
                Ok((format!("layer{layer}.attention.{ours}"), rows))
            };
            if relative.keys {
                ours.extend([of("keys", "pos_key_proj", "key_proj")?]);
            }
            if relative.queries {
                ours.extend([of("queries", "pos_query_proj", "query_proj")?]);
            }
        }
        Ok(())
    }

    /// A tensor, or zeros in its place where there is none: a bias that was left out.
    fn or_zeros(&self, name: &str, count: usize) -> Result<Tensor> {
        match self.all.contains_key(&format!("{}{name}", self.prefix)) {
            true => self.get(name),
            false => Ok(Tensor::zeros(count, DType::F32, &Device::Cpu)?),
        }
    }

    /// Those of ModernBERT, whose places are no tensor.
    fn modern(&self, directory: &Directory) -> Result<BTreeMap<String, Tensor>> {
        let config = &directory.config;
        let mut ours = BTreeMap::new();
        ours.insert("embedding.weight".to_string(), self.get("embeddings.tok_embeddings.weight")?);
        let mut both = |our: &str, theirs: &str| -> Result<()> {
            let weight = self.get(&format!("{theirs}.weight"))?;
            let bias = self.or_zeros(&format!("{theirs}.bias"), weight.dim(0)?)?;
            ours.insert(format!("{our}.weight"), weight);
            ours.insert(format!("{our}.bias"), bias);
            Ok(())
        };
        both("embedding_norm", "embeddings.norm")?;
        both("norm", "final_norm")?;
        for layer in 0..config.layers {
            for (our, theirs) in [
                ("attention_norm", "attn_norm"),
                ("queries_keys_values", "attn.Wqkv"),
                ("output", "attn.Wo"),
                ("feed_forward_norm", "mlp_norm"),
                ("expand", "mlp.Wi"),
                ("contract", "mlp.Wo"),
            ] {
                if layer > 0 || our != "attention_norm" {
                    both(&format!("layer{layer}.{our}"), &format!("layers.{layer}.{theirs}"))?;
                }
            }
        }
        if directory.head != Head::None {
            let bare = Found { prefix: "", ..*self };
            let weight = bare.get("head.dense.weight")?;
            ensure!(
                weight.dims() == [config.width, config.width],
                "{}: \"head.dense\" has the sizes {:?}, where config.json says {} values",
                self.shown,
                weight.dims(),
                config.width
            );
            ours.insert("head.hidden.weight".to_string(), weight);
            ours.insert("head.hidden.bias".to_string(), bare.or_zeros("head.dense.bias", config.width)?);
            ours.insert("head.norm.weight".to_string(), bare.get("head.norm.weight")?);
            ours.insert("head.norm.bias".to_string(), bare.or_zeros("head.norm.bias", config.width)?);
        }
        self.head(directory, &mut ours)?;
        Ok(ours)
    }

    /// Adds the head's tensors, whose names have no prefix but that of a pooled row in BERT.
    fn head(&self, directory: &Directory, ours: &mut BTreeMap<String, Tensor>) -> Result<()> {
        let (prefix, width) = (self.prefix, directory.config.width);
        match &directory.head {
            Head::None => {}
            Head::Labels(labels) => {
                let (hidden, last) = match directory.config.family.as_str() {
                    "bert" => (format!("{prefix}pooler.dense"), "classifier"),
                    "distilbert" => ("pre_classifier".to_string(), "classifier"),
                    DISENTANGLED => ("pooler.dense".to_string(), "classifier"),
                    MODERN => (String::new(), "classifier"),
                    _ => ("classifier.dense".to_string(), "classifier.out_proj"),
                };
                let layers = [("head.hidden", hidden.as_str(), width), ("head.labels", last, labels.len())];
                // That of ModernBERT has its hidden layer already.
                let known = usize::from(directory.config.rotary.is_some());
                for (our, name, rows) in layers.into_iter().skip(known) {
                    let (weight, bias) = self.dense(name, rows, width)?;
                    ours.insert(format!("{our}.weight"), weight);
                    ours.insert(format!("{our}.bias"), bias);
                }
            }
            Head::Tags(TagOutputs { outputs, .. }) => {
                let rows = outputs.iter().flatten().count();
                let (weight, bias) = self.dense("classifier", rows, width)?;
                let zeros = weight.i(0)?.zeros_like()?;
                let weights = outputs.iter().map(|output| match output {
                    Some(row) => weight.i(*row),
                    None => Ok(zeros.clone()),
                });
                let weights = weights.collect::<candle_core::Result<Vec<Tensor>>>()?;
                let given: Vec<f32> = bias.to_vec1()?;
                let biases: Vec<f32> =
                    outputs.iter().map(|output| output.map_or(NEVER, |row| given[row])).collect();
                ours.insert("head.tags.weight".to_string(), Tensor::stack(&weights, 0)?);
                let count = biases.len();
                ours.insert("head.tags.bias".to_string(), Tensor::from_vec(biases, count, &Device::Cpu)?);
            }
        }
        Ok(())
    }

    /// A dense layer of the head, by its whole name.
    fn dense(&self, name: &str, rows: usize, width: usize) -> Result<(Tensor, Tensor)> {
        let part = |part: &str| {
            let tensor = self.all.get(&format!("{name}.{part}")).with_context(|| {
                format!(
                    "{} has no tensor \"{name}.{part}\"; the head was not saved with the model",
                    self.shown
                )
            })?;
            Ok::<Tensor, anyhow::Error>(tensor.to_dtype(DType::F32)?)
        };
        let (weight, bias) = (part("weight")?, part("bias")?);
        ensure!(
            weight.dims() == [rows, width] && bias.dims() == [rows],
            "{}: \"{name}\" has the sizes {:?} and {:?}, where config.json (its id2label and sizes) says {rows} outputs of \
             {width} values",
            self.shown,
            weight.dims(),
            bias.dims()
        );
        Ok((weight, bias))
    }
}
