//! Regions over HTTP, black box, of a model whose every weight is known: what is brighter than the picture's mean is an
//! object.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use model::manifest::{ImageInput, Input, Reading, ResnetConfig, ResnetStage, Segmentation, UnetConfig};
use model::{Manifest, Package, package};
use nn::Params;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use vision::likeness::{Likeness, MEASURES, Thumbnail, Values};

use crate::support::{Server, shipped_models};

/// Side of the network's input.
const TILE: u32 = 32;

fn manifest(name: &str, instances: bool, reading: Value) -> Manifest {
    let stage = |channels, stride| ResnetStage { channels, blocks: 1, stride };
    let encoder = ResnetConfig {
        stem_channels: 2,
        stem_kernel: 3,
        stem_stride: 1,
        stem_pool: false,
        bottleneck: false,
        stages: vec![stage(2, 1), stage(2, 2)],
        dropout: 0.0,
    };
    let mut architecture =
        serde_json::to_value(UnetConfig { encoder, decoder: vec![2], fine: None }).unwrap();
    architecture["kind"] = json!("unet");
    let mut segmentation = json!({"reading": reading});
    if instances {
        segmentation["instances"] = json!({"seed": 0.5, "object": 0.5, "pixels": 4});
    }
    serde_json::from_value(json!({
        "format": 1, "name": name, "version": "1", "description": "", "labels": ["background", "spot"],
        "input": {"kind": "image", "height": TILE, "width": TILE, "channels": 1, "crop": "none", "resize": "bilinear",
                  "normalisation": {"kind": "per-image", "floor": 0.02}},
        "architecture": architecture, "segmentation": segmentation,
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 0},
    }))
    .unwrap()
}

/// Writes a package that looks at each pixel alone: one channel of the first convolution goes straight through.
fn write(root: &Path, mut manifest: Manifest) {
    let Input::Image(input) = manifest.input.clone() else { panic!("an image") };
    let outputs =
        manifest.segmentation.as_ref().map_or(0, |s: &Segmentation| s.outputs(manifest.labels.len()));
    let mut params = Params::fresh(0);
    vision::network::build(&manifest.architecture, &input, outputs, &mut params).unwrap();
    let mut weights: BTreeMap<String, Tensor> = params.snapshot().unwrap();
    for (name, tensor) in &mut weights {
        let mut values = vec![0f32; tensor.elem_count()];
        let middle = |output: usize, input: usize, inputs: usize| (output * inputs + input) * 9 + 4;
        match name.as_str() {
            "stem.conv.weight" => values[middle(0, 0, 1)] = 1.0,
            // Behind the enlarged map come the channels of the large one.
            "up.0.first.conv.weight" => values[middle(0, 2, 4)] = 1.0,
            "up.0.second.conv.weight" => values[middle(0, 0, 2)] = 1.0,
            "stem.norm.scale" | "up.0.first.norm.scale" | "up.0.second.norm.scale" => values.fill(1.0),
            "head.weight" => values[2] = 4.0,
            "head.bias" => {
                values[0] = 2.0;
                if outputs == 3 {
                    values[2] = -20.0;
                }
            }
            name if name.ends_with("running_variance") => values.fill(1.0),
            _ => {}
        }
        *tensor = Tensor::from_vec(values, tensor.shape(), tensor.device()).unwrap();
    }
    let files: Vec<(&str, Vec<u8>)> = match manifest.likeness {
        Some(_) => vec![(package::LIKENESS, likeness(&input))],
        None => Vec::new(),
    };
    Package::write(root, &mut manifest, &weights, "", &files).unwrap();
}

