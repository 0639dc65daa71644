//! The Open Inference Protocol over HTTP, black box: the same answers as `/v1` in JSON and in
//! binary, and every way in which a request can be bad.

use std::sync::LazyLock;

use crate::support::{Server, shipped_models};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use vision::phantom::chest_phantom;

static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| chest_phantom(0, 96).unwrap());
const HEADER: &str = "inference-header-content-length";

fn server() -> Server {
    Server::start(&shipped_models(), &["--max-body-bytes", "2000000"])
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let response = Client::new().get(server.at(path)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn infer(server: &Server, model: &str, body: &Value) -> Response {
    let url = server.at(&format!("/v2/models/{model}/infer"));
    Client::new().post(url).body(body.to_string()).send().await.unwrap()
}

/// Sends a JSON object with binary tensors behind it.
async fn infer_binary(server: &Server, model: &str, header: &Value, tensors: &[u8]) -> Response {
    let header = header.to_string();
    let request = Client::new()
        .post(server.at(&format!("/v2/models/{model}/infer")))
        .header("content-type", "application/octet-stream")
        .header(HEADER, header.len());
    request.body([header.as_bytes(), tensors].concat()).send().await.unwrap()
}

async fn answer(response: Response) -> Value {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The data of one output.
fn output<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let outputs = answer["outputs"].as_array().unwrap();
    &outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("{name}: {answer}"))["data"]
}

/// Checks for an error of the protocol with this status that speaks of `words`.
async fn assert_error(response: Response, status: u16, words: &str) {
    let got = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_string();
    let body: Value = response.json().await.unwrap();
    assert_eq!((got, kind.as_str()), (status, "application/json"), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    assert!(body["error"].as_str().unwrap().contains(words), "{words:?} is not in {body}");
}

/// A BYTES tensor in binary.
fn strings(elements: &[&[u8]]) -> Vec<u8> {
    elements.iter().flat_map(|e| [&(e.len() as u32).to_le_bytes()[..], e].concat()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn image(shape: &[u64], data: Value) -> Value {
    json!({"inputs": [{"name": "image", "datatype": "BYTES", "shape": shape, "data": data}]})
}

fn note(data: Value, shape: &[u64]) -> Value {
    json!({"name": "note", "datatype": "BYTES", "shape": shape, "data": data})
}

/// The probabilities of one input by `/v1`, in the model's label order.
fn in_order(result: &Value, labels: &Value) -> Vec<f64> {
    let predictions = result["predictions"].as_array().unwrap();
    let of = |label: &Value| predictions.iter().find(|p| p["label"] == *label).unwrap();
    labels.as_array().unwrap().iter().map(|label| of(label)["probability"].as_f64().unwrap()).collect()
}

/// Numbers that are these but for the last digits: a batch may be summed up in another order than one image.
fn assert_near(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?} for {want:?}");
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

async fn v1_images(server: &Server, png: Vec<u8>) -> Value {
    let request = Client::new()
        .post(server.at("/v1/images/classify?model=pneumonia"))
        .header("content-type", "image/png");
    answer(request.body(png).send().await.unwrap()).await["results"][0].clone()
}

#[tokio::test]
async fn health_and_metadata_are_those_of_the_protocol() {
    let server = server();
    let metadata = get(&server, "/v2").await;
    assert_eq!((metadata.0, &metadata.1["name"]), (200, &json!("medserve")));
    assert!(metadata.1["extensions"].as_array().unwrap().contains(&json!("binary_tensor_data")));
    assert_eq!(get(&server, "/v2/health/live").await, (200, json!({"live": true})));
    assert_eq!(get(&server, "/v2/health/ready").await, (200, json!({"ready": true})));
    for path in ["/v2/models/triage/ready", "/v2/models/triage/versions/1/ready"] {
        assert_eq!(get(&server, path).await, (200, json!({"name": "triage", "ready": true})));
    }
    let (_, model) = get(&server, "/v2/models/pneumonia").await;
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(model["inputs"][0], json!({"name": "image", "datatype": "BYTES", "shape": [-1]}));
    assert_eq!(model["inputs"][1], json!({"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 28, 28]}));
    assert_eq!(model["outputs"][0], json!({"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}));
    assert_eq!(model["labels"], json!(["normal", "pneumonia"]));
    let (_, versioned) = get(&server, "/v2/models/pneumonia/versions/1").await;
    assert_eq!(versioned, model);
    let (_, triage) = get(&server, "/v2/models/triage").await;
    let inputs = triage["inputs"].as_array().unwrap();
    assert!(inputs.contains(&json!({"name": "age", "datatype": "FP64", "shape": [-1]})), "{triage}");
    assert!(inputs.contains(&json!({"name": "sex", "datatype": "BYTES", "shape": [-1]})), "{triage}");
}

#[tokio::test]
async fn what_is_not_served_is_not_found() {
    let server = server();
    for path in [
        "/v2/models/none",
        "/v2/models/none/ready",
        "/v2/models/triage/versions/2",
        "/v2/models/triage/versions/2/ready",
        "/v2/nothing",
    ] {
        let response = Client::new().get(server.at(path)).send().await.unwrap();
        assert_error(response, 404, "").await;
    }
    assert_error(infer(&server, "none", &json!({})).await, 404, "served are").await;
    assert_error(infer(&server, "triage/versions/7", &json!({})).await, 404, "\"1\" is").await;
    assert_error(Client::new().get(server.at("/v2/models/triage/infer")).send().await.unwrap(), 405, "")
        .await;
}

#[tokio::test]
async fn an_encoded_image_has_the_answer_of_v1_both_ways() {
    let server = server();
    let expected = v1_images(&server, PNG.clone()).await;
    let labels = json!(["normal", "pneumonia"]);
    let mut body = image(&[1], json!([STANDARD.encode(&*PNG)]));
    body["id"] = json!("a7");
    let response = infer(&server, "pneumonia", &body).await;
    assert!(response.headers()["server-timing"].to_str().unwrap().contains("decode;dur="));
    let told = answer(response).await;
    assert_eq!(
        (&told["id"], &told["model_name"], &told["model_version"]),
        (&json!("a7"), &json!("pneumonia"), &json!("1"))
    );
    assert_eq!(numbers(output(&told, "probabilities")), in_order(&expected, &labels));
    assert_eq!(output(&told, "label"), &json!([expected["label"].as_str().unwrap_or_default()]));
    assert_eq!(output(&told, "abstained"), &json!([expected["abstained"]]));

    let tensors = strings(&[&PNG]);
    let header = json!({
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": tensors.len()}}],
        "parameters": {"binary_data_output": true},
        "outputs": [{"name": "label"}, {"name": "abstained", "parameters": {"binary_data": false}}, {"name": "probabilities"}],
    });
    let response = infer_binary(&server, "pneumonia/versions/1", &header, &tensors).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let length: usize = response.headers()[HEADER].to_str().unwrap().parse().unwrap();
    let bytes = response.bytes().await.unwrap();
    let told: Value = serde_json::from_slice(&bytes[..length]).unwrap();
    let names: Vec<&str> =
        told["outputs"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["label", "abstained", "probabilities"]);
    assert_eq!(output(&told, "abstained"), &json!([expected["abstained"]]));
    let size = told["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap() as usize;
    let label = expected["label"].as_str().unwrap_or_default();
    assert_eq!(bytes[length..length + size], strings(&[label.as_bytes()]));
    let probabilities: Vec<f64> = floats(&bytes[length + size..]).into_iter().map(f64::from).collect();
    let difference = probabilities.iter().zip(in_order(&expected, &labels)).map(|(a, b)| (a - b).abs());
    assert!(difference.fold(0.0, f64::max) < 1e-6, "{probabilities:?} {expected}");
    assert_eq!(told["outputs"][2]["shape"], json!([1, 2]));
}

#[tokio::test]
async fn pixels_and_fractions_have_the_answer_of_the_image_they_are() {
    let server = server();
    let pixels: Vec<u8> = (0..28 * 28).map(|i: u32| (i * 37 % 251) as u8).collect();
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 28, 28);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    let expected = in_order(&v1_images(&server, png).await, &json!(["normal", "pneumonia"]));

    let shape = [2, 1, 28, 28];
    let twice = [&pixels[..], &pixels[..]].concat();
    let json = json!({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": shape, "data": twice}]});
    let told = answer(infer(&server, "pneumonia", &json).await).await;
    assert_near(&numbers(output(&told, "probabilities")), &[&expected[..], &expected[..]].concat());

    let fractions: Vec<u8> =
        twice.iter().flat_map(|&v| (f32::from(v) * (1.0 / 255.0)).to_le_bytes()).collect();
    let header = json!({"inputs": [{"name": "fractions", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": fractions.len()}}]});
    let told = answer(infer_binary(&server, "pneumonia", &header, &fractions).await).await;
    assert_near(&numbers(output(&told, "probabilities")), &[&expected[..], &expected[..]].concat());
}

#[tokio::test]
async fn notes_with_fields_have_the_answers_of_v1() {
    let server = server();
    let records = json!([
        {"note": "chest pain", "fields": {"age": 67.5, "sex": "male"}},
        {"note": "sore throat", "fields": {"sex": "female"}},
        {"note": "dyspnea", "fields": {"age": 80}},
    ]);
    let v1 = Client::new()
        .post(server.at("/v1/notes/classify"))
        .json(&json!({"model": "triage", "records": records}));
    let v1 = answer(v1.send().await.unwrap()).await;
    let body = json!({"inputs": [
        note(json!(["chest pain", "sore throat", "dyspnea"]), &[3]),
        {"name": "age", "datatype": "FP64", "shape": [3], "data": [67.5, null, 80]},
        {"name": "sex", "datatype": "BYTES", "shape": [3, 1], "data": [["male"], ["female"], [""]]},
    ]});
    let told = answer(infer(&server, "triage", &body).await).await;
    let probabilities = numbers(output(&told, "probabilities"));
    for (at, result) in v1["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(probabilities[at * 5..][..5], in_order(result, &json!(["1", "2", "3", "4", "5"])));
        assert_eq!(output(&told, "label")[at], result["label"].as_str().unwrap_or_default());
        assert_eq!(output(&told, "truncated")[at], result["truncated"]);
    }
    // The same in binary, where what is missing is NaN.
    let notes = strings(&[b"chest pain", b"sore throat", b"dyspnea"]);
    let ages: Vec<u8> = [67.5f64, f64::NAN, 80.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let sexes = strings(&[b"male", b"female", b""]);
    let sized = |name: &str, datatype: &str, size: usize| json!({"name": name, "datatype": datatype, "shape": [3], "parameters": {"binary_data_size": size}});
    let header = json!({"inputs": [sized("note", "BYTES", notes.len()), sized("age", "FP64", ages.len()), sized("sex", "BYTES", sexes.len())]});
    let binary = infer_binary(&server, "triage", &header, &[notes, ages, sexes].concat()).await;
    assert_eq!(numbers(output(&answer(binary).await, "probabilities")), probabilities);
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_refused() {
    let server = server();
    let one = |input: Value| json!({"inputs": [input]});
    let pixels = |shape: Value, data: Value| {
        one(json!({"name": "pixels", "datatype": "UINT8", "shape": shape, "data": data}))
    };
    let cases = [
        ("pneumonia", json!([]), 400, ""),
        ("pneumonia", json!({"inputs": 5}), 400, "/inputs"),
        ("pneumonia", json!({"inputs": []}), 400, "there are no inputs"),
        (
            "pneumonia",
            one(json!({"name": "x", "datatype": "BYTES", "shape": [1], "data": [""]})),
            400,
            "no input \"x\"",
        ),
        (
            "pneumonia",
            one(json!({"name": "image", "datatype": "FP32", "shape": [1], "data": [1]})),
            400,
            "BYTES is accepted",
        ),
        ("pneumonia", one(json!({"name": "image", "datatype": "BYTES", "shape": [1]})), 400, "neither data"),
        (
            "pneumonia",
            one(json!({"name": "image", "datatype": "BYTES", "shape": [-1], "data": []})),
            400,
            "/inputs/0/shape",
        ),
        ("pneumonia", image(&[0], json!([])), 400, "1 to 256"),
        ("pneumonia", image(&[257], json!([])), 400, "1 to 256"),
        ("pneumonia", image(&[u64::MAX], json!([])), 400, "1 to 256"),
        ("pneumonia", image(&[2], json!(["aaaa"])), 400, "1 elements where the shape says 2"),
        ("pneumonia", image(&[1], json!(["no base64!"])), 400, "base64"),
        ("pneumonia", image(&[1], json!([""])), 400, "empty"),
        ("pneumonia", image(&[1], json!([STANDARD.encode("no image")])), 415, "not an image of a known kind"),
        ("pneumonia", image(&[1], json!([STANDARD.encode(&PNG[..80])])), 422, "image 1"),
        ("pneumonia", pixels(json!([1, 1, 28, 29]), json!([])), 400, "does not fit [-1, 1, 28, 28]"),
        ("pneumonia", pixels(json!([u64::MAX, u64::MAX, u64::MAX, u64::MAX]), json!([])), 400, "shape"),
        (
            "pneumonia",
            pixels(json!([1, 1, 28, 28]), json!([1, 2])),
            400,
            "2 elements where the shape says 784",
        ),
        ("pneumonia", pixels(json!([1, 1, 28, 28]), json!(vec![-1; 784])), 400, "0 to 255"),
        (
            "pneumonia",
            one(
                json!({"name": "fractions", "datatype": "FP32", "shape": [1, 1, 28, 28], "data": vec![255; 784]}),
            ),
            400,
            "0 to 1",
        ),
        (
            "triage",
            one(json!({"name": "age", "datatype": "FP64", "shape": [1], "data": [4]})),
            400,
            "\"note\" is missing",
        ),
        ("triage", one(note(json!([7]), &[1])), 400, "not a string"),
        ("triage", one(note(json!([" "]), &[1])), 422, "/records/0/note"),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1]), note(json!(["a"]), &[1])]}),
            400,
            "sent twice",
        ),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1]), {"name": "age", "datatype": "FP64", "shape": [2], "data": [4, 5]}]}),
            400,
            "a batch of 2",
        ),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1]), {"name": "spo2", "datatype": "FP64", "shape": [1], "data": [900]}]}),
            422,
            "0 to 100 %",
        ),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1]), {"name": "age", "datatype": "INT64", "shape": [1], "data": [4]}]}),
            400,
            "FP64 is accepted",
        ),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1])], "outputs": [{"name": "x"}]}),
            400,
            "no output \"x\"",
        ),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1])], "outputs": [{"name": "label"}, {"name": "label"}]}),
            400,
            "twice",
        ),
        (
            "triage",
            json!({"inputs": [note(json!(["a"]), &[1])], "outputs": [{"name": "label", "parameters": {"classification": 3}}]}),
            400,
            "classification",
        ),
    ];
    for (model, body, status, words) in cases {
        assert_error(infer(&server, model, &body).await, status, words).await;
    }
    let both = json!({"inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aaaa"]},
        {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 28, 28], "data": vec![0; 784]},
    ]});
    assert_error(infer(&server, "pneumonia", &both).await, 400, "one of the inputs").await;
}

