//! Images over HTTP, black box: good answers, and every way in which input can be bad.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use crate::support::{Server, shipped_models};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use vision::phantom::chest_phantom;
use vision::{DecodeOptions, Format, decode};

static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| chest_phantom(0, 96).unwrap());

fn server() -> Server {
    Server::start(&shipped_models(), &["--max-body-bytes", "2000000"])
}

async fn post(
    server: &Server,
    query: &str,
    content_type: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> Response {
    // Several models read images: a test that is about no model in particular asks this one.
    let model = match query {
        "" => "?model=pneumonia",
        _ if query.contains("model=") => "",
        _ => "&model=pneumonia",
    };
    let mut request = Client::new().post(server.at(&format!("/v1/images/classify{query}{model}"))).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    request.send().await.unwrap()
}

/// Checks that a response is a problem document of this status that speaks of `words`.
async fn assert_problem(response: Response, status: u16, words: &[&str]) {
    let got = response.status().as_u16();
    let headers = response.headers().clone();
    let body: Value = response.json().await.unwrap();
    assert_eq!(got, status, "{body}");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"].as_str().unwrap(), headers["x-request-id"].to_str().unwrap());
    assert!(body["type"].as_str().unwrap().starts_with("urn:medserve:problem:"));
    for word in words {
        assert!(body["detail"].as_str().unwrap().contains(word), "{word:?} is not in {body}");
    }
}

fn assert_answer(answer: &Value, images: usize) {
    assert_eq!(answer["model"], "pneumonia");
    assert_eq!(answer["version"], "1");
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), images);
    for result in results {
        let predictions = result["predictions"].as_array().unwrap();
        let probabilities: Vec<f64> =
            predictions.iter().map(|p| p["probability"].as_f64().unwrap()).collect();
        assert_eq!(probabilities.len(), 2);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        assert!(probabilities[0] >= probabilities[1]);
        match result["abstained"].as_bool().unwrap() {
            true => assert!(result["label"].is_null()),
            false => assert_eq!(result["label"], predictions[0]["label"]),
        }
    }
}

