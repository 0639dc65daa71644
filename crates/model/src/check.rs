//! What a manifest must fulfil besides being well-formed.
//!
//! Sizes are bounded here, so that a manifest cannot make the loader allocate without limit
//! before the weights have been looked at.

use std::collections::BTreeSet;

use super::manifest::{
    Architecture, CnnLayer, Crop, EncoderConfig, EncoderHead, FieldKind, ImageInput, Input, Likeness,
    Manifest, Normalisation, RecordInput, ResnetConfig, Task,
};

use super::package::{LIKENESS, ONNX};

/// Largest side of a network's input, in pixels.
const MAX_SIDE: u32 = 4096;
/// Largest number of channels, units or layers.
const MAX_SIZE: usize = 1 << 16;
/// Largest number of n-grams.
const MAX_NGRAMS: usize = 1 << 24;
/// Largest number of splits, and of leaves, of a forest.
const MAX_NODES: usize = 1 << 24;
/// Most labels of names in a text: their tags are bits of one number.
const MAX_ENTITY_LABELS: usize = 15;
/// Most labels of names where no tags are ruled out.
const MAX_TAGGED_LABELS: usize = 256;
/// Most lists of names.
const MAX_LISTS: usize = 64;
/// Longest n-gram.
const MAX_NGRAM: usize = 16;
/// Most characters of an n-gram of a likeness.
const MAX_CHARACTERS: usize = 8;

impl Manifest {
    /// That a likeness with a file of its own has it.
    fn names_likeness(&self) -> Result<(), String> {
        match self.files.contains_key(LIKENESS) || self.weights.sha256.is_empty() {
            true => Ok(()),
            false => Err(format!("likeness: files does not name \"{LIKENESS}\"")),
        }
    }

