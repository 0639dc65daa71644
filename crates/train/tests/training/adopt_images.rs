//! Adoption of classifiers of images: the logits of small random networks are those of transformers
//! (`tests/golden/adopted.py`), and what would be computed otherwise is refused with a sentence that says why.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use clap::Parser;
use model::manifest::{Crop, ImageInput, Normalisation, ResizeFilter};
use nn::{Network, Params, Pass};
use serde_json::{Value, json};
use train::adopt::classifier::Classifier;
use train::adopt::{AdoptOptions, adopt};
use train::fit::Examples;
use train::image_set::ImageSet;
use vision::{DecodeOptions, Format, Image, Preprocessor, Samples, decode};

const FAMILIES: [&str; 4] = ["resnet", "resnet-bottleneck", "vit", "convnext"];

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// A picture of three channels, 0 to 255, planes one after the other.
pub fn formula(number: f64, height: usize, width: usize) -> Vec<f64> {
    let value = |at: usize| {
        let (c, i, j) = ((at / width / height) as f64, (at / width % height) as f64, (at % width) as f64);
        let waves = 60.0 * (0.31 * i * (1.0 + c) + number).sin()
            + 60.0 * (0.17 * j + 0.05 * i * j / width as f64 + c).cos();
        (127.5 + waves).round_ties_even()
    };
    (0..3 * height * width).map(value).collect()
}

/// The same as pixels.
fn picture(number: f64, height: usize, width: usize) -> Image {
    let planes = formula(number, height, width);
    let area = height * width;
    let pixels = (0..area).flat_map(|at| [0, 1, 2].map(|c| planes[c * area + at] as u8)).collect();
    Image::from_rgb8(width as u32, height as u32, pixels).unwrap()
}

#[test]
fn logits_are_those_of_transformers() {
    let expected: Value = serde_json::from_slice(&fs::read(golden("adopted.json")).unwrap()).unwrap();
    let side = expected["side"].as_u64().unwrap() as usize;
    for family in FAMILIES {
        let Classifier { architecture, input, labels, weights, .. } =
            Classifier::read(&golden("adopted").join(family), &[]).unwrap();
        assert_eq!(labels, ["normal", "bacterial", "viral"]);
        assert_eq!((input.height as usize, input.width as usize), (side, side), "{family}");
        let Normalisation::Fixed { mean, std } = &input.normalisation else { panic!("{input:?}") };
        let rows = expected["logits"][family].as_array().unwrap();
        let area = side * side;
        let values: Vec<f32> = (0..rows.len())
            .flat_map(|number| formula(number as f64, side, side).into_iter().enumerate())
            .map(|(at, value)| {
                let c = at / area;
                ((value / 255.0 - f64::from(mean[c])) / f64::from(std[c])) as f32
            })
            .collect();
        let mut params = Params::frozen(weights);
        let network = vision::network::build(&architecture, &input, 3, &mut params).unwrap();
        params.finish().unwrap();
        let images = Tensor::from_vec(values, (rows.len(), 3, side, side), &Device::Cpu).unwrap();
        let logits: Vec<Vec<f32>> = network.logits(&images, &mut Pass::Inference).unwrap().to_vec2().unwrap();
        for (got, want) in logits.iter().zip(rows) {
            for (got, want) in got.iter().zip(want.as_array().unwrap()) {
                let apart = (f64::from(*got) - want.as_f64().unwrap()).abs();
                assert!(apart < 1e-4, "{family}: {got} for {want}");
            }
        }
    }
}