#[tokio::test]
async fn an_image_gets_a_calibrated_answer_whatever_way_it_comes() {
    let server = server();
    let response = post(&server, "?model=pneumonia", Some("image/png"), PNG.clone()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let timing = response.headers()["server-timing"].to_str().unwrap().to_string();
    for stage in ["decode;dur=", "preprocess;dur=", "queue;dur=", "inference;dur="] {
        assert!(timing.contains(stage), "{timing}");
    }
    let single: Value = response.json().await.unwrap();
    assert_answer(&single, 1);

    // Without a content type, and with curl's own, the bytes speak.
    let curls = ["application/x-www-form-urlencoded", "Application/X-WWW-Form-urlencoded; charset=UTF-8"];
    for content_type in [None, Some(curls[0]), Some(curls[1])] {
        let same: Value = post(&server, "", content_type, PNG.clone()).await.json().await.unwrap();
        assert_eq!(same, single);
    }

    let form = Form::new()
        .part("image", Part::bytes(PNG.clone()).mime_str("image/png").unwrap())
        .part("comment", Part::text("not an image"))
        .part("image", Part::bytes(chest_phantom(1, 64).unwrap()));
    let response = Client::new()
        .post(server.at("/v1/images/classify?model=pneumonia"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    let both: Value = response.json().await.unwrap();
    assert_answer(&both, 2);
    let (a, b) = (&both["results"][0]["predictions"][0], &single["results"][0]["predictions"][0]);
    let distance = (a["probability"].as_f64().unwrap() - b["probability"].as_f64().unwrap()).abs();
    assert!(a["label"] == b["label"] && distance < 1e-5, "the neighbor in the batch changed the answer");

    let top: Value = post(&server, "?top_k=1", None, PNG.clone()).await.json().await.unwrap();
    assert_eq!(top["results"][0]["predictions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn bad_bodies_are_told_what_is_wrong_with_them() {
    let server = server();
    assert_problem(post(&server, "", Some("image/png"), "").await, 400, &["empty"]).await;
    assert_problem(
        post(&server, "", Some("image/png"), "just text").await,
        415,
        &["called PNG", "first bytes"],
    )
    .await;
    assert_problem(post(&server, "", None, "just text").await, 415, &["image/png", "application/dicom"])
        .await;
    assert_problem(
        post(&server, "", Some("image/tiff"), PNG.clone()).await,
        415,
        &["image/tiff", "accepted"],
    )
    .await;
    assert_problem(
        post(&server, "", Some("image/jpeg"), PNG.clone()).await,
        415,
        &["called JPEG", "say image/png"],
    )
    .await;
    for length in [9, 30, 60, PNG.len() / 2, PNG.len() - 20] {
        let response = post(&server, "", Some("image/png"), PNG[..length].to_vec()).await;
        assert_problem(response, 422, &["image 1", "PNG"]).await;
    }
    let jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01".to_vec();
    assert_problem(post(&server, "", Some("image/jpeg"), jpeg).await, 422, &["JPEG"]).await;
    let mut dicom = vec![0; 128];
    dicom.extend(b"DICM\x02\x00\x00\x00UL\x04\x00");
    assert_problem(post(&server, "", Some("application/dicom"), dicom).await, 422, &["DICOM"]).await;
    assert_problem(post(&server, "", None, vec![0u8; 2_000_001]).await, 413, &["2000000 bytes"]).await;
}

#[tokio::test]
async fn declared_sizes_are_refused_before_they_cost_memory() {
    let server = server();
    let before = peak_memory(&server);
    for (content_type, huge) in [
        ("image/png", png_header(60_000, 60_000)),
        ("image/jpeg", jpeg_header(60_000, 60_000)),
        ("application/dicom", dicom_of(60_000, 60_000)),
    ] {
        assert_problem(post(&server, "", Some(content_type), huge).await, 413, &["60000 x 60000"]).await;
    }
    for (content_type, empty) in [
        ("image/png", png_header(0, 10)),
        ("image/jpeg", jpeg_header(0, 10)),
        ("application/dicom", dicom_of(10, 0)),
    ] {
        assert_problem(post(&server, "", Some(content_type), empty).await, 422, &["zero"]).await;
    }
    // A hundred megabytes behind the pixels of a small image.
    let response = post(&server, "", Some("application/dicom"), deflated_bomb(100)).await;
    assert_problem(response, 422, &["deflated data set is longer"]).await;
    let grown = peak_memory(&server) - before;
    assert!(grown < 60_000, "the refusals took {grown} kB");
}

/// A grey picture, one byte a pixel.
fn grey_png(side: u32, pixel: impl Fn(u32) -> u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..side * side).map(pixel).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

#[tokio::test]
async fn a_picture_of_one_tone_gets_no_label() {
    let server = server();
    for tone in [0, 128, 255] {
        for picture in [grey_png(64, |_| tone), grey_png(64, |at| tone ^ (at % 2) as u8)] {
            let answer: Value = post(&server, "", Some("image/png"), picture).await.json().await.unwrap();
            let result = &answer["results"][0];
            assert_eq!(
                (&result["label"], &result["reason"]),
                (&Value::Null, &Value::from("blank")),
                "{answer}"
            );
            assert_eq!(result["abstained"], true);
        }
    }
    let drawn = grey_png(64, |at| if at % 64 < 32 { 60 } else { 190 });
    let answer: Value = post(&server, "", Some("image/png"), drawn).await.json().await.unwrap();
    assert_ne!(answer["results"][0]["reason"], "blank");
}

/// A picture in colour, three bytes a pixel.
fn coloured_png(side: u32, pixel: impl Fn(u32) -> [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..side * side).flat_map(pixel).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// The reason of an image's abstention; null where it has an answer.
async fn reason(server: &Server, content_type: &str, body: Vec<u8>) -> Value {
    let answer: Value =
        post(server, "?model=pneumonia", Some(content_type), body).await.json().await.unwrap();
    let result = &answer["results"][0];
    assert_eq!(result["abstained"].as_bool(), Some(result["label"].is_null()), "{answer}");
    result["reason"].clone()
}

#[tokio::test]
async fn a_picture_unlike_those_of_training_gets_no_label_by_any_route() {
    let server = server();
    let wave = |at: u32| ((at % 64) as f32 * 0.7 + (at / 64) as f32 * 0.9).sin() * 100.0 + 128.0;
    let strangers = [
        grey_png(64, |at| if at / 64 % 16 < 8 { 20 } else { 220 }),
        grey_png(64, |at| if (at % 64 / 8 + at / 64 / 8) % 2 == 0 { 10 } else { 245 }),
        grey_png(64, |at| wave(at) as u8),
        grey_png(64, |at| (at.wrapping_mul(2_654_435_761) >> 24) as u8),
        coloured_png(64, |at| [(at % 64 * 4) as u8, 40, 255 - (at / 64 * 4) as u8]),
    ];
    for picture in &strangers {
        assert_eq!(reason(&server, "image/png", picture.clone()).await, "unlike_training");
    }
    // A form and the Open Inference Protocol say the same.
    let mut form = Form::new();
    for picture in &strangers {
        form = form.part("image", Part::bytes(picture.clone()));
    }
    let url = server.at("/v1/images/classify?model=pneumonia");
    let answer: Value = Client::new().post(url).multipart(form).send().await.unwrap().json().await.unwrap();
    let results = answer["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["reason"] == "unlike_training"), "{answer}");
    let tensor: Vec<u8> = (0..28 * 28).map(|at| if at / 28 % 8 < 4 { 20 } else { 220 }).collect();
    let input =
        serde_json::json!({"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 28, 28], "data": tensor});
    let body = serde_json::json!({"inputs": [input]});
    let url = server.at("/v2/models/pneumonia/infer");
    let told: Value = Client::new().post(url).json(&body).send().await.unwrap().json().await.unwrap();
    let outputs = told["outputs"].as_array().unwrap();
    let abstained = outputs.iter().find(|output| output["name"] == "abstained").unwrap();
    assert_eq!(abstained["data"], serde_json::json!([true]), "{told}");
}

/// A DICOM fixture that says it is of this modality, body part and view; what is empty is left out.
fn dicom_that_says(modality: &str, body_part: &str, view: &str) -> Vec<u8> {
    dicom_with(&[(0x08, 0x60, "CS", modality), (0x18, 0x15, "CS", body_part), (0x18, 0x5101, "CS", view)])
}

/// A DICOM fixture with these elements, each a group, an element, a representation and a text.
fn dicom_with(words: &[(u16, u16, &str, &str)]) -> Vec<u8> {
    let file = fixture("mono2-8.dcm");
    let meta = 144 + u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    let mut said = file[..meta].to_vec();
    for (group, element, representation, text) in words {
        let text = if text.len() % 2 == 0 { text.to_string() } else { format!("{text} ") };
        said.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        said.extend(representation.as_bytes());
        said.extend([text.len() as u8, 0]);
        said.extend(text.as_bytes());
    }
    said.extend(&file[meta..]);
    said
}

#[tokio::test]
async fn a_file_of_somebody_else_than_the_model_reads_or_in_two_views_gets_no_label() {
    let server = server();
    let (age, birth, study) = ((0x10, 0x1010, "AS"), (0x10, 0x30, "DA"), (0x08, 0x20, "DA"));
    let (species, control) = ((0x10, 0x2201, "LO"), (0x28, 0x0300, "CS"));
    let (view, orientation) = ((0x18, 0x5101, "CS"), (0x20, 0x20, "CS"));
    let with = |(group, element, vr): (u16, u16, &'static str), text| (group, element, vr, text);
    for (words, withheld) in [
        (vec![with(age, "065Y")], true),
        (vec![with(age, "018Y")], true),
        (vec![with(age, "65")], true),
        (vec![with(birth, "19500101"), with(study, "20260101")], true),
        (vec![with(species, "Canine")], true),
        (vec![with(control, "YES")], true),
        (vec![with(view, "PA"), with(orientation, "A\\F")], true),
        (vec![with(orientation, "F\\P")], true),
        (vec![with(age, "017Y")], false),
        (vec![with(age, "004M")], false),
        (vec![with(age, "500D")], false),
        (vec![with(age, "")], false),
        (vec![with(birth, "20200601"), with(study, "20260101")], false),
        (vec![with(birth, "20200601")], false),
        (vec![with(species, "Homo sapiens"), with(control, "NO")], false),
        (vec![with(view, "PA"), with(orientation, "L\\F")], false),
    ] {
        let reason = reason(&server, "application/dicom", dicom_with(&words)).await;
        assert_eq!(reason == "wrong_modality", withheld, "{words:?}");
    }
}

#[tokio::test]
async fn a_picture_of_which_much_would_not_be_seen_gets_no_label() {
    let server = server();
    let film = decode(Format::Png, &chest_phantom(0, 96).unwrap(), &DecodeOptions::default()).unwrap();
    let grey: Vec<u8> = film.grey().into_iter().map(|value| (value * 255.0) as u8).collect();
    let beside = |films: usize, black: usize| {
        let rows = grey.chunks(96).flat_map(|row| [row.repeat(films), vec![0; black]].concat());
        let width = (films * 96 + black) as u32;
        vision::write::png(&vision::Image::from_gray8(width, 96, rows.collect()).unwrap()).unwrap()
    };
    assert_ne!(reason(&server, "image/png", beside(1, 0)).await, "unlike_training");
    for films in [2, 3] {
        assert_eq!(reason(&server, "image/png", beside(films, 0)).await, "unlike_training", "{films}");
    }
}

#[tokio::test]
async fn a_file_of_another_modality_or_body_part_gets_no_label() {
    let server = server();
    for (modality, part, view) in [
        ("MR", "", ""),
        ("US", "CHEST", ""),
        ("CT", "CHEST", ""),
        ("DX", "KNEE", ""),
        ("", "HAND", ""),
        ("DX", "CHEST\\ABDOMEN", ""),
        ("DX", "CHEST LAT", ""),
        ("DX", "CHEST", "LATERAL"),
        ("DX", "CHEST", "LL"),
        ("DX", "CHEST", "PA/LAT"),
        ("DX", "", "RLO"),
        ("DX", "CHEST", "AP LLDECUB"),
        ("DX", "CHEST", "PA LAO"),
        ("DX", "CHEST", "PA/LL"),
    ] {
        let file = dicom_that_says(modality, part, view);
        let reason = reason(&server, "application/dicom", file).await;
        assert_eq!(reason, "wrong_modality", "{modality} {part} {view}");
    }
    for (modality, part, view) in [
        ("", "", ""),
        ("CR", "", "PA"),
        ("dx", "chest", "ap"),
        ("DX", "THORAX", ""),
        ("DX", "CHEST PA", ""),
        ("DX", "PORT CHEST", "AP SUPINE"),
        ("DX", "CHEST_PA", "UNKNOWN"),
        ("DX", "UNKNOWN", ""),
        ("DX", "CHEST", "FRONTAL"),
        ("DX", "CHEST", "A-P"),
        ("DX", "CHEST", "Anteroposterior"),
        ("DX", "CHEST", "CHEST PA ERECT"),
    ] {
        let file = dicom_that_says(modality, part, view);
        let reason = reason(&server, "application/dicom", file).await;
        assert_ne!(reason, "wrong_modality", "{modality} {part} {view}");
    }
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 0, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d".to_vec();
    png.extend(&chunk);
    png.extend(crc32(&chunk).to_be_bytes());
    png.extend(b"\x00\x00\x00\x08IDAT");
    png.extend([0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]);
    png
}

fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"\xff\xd8\xff\xc0\0\x0b\x08".to_vec();
    file.extend(height.to_be_bytes());
    file.extend(width.to_be_bytes());
    file.extend(b"\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9");
    file
}

fn dicom_of(columns: u16, rows: u16) -> Vec<u8> {
    let mut file = fixture("mono2-8.dcm");
    for (element, value) in [(0x10, rows), (0x11, columns)] {
        let header = [0x28, 0, element, 0, b'U', b'S', 2, 0];
        let at = file.windows(8).position(|window| window == header).unwrap();
        file[at + 8..at + 10].copy_from_slice(&value.to_le_bytes());
    }
    file
}

/// The deflated fixture with megabytes of zeros behind its pixels.
fn deflated_bomb(megabytes: usize) -> Vec<u8> {
    let file = fixture("deflated.dcm");
    // The first element of the file meta information says how long it is.
    let meta = 144 + u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
    let mut set = Vec::new();
    flate2::read::DeflateDecoder::new(&file[meta..]).read_to_end(&mut set).unwrap();
    let mut bomb = flate2::write::DeflateEncoder::new(file[..meta].to_vec(), flate2::Compression::best());
    bomb.write_all(&set).unwrap();
    for _ in 0..megabytes {
        bomb.write_all(&[0; 1 << 20]).unwrap();
    }
    bomb.finish().unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vision")
}

#[tokio::test]
async fn every_kind_of_png_jpeg_and_dicom_is_answered() {
    let server = server();
    let mut answered = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let content_type = match path.extension().unwrap().to_str().unwrap() {
            "png" => "image/png",
            "jpg" => "image/jpeg",
            "dcm" if name != "referenced.dcm" => "application/dicom",
            _ => continue,
        };
        let response = post(&server, "", Some(content_type), fixture(name)).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}: {}", response.text().await.unwrap());
        assert_answer(&response.json().await.unwrap(), 1);
        answered += 1;
    }
    assert!(answered > 50, "{answered}");
}

#[tokio::test]
async fn frames_are_counted_from_one() {
    let server = server();
    let ask = async |query: &str| -> Value {
        let response = post(&server, query, Some("application/dicom"), fixture("frames.dcm")).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    };
    let (none, first, second) = (ask("").await, ask("?frame=1").await, ask("?frame=2").await);
    assert_eq!(none, first);
    assert_ne!(first["results"], second["results"]);
    let response = post(&server, "?frame=4", None, fixture("frames.dcm")).await;
    assert_problem(response, 422, &["frame 4", "3 frame(s)"]).await;
}

#[tokio::test]
async fn a_dicom_file_that_is_not_read_is_told_its_transfer_syntax() {
    let server = server();
    let response = post(&server, "", None, fixture("referenced.dcm")).await;
    assert_problem(response, 415, &["1.2.840.10008.1.2.4.94", "JPEG 2000"]).await;
    // Of the same transfer syntax as one that is read, but with 10 bits a sample.
    let mut extended = fixture("jpeg.dcm");
    let frame = extended.windows(5).position(|five| matches!(five, [0xff, 0xc0 | 0xc1, _, _, 8])).unwrap();
    extended[frame + 4] = 10;
    let response = post(&server, "", None, extended).await;
    assert_problem(response, 415, &["10 bits", "1.2.840.10008.1.2.4.5"]).await;
}

/// The largest resident size so far, in kB.
fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let server = server();
    assert_problem(
        post(&server, "?model=nobody", None, PNG.clone()).await,
        404,
        &["\"nobody\"", "pneumonia"],
    )
    .await;
    assert_problem(post(&server, "?top_k=0", None, PNG.clone()).await, 400, &["top_k", "at least 1"]).await;
    assert_problem(post(&server, "?top_k=some", None, PNG.clone()).await, 400, &["top_k"]).await;
    assert_problem(post(&server, "?frame=0", None, PNG.clone()).await, 400, &["frame"]).await;
    assert_problem(post(&server, "?frame=3", None, PNG.clone()).await, 422, &["frame 3"]).await;
    assert_problem(post(&server, "?colour=red", None, PNG.clone()).await, 400, &["colour"]).await;
    assert_problem(reqwest::get(server.at("/v1/images/classify")).await.unwrap(), 405, &["/docs"]).await;
    assert_problem(reqwest::get(server.at("/v1/nothing")).await.unwrap(), 404, &["/docs"]).await;
    assert_problem(reqwest::get(server.at("/v1/models/nobody")).await.unwrap(), 404, &["pneumonia"]).await;
    assert_problem(reqwest::get(server.at("/v1/models/%ff")).await.unwrap(), 400, &["not UTF-8"]).await;
    for path in ["/docs/nothing", "/docs/%ff", "/nothing/%ff"] {
        assert_problem(reqwest::get(server.at(path)).await.unwrap(), 404, &["nothing at this path"]).await;
    }
}

#[tokio::test]
async fn bad_forms_are_told_what_is_wrong_with_them() {
    let server = server();
    let send = |form: Form| {
        Client::new().post(server.at("/v1/images/classify?model=pneumonia")).multipart(form).send()
    };
    let form = Form::new().part("picture", Part::bytes(PNG.clone()));
    assert_problem(send(form).await.unwrap(), 400, &["no part named \"image\"", "\"picture\""]).await;
    let named = |name: &str| Part::bytes(PNG.clone()).file_name(name.to_string());
    let form = Form::new().part("image", named("a.png")).part("Image", named("b.png"));
    assert_problem(send(form).await.unwrap(), 400, &["a file in a part named \"Image\""]).await;
    let form = Form::new().part("image", Part::bytes(PNG.clone()).mime_str("text/plain").unwrap());
    assert_problem(
        send(form).await.unwrap(),
        415,
        &["image 1", "accepted are image/png, image/jpeg and application/dicom"],
    )
    .await;
    let small = chest_phantom(0, 32).unwrap();
    let few = Server::start(&shipped_models(), &["--queue", "2"]);
    let form = (0..3).fold(Form::new(), |form, _| form.part("image", Part::bytes(small.clone())));
    let response = Client::new()
        .post(few.at("/v1/images/classify?model=pneumonia"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_problem(response, 413, &["3 inputs", "at most 2"]).await;
    let form = (0..300).fold(Form::new(), |form, _| form.part("image", Part::bytes(small.clone())));
    assert_problem(send(form).await.unwrap(), 400, &["more than 256"]).await;
    let form =
        Form::new().part("image", Part::bytes(PNG.clone())).part("image", Part::bytes(PNG[..40].to_vec()));
    assert_problem(send(form).await.unwrap(), 422, &["image 2"]).await;
    let response = post(&server, "", Some("multipart/form-data"), "no boundary").await;
    assert_problem(response, 400, &["boundary"]).await;
    let response = post(&server, "", Some("multipart/form-data; boundary=x"), "--x\r\nbroken").await;
    assert_problem(response, 400, &["form"]).await;
}

#[tokio::test]
async fn a_client_that_leaves_mid_upload_harms_nobody() {
    let server = server();
    let address = server.url.trim_start_matches("http://");
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = "POST /v1/images/classify?model=pneumonia HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&PNG[..100]).unwrap();
    }
    let response = post(&server, "", None, PNG.clone()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_writes_everything_before_it_reads() {
    let server = Server::start(&shipped_models(), &["--max-body-bytes", "100000"]);
    let address = server.url.trim_start_matches("http://");
    let body = vec![0x5a; 20 << 20];
    let cases = [("/v1/images/classify", "413"), ("/v1/notes/classify", "413"), ("/v1/nothing", "404")];
    for (path, status) in cases {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{path}");
    }
}

#[tokio::test]
async fn models_and_health_tell_what_is_served() {
    let server = server();
    let get = async |path: &str| reqwest::get(server.at(path)).await.unwrap();
    let ready: Value = get("/health/ready").await.json().await.unwrap();
    assert_eq!(ready["status"], "ready");
    assert_eq!(get("/health/live").await.status(), StatusCode::OK);
    let list: Value = get("/v1/models").await.json().await.unwrap();
    let model: Value = get("/v1/models/pneumonia").await.json().await.unwrap();
    assert!(list["models"].as_array().unwrap().contains(&model));
    assert_eq!(model["labels"], serde_json::json!(["normal", "pneumonia"]));
    assert_eq!(model["task"], "image-classification");
    assert!(model["metrics"]["test"]["accuracy"].as_f64().unwrap() > 0.9);
    assert!(model["card"].as_str().unwrap().contains("no diagnosis"));
    assert!(model["data"]["licence"].as_str().unwrap().contains("CC BY"));
    let metrics = get("/metrics").await.text().await.unwrap();
    assert!(
        metrics
            .contains("medserve_requests_total{method=\"GET\",route=\"/v1/models/{name}\",status=\"200\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_docs_page_needs_nothing_from_outside() {
    let server = server();
    let page = reqwest::get(server.at("/docs")).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let base = page.url().clone();
    let html = page.text().await.unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    let mut assets = 0;
    for part in html.split('"').filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
        let asset = reqwest::get(base.join(part).unwrap()).await.unwrap();
        assert_eq!(asset.status(), StatusCode::OK, "{part}");
        assets += 1;
    }
    assert!(assets >= 3, "{html}");
    let document: Value = reqwest::get(server.at("/openapi.json")).await.unwrap().json().await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[tokio::test]
async fn a_request_keeps_its_own_id_if_it_is_sound() {
    let server = server();
    let ask = async |id: &str| {
        let request = Client::new().get(server.at("/health/live")).header("x-request-id", id);
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_string()
    };
    assert_eq!(ask("ward-7.42").await, "ward-7.42");
    assert_ne!(ask("two words").await, "two words");
    assert_eq!(ask(&"x".repeat(500)).await.len(), 32);
}

#[tokio::test]
async fn the_server_ends_cleanly_when_asked() {
    let server = server();
    let response = post(&server, "", None, PNG.clone()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let (status, log) = server.terminate();
    assert_eq!(status, Some(0), "{log}");
}