/// What tells pictures unlike the one with the discs.
fn likeness(input: &ImageInput) -> Vec<u8> {
    let fractions: Vec<f32> = {
        let picture =
            vision::decode(vision::Format::Png, &picture(), &vision::DecodeOptions::default()).unwrap();
        vision::Preprocessor::new(input.clone()).unwrap().fractions(&picture).unwrap()
    };
    let thumbnail = Thumbnail::new(input);
    let mean = thumbnail.of(&fractions);
    let (architecture, small) = thumbnail.discriminator();
    let mut params = Params::fresh(1);
    vision::network::build(&architecture, &small, 2, &mut params).unwrap();
    let mut component = vec![0.0; mean.len()];
    component[0] = 1.0;
    let mut values = Values {
        components: component,
        mean,
        deviations: vec![1.0],
        medians: [0.0; MEASURES],
        limits: [1.0; MEASURES],
        network: params.snapshot().unwrap(),
        tones: None,
    };
    let mut measured = Likeness::new(input, values.clone()).unwrap();
    values.medians = measured.measures(&fractions, 0.0).unwrap();
    values.limits = values.medians.map(|median| median + 8.0);
    Likeness::new(input, values).unwrap().to_bytes().unwrap()
}

/// Two models: one that tells objects apart, in tiles, and one that does not, over the whole picture.
fn server(folder: &Path) -> Server {
    write(folder, manifest("spots", true, json!({"kind": "tiles", "overlap": 8})));
    write(folder, manifest("light", false, json!({"kind": "whole"})));
    Server::start(folder, &["--max-body-bytes", "2000000"])
}

/// A dark picture with four bright discs, two of them across the edges of tiles.
fn is_bright(row: u32, column: u32) -> bool {
    [(10, 12), (30, 33), (50, 70), (12, 88)]
        .into_iter()
        .any(|(y, x): (i64, i64)| (i64::from(row) - y).pow(2) + (i64::from(column) - x).pow(2) <= 36)
}

fn png(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..width * height).map(|at| value(at / width, at % width)).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

fn picture() -> Vec<u8> {
    png(100, 70, |row, column| if is_bright(row, column) { 230 } else { 20 })
}

async fn post(server: &Server, query: &str, accept: &str, body: Vec<u8>) -> Response {
    let request = Client::new().post(server.at(&format!("/v1/images/segment{query}"))).body(body);
    request.header("content-type", "image/png").header("accept", accept).send().await.unwrap()
}