    /// Checks everything that can be checked without the weights.
    ///
    /// # Errors
    /// A sentence that names the member and what is accepted.
    pub fn check(&self) -> Result<(), String> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(letter) {
            return Err(format!(
                "name \"{}\" is not 1 to 64 lower-case letters, digits and dashes",
                self.name
            ));
        }
        if self.version.parse::<u64>().map_or(true, |v| v == 0 || v.to_string() != self.version) {
            return Err(format!("version \"{}\" is not a positive whole number", self.version));
        }
        let distinct: BTreeSet<&String> = self.labels.iter().collect();
        let (least, most) = match self.input {
            Input::History(_) => (0, 0),
            Input::Text(_) if embeds(&self.architecture) => (0, 0),
            Input::Text(_) if matches!(self.architecture, Architecture::Encoder(_)) => (1, MAX_TAGGED_LABELS),
            Input::Text(_) => (1, MAX_ENTITY_LABELS),
            Input::Image(_) if self.outputs.is_some() => (1, MAX_SIZE),
            Input::Image(_) | Input::Record(_) => (2, MAX_SIZE),
        };
        if !(least..=most).contains(&self.labels.len()) || distinct.len() != self.labels.len() {
            let least = match least {
                0 => return Err("labels: a recommender or a model that embeds has none".to_string()),
                1 => "one name",
                _ => "two different names",
            };
            return Err(format!(
                "labels are not at least {least}, or more than {most}, or one is there twice"
            ));
        }
        if let Some(stranger) = self.label_descriptions.keys().find(|label| !self.labels.contains(label)) {
            return Err(format!("label_descriptions names \"{stranger}\", which is no label"));
        }
        let temperature = self.calibration.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(format!("calibration.temperature is {temperature}, not a positive number"));
        }
        if !(0.0..=1.0).contains(&self.abstain_below) {
            return Err(format!("abstain_below is {}, not between 0 and 1", self.abstain_below));
        }
        if let Some(cost) = self.ordinal.as_ref().and_then(|o| o.cost.as_ref()) {
            let side = self.labels.len();
            let fits = cost.len() == side
                && cost.iter().all(|row| row.len() == side && row.iter().all(|c| c.is_finite()));
            if !fits {
                return Err(format!("ordinal.cost is not a matrix of {side} x {side} numbers"));
            }
        }
        if let Some(Likeness::KnownNgrams { at_least, .. } | Likeness::Characters { at_least, .. }) =
            self.likeness
        {
            if !(0.0..=1.0).contains(&at_least) {
                return Err(format!("likeness.at_least is {at_least}, not between 0 and 1"));
            }
            let kept = matches!(self.likeness, Some(Likeness::Characters { .. }));
            match self.architecture {
                Architecture::Bag(_) => {}
                Architecture::Encoder(_) if kept => {}
                _ => return Err("likeness: this architecture knows no n-grams".to_string()),
            }
        }
        match &self.input {
            Input::Image(input) => check_image(input)?,
            Input::Record(input) => check_record(input)?,
            Input::Text(input) => check_tokens(input.max_tokens)?,
            Input::History(input) => super::recommendation::check(input)?,
        }
        let (kind, fits) = match self.input {
            Input::Image(_) => ("image", self.architecture.is_for_images()),
            Input::Text(_) => {
                let tags = matches!(self.architecture, Architecture::Crf(_)) || tags(&self.architecture);
                ("text", tags || embeds(&self.architecture))
            }
            Input::History(_) => ("history", matches!(self.architecture, Architecture::Ease(_))),
            Input::Record(_) => {
                let other = matches!(
                    self.architecture,
                    Architecture::Crf(_) | Architecture::Vectors(_) | Architecture::Ease(_)
                ) || tags(&self.architecture)
                    || embeds(&self.architecture);
                ("record", !other && !self.architecture.is_for_images())
            }
        };
        if !fits {
            return Err(format!(
                "architecture \"{}\" does not take {kind} input",
                self.architecture.as_str()
            ));
        }
        check_architecture(&self.architecture)?;
        if let (Input::Record(input), Architecture::Encoder(config)) = (&self.input, &self.architecture) {
            if !input.fields.is_empty() {
                return Err("input.fields: an adopted encoder reads notes alone".to_string());
            }
            if input.max_tokens > config.positions {
                return Err(format!(
                    "input.max_tokens is {}, more than the {} places that the encoder knows",
                    input.max_tokens, config.positions
                ));
            }
        }
        if self.segmentation.is_some() != matches!(self.architecture, Architecture::Unet(_)) {
            return Err("segmentation: a unet has it and no other architecture".to_string());
        }
        if self.generation.is_some() != matches!(self.architecture, Architecture::Denoiser(_)) {
            return Err("generation: a denoiser has it and no other architecture".to_string());
        }
        if matches!(self.architecture, Architecture::Onnx(_)) {
            if self.precision.is_some() || self.outputs.is_some() {
                return Err(
                    "precision and outputs: an ONNX file is run as it is, and gives logits".to_string()
                );
            }
            if !(self.files.contains_key(ONNX) || self.weights.sha256.is_empty()) {
                return Err(format!("architecture: files does not name \"{ONNX}\""));
            }
        }
        if let Some(outputs) = &self.outputs {
            let plain = self.segmentation.is_none() && self.generation.is_none() && self.ordinal.is_none();
            if !(plain && matches!(self.input, Input::Image(_))) {
                return Err("outputs is for classifiers of images without a scale".to_string());
            }
            if self.precision.is_some() {
                return Err(
                    "precision: a network of such outputs is computed in single precision".to_string()
                );
            }
            outputs.check(&self.labels)?;
        }
        if let (Some(generation), Input::Image(input)) = (&self.generation, &self.input) {
            generation.check(self.labels.len(), input)?;
        }
        if let (Some(segmentation), Input::Image(input)) = (&self.segmentation, &self.input) {
            segmentation.check(self.labels.len(), input.height, input.width)?;
        }
        if let Some(Likeness::Characters { order, mean, exponent, least, .. }) = &self.likeness {
            if !(1..=MAX_CHARACTERS).contains(order) {
                return Err(format!("likeness.order is {order}, not between 1 and {MAX_CHARACTERS}"));
            }
            if ![mean, exponent, least].iter().all(|value| value.is_finite()) {
                return Err("likeness: mean, exponent and least are finite numbers".to_string());
            }
            self.names_likeness()?;
        }
        if let Some(Likeness::TrainingPictures { components, .. }) = &self.likeness {
            if !(1..=MAX_SIZE).contains(components) {
                return Err(format!("likeness.components is {components}, not between 1 and {MAX_SIZE}"));
            }
            if !matches!(self.input, Input::Image(_)) {
                return Err("likeness: only a model of images has training pictures".to_string());
            }
            self.names_likeness()?;
        }
        if let Some(precision) = &self.precision {
            match (&self.input, &self.architecture) {
                (Input::Image(_), _) => precision.check(false)?,
                (_, Architecture::Encoder(_) | Architecture::Transformer(_)) => precision.check(true)?,
                _ => return Err("precision is for networks over images and encoders over texts".to_string()),
            }
        }
        let names = &self.calibration.names;
        if !names.is_empty() && (self.task() != Task::NoteExtraction || names.len() != self.labels.len()) {
            return Err("calibration.names: a model that finds names has one for each label".to_string());
        }
        let relations = &self.calibration.relations;
        let count = match &self.architecture {
            Architecture::Crf(config) => config.relations.len(),
            _ => 0,
        };
        if !relations.is_empty() && relations.len() != count {
            return Err(
                "calibration.relations: a model that ties names has one for each relation".to_string()
            );
        }
        for (of, member) in [(names, "names"), (relations, "relations")] {
            if of.iter().any(|of| !(of.slope.is_finite() && of.slope > 0.0 && of.offset.is_finite())) {
                return Err(format!("calibration.{member}: slopes are above 0, and offsets are numbers"));
            }
        }
        for file in std::iter::once(&self.weights.file).chain(self.files.keys()) {
            if file.is_empty() || file.starts_with('.') || file.contains(['/', '\\']) {
                return Err(format!("weights and files: \"{file}\" is not a plain file name"));
            }
        }
        Ok(())
    }
}

