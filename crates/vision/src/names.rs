//! What others call the values of a network: torchvision's names, and those of other published weights.
//!
//! Weights that people share are named by the code that made them. From the description of a network and our name for a
//! value follow the names that it may have elsewhere; the shapes are the same.

use model::manifest::{Architecture, CnnConfig, CnnLayer, DensenetConfig, MobilenetConfig, ResnetConfig};

/// The names, the likeliest first, that the value `name` of a network may have elsewhere.
pub fn elsewhere(architecture: &Architecture, name: &str) -> Vec<String> {
    match architecture {
        Architecture::Cnn(config) => vgg(config, name).into_iter().collect(),
        Architecture::Resnet(config) => resnet(config, name),
        Architecture::Unet(config) => resnet(&config.encoder, name),
        Architecture::Mobilenet(config) => mobilenet(config, name),
        Architecture::Densenet(config) => densenet(config, name).into_iter().collect(),
        Architecture::Inception(_) => inception(name).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A layer's name and one of its values.
fn parts(name: &str) -> Option<(&str, &str)> {
    let (layer, value) = name.rsplit_once('.')?;
    Some((
        layer,
        match value {
            "scale" => "weight",
            "shift" => "bias",
            "running_variance" => "running_var",
            other => other,
        },
    ))
}

/// Stage, block and the rest of a name like `stages.0.1.first.conv`.
fn place<'a>(layer: &'a str, prefix: &str) -> Option<(usize, usize, &'a str)> {
    let mut parts = layer.strip_prefix(prefix)?.splitn(3, '.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?))
}

/// torchvision's, then Hugging Face's, whose names begin with `resnet.`.
fn resnet(config: &ResnetConfig, name: &str) -> Vec<String> {
    let Some((layer, value)) = parts(name) else { return Vec::new() };
    let both = |ours: String, theirs: String| vec![format!("{ours}.{value}"), format!("{theirs}.{value}")];
    let kind = |layer: &str| if layer.ends_with(".conv") { "convolution" } else { "normalization" };
    match layer {
        "stem.conv" => both("conv1".into(), "resnet.embedder.embedder.convolution".into()),
        "stem.norm" => both("bn1".into(), "resnet.embedder.embedder.normalization".into()),
        "head" => both("fc".into(), "classifier.1".into()),
        _ => {
            let Some((stage, block, rest)) = place(layer, "stages.") else { return Vec::new() };
            let theirs = format!("resnet.encoder.stages.{stage}.layers.{block}");
            let ours = format!("layer{}.{block}", stage + 1);
            let number = match rest.split('.').next() {
                Some("first") => 1,
                Some("second") => 2,
                Some("third") if config.bottleneck => 3,
                Some("around") => {
                    let place = if rest.ends_with(".conv") { 0 } else { 1 };
                    let theirs = format!("{theirs}.shortcut.{}", kind(layer));
                    return both(format!("{ours}.downsample.{place}"), theirs);
                }
                _ => return Vec::new(),
            };
            let own = if rest.ends_with(".conv") { "conv" } else { "bn" };
            both(format!("{ours}.{own}{number}"), format!("{theirs}.layer.{}.{}", number - 1, kind(layer)))
        }
    }
}

/// Number of the blocks before a stage.
fn before(config: &MobilenetConfig, stage: usize) -> usize {
    config.stages.iter().take(stage).map(|stage| stage.blocks).sum()
}

/// torchvision's MobileNetV2, then the names of EfficientNet implementations.
fn mobilenet(config: &MobilenetConfig, name: &str) -> Vec<String> {
    let Some((layer, value)) = parts(name) else { return Vec::new() };
    let both = |ours: String, theirs: String| vec![format!("{ours}.{value}"), format!("{theirs}.{value}")];
    let last = before(config, config.stages.len()) + 1;
    match layer {
        "stem.conv" => both("features.0.0".into(), "_conv_stem".into()),
        "stem.norm" => both("features.0.1".into(), "_bn0".into()),
        "last.conv" => both(format!("features.{last}.0"), "_conv_head".into()),
        "last.norm" => both(format!("features.{last}.1"), "_bn1".into()),
        "head" => both("classifier.1".into(), "_fc".into()),
        _ => {
            let Some((stage, block, rest)) = place(layer, "stages.") else { return Vec::new() };
            let number = before(config, stage) + block;
            let widened = config.stages.get(stage).is_some_and(|stage| stage.expand > 1);
            let (torchvision, other) = match (rest, widened) {
                ("expand.conv", _) => ("0.0", "_expand_conv"),
                ("expand.norm", _) => ("0.1", "_bn0"),
                ("depthwise.conv", true) => ("1.0", "_depthwise_conv"),
                ("depthwise.norm", true) => ("1.1", "_bn1"),
                ("project.conv", true) => ("2", "_project_conv"),
                ("project.norm", true) => ("3", "_bn2"),
                ("depthwise.conv", false) => ("0.0", "_depthwise_conv"),
                ("depthwise.norm", false) => ("0.1", "_bn1"),
                ("project.conv", false) => ("1", "_project_conv"),
                ("project.norm", false) => ("2", "_bn2"),
                _ => return Vec::new(),
            };
            let ours = format!("features.{}.conv.{torchvision}", number + 1);
            both(ours, format!("_blocks.{number}.{other}"))
        }
    }
}

fn densenet(config: &DensenetConfig, name: &str) -> Option<String> {
    let (layer, value) = parts(name)?;
    let theirs = match layer {
        "stem.conv" => "features.conv0".to_string(),
        "stem.norm" => "features.norm0".to_string(),
        "last.norm" => "features.norm5".to_string(),
        "head" => "classifier".to_string(),
        _ => match place(layer, "blocks.") {
            Some((block, number, rest)) => {
                let own = match rest {
                    "first.norm" => "norm1",
                    "first.conv" => "conv1",
                    "second.norm" => "norm2",
                    "second.conv" => "conv2",
                    _ => return None,
                };
                format!("features.denseblock{}.denselayer{}.{own}", block + 1, number + 1)
            }
            None => {
                let (block, own) = layer.strip_prefix("transitions.")?.split_once('.')?;
                let block: usize = block.parse().ok().filter(|block| block + 1 < config.blocks.len())?;
                format!("features.transition{}.{own}", block + 1)
            }
        },
    };
    Some(format!("{theirs}.{value}"))
}

/// The stack of convolutions and pools counts all its layers, rectifiers too; so does that of dense layers.
fn vgg(config: &CnnConfig, name: &str) -> Option<String> {
    let (layer, value) = parts(name)?;
    let end = match layer {
        "head" => config.layers.len(),
        _ => layer.strip_prefix("layers.")?.parse::<usize>().ok()?,
    };
    let (mut features, mut classifier) = (0, 0);
    for layer in &config.layers[..end] {
        match layer {
            CnnLayer::Conv { .. } => features += 2,
            CnnLayer::Pool { .. } => features += 1,
            CnnLayer::Dense { .. } => classifier += 2,
            CnnLayer::Dropout { .. } => classifier += 1,
            CnnLayer::Flatten => {}
        }
    }
    Some(match config.layers.get(end) {
        Some(CnnLayer::Conv { .. }) => format!("features.{features}.{value}"),
        _ => format!("classifier.{classifier}.{value}"),
    })
}

fn inception(name: &str) -> Option<String> {
    let (layer, value) = parts(name)?;
    if layer == "head" {
        return Some(format!("fc.{value}"));
    }
    let (layer, kind) = layer.rsplit_once('.')?;
    let kind = if kind == "norm" { "bn" } else { kind };
    let theirs = match layer.strip_prefix("stem.") {
        Some(number) => {
            let names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"];
            names.get(number.parse::<usize>().ok()?)?.to_string()
        }
        None => {
            let blocks = [
                ("a.0", "Mixed_5b"),
                ("a.1", "Mixed_5c"),
                ("a.2", "Mixed_5d"),
                ("b", "Mixed_6a"),
                ("c.0", "Mixed_6b"),
                ("c.1", "Mixed_6c"),
                ("c.2", "Mixed_6d"),
                ("c.3", "Mixed_6e"),
                ("d", "Mixed_7a"),
                ("e.0", "Mixed_7b"),
                ("e.1", "Mixed_7c"),
            ];
            let (ours, theirs, inner) = blocks.iter().find_map(|(ours, theirs)| {
                Some((*ours, *theirs, layer.strip_prefix(ours)?.strip_prefix('.')?))
            })?;
            format!("{theirs}.{}", inception_branch(&ours[..1], inner)?)
        }
    };
    Some(format!("{theirs}.{kind}.{value}"))
}

/// A branch of a block of the kind `a` to `e`, and its layer.
fn inception_branch(block: &str, inner: &str) -> Option<String> {
    let (branch, layer) = match inner.split_once('.') {
        Some((branch, layer)) => (branch, layer),
        None => (inner, ""),
    };
    // Layers are counted from 1; the split ones have a letter.
    let number = match layer {
        "wide" => {
            if branch == "three" {
                "2a".to_string()
            } else {
                "3a".to_string()
            }
        }
        "tall" => {
            if branch == "three" {
                "2b".to_string()
            } else {
                "3b".to_string()
            }
        }
        "" => String::new(),
        number => (number.parse::<usize>().ok()? + 1).to_string(),
    };
    let name = match (block, branch) {
        (_, "pooled") => return Some("branch_pool".to_string()),
        (_, "one") => return Some("branch1x1".to_string()),
        ("b", "three") => return Some("branch3x3".to_string()),
        ("a", "five") => "branch5x5",
        ("a", "three") => "branch3x3dbl",
        ("b", "twice") => "branch3x3dbl",
        ("c", "seven") => "branch7x7",
        ("c", "twice") => "branch7x7dbl",
        ("d", "three") => "branch3x3",
        ("d", "seven") => "branch7x7x3",
        ("e", "three") => "branch3x3",
        ("e", "twice") => "branch3x3dbl",
        _ => return None,
    };
    Some(format!("{name}_{number}"))
}