#[test]
fn the_middle_of_a_resized_picture_is_that_of_pillow() {
    let input = ImageInput {
        height: 32,
        width: 32,
        channels: 3,
        crop: Crop::Resized { shorter: 40 },
        resize: ResizeFilter::Bicubic,
        normalisation: Normalisation::Fixed { mean: vec![0.0; 3], std: vec![1.0; 3] },
        accepts: None,
    };
    let mut preprocessor = Preprocessor::new(input).unwrap();
    let image = picture(1.0, 61, 90);
    let Samples::Rgb8(ours) = preprocessor.resized(&image).unwrap().into_samples() else { panic!("colour") };
    let file = fs::read(golden("adopted/middle.png")).unwrap();
    let theirs = decode(Format::Png, &file, &DecodeOptions::default()).unwrap();
    let Samples::Rgb8(theirs) = theirs.into_samples() else { panic!("colour") };
    let apart = ours.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(ours.len() == theirs.len() && apart <= 1, "{apart} levels apart");
    // What is seen of 61 x 90 pixels is 32 of 40 rows, and as many columns.
    let (rows, columns) = preprocessor.seen(&image);
    assert_eq!((rows, columns), (6..55, 20..69));
    // A picture of the network's own size is resized all the same; a line of pixels is not a memory's end.
    assert_eq!(preprocessor.seen(&picture(1.0, 32, 32)), (3..29, 3..29));
    for (height, width) in [(1, 1), (1, 4000), (4000, 1)] {
        assert!(preprocessor.run(&picture(0.0, height, width)).is_ok(), "{height} x {width}");
    }
}

#[test]
fn a_picture_is_measured_as_it_is_served() {
    for family in FAMILIES {
        let input = Classifier::read(&golden("adopted").join(family), &[]).unwrap().input;
        for (height, width) in [(40, 48), (32, 32), (50, 33)] {
            let image = picture(2.0, height, width);
            let served = Preprocessor::new(input.clone()).unwrap().run(&image).unwrap();
            let set = ImageSet::new(&[(image, 0)], &input, None).unwrap();
            let measured: Vec<f32> = set.batch(&[0]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(measured, served, "{family}, {height} x {width}");
        }
    }
}

/// A copy of a family's directory, to be broken.
fn copy(family: &str, folder: &Path) -> PathBuf {
    let (from, to) = (golden("adopted").join(family), folder.join("adopted"));
    fs::create_dir_all(&to).unwrap();
    for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    to
}

fn amend(file: &Path, change: impl Fn(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: AdoptOptions,
}

pub fn options(directory: &Path, data: &Path, out: &Path, further: &[&str]) -> AdoptOptions {
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let (directory, data, out) = (text(directory), text(data), text(out));
    let line = ["train", &directory, "--data", &data, "--out", &out, "--name", "small"];
    Line::parse_from(line.iter().chain(further)).options
}

/// Folders of pictures, `count` for each label of the split val.
pub fn data(folder: &Path, labels: &[&str], count: usize) -> PathBuf {
    let root = folder.join("data");
    for (label, name) in labels.iter().enumerate() {
        let place = root.join("val").join(name);
        fs::create_dir_all(&place).unwrap();
        for number in 0..count {
            let image = picture((label * 50 + number) as f64, 40, 48);
            fs::write(place.join(format!("{number}.png")), vision::write::png(&image).unwrap()).unwrap();
        }
    }
    root
}

#[test]
fn a_directory_becomes_a_package_once_it_was_measured() {
    for family in FAMILIES {
        let folder = tempfile::tempdir().unwrap();
        let (directory, out) = (golden("adopted").join(family), folder.path().join("models"));
        let labels = ["normal", "bacterial", "viral"];
        let few = data(folder.path(), &labels, 4);
        let refused = adopt(&options(&directory, &few, &out, &[])).unwrap_err().to_string();
        assert!(refused.contains("12 pictures in the split val are too few") && !out.exists(), "{refused}");
        let enough = data(folder.path(), &labels, 10);
        let (package, manifest) = adopt(&options(&directory, &enough, &out, &[])).unwrap();
        assert_eq!(manifest.task().as_str(), "image-classification");
        assert_eq!((manifest.metrics["val"].examples, manifest.labels.len()), (30, 3));
        assert!(manifest.calibration.temperature != 1.0 && manifest.abstain_below > 0.0);
        let package = model::Package::read(&package).unwrap();
        assert!(package.card.contains("## Adopted") && package.card.contains("no medical device"));
        // Measured again from the package, it says the same.
        let (again, answers) = train::image::answers_of(package, &enough, "val").unwrap();
        let rows = train::finish::calibrated(&answers, again.calibration.temperature).unwrap();
        let metrics = train::finish::measure(&again, &rows, &answers.truth, &[]);
        assert_eq!(metrics, manifest.metrics["val"], "{family}");
    }
}

#[test]
fn labels_are_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, out) = (golden("adopted/vit"), folder.path().join("models"));
    let data = data(folder.path(), &["a", "b", "c"], 10);
    let said = format!("{:#}", adopt(&options(&directory, &data, &out, &[])).unwrap_err());
    assert!(said.contains("normal, bacterial, viral") && said.contains("--labels"), "{said}");
    let said = adopt(&options(&directory, &data, &out, &["--labels", "a,b"])).unwrap_err().to_string();
    assert!(said.contains("--labels names 2 labels; the model has 3"), "{said}");
    let (_, manifest) = adopt(&options(&directory, &data, &out, &["--labels", "c,a,b"])).unwrap();
    assert_eq!(manifest.labels, ["c", "a", "b"]);
}