async fn json_of(response: Response) -> Value {
    let status = response.status();
    let body = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn refused(response: Response, status: u16, words: &str) {
    let got = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(got, status, "{body}");
    assert!(body["detail"].as_str().unwrap().contains(words), "{words:?} is not in {body}");
}

/// Whether each pixel is in a mask as COCO writes it, row after row.
fn decoded(rle: &Value) -> Vec<bool> {
    let size = |at: usize| rle["size"][at].as_u64().unwrap() as usize;
    let (height, width) = (size(0), size(1));
    let mut counts: Vec<i64> = Vec::new();
    let (mut value, mut shift) = (0i64, 0);
    for byte in rle["counts"].as_str().unwrap().bytes() {
        let group = i64::from(byte) - 48;
        value |= (group & 0x1f) << shift;
        shift += 5;
        if group & 0x20 == 0 {
            if group & 0x10 != 0 {
                value |= -1 << shift;
            }
            let before = if counts.len() > 2 { counts[counts.len() - 2] } else { 0 };
            counts.push(value + before);
            (value, shift) = (0, 0);
        }
    }
    let columns: Vec<bool> = counts
        .iter()
        .enumerate()
        .flat_map(|(place, count)| std::iter::repeat_n(place % 2 == 1, *count as usize))
        .collect();
    assert_eq!(columns.len(), height * width);
    (0..height * width).map(|at| columns[at % width * height + at / width]).collect()
}

#[tokio::test]
async fn objects_are_counted_and_outlined_across_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let response = post(&server, "?model=spots", "application/json", picture()).await;
    assert!(response.headers()["server-timing"].to_str().unwrap().contains("inference;dur="));
    let answer = json_of(response).await;
    assert_eq!((&answer["model"], &answer["version"]), (&json!("spots"), &json!("1")));
    let result = &answer["results"][0];
    assert_eq!(
        (&result["height"], &result["width"], &result["abstained"]),
        (&json!(70), &json!(100), &json!(false))
    );
    let region = &result["regions"][0];
    assert_eq!((&region["label"], &region["objects"]), (&json!("spot"), &json!(4)));
    let mask = decoded(&region["rle"]);
    let want: Vec<bool> = (0..7000).map(|at| is_bright(at / 100, at % 100)).collect();
    assert!(mask == want);
    let pixels = want.iter().filter(|inside| **inside).count();
    assert_eq!(region["pixels"], pixels);
    assert!((region["fraction"].as_f64().unwrap() - pixels as f64 / 7000.0).abs() < 1e-9);

    // The same as one picture, whose pixels are the numbers of the objects.
    let response = post(&server, "?model=spots", "image/png", picture()).await;
    assert_eq!(response.headers()["content-type"], "image/png");
    let bytes = response.bytes().await.unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    assert_eq!(reader.output_color_type(), (png::ColorType::Grayscale, png::BitDepth::Sixteen));
    let mut values = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut values).unwrap();
    let numbers: Vec<u16> = values.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    assert!(numbers.iter().map(|number| *number > 0).eq(want));
    let of = |row: usize, column: usize| numbers[row * 100 + column];
    assert_eq!([of(10, 12), of(12, 88), of(30, 33), of(50, 70)], [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_model_of_eight_views_is_served_and_one_of_three_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut eight = manifest("eight", true, json!({"kind": "tiles", "overlap": 8}));
    eight.segmentation.as_mut().unwrap().views = 8;
    write(folder.path(), eight);
    let server = server(folder.path());
    // Each pixel is looked at alone, so no view says another thing.
    let one = json_of(post(&server, "?model=spots", "*/*", picture()).await).await;
    let eight = json_of(post(&server, "?model=eight", "*/*", picture()).await).await;
    assert_eq!(one["results"][0]["regions"][0]["objects"], 4);
    assert_eq!(one["results"], eight["results"]);
    // A picture that nobody waits for any longer is given up between two views.
    let request = Client::new().post(server.at("/v1/images/segment?model=eight")).body(picture());
    let late = request.header("content-type", "image/png").header("x-request-timeout", "0.02").send();
    assert!([200, 504].contains(&late.await.unwrap().status().as_u16()));

    let mut three = manifest("three", true, json!({"kind": "tiles", "overlap": 8}));
    three.segmentation.as_mut().unwrap().views = 3;
    assert!(three.check().unwrap_err().contains("3 views, not 1, 2, 4 or 8"));
}

#[tokio::test]
async fn regions_have_the_size_of_the_picture_and_not_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let left = png(96, 64, |_, column| if column < 48 { 200 } else { 10 });
    let answer = json_of(post(&server, "?model=light", "*/*", left.clone()).await).await;
    let region = &answer["results"][0]["regions"][0];
    assert_eq!(region["objects"], Value::Null);
    let mask = decoded(&region["rle"]);
    let wrong = (0..96 * 64).filter(|at| mask[*at] != (at % 96 < 48)).count();
    assert!(wrong <= 2 * 64, "{wrong} pixels");
    let response = post(&server, "?model=light", "image/png", left.clone()).await;
    let bytes = response.bytes().await.unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    assert_eq!(reader.info().size(), (96, 64));
    assert_eq!(reader.output_color_type(), (png::ColorType::Grayscale, png::BitDepth::Eight));

    // A picture smaller than a tile, and one of a single pixel.
    for (width, height) in [(9, 5), (1, 1)] {
        let small = png(width, height, |_, column| if column < 4 { 250 } else { 5 });
        let answer = json_of(post(&server, "?model=spots", "*/*", small).await).await;
        assert_eq!(answer["results"][0]["width"], width);
    }
    // Several pictures get an answer each, but no mask.
    let form = |parts: usize| {
        (0..parts)
            .fold(Form::new(), |form, _| form.part("image", Part::bytes(left.clone()).file_name("a.png")))
    };
    let ask = |parts: usize, accept: &'static str| {
        let url = server.at("/v1/images/segment?model=light");
        Client::new().post(url).header("accept", accept).multipart(form(parts)).send()
    };
    let answer = json_of(ask(3, "application/json").await.unwrap()).await;
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    refused(ask(2, "image/png").await.unwrap(), 406, "a mask is of one image").await;
}

