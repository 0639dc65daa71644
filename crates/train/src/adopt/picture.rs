//! A classifier of images that others have trained: what its `config.json` and `preprocessor_config.json` say, as an
//! architecture and an input of ours. What would be computed otherwise than they say is refused.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use model::manifest::{
    Architecture, ConvnextConfig, ConvnextStage, Crop, ImageInput, Normalisation, ResizeFilter, ResnetConfig,
    ResnetStage, VitConfig,
};
use serde_json::Value;

/// Families that are known, as `config.json` names them.
pub const FAMILIES: [&str; 3] = ["resnet", "vit", "convnext"];

/// A member of one of the two files.
pub struct Members<'a> {
    /// The file, for people.
    pub file: String,
    /// Its content.
    pub value: &'a Value,
}

impl Members<'_> {
    fn is_null(&self, name: &str) -> bool {
        self.value.get(name).is_none_or(Value::is_null)
    }

    fn number(&self, name: &str) -> Result<usize> {
        let value = self.value.get(name).and_then(Value::as_u64);
        let value =
            value.with_context(|| format!("{}: no member \"{name}\" that is a whole number", self.file))?;
        Ok(usize::try_from(value)?)
    }

    fn numbers(&self, name: &str) -> Result<Vec<usize>> {
        let all = self.value.get(name).and_then(Value::as_array);
        let all = all.with_context(|| format!("{}: no member \"{name}\" that is an array", self.file))?;
        let number = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
        let numbers: Option<Vec<usize>> = all.iter().map(number).collect();
        numbers.with_context(|| format!("{}: \"{name}\" has members that are no whole numbers", self.file))
    }

    fn fractions(&self, name: &str) -> Result<Vec<f32>> {
        let all = self.value.get(name).and_then(Value::as_array);
        let all = all.with_context(|| format!("{}: no member \"{name}\" that is an array", self.file))?;
        let numbers: Option<Vec<f32>> = all.iter().map(|value| Some(value.as_f64()? as f32)).collect();
        numbers.with_context(|| format!("{}: \"{name}\" has members that are no numbers", self.file))
    }

    fn flag(&self, name: &str, otherwise: bool) -> bool {
        self.value.get(name).and_then(Value::as_bool).unwrap_or(otherwise)
    }

    fn small(&self, name: &str, otherwise: f64) -> f32 {
        self.value.get(name).and_then(Value::as_f64).unwrap_or(otherwise) as f32
    }

    /// Refuses a member of another value than this one, where it is there.
    fn only(&self, name: &str, accepted: &str) -> Result<()> {
        match self.value.get(name).and_then(Value::as_str) {
            Some(found) if found != accepted => {
                bail!("{}: \"{name}\" is \"{found}\"; {accepted} is computed here", self.file)
            }
            _ => Ok(()),
        }
    }

    /// Refuses a member that is set.
    fn off(&self, name: &str) -> Result<()> {
        ensure!(!self.flag(name, false), "{}: \"{name}\" is true, which is not computed here", self.file);
        Ok(())
    }

    /// The labels in the order of the network's outputs.
    pub fn labels(&self) -> Result<Vec<String>> {
        let named = self.value.get("id2label").and_then(Value::as_object);
        let named = named.with_context(|| format!("{}: no member \"id2label\"", self.file))?;
        let label = |place: usize| -> Result<String> {
            let label = named.get(&place.to_string()).and_then(Value::as_str);
            Ok(label.with_context(|| format!("{}: \"id2label\" has no \"{place}\"", self.file))?.to_string())
        };
        (0..named.len()).map(label).collect()
    }

    /// The network.
    pub fn architecture(&self, family: &str) -> Result<Architecture> {
        match family {
            "resnet" => self.resnet(),
            "vit" => self.vit(),
            _ => self.convnext(),
        }
    }

    fn resnet(&self) -> Result<Architecture> {
        self.only("hidden_act", "relu")?;
        self.off("downsample_in_bottleneck")?;
        let kind = self.value.get("layer_type").and_then(Value::as_str).unwrap_or("bottleneck");
        ensure!(
            ["basic", "bottleneck"].contains(&kind),
            "{}: \"layer_type\" is \"{kind}\", not basic or bottleneck",
            self.file
        );
        let first = if self.flag("downsample_in_first_stage", false) { 2 } else { 1 };
        let stage = |(place, (channels, blocks)): (usize, (usize, usize))| ResnetStage {
            channels,
            blocks,
            stride: if place == 0 { first } else { 2 },
        };
        Ok(Architecture::Resnet(ResnetConfig {
            stem_channels: self.number("embedding_size")?,
            stem_kernel: 7,
            stem_stride: 2,
            stem_pool: true,
            bottleneck: kind == "bottleneck",
            stages: self.stages()?.into_iter().enumerate().map(stage).collect(),
            dropout: 0.0,
        }))
    }

    /// Channels and blocks of each stage.
    fn stages(&self) -> Result<Vec<(usize, usize)>> {
        let (channels, blocks) = (self.numbers("hidden_sizes")?, self.numbers("depths")?);
        ensure!(
            channels.len() == blocks.len() && !blocks.is_empty(),
            "{}: \"hidden_sizes\" and \"depths\" are not of one length",
            self.file
        );
        Ok(channels.into_iter().zip(blocks).collect())
    }

    fn vit(&self) -> Result<Architecture> {
        self.only("hidden_act", "gelu")?;
        Ok(Architecture::Vit(VitConfig {
            patch: self.number("patch_size")?,
            width: self.number("hidden_size")?,
            heads: self.number("num_attention_heads")?,
            layers: self.number("num_hidden_layers")?,
            feed_forward: self.number("intermediate_size")?,
            epsilon: self.small("layer_norm_eps", 1e-12),
        }))
    }

    fn convnext(&self) -> Result<Architecture> {
        self.only("hidden_act", "gelu")?;
        let stages = self.stages()?;
        let stages = stages.into_iter().map(|(channels, blocks)| ConvnextStage { channels, blocks });
        Ok(Architecture::Convnext(ConvnextConfig {
            patch: self.number("patch_size")?,
            stages: stages.collect(),
            epsilon: self.small("layer_norm_eps", 1e-12),
        }))
    }

    /// What is done to a picture, of `preprocessor_config.json`.
    pub fn input(&self, channels: usize) -> Result<ImageInput> {
        let name = |member: &str| self.value.get(member).and_then(Value::as_str);
        let name = name("image_processor_type").or_else(|| name("feature_extractor_type"));
        let name = name.with_context(|| format!("{}: no \"image_processor_type\"", self.file))?;
        let kind = name.trim_end_matches("Fast").trim_end_matches("Pil");
        let kind = kind.trim_end_matches("ImageProcessor").trim_end_matches("FeatureExtractor");
        ensure!(
            ["ViT", "DeiT", "Bit", "ConvNext"].contains(&kind),
            "{}: {name} is not known here; those of ViT, DeiT, Bit and ConvNext are",
            self.file
        );
        ensure!(
            self.flag("do_resize", true),
            "{}: \"do_resize\" is false; pictures come in every size, and the network has one",
            self.file
        );
        let (height, width, crop) = match kind {
            "ConvNext" => self.cropped_share()?,
            _ => self.size()?,
        };
        let resize = match self.number("resample")? {
            1 => ResizeFilter::Lanczos3,
            2 => ResizeFilter::Bilinear,
            3 => ResizeFilter::Bicubic,
            other => bail!(
                "{}: \"resample\" is {other}; 1 (Lanczos), 2 (bilinear) and 3 (bicubic) are computed here",
                self.file
            ),
        };
        let normalisation = self.normalisation(channels)?;
        let channels = u32::try_from(channels)?;
        Ok(ImageInput { height, width, channels, crop, resize, normalisation, accepts: None })
    }

    fn normalisation(&self, channels: usize) -> Result<Normalisation> {
        let factor = self.value.get("rescale_factor").and_then(Value::as_f64).unwrap_or(1.0 / 255.0);
        ensure!(
            self.flag("do_rescale", true) && (factor * 255.0 - 1.0).abs() < 1e-3,
            "{}: values are not brought to between 0 and 1 (\"do_rescale\", \"rescale_factor\" 1/255), as is done here",
            self.file
        );
        if !self.flag("do_normalize", true) {
            return Ok(Normalisation::Fixed { mean: vec![0.0; channels], std: vec![1.0; channels] });
        }
        let (mean, std) = (self.fractions("image_mean")?, self.fractions("image_std")?);
        ensure!(
            mean.len() == channels && std.len() == channels && std.iter().all(|std| *std > 0.0),
            "{}: \"image_mean\" and \"image_std\" do not fit {channels} channels",
            self.file
        );
        Ok(Normalisation::Fixed { mean, std })
    }

    /// A side by name, of a number or of an object.
    fn side(&self, member: &str, name: &str) -> Option<u32> {
        let value = self.value.get(member)?;
        let side = value.as_u64().or_else(|| value.get(name)?.as_u64())?;
        u32::try_from(side).ok().filter(|side| *side > 0)
    }

    /// Height, width and crop where pictures are squashed, or their shorter side is given and the middle cut out.
    fn size(&self) -> Result<(u32, u32, Crop)> {
        let both = |member: &str| Some((self.side(member, "height")?, self.side(member, "width")?));
        let middle = self.flag("do_center_crop", false);
        match (both("size"), self.side("size", "shortest_edge"), middle) {
            (Some((height, width)), _, false) => Ok((height, width, Crop::None)),
            (None, Some(shorter), true) => {
                let (height, width) = both("crop_size")
                    .with_context(|| format!("{}: no \"crop_size\" of height and width", self.file))?;
                ensure!(
                    height.max(width) <= shorter,
                    "{}: a middle of {height} x {width} is larger than a shorter side of {shorter}",
                    self.file
                );
                Ok((height, width, Crop::Resized { shorter }))
            }
            _ => bail!(
                "{}: \"size\" has to be a height and a width without \"do_center_crop\", or a \"shortest_edge\" with it",
                self.file
            ),
        }
    }

    /// Height, width and crop as ConvNeXt's: below 384 the middle of a picture that was resized to a little more.
    fn cropped_share(&self) -> Result<(u32, u32, Crop)> {
        let side = self.side("size", "shortest_edge");
        let side = side.with_context(|| format!("{}: no \"size\" with a \"shortest_edge\"", self.file))?;
        if side >= 384 {
            return Ok((side, side, Crop::None));
        }
        let share = match self.is_null("crop_pct") {
            true => 224.0 / 256.0,
            false => self.value["crop_pct"].as_f64().unwrap_or(0.0),
        };
        ensure!(share > 0.1 && share <= 1.0, "{}: \"crop_pct\" is {share}, not from 0.1 to 1", self.file);
        Ok((side, side, Crop::Resized { shorter: (f64::from(side) / share) as u32 }))
    }
}

/// Refuses an input whose side is not the one that the weights were trained on, where they know places.
///
/// # Errors
/// The two sizes.
pub fn check_side(family: &str, config: &Members, input: &ImageInput, path: &Path) -> Result<()> {
    if family != "vit" {
        return Ok(());
    }
    let side = config.number("image_size")?;
    let patch = config.number("patch_size")?.max(1);
    let fits = input.height as usize == side && input.width as usize == side && side.is_multiple_of(patch);
    ensure!(
        fits,
        "{}: the network knows the places of {side} x {side} pixels in patches of {patch}, and pictures are brought to {} x {}",
        path.display(),
        input.height,
        input.width
    );
    Ok(())
}
