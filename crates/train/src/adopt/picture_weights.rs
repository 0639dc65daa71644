//! The weights of a classifier of images under the names that transformers gives them, as ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use model::manifest::Architecture;
use nn::Graph;
use vision::names;

/// Most names that are listed.
const LISTED: usize = 5;

/// Values that are no weights, or that no answer needs.
const UNUSED: [&str; 3] = ["num_batches_tracked", "vit.pooler.", "position_ids"];

/// Ours of `architecture`, whose layers are `graph`, from the content of a `model.safetensors` called `shown`.
///
/// # Errors
/// No such file; a tensor that is missing, of another shape, or that nothing uses.
pub fn weights(
    bytes: &[u8],
    shown: &str,
    architecture: &Architecture,
    graph: &Graph,
) -> Result<BTreeMap<String, Tensor>> {
    let all = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
        .with_context(|| format!("{shown} is no safetensors file"))?;
    let mut found = Found { all: &all, used: BTreeSet::new(), shown };
    let mut ours = BTreeMap::new();
    for (node, name, shape) in graph.values() {
        let tensor = found.value(architecture, &name, &shape).with_context(|| format!("the layer {node}"))?;
        ours.insert(name, tensor);
    }
    let mut left: Vec<&str> = all
        .keys()
        .map(String::as_str)
        .filter(|name| !found.used.contains(*name) && !UNUSED.iter().any(|part| name.contains(part)))
        .collect();
    left.sort_unstable();
    ensure!(
        left.is_empty(),
        "{shown} has {} tensors that such a network does not use, so it is another: {}",
        left.len(),
        left[..left.len().min(LISTED)].join(", ")
    );
    Ok(ours)
}

struct Found<'a> {
    all: &'a HashMap<String, Tensor>,
    used: BTreeSet<String>,
    shown: &'a str,
}

impl Found<'_> {
    fn get(&mut self, name: &str) -> Result<Tensor> {
        let tensor =
            self.all.get(name).with_context(|| format!("{} has no tensor \"{name}\"", self.shown))?;
        self.used.insert(name.to_string());
        Ok(tensor.to_dtype(DType::F32)?)
    }

    fn value(&mut self, architecture: &Architecture, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = match architecture {
            Architecture::Vit(_) => self.vit(name)?,
            Architecture::Convnext(_) => self.convnext(name)?,
            other => {
                let known = names::elsewhere(other, name);
                let theirs = known.iter().find(|known| self.all.contains_key(*known));
                let theirs = theirs.or(known.last()).with_context(|| format!("no name for \"{name}\""))?;
                self.get(theirs)?
            }
        };
        // A dense layer is a convolution of 1 x 1 here, and a batch of one is none.
        let plain = |dims: &[usize]| dims.iter().copied().filter(|side| *side != 1).collect::<Vec<_>>();
        ensure!(
            plain(tensor.dims()) == plain(shape),
            "{}: what is \"{name}\" here has the shape {:?}; config.json asks for {shape:?}",
            self.shown,
            tensor.dims()
        );
        Ok(tensor.reshape(shape)?)
    }

    fn vit(&mut self, name: &str) -> Result<Tensor> {
        let (layer, value) = parts(name)?;
        match (layer, value) {
            ("patches", value) => self.get(&format!("vit.embeddings.patch_embeddings.projection.{value}")),
            ("tokens", "class") => self.get("vit.embeddings.cls_token"),
            ("tokens", _) => self.get("vit.embeddings.position_embeddings"),
            ("last", value) => self.get(&format!("vit.layernorm.{value}")),
            ("head", value) => self.get(&format!("classifier.{value}")),
            _ => {
                let (number, part) = layer
                    .strip_prefix("layers.")
                    .and_then(|rest| rest.split_once('.'))
                    .with_context(|| format!("no name for \"{name}\""))?;
                let at = format!("vit.encoder.layer.{number}");
                if part == "heads" {
                    return self.heads(&at, value);
                }
                let theirs = match part {
                    "before" => "layernorm_before",
                    "after" => "layernorm_after",
                    "joined" => "attention.output.dense",
                    "expand" => "intermediate.dense",
                    "contract" => "output.dense",
                    _ => bail!("no name for \"{name}\""),
                };
                self.get(&format!("{at}.{theirs}.{value}"))
            }
        }
    }

    /// Queries, keys and values, one behind the other; biases may be left out.
    fn heads(&mut self, at: &str, value: &str) -> Result<Tensor> {
        let mut three = Vec::new();
        for part in ["query", "key", "value"] {
            let name = |value: &str| format!("{at}.attention.attention.{part}.{value}");
            three.push(match value == "bias" && !self.all.contains_key(&name(value)) {
                true => Tensor::zeros(self.get(&name("weight"))?.dim(0)?, DType::F32, &Device::Cpu)?,
                false => self.get(&name(value))?,
            });
        }
        Ok(Tensor::cat(&three, 0)?)
    }

    fn convnext(&mut self, name: &str) -> Result<Tensor> {
        let (layer, value) = parts(name)?;
        let place = |prefix: &str| layer.strip_prefix(prefix).and_then(|rest| rest.rsplit_once('.'));
        match layer {
            "patches" => self.get(&format!("convnext.embeddings.patch_embeddings.{value}")),
            "patches.norm" => self.get(&format!("convnext.embeddings.layernorm.{value}")),
            "last" => self.get(&format!("convnext.layernorm.{value}")),
            "head" => self.get(&format!("classifier.{value}")),
            _ => {
                if let Some((stage, part)) = place("down.") {
                    let number = if part == "norm" { 0 } else { 1 };
                    return self.get(&format!(
                        "convnext.encoder.stages.{stage}.downsampling_layer.{number}.{value}"
                    ));
                }
                let (block, part) = place("stages.").with_context(|| format!("no name for \"{name}\""))?;
                let (stage, block) = block.split_once('.').context("a block without a number")?;
                let at = format!("convnext.encoder.stages.{stage}.layers.{block}");
                match part {
                    "deep" => self.get(&format!("{at}.dwconv.{value}")),
                    "norm" => self.get(&format!("{at}.layernorm.{value}")),
                    "expand" => self.get(&format!("{at}.pwconv1.{value}")),
                    _ => self.scaled(&at, value),
                }
            }
        }
    }

    /// The last layer of a block times the block's scale, where it has one.
    fn scaled(&mut self, at: &str, value: &str) -> Result<Tensor> {
        let own = self.get(&format!("{at}.pwconv2.{value}"))?;
        let name = format!("{at}.layer_scale_parameter");
        if !self.all.contains_key(&name) {
            return Ok(own);
        }
        let scale = self.get(&name)?;
        let scale = if own.rank() == 2 { scale.unsqueeze(1)? } else { scale };
        Ok(own.broadcast_mul(&scale)?)
    }
}

/// A layer's name and one of its values, as PyTorch calls it.
fn parts(name: &str) -> Result<(&str, &str)> {
    let (layer, value) = name.rsplit_once('.').with_context(|| format!("\"{name}\" is no name"))?;
    let value = match value {
        "scale" => "weight",
        "shift" => "bias",
        other => other,
    };
    Ok((layer, value))
}