#[tokio::test]
async fn what_cannot_be_outlined_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    refused(post(&server, "", "*/*", picture()).await, 400, "more than one model outlines regions").await;
    refused(post(&server, "?model=spot", "*/*", picture()).await, 404, "spots").await;
    refused(post(&server, "?model=spots&top_k=1", "*/*", picture()).await, 400, "top_k").await;
    refused(post(&server, "?model=spots&frame=0", "*/*", picture()).await, 400, "counted from 1").await;
    refused(post(&server, "?model=spots", "text/html", picture()).await, 406, "image/png").await;
    refused(post(&server, "?model=spots", "*/*", b"no picture".to_vec()).await, 415, "first bytes").await;
    refused(post(&server, "?model=spots", "*/*", Vec::new()).await, 400, "empty").await;
    let wide = png(5000, 4, |_, column| (column % 251) as u8);
    refused(post(&server, "?model=spots", "*/*", wide).await, 413, "5000 x 4").await;
    let huge = png(10_000, 10_000, |_, _| 0);
    assert!(huge.len() < 2_000_000);
    refused(post(&server, "?model=spots", "*/*", huge).await, 413, "10000 x 10000").await;

    // Each model at its own route.
    let classify = Client::new().post(server.at("/v1/images/classify?model=spots")).body(picture());
    refused(classify.send().await.unwrap(), 400, "spots").await;
    let infer = json!({"inputs": [{"name": "pixels", "shape": [1, 1, 32, 32], "datatype": "UINT8", "data": vec![0; 1024]}]});
    let infer = Client::new().post(server.at("/v2/models/spots/infer")).json(&infer).send().await.unwrap();
    assert_eq!(infer.status(), StatusCode::BAD_REQUEST);
    let models: Value = reqwest::get(server.at("/v1/models/spots")).await.unwrap().json().await.unwrap();
    assert_eq!(models["task"], "image-segmentation");
}

/// The picture as a DICOM image of the patient p1.
fn dicom() -> clinical::dicom::DataSet {
    use clinical::dicom::{DataSet, tags};
    let pixels = (0..7000).map(|at| if is_bright(at / 100, at % 100) { 230 } else { 20 }).collect();
    let mut image = DataSet::new();
    image
        .text(tags::SOP_CLASS, b"UI", "1.2.840.10008.5.1.4.1.1.7")
        .text(tags::SOP_INSTANCE, b"UI", "1.2.3.4")
        .text(tags::PATIENT_ID, b"LO", "p1")
        .text(tags::STUDY, b"UI", "1.2.3")
        .text(tags::SERIES, b"UI", "1.2.3.1")
        .words(tags::SAMPLES, &[1])
        .text(tags::PHOTOMETRIC, b"CS", "MONOCHROME2")
        .words(tags::ROWS, &[70])
        .words(tags::COLUMNS, &[100])
        .words(tags::BITS_ALLOCATED, &[8])
        .bytes(tags::PIXELS, pixels);
    image
}

