"""The Open Inference Protocol as the official client speaks it, against a running server.

Usage: oip.py HOST:PORT IMAGE.png
"""

import base64
import sys

import numpy as np
import tritonclient.http as client
from tritonclient.utils import InferenceServerException


def tensor(name, array, datatype, binary=True):
    given = client.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def text(*values):
    return np.array(values, dtype=np.object_)


def refused(call, status, words):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == str(status), error
        assert words in error.message(), error
    else:
        raise AssertionError(f"nothing was refused: {status} {words}")


def health_and_metadata(server):
    assert server.is_server_live() and server.is_server_ready()
    assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
    assert server.is_model_ready("pneumonia") and server.is_model_ready("pneumonia", "1")
    assert not server.is_model_ready("nothing")
    metadata = server.get_model_metadata("pneumonia")
    assert {"name": "image", "datatype": "BYTES", "shape": [-1]} in metadata["inputs"], metadata
    return metadata


def images(server, png, labels):
    binary = server.infer("pneumonia", [tensor("image", text(png), "BYTES")], request_id="7")
    assert binary.get_response()["id"] == "7"
    probabilities = binary.as_numpy("probabilities")
    assert probabilities.shape == (1, len(labels)) and probabilities.dtype == np.float32
    assert abs(probabilities.sum() - 1) < 1e-5, probabilities
    encoded = tensor("image", text(base64.b64encode(png)), "BYTES", binary=False)
    wanted = [client.InferRequestedOutput(name, binary_data=False) for name in ("probabilities", "label", "abstained")]
    plain = server.infer("pneumonia", [encoded], outputs=wanted)
    np.testing.assert_array_equal(plain.as_numpy("probabilities"), probabilities)
    label, abstained = plain.as_numpy("label")[0], plain.as_numpy("abstained")[0]
    assert label == "" if abstained else label in labels, (label, abstained)


def batches(server, png):
    rows = np.random.default_rng(0).integers(0, 256, (5, 1, 28, 28), dtype=np.uint8)
    together = server.infer("pneumonia", [tensor("pixels", rows, "UINT8")]).as_numpy("probabilities")
    fractions = (rows / np.float32(255)).astype(np.float32)
    as_fractions = server.infer("pneumonia", [tensor("fractions", fractions, "FP32")]).as_numpy("probabilities")
    np.testing.assert_allclose(as_fractions, together, atol=1e-5)
    for row, expected in zip(rows, together):
        alone = server.infer("pneumonia", [tensor("pixels", row[None], "UINT8")]).as_numpy("probabilities")
        np.testing.assert_allclose(alone[0], expected, atol=1e-5)
    several = server.infer("pneumonia", [tensor("image", text(*[png] * 3), "BYTES")])
    assert several.as_numpy("probabilities").shape == (3, 2)


def notes(server):
    given = [
        tensor("note", text("chest pain", "sore throat"), "BYTES"),
        tensor("age", np.array([67.0, np.nan]), "FP64"),
        tensor("sex", text("male", ""), "BYTES"),
    ]
    answer = server.infer("triage", given)
    assert answer.as_numpy("probabilities").shape == (2, 5)
    assert not answer.as_numpy("truncated").any()


def errors(server, png):
    image = tensor("image", text(png), "BYTES")
    refused(lambda: server.infer("nothing", [image]), 404, "served are")
    refused(lambda: server.infer("pneumonia", [image], model_version="9"), 404, "not served")
    refused(lambda: server.infer("pneumonia", [tensor("x", text(png), "BYTES")]), 400, "no input")
    refused(lambda: server.infer("pneumonia", [tensor("image", text(b"text"), "BYTES")]), 415, "image")
    outputs = [client.InferRequestedOutput("x")]
    refused(lambda: server.infer("pneumonia", [image], outputs=outputs), 400, "no output")
    small = tensor("pixels", np.zeros((1, 1, 8, 8), np.uint8), "UINT8")
    refused(lambda: server.infer("pneumonia", [small]), 400, "shape")


def main(address, file):
    with open(file, "rb") as image:
        png = image.read()
    with client.InferenceServerClient(address) as server:
        labels = health_and_metadata(server)["labels"]
        images(server, png, labels)
        batches(server, png)
        notes(server)
        errors(server, png)
    print("open inference protocol: passed")


if __name__ == "__main__":
    main(*sys.argv[1:])