#[tokio::test]
async fn bodies_that_do_not_fit_their_headers_are_refused() {
    let server = server();
    let url = server.at("/v2/models/triage/infer");
    let post =
        |length: &str, body: Vec<u8>| Client::new().post(&url).header(HEADER, length).body(body).send();
    for length in ["7", "-1", "x", "99999999999999999999999999", "1.0", ""] {
        assert_error(post(length, b"{}".to_vec()).await.unwrap(), 400, "").await;
    }
    let tensors = strings(&[b"chest pain"]);
    let sized = |size: Value| json!({"inputs": [{"name": "note", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}]});
    let whole = sized(json!(tensors.len()));
    assert_eq!(infer_binary(&server, "triage", &whole, &tensors).await.status(), StatusCode::OK);
    let cut = &tensors[..tensors.len() - 1];
    assert_error(infer_binary(&server, "triage", &whole, cut).await, 400, "are announced").await;
    assert_error(infer_binary(&server, "triage", &sized(json!(cut.len())), cut).await, 400, "ends within")
        .await;
    let more = [&tensors[..], b"xyz"].concat();
    assert_error(infer_binary(&server, "triage", &whole, &more).await, 400, "3 bytes of the body").await;
    for size in [json!(u64::MAX), json!(-1), json!("14"), json!(1.5)] {
        assert_error(infer_binary(&server, "triage", &sized(size), &tensors).await, 400, "").await;
    }
    let mut both = whole.clone();
    both["inputs"][0]["data"] = json!(["chest pain"]);
    assert_error(infer_binary(&server, "triage", &both, &tensors).await, 400, "both data and").await;
    let claims = [0xff, 0xff, 0xff, 0xff];
    assert_error(infer_binary(&server, "triage", &sized(json!(4)), &claims).await, 400, "ends within").await;
    let latin = strings(&[b"caf\xe9"]);
    assert_error(infer_binary(&server, "triage", &sized(json!(latin.len())), &latin).await, 400, "UTF-8")
        .await;
    let infinite = json!({"inputs": [
        note(json!(["a"]), &[1]),
        {"name": "age", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}},
    ]});
    let response = infer_binary(&server, "triage", &infinite, &f64::INFINITY.to_le_bytes()).await;
    assert_error(response, 400, "infinite").await;
    let squeezed =
        Client::new().post(&url).header("content-encoding", "gzip").body("{}").send().await.unwrap();
    assert_error(squeezed, 415, "compressed").await;
    let large = Client::new().post(&url).body(vec![b' '; 2_000_001]).send().await.unwrap();
    assert_error(large, 413, "larger").await;
    for nesting in [r#"{"inputs": ["#, r#"{"inputs": [{"name":"note","datatype":"BYTES","shape":[1],"data":"#]
    {
        let deep = format!("{nesting}{}", "[".repeat(100_000));
        let response = Client::new().post(&url).body(deep).send().await.unwrap();
        assert_error(response, 400, "").await;
    }
}
