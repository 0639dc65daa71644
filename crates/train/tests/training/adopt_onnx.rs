//! Adoption of classifiers of images that are ONNX files: small random networks answer as ONNX Runtime has them answer
//! (`tests/golden/onnx_files.py`), and a program without the feature says so.

use std::fs;
use std::path::{Path, PathBuf};

use train::adopt::adopt;

use super::adopt_images::{data, golden, options};

const LABELS: [&str; 3] = ["normal", "bacterial", "viral"];

fn refused(directory: &Path, data: &Path, out: &Path, further: &[&str]) -> String {
    let error = format!("{:#}", adopt(&options(directory, data, out, further)).unwrap_err());
    assert!(!out.exists(), "{error}");
    error
}

/// A copy of a golden directory, to be broken.
fn copy(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join("directory");
    fs::create_dir_all(&to).unwrap();
    for file in ["config.json", "preprocessor_config.json", "model.onnx"] {
        fs::copy(golden("onnx").join(name).join(file), to.join(file)).unwrap();
    }
    to
}

#[cfg(not(feature = "onnx"))]
#[test]
fn a_program_without_the_feature_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path(), &LABELS, 10);
    let directory = copy("logits", folder.path());
    assert!(refused(&directory, &data, &folder.path().join("models"), &[]).contains("--features onnx"));
}

#[cfg(feature = "onnx")]
mod with_the_feature {
    use super::super::adopt_images::formula;
    use super::*;
    use model::manifest::{Architecture, Normalisation, OnnxConfig};
    use serde_json::Value;
    use train::adopt::classifier::Classifier;
    use vision::onnx::OnnxNetwork;

    #[test]
    fn answers_are_those_of_onnx_runtime() {
        let expected: Value = serde_json::from_slice(&fs::read(golden("onnx.json")).unwrap()).unwrap();
        for (name, probabilities) in [("logits", false), ("probabilities", true)] {
            let read = Classifier::read(&golden("onnx").join(name), &[]).unwrap();
            assert_eq!(read.labels, LABELS);
            let Normalisation::Fixed { mean, std } = &read.input.normalisation else { panic!("fixed") };
            let (side, area) = (read.input.height as usize, (read.input.height * read.input.width) as usize);
            let picture = |number: usize| -> Vec<f32> {
                let values = formula(number as f64, side, side).into_iter().enumerate();
                values
                    .map(|(at, value)| {
                        ((value / 255.0 - f64::from(mean[at / area])) / f64::from(std[at / area])) as f32
                    })
                    .collect()
            };
            let pictures: Vec<Vec<f32>> = (0..3).map(picture).collect();
            let config = OnnxConfig { probabilities };
            let network = OnnxNetwork::load(read.onnx.as_ref().unwrap(), &config, &read.input, 3).unwrap();
            let rows = network.run(&pictures).unwrap();
            for (place, row) in rows.iter().enumerate() {
                // Alone and in a copy it is the same.
                let alone = network.clone().run(&pictures[place..=place]).unwrap();
                for ((got, again), want) in
                    row.iter().zip(&alone[0]).zip(expected["answers"][name][place].as_array().unwrap())
                {
                    let want = want.as_f64().unwrap();
                    let got = f64::from(if probabilities { got.exp() } else { *got });
                    assert!((got - want).abs() < 1e-4, "{name}: {got} for {want}");
                    assert!((f64::from(if probabilities { again.exp() } else { *again }) - got).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_file_becomes_a_package_that_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), &LABELS, 10);
        for (name, probabilities) in [("logits", false), ("probabilities", true)] {
            let out = folder.path().join(name);
            let file = golden("onnx").join(name).join("model.onnx");
            let (package, manifest) = adopt(&options(&file, &data, &out, &[])).unwrap();
            assert_eq!(manifest.architecture, Architecture::Onnx(OnnxConfig { probabilities }));
            assert!(manifest.calibration.temperature != 1.0 && manifest.abstain_below > 0.0);
            assert_eq!(manifest.weights.parameters, 0);
            assert_eq!(fs::read(package.join("model.onnx")).unwrap(), fs::read(&file).unwrap());
            let read = model::Package::read(&package).unwrap();
            assert!(read.card.contains("## Adopted") && read.card.contains("Architecture `onnx`"));
            let (again, answers) = train::image::answers_of(read, &data, "val").unwrap();
            let rows = train::finish::calibrated(&answers, again.calibration.temperature).unwrap();
            let metrics = train::finish::measure(&again, &rows, &answers.truth, &[]);
            assert_eq!(metrics, manifest.metrics["val"]);
            // Another file than the one that was measured is not read.
            let mut bytes = fs::read(&file).unwrap();
            bytes.push(0);
            fs::write(package.join("model.onnx"), bytes).unwrap();
            assert!(model::Package::read(&package).err().unwrap().to_string().contains("sha256"));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let data = data(folder.path(), &LABELS, 10);
        let out = folder.path().join("models");
        let directory = copy("logits", folder.path());
        let said = refused(&directory, &data, &out, &["--labels", "normal,viral"]);
        assert!(said.contains("3 numbers for each picture, and there are 2 labels"), "{said}");
        let amend = |name: &str, from: &str, to: &str| {
            let file = directory.join(name);
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{from}");
            fs::write(file, text.replace(from, to)).unwrap();
        };
        amend("preprocessor_config.json", "\"height\": 32", "\"height\": 48");
        let said = refused(&directory, &data, &out, &[]);
        assert!(said.contains("[batch, 3, 32, 32]") && said.contains("[batch, 3, 48, 32]"), "{said}");
        fs::remove_file(directory.join("config.json")).unwrap();
        assert!(refused(&directory, &data, &out, &[]).contains("--labels names the network's outputs"));
        fs::remove_file(directory.join("preprocessor_config.json")).unwrap();
        assert!(refused(&directory, &data, &out, &[]).contains("no preprocessor_config.json"));
        let directory = copy("logits", folder.path());
        let bytes = fs::read(directory.join("model.onnx")).unwrap();
        for broken in [&bytes[..bytes.len() / 2], b"no network", b""] {
            fs::write(directory.join("model.onnx"), broken).unwrap();
            let said = refused(&directory, &data, &out, &[]);
            assert!(said.contains("model.onnx"), "{said}");
        }
    }
}