/// True for architectures that make vectors of texts.
fn embeds(architecture: &Architecture) -> bool {
    matches!(architecture, Architecture::Vectors(_) | Architecture::Encoder(EncoderConfig { head: None, .. }))
}

/// True for an encoder that tags tokens.
fn tags(architecture: &Architecture) -> bool {
    let Architecture::Encoder(config) = architecture else { return false };
    matches!(config.head, Some(EncoderHead::Tags { .. }))
}

fn check_image(input: &ImageInput) -> Result<(), String> {
    let ImageInput { height, width, channels, crop, normalisation, .. } = input;
    if !(1..=MAX_SIDE).contains(height) || !(1..=MAX_SIDE).contains(width) {
        return Err(format!(
            "input of {height} x {width} pixels is not between 1 and {MAX_SIDE} on each side"
        ));
    }
    if let Crop::Resized { shorter } = crop
        && !(*height.max(width)..=MAX_SIDE).contains(shorter)
    {
        return Err(format!(
            "input.crop has a shorter side of {shorter}, not from the input's to {MAX_SIDE}"
        ));
    }
    if *channels != 1 && *channels != 3 {
        return Err(format!("input.channels is {channels}, not 1 or 3"));
    }
    match normalisation {
        Normalisation::Fixed { mean, std } => {
            let each = *channels as usize;
            if mean.len() != each || std.len() != each {
                return Err(format!("input.normalisation does not have {each} means and deviations"));
            }
            if mean.iter().any(|m| !m.is_finite()) || std.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
                return Err("input.normalisation has a mean or a deviation that cannot be".to_string());
            }
        }
        Normalisation::PerImage { floor } => {
            if !(floor.is_finite() && *floor > 0.0) {
                return Err(format!("input.normalisation.floor is {floor}, not a positive number"));
            }
        }
    }
    Ok(())
}

fn check_tokens(max_tokens: usize) -> Result<(), String> {
    match (1..=MAX_SIZE).contains(&max_tokens) {
        true => Ok(()),
        false => Err(format!("input.max_tokens is {max_tokens}, not between 1 and {MAX_SIZE}")),
    }
}

fn check_record(input: &RecordInput) -> Result<(), String> {
    check_tokens(input.max_tokens)?;
    let mut names = BTreeSet::new();
    for field in &input.fields {
        if field.name == "note" {
            return Err(
                "input.fields has a field \"note\", which is what the text itself is called".to_string()
            );
        }
        if !names.insert(&field.name) {
            return Err(format!("input.fields has \"{}\" twice", field.name));
        }
        match &field.kind {
            FieldKind::Numeric { min, max, mean, std, knots, normal, .. } => {
                let finite = [min, max, mean, std].into_iter().chain(knots).all(|v| v.is_finite());
                if !finite || min >= max || *std <= 0.0 {
                    return Err(format!("input.fields \"{}\" has a range that cannot be", field.name));
                }
                if normal.is_some_and(|(low, high)| !(*min <= low && low < high && high <= *max)) {
                    return Err(format!("input.fields \"{}\" has a normal range that cannot be", field.name));
                }
                if knots.windows(2).any(|pair| pair[0] >= pair[1]) {
                    return Err(format!("input.fields \"{}\" has knots that do not rise", field.name));
                }
            }
            FieldKind::Categorical { values } if values.is_empty() => {
                return Err(format!("input.fields \"{}\" has no values", field.name));
            }
            FieldKind::Categorical { .. } => {}
        }
    }
    Ok(())
}

