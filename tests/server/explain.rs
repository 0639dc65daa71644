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
    for (query, body, status, words) in [
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
