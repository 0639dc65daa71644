"""An encoder of the sizes of all-MiniLM-L6-v2 beside ONNX Runtime and OpenVINO, each at its own settings.

The weights are of chance: times hang on sizes alone, and nothing is fetched. Ours is run by
`cargo run --release -p text --example encoder_precision`, the peers read the same network in ONNX, one
thread each, 128 tokens, of one text and of 32. ONNX Runtime's int8 is its own dynamic quantisation; OpenVINO
is run as it comes, and with f32 and bf16 asked for. All take turns in rounds; one JSON line a row says the
median and the quartiles in milliseconds.

    pip install -r benches/peers/requirements.txt
    python benches/peers/encoder.py [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from inference_text import Graph

WIDTH, HEADS, LAYERS, FEED_FORWARD, TOKENS, VOCABULARY = 384, 12, 6, 1536, 128, 8192
ROOT = Path(__file__).resolve().parents[2]


def weights():
    rng = np.random.default_rng(0)
    tensors = {"embedding.weight": rng.uniform(-1, 1, (VOCABULARY, WIDTH)), "positions.weight": rng.uniform(-0.1, 0.1, (TOKENS, WIDTH))}

    def dense(name, inputs, outputs):
        tensors[f"{name}.weight"] = rng.uniform(-1, 1, (outputs, inputs)) * (6 / (inputs + outputs)) ** 0.5
        tensors[f"{name}.bias"] = np.zeros(outputs)

    def norm(name):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = np.ones(WIDTH), np.zeros(WIDTH)

    norm("norm")
    for layer in (f"layer{place}" for place in range(LAYERS)):
        for part in ("queries", "keys", "values", "output"):
            dense(f"{layer}.{part}", WIDTH, WIDTH)
        dense(f"{layer}.expand", WIDTH, FEED_FORWARD)
        dense(f"{layer}.contract", FEED_FORWARD, WIDTH)
        norm(f"{layer}.attention_norm")
        norm(f"{layer}.feed_forward_norm")
    return {name: value.astype(np.float32) for name, value in tensors.items()}


def network(tensors, texts):
    """BERT's layers, the norm behind each sum, and the mean over the tokens."""
    graph = Graph(tensors)
    x = graph.add("Add", graph.add("Gather", graph.weight("embedding.weight"), "ids"), graph.weight("positions.weight"))
    x = graph.norm(x, "norm")
    for layer in (f"layer{place}" for place in range(LAYERS)):

        def heads(part, perm):
            shape = graph.integers(0, 0, HEADS, WIDTH // HEADS)
            return graph.add("Transpose", graph.add("Reshape", graph.dense(x, f"{layer}.{part}"), shape), perm=perm)

        scores = graph.add("MatMul", heads("queries", [0, 2, 1, 3]), heads("keys", [0, 2, 3, 1]))
        scores = graph.add("Div", scores, graph.constant("root", np.float32(np.sqrt(WIDTH / HEADS))))
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), heads("values", [0, 2, 1, 3]))
        mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.integers(0, 0, WIDTH))
        x = graph.norm(graph.add("Add", x, graph.dense(mixed, f"{layer}.output")), f"{layer}.attention_norm")
        inner = graph.add("Gelu", graph.dense(x, f"{layer}.expand"))
        x = graph.norm(graph.add("Add", x, graph.dense(inner, f"{layer}.contract")), f"{layer}.feed_forward_norm")
    mean = graph.add("ReduceMean", x, graph.integers(1), keepdims=0)
    whole = helper.make_graph(
        graph.nodes, "encoder", [helper.make_tensor_value_info("ids", TensorProto.INT64, [texts, TOKENS])],
        [helper.make_tensor_value_info(mean, TensorProto.FLOAT, [texts, WIDTH])], list(graph.values.values()))
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()


def peers(model, feeds, folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    exact, small = Path(folder, "exact.onnx"), Path(folder, "int8.onnx")
    exact.write_bytes(model)
    quantize_dynamic(exact, small, weight_type=QuantType.QInt8)
    for name, file in (("ONNX Runtime f32", exact), ("ONNX Runtime int8", small)):
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        yield name, lambda session=session: session.run(None, feeds)
    for name, hint in (("as it comes", {}), ("f32", {"INFERENCE_PRECISION_HINT": "f32"}), ("bf16", {"INFERENCE_PRECISION_HINT": "bf16"})):
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", **hint}
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        said = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        request = compiled.create_infer_request()
        yield f"OpenVINO {name} ({said})", lambda request=request: request.infer(feeds, share_inputs=True)


def ours(rounds):
    """{(texts, precision): the times in milliseconds}."""
    said = subprocess.run(["cargo", "run", "--release", "--quiet", "-p", "text", "--example", "encoder_precision", "--", str(rounds)],
                          cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in said.splitlines()]
    return {(row["texts"], row["precision"]): row["milliseconds"] for row in rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3, help="of each side in turn")
    options = parser.parse_args()
    tensors, rng, taken = weights(), np.random.default_rng(1), {}
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        for texts in (1, 32):
            feeds = {"ids": rng.integers(1, VOCABULARY, (texts, TOKENS))}
            for name, run in peers(network(tensors, texts), feeds, folder):
                sides[(texts, name)] = run
                run()
        ours(1)
        for _ in range(options.rounds):
            for (texts, precision), times in ours(5).items():
                taken.setdefault((texts, f"medserve {precision}"), []).extend(times)
            for (texts, name), run in sides.items():
                times = taken.setdefault((texts, name), [])
                for _ in range(20 if texts == 1 else 3):
                    start = time.perf_counter()
                    run()
                    times.append((time.perf_counter() - start) * 1e3)
    for (texts, name), times in sorted(taken.items()):
        low, middle, high = statistics.quantiles(times, n=4)
        print(json.dumps({"texts": texts, "side": name, "median_ms": round(middle, 2), "quartiles_ms": [round(low, 2), round(high, 2)], "runs": len(times)}), flush=True)


main()