fn check_architecture(architecture: &Architecture) -> Result<(), String> {
    match architecture {
        Architecture::Cnn(config) => {
            within("the number of layers", config.layers.len())?;
            for layer in &config.layers {
                match layer {
                    CnnLayer::Conv { filters, kernel, padding } => {
                        within("filters", *filters)?;
                        within("kernel", *kernel)?;
                        within("padding", padding.saturating_add(1))?;
                    }
                    CnnLayer::Pool { size } => within("size", *size)?,
                    CnnLayer::Dense { units } => within("units", *units)?,
                    CnnLayer::Dropout { rate: value } => rate(*value)?,
                    CnnLayer::Flatten => {}
                }
            }
        }
        Architecture::Resnet(config) => check_resnet(config)?,
        Architecture::Mobilenet(config) => config.check()?,
        Architecture::Densenet(config) => config.check()?,
        Architecture::Inception(config) => config.check()?,
        Architecture::Unet(config) => {
            check_resnet(&config.encoder)?;
            config.check()?;
        }
        Architecture::Vit(config) => config.check()?,
        Architecture::Convnext(config) => config.check()?,
        // What is in the file its runtime says.
        Architecture::Onnx(_) => {}
        Architecture::Denoiser(config) => config.check()?,
        Architecture::Bag(config) => {
            if config.ngrams > MAX_NGRAMS {
                return Err(format!("architecture: {} n-grams are more than {MAX_NGRAMS}", config.ngrams));
            }
            for kind in [config.words, config.characters] {
                let fits = kind.max == 0 || (1..=kind.max).contains(&kind.min) && kind.max <= MAX_NGRAM;
                if !fits || !kind.scale.is_finite() {
                    return Err(format!(
                        "architecture: n-grams of {} to {} are not within 1 to {MAX_NGRAM}",
                        kind.min, kind.max
                    ));
                }
            }
            if !config.field_scale.is_finite() {
                return Err("architecture: field_scale is not a number".to_string());
            }
            if let Some(trees) = config.trees {
                within("trees", trees.trees)?;
                if trees.splits > MAX_NODES || !(1..=MAX_NODES).contains(&trees.leaves) {
                    return Err(format!("architecture: trees of more than {MAX_NODES} nodes, or of none"));
                }
            }
        }
        Architecture::Lstm(config) => {
            within("vocabulary", config.vocabulary)?;
            within("embedding", config.embedding)?;
            within("hidden", config.hidden)?;
            rate(config.token_dropout)?;
            rate(config.dropout)?;
            rate(config.recurrent_dropout)?;
        }
        Architecture::Transformer(config) => {
            within("vocabulary", config.vocabulary)?;
            within("width", config.width)?;
            within("heads", config.heads)?;
            within("layers", config.layers)?;
            within("feed_forward", config.feed_forward)?;
            if config.width % config.heads != 0 {
                return Err(format!(
                    "architecture: {} heads do not divide a width of {}",
                    config.heads, config.width
                ));
            }
            rate(config.token_dropout)?;
            rate(config.dropout)?;
        }
        Architecture::Crf(config) => {
            let lists = config.lists.iter().map(|list| list.names);
            let relations = config.relations.iter().map(|relation| relation.features);
            let sizes = lists.chain(relations).chain([config.features, config.classes]);
            if sizes.into_iter().any(|size| size > MAX_NGRAMS) {
                return Err(format!("architecture: a list or table of more than {MAX_NGRAMS} entries"));
            }
            if config.lists.len() > MAX_LISTS || config.relations.len() > MAX_LISTS {
                return Err(format!("architecture: more than {MAX_LISTS} lists or relations"));
            }
            if !(0.0..=1.0).contains(&config.threshold) {
                return Err(format!("architecture: threshold is {}, not between 0 and 1", config.threshold));
            }
        }
        Architecture::Vectors(config) => config.check()?,
        Architecture::Encoder(config) => config.check()?,
        Architecture::Ease(config) => {
            if !(config.lambda.is_finite() && config.lambda > 0.0) {
                return Err(format!("architecture: lambda is {}, not a positive number", config.lambda));
            }
        }
    }
    Ok(())
}

/// Refuses a size that is 0 or beyond all reason.
pub(crate) fn within(what: &str, value: usize) -> Result<(), String> {
    match (1..=MAX_SIZE).contains(&value) {
        true => Ok(()),
        false => Err(format!("architecture: {what} is {value}, not between 1 and {MAX_SIZE}")),
    }
}

/// Refuses a share to drop that leaves nothing.
pub(crate) fn rate(value: f32) -> Result<(), String> {
    match (0.0..1.0).contains(&value) {
        true => Ok(()),
        false => Err(format!("architecture: a dropout rate of {value} is not from 0 to below 1")),
    }
}

fn check_resnet(config: &ResnetConfig) -> Result<(), String> {
    within("stem_channels", config.stem_channels)?;
    within("stem_kernel", config.stem_kernel)?;
    within("stem_stride", config.stem_stride)?;
    within("the number of stages", config.stages.len())?;
    for stage in &config.stages {
        within("channels", stage.channels)?;
        within("blocks", stage.blocks)?;
        within("stride", stage.stride)?;
    }
    if config.bottleneck && config.stages.iter().any(|stage| stage.channels % 4 != 0) {
        return Err("architecture: the channels of a bottleneck are a multiple of 4".to_string());
    }
    rate(config.dropout)
}