#[tokio::test]
async fn regions_of_pixels_that_are_not_square_lie_on_the_pixels_of_the_file() {
    use clinical::dicom::tags;
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut image = dicom();
    image.text(tags::PIXEL_ASPECT, b"IS", "2\\1");
    let ask = async |accept: &str| {
        let request = Client::new().post(server.at("/v1/images/segment?model=spots")).body(image.file());
        request.header("content-type", "application/dicom").header("accept", accept).send().await.unwrap()
    };
    let result = &json_of(ask("application/json").await).await["results"][0];
    assert_eq!((&result["height"], &result["width"]), (&json!(70), &json!(100)));
    let file = ask("application/dicom").await.bytes().await.unwrap();
    let found = vision::attributes(&file, &[tags::PIXEL_ASPECT, tags::ROWS, tags::PIXELS]).unwrap();
    assert_eq!((&found[&tags::PIXEL_ASPECT][..3], &found[&tags::ROWS][..]), (&b"2\\1"[..], &[70, 0][..]));
    let bits = &found[&tags::PIXELS];
    let is_marked = |at: usize| bits[at / 8] >> (at % 8) & 1 == 1;
    // At an edge, between pixels of another shape, one may be of either side.
    let is_edge = |row: u32, column: u32| {
        let near = |at: u32, most: u32| at.saturating_sub(1)..(at + 2).min(most);
        near(row, 70).any(|i| near(column, 100).any(|j| is_bright(i, j) != is_bright(row, column)))
    };
    let place = |at: usize| (at as u32 / 100, at as u32 % 100);
    let is_right = |at: usize| is_marked(at) == is_bright(place(at).0, place(at).1);
    assert!((0..7000).all(|at| is_right(at) || is_edge(place(at).0, place(at).1)));
    assert!((0..7000).any(is_marked));
}

#[tokio::test]
async fn regions_of_a_dicom_image_are_a_segmentation_in_its_study() {
    use clinical::dicom::tags;
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let mut image = dicom();
    let ask = async |accept: &str, kind: &str, body: Vec<u8>| {
        let request = Client::new().post(server.at("/v1/images/segment?model=spots")).body(body);
        request.header("content-type", kind).header("accept", accept).send().await.unwrap()
    };
    let answer = ask("application/dicom", "application/dicom", image.file()).await;
    assert_eq!(answer.headers()["content-type"], "application/dicom");
    let file = answer.bytes().await.unwrap();
    let wanted = [tags::SOP_CLASS, tags::STUDY, tags::PATIENT_ID, tags::ROWS, tags::PIXELS];
    let found = vision::attributes(&file, &wanted).unwrap();
    assert_eq!(found[&tags::SOP_CLASS], b"1.2.840.10008.5.1.4.1.1.66.4");
    assert_eq!((&found[&tags::STUDY][..5], &found[&tags::PATIENT_ID][..]), (&b"1.2.3"[..], &b"p1"[..]));
    // One bit a pixel, the first in the lowest.
    let bits = &found[&tags::PIXELS];
    assert!(
        (0..7000)
            .all(|at| (bits[at / 8] >> (at % 8) & 1 == 1) == is_bright(at as u32 / 100, at as u32 % 100))
    );
    refused(ask("application/dicom", "image/png", picture()).await, 406, "of a DICOM image").await;
    image.text(tags::STUDY, b"UI", "");
    refused(ask("application/dicom", "application/dicom", image.file()).await, 422, "Study Instance UID")
        .await;
}