#[test]
fn what_cannot_be_adopted_is_refused_with_a_sentence() {
    type Break = fn(&Path);
    let cases: [(&str, Break, &[&str]); 17] = [
        (
            "vit",
            |dir| fs::remove_file(dir.join("preprocessor_config.json")).unwrap(),
            &["no preprocessor_config.json"],
        ),
        (
            "vit",
            |dir| fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap(),
            &["pytorch_model.bin", "pickle"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["auto_map"] = json!({"AutoModel": "evil.Model"})),
            &["auto_map", "trust_remote_code"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["model_type"] = json!("swin")),
            &["\"swin\"", "resnet, vit, convnext"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["hidden_act"] = json!("quick_gelu")),
            &["quick_gelu"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["image_size"] = json!(48)),
            &["48 x 48", "32 x 32"],
        ),
        ("vit", |dir| amend(&dir.join("config.json"), |c| c["num_attention_heads"] = json!(5)), &["5 heads"]),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["hidden_size"] = json!(36)),
            &["[24", "config.json asks for"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["num_hidden_layers"] = json!(1)),
            &["does not use", "vit.encoder.layer.1"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("config.json"), |c| c["num_hidden_layers"] = json!(3)),
            &["no tensor", "vit.encoder.layer.2"],
        ),
        (
            "vit",
            |dir| {
                let file = dir.join("model.safetensors");
                let bytes = fs::read(&file).unwrap();
                fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
            },
            &["no safetensors file"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("preprocessor_config.json"), |c| c["resample"] = json!(0)),
            &["\"resample\" is 0"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("preprocessor_config.json"), |c| c["rescale_factor"] = json!(0.0078)),
            &["rescale_factor"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("preprocessor_config.json"), |c| c["image_std"] = json!([0.5, 0.0, 0.5])),
            &["image_std"],
        ),
        (
            "vit",
            |dir| amend(&dir.join("preprocessor_config.json"), |c| c["do_resize"] = json!(false)),
            &["do_resize"],
        ),
        (
            "convnext",
            |dir| {
                amend(&dir.join("preprocessor_config.json"), |c| {
                    c["image_processor_type"] = json!("CLIPImageProcessor")
                })
            },
            &["CLIPImageProcessor", "ConvNext"],
        ),
        (
            "resnet",
            |dir| amend(&dir.join("config.json"), |c| c["downsample_in_bottleneck"] = json!(true)),
            &["downsample_in_bottleneck"],
        ),
    ];
    for (family, change, wanted) in cases {
        let folder = tempfile::tempdir().unwrap();
        let directory = copy(family, folder.path());
        change(&directory);
        let out = folder.path().join("models");
        let error = adopt(&options(&directory, folder.path(), &out, &[])).unwrap_err();
        let error = format!("{error:#}");
        assert!(wanted.iter().all(|words| error.contains(words)), "{error}");
        assert!(!out.exists());
    }
}
