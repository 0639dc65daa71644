//! Evidence over HTTP, black box.

use reqwest::{Client, Response};
use serde_json::Value;
use vision::phantom::chest_phantom;
use vision::{DecodeOptions, Format, Samples, decode};

use crate::support::{Server, shipped_models};

async fn post(server: &Server, query: &str, body: Vec<u8>) -> Response {
    let url = server.at(&format!("/v1/images/explain?model=pneumonia{query}"));
    Client::new().post(url).header("content-type", "image/png").body(body).send().await.unwrap()
}

#[tokio::test]
async fn evidence_is_drawn_over_the_picture_and_is_of_the_label_asked_for() {
    let server = Server::start(&shipped_models(), &[]);
    let picture = chest_phantom(0, 96).unwrap();
    let mut drawn = Vec::new();
    for label in ["normal", "pneumonia"] {
        let response = post(&server, &format!("&label={label}"), picture.clone()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            (&response.headers()["content-type"], &response.headers()["x-label"]),
            (&"image/png".parse().unwrap(), &label.parse().unwrap(),)
        );
        let file = response.bytes().await.unwrap();
        let image = decode(Format::Png, &file, &DecodeOptions::default()).unwrap();
        assert_eq!((image.width(), image.height()), (96, 96));
        let Samples::Rgb8(values) = image.into_samples() else { panic!("evidence is in colour") };
        drawn.push(values);
    }
    // Of two labels, what speaks for the one speaks against the other.
    let redness = |values: &[u8], at: usize| i32::from(values[3 * at]) - i32::from(values[3 * at + 2]);
    let opposed = (0..96 * 96).filter(|at| redness(&drawn[0], *at) * redness(&drawn[1], *at) <= 0).count();
    assert!(opposed > 90 * 96, "{opposed}");
    assert!((0..96 * 96).any(|at| redness(&drawn[0], at).abs() > 60));
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused() {
    let server = Server::start(&shipped_models(), &[]);
    let blank = vision::write::png(&vision::Image::from_gray8(28, 28, vec![90; 784]).unwrap()).unwrap();
    for (query, body, status, words) in [
        ("", blank, 422, "withheld (blank)"),
        ("&label=flu", chest_phantom(0, 96).unwrap(), 400, "normal, pneumonia"),
        ("&top_k=1", chest_phantom(0, 96).unwrap(), 400, "top_k"),
        ("", b"no picture".to_vec(), 415, "first bytes"),
    ] {
        let response = post(&server, query, body).await;
        assert_eq!(response.status().as_u16(), status);
        let body: Value = response.json().await.unwrap();
        assert!(body["detail"].as_str().unwrap().contains(words), "{body}");
    }
}

/// What a classification answers with `query`.
async fn classified(server: &Server, query: &str, body: Vec<u8>) -> Value {
    let url = server.at(&format!("/v1/images/classify?model=pneumonia{query}"));
    let response =
        Client::new().post(url).header("content-type", "image/png").body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_classification_says_what_it_rests_on_where_asked() {
    let server = Server::start(&shipped_models(), &[]);
    let picture = chest_phantom(0, 96).unwrap();
    let plain = classified(&server, "", picture.clone()).await;
    assert!(plain["results"][0].get("evidence").is_none());
    let explained = classified(&server, "&explain=true&top_k=1", picture.clone()).await;
    let result = &explained["results"][0];
    assert_eq!(result["label"], plain["results"][0]["label"]);
    assert_eq!(result["predictions"].as_array().unwrap().len(), 1);
    let evidence = &result["evidence"];
    assert_eq!(evidence["method"], "occlusion");
    assert_eq!(evidence["label"], plain["results"][0]["predictions"][0]["label"]);
    let (height, width) = (evidence["height"].as_u64().unwrap(), evidence["width"].as_u64().unwrap());
    let values = evidence["values"].as_array().unwrap();
    assert_eq!(values.len() as u64, height * width);
    assert!(values.iter().any(|value| value.as_f64().unwrap().abs() > 0.01), "{evidence}");
    assert_eq!(evidence["area"], serde_json::json!({"left": 0, "top": 0, "width": 96, "height": 96}));
    // The strongest part is red on the drawing, or blue where it speaks against the label.
    let label = evidence["label"].as_str().unwrap();
    let drawn = post(&server, &format!("&label={label}"), picture.clone()).await.bytes().await.unwrap();
    let drawn = decode(Format::Png, &drawn, &DecodeOptions::default()).unwrap();
    let Samples::Rgb8(pixels) = drawn.into_samples() else { panic!("evidence is in colour") };
    let part = |at: usize| values[at].as_f64().unwrap();
    let strongest = (0..values.len()).max_by(|a, b| part(*a).abs().total_cmp(&part(*b).abs())).unwrap();
    let middle = |at: usize, parts: u64| ((2 * at + 1) * 96) / (2 * parts as usize);
    let (row, column) =
        (middle(strongest / width as usize, height), middle(strongest % width as usize, width));
    let pixel = &pixels[3 * (row * 96 + column)..][..3];
    assert_eq!(i32::from(pixel[0]) > i32::from(pixel[2]), part(strongest) > 0.0, "{pixel:?} {evidence}");

    // What is a blank picture's has a label, too: the most probable one.
    let blank = vision::write::png(&vision::Image::from_gray8(28, 28, vec![90; 784]).unwrap()).unwrap();
    let abstained = &classified(&server, "&explain=true", blank).await["results"][0];
    assert_eq!((&abstained["label"], &abstained["reason"]), (&Value::Null, &Value::from("blank")));
    assert!(abstained["evidence"]["label"].is_string());
}

#[tokio::test]
async fn many_images_are_not_explained_at_once() {
    let server = Server::start(&shipped_models(), &[]);
    let form = |count: usize| {
        (0..count).fold(reqwest::multipart::Form::new(), |form, _| {
            form.part("image", reqwest::multipart::Part::bytes(chest_phantom(0, 40).unwrap()))
        })
    };
    let url = server.at("/v1/images/classify?model=pneumonia&explain=true");
    let two = Client::new().post(&url).multipart(form(2)).send().await.unwrap();
    let two: Value = two.json().await.unwrap();
    let values = |at: usize| two["results"][at]["evidence"]["values"].as_array().unwrap().clone();
    let apart =
        values(0).into_iter().zip(values(1)).map(|(a, b)| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs());
    assert!(apart.fold(0.0, f64::max) < 1e-3, "{two}");
    let many = Client::new().post(&url).multipart(form(17)).send().await.unwrap();
    assert_eq!(many.status(), 400);
    assert!(many.text().await.unwrap().contains("at most 16"));
    let strange = Client::new().post(server.at("/v1/images/classify?model=pneumonia&explain=yes"));
    assert_eq!(strange.body(chest_phantom(0, 40).unwrap()).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_film_of_pixels_that_are_not_square_is_answered_and_drawn_as_it_is_shown() {
    use clinical::dicom::{DataSet, tags};
    let server = Server::start(&shipped_models(), &[]);
    let png = chest_phantom(0, 96).unwrap();
    let plain = classified(&server, "", png.clone()).await;
    let picture = decode(Format::Png, &png, &DecodeOptions::default()).unwrap();
    let Samples::Gray8(values) = picture.into_samples() else { panic!("a grey picture") };
    // Each row twice, of pixels half as tall as they are wide.
    let rows: Vec<u8> = values.chunks(96).flat_map(|row| [row, row].concat()).collect();
    for (tag, vr, text) in [
        (tags::PIXEL_ASPECT, b"IS", "1\\2"),
        (tags::PIXEL_SPACING, b"DS", "0.2\\0.4"),
        (0x0018_1164, b"DS", "0.2\\0.4"),
    ] {
        let mut film = DataSet::new();
        film.text(tags::SOP_CLASS, b"UI", "1.2.840.10008.5.1.4.1.1.1")
            .words(tags::SAMPLES, &[1])
            .text(tags::PHOTOMETRIC, b"CS", "MONOCHROME2")
            .words(tags::ROWS, &[192])
            .words(tags::COLUMNS, &[96])
            .words(tags::BITS_ALLOCATED, &[8])
            .text(0x0028_1050, b"DS", "128")
            .text(0x0028_1051, b"DS", "256")
            .text(tag, vr, text)
            .bytes(tags::PIXELS, rows.clone());
        let ask = async |path: &str| {
            let request = Client::new().post(server.at(path)).body(film.file());
            request.header("content-type", "application/dicom").send().await.unwrap()
        };
        let response = ask("/v1/images/classify?model=pneumonia&explain=true").await;
        let result = &response.json::<Value>().await.unwrap()["results"][0];
        let probability = |result: &Value| result["predictions"][0]["probability"].as_f64().unwrap();
        assert_eq!(result["predictions"][0]["label"], plain["results"][0]["predictions"][0]["label"]);
        assert!((probability(result) - probability(&plain["results"][0])).abs() < 0.02, "{result}");
        let area = serde_json::json!({"left": 0, "top": 0, "width": 96, "height": 192});
        assert_eq!(result["evidence"]["area"], area);
        let drawn = ask("/v1/images/explain?model=pneumonia").await.bytes().await.unwrap();
        let drawn = decode(Format::Png, &drawn, &DecodeOptions::default()).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (192, 192));
    }
}