#[tokio::test]
async fn a_picture_that_was_made_has_no_regions() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), manifest("spots", false, json!({"kind": "whole"})));
    let server = Server::start(folder.path(), &[]);
    let image = vision::decode(vision::Format::Png, &picture(), &vision::DecodeOptions::default()).unwrap();
    let made = |value: &str| {
        vision::write::png_with(&image, &[(vision::synthetic::KEYWORD, value.to_string())]).unwrap()
    };
    refused(
        post(&server, "", "application/json", made("true")).await,
        422,
        "image 1: it is marked as synthetic",
    )
    .await;
    assert_eq!(post(&server, "", "application/json", made("false")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_classifier_does_not_outline() {
    let server = Server::start(&shipped_models(), &[]);
    refused(post(&server, "?model=pneumonia", "*/*", picture()).await, 400, "pneumonia").await;
}

#[test]
fn the_reading_of_a_package_is_checked() {
    let wrong = manifest("spots", true, json!({"kind": "tiles", "overlap": 40}));
    assert!(wrong.check().unwrap_err().contains("cannot share 40 pixels"));
    let fine = manifest("spots", true, json!({"kind": "tiles", "overlap": 8}));
    assert_eq!(fine.segmentation.unwrap().reading, Reading::Tiles { overlap: 8 });
}

#[tokio::test]
async fn a_picture_unlike_those_of_training_has_no_regions_in_any_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = manifest("known", false, json!({"kind": "whole"}));
    known.likeness = serde_json::from_value(json!({
        "kind": "training-pictures", "components": 1, "measured_on": "val", "abstained": 0.0,
        "altered_abstained": 1.0, "auroc": 1.0,
    }))
    .unwrap();
    write(folder.path(), known);
    let server = Server::start(folder.path(), &[]);
    let lines = png(100, 70, |row, _| if row % 20 < 10 { 230 } else { 20 });
    let blank = png(100, 70, |_, _| 90);
    for (body, reason) in [(picture(), None), (lines, Some("unlike_training")), (blank, Some("blank"))] {
        let answer = json_of(post(&server, "?model=known", "application/json", body.clone()).await).await;
        let result = &answer["results"][0];
        assert_eq!(result["abstained"], reason.is_some(), "{result}");
        assert_eq!(result.get("reason").and_then(Value::as_str), reason, "{result}");
        assert_eq!(result["regions"].as_array().unwrap().is_empty(), reason.is_some());
        let mask = post(&server, "?model=known", "image/png", body).await;
        match reason {
            None => assert_eq!(mask.status(), StatusCode::OK),
            Some(_) => refused(mask, 422, "a mask cannot say so").await,
        }
    }
}

#[tokio::test]
async fn a_picture_in_which_less_is_found_than_in_any_of_training_has_no_regions() {
    let folder = tempfile::tempdir().unwrap();
    let limited = |name: &str, limits: Value| {
        let mut known = serde_json::to_value(manifest(name, true, json!({"kind": "whole"}))).unwrap();
        known["segmentation"].as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        serde_json::from_value::<Manifest>(known).unwrap()
    };
    // The three discs are a tenth of the picture, and nobody is as sure of their rims as of their middles.
    write(folder.path(), limited("fuller", json!({"least_share": 0.04})));
    write(folder.path(), limited("surer", json!({"usual": {"least_certainty": 0.5}})));
    write(folder.path(), limited("surest", json!({"usual": {"least_certainty": 0.999}})));
    write(
        folder.path(),
        limited("larger", json!({"usual": {"least_certainty": 0.5, "least_median": 2000.0}})),
    );
    let server = Server::start(folder.path(), &[]);
    let one_disc = png(96, 64, |row, column| if column < 24 && is_bright(row, column) { 230 } else { 20 });
    let unlike = Some("unlike_training");
    for (model, body, reason) in [
        ("fuller", picture(), None),
        ("fuller", one_disc, unlike),
        ("surer", picture(), None),
        ("surest", picture(), unlike),
        ("larger", picture(), unlike),
    ] {
        let answer = post(&server, &format!("?model={model}"), "application/json", body).await;
        let result = &json_of(answer).await["results"][0];
        assert_eq!(result.get("reason").and_then(Value::as_str), reason, "{model}: {result}");
        assert_eq!(result["regions"].as_array().unwrap().is_empty(), reason.is_some());
    }
    for (limits, said) in [
        (json!({"least_share": 1.5}), "least_share"),
        (json!({"usual": {"least_certainty": -0.1}}), "least_certainty"),
        (json!({"usual": {"least_certainty": 0.5, "least_median": -1.0}}), "least_median"),
    ] {
        assert!(limited("full", limits).check().unwrap_err().contains(said), "{said}");
    }
}
