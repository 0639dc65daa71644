"""The forward pass of every package beside ONNX Runtime and OpenVINO, and of published networks.

    benches/peers/run.sh inference [--only image:pneumonia] [--batches 1,32] [--threads 1,2]
    benches/peers/run.sh inference --networks resnet18,resnet50 --batches 1,8 --threads 1

A module for each kind of network (`inference_image`, ...) writes a package's very network
in ONNX from its safetensors and its manifest; what a module offers is `cases(folder, manifest,
batches, scratch)`, which yields `Case`s. The logits of both sides are compared first, then both are
timed in turns. One JSON line a case: medians in milliseconds for a batch, and how many times as
long the peer takes. With two threads a peer uses both on one batch; ours are two engines, each at
its own batch, and `ours_ms` is the time from one finished batch to the next, which is how it serves.

Peers run at their own best settings. `openvino` is OpenVINO as it comes, which rounds to bfloat16 where
the processor has instructions for that; `openvino-f32` is held to single precision. `onnxruntime-int8` and
`openvino-int8` are models that each peer's own tool quantised on the inputs (weights by channel). Ours is
measured in every precision that the package allows, each beside all peers.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import openvino

import inference_image
import inference_text
from ours import ROOT, Ours

# By the kind of a manifest's input.
KINDS = {"image": inference_image, "record": inference_text}


@dataclass
class Case:
    """One comparison."""

    bench: str
    """What is measured, e.g. "image:pneumonia"."""
    batch: int
    model: bytes
    """The network in ONNX; its one output is the logits."""
    feeds: dict
    """Its inputs by name."""
    request: dict
    """The same for our program."""
    precisions: list = field(default_factory=lambda: ["f32"])
    """What ours is measured in; f32 is always among them."""


class Examples(list):
    """The inputs of a case, one feed after another, as the tools that quantise want them."""

    def __init__(self, feeds):
        super().__init__([feeds])
        self.left = iter(self)

    def get_next(self):
        return next(self.left, None)


class OnnxRuntime:
    name = "onnxruntime"
    exact = True

    def __init__(self, model, feeds, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.prepared(model, feeds), options, providers=["CPUExecutionProvider"])
        self.feeds = feeds

    def prepared(self, model, feeds):
        return model

    def run(self):
        return self.session.run(None, self.feeds)[0]


class OnnxRuntimeInt8(OnnxRuntime):
    name = "onnxruntime-int8"
    exact = False

    def prepared(self, model, feeds):
        from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_static

        with tempfile.TemporaryDirectory() as folder:
            plain, folded, result = (str(Path(folder) / name) for name in ("plain", "folded", "result"))
            Path(plain).write_bytes(model)
            quant_pre_process(plain, folded, skip_symbolic_shape=True)
            quantize_static(
                folded, result, Examples(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )
            return Path(result).read_bytes()


class OpenVino:
    """As it comes."""

    name = "openvino"
    exact = False
    settings = {}

    def __init__(self, model, feeds, threads):
        core = openvino.Core()
        model = core.read_model(model)
        # Sizes that are known let it choose its kernels.
        model.reshape({name: list(value.shape) for name, value in feeds.items()})
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            **self.settings,
        }
        compiled = core.compile_model(self.prepared(model, feeds), "CPU", settings)
        self.precision = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
        self.request = compiled.create_infer_request()
        self.feeds = feeds

    def prepared(self, model, feeds):
        return model

    def run(self):
        return next(iter(self.request.infer(self.feeds, share_inputs=True).values()))


class OpenVinoF32(OpenVino):
    name = "openvino-f32"
    exact = True
    settings = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenVinoBf16(OpenVino):
    name = "openvino-bf16"
    settings = {"INFERENCE_PRECISION_HINT": "bf16"}


class OpenVinoInt8(OpenVino):
    name = "openvino-int8"

    def prepared(self, model, feeds):
        import nncf

        return nncf.quantize(model, nncf.Dataset(Examples(feeds)), subset_size=1)


PEERS = {kind.name: kind for kind in (OnnxRuntime, OnnxRuntimeInt8, OpenVino, OpenVinoF32, OpenVinoBf16, OpenVinoInt8)}


def timed(run, repeats):
    """Median seconds of one run."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def check(case, name, exact, got, expected):
    """Ends the program where two sides do not compute the same network."""
    got = got.reshape(expected.shape)
    if exact:
        apart = float(np.abs(got - expected).max())
        sound = apart <= 1e-3 * max(1.0, float(np.abs(expected).max()))
    else:
        # Rounded to eight bits or less, single outputs may differ a little; all of them go together.
        apart = 1 - float(np.corrcoef(got.ravel(), expected.ravel())[0, 1]) if expected.size > 2 else 0.0
        sound = apart <= 0.1
    if not sound:
        sys.exit(f"{case.bench}, batch {case.batch}: {name} differs by {apart}")


def compare(case, threads, ours, options):
    peers = [PEERS[name](case.model, case.feeds, threads) for name in options.peers]
    asked = {precision: {**case.request, "precision": precision} for precision in case.precisions}
    answers = {precision: ours.ask(**request, threads=threads, rounds=3) for precision, request in asked.items()}
    expected = np.asarray(answers["f32"]["logits"])
    for precision, answer in answers.items():
        check(case, precision, precision == "f32", np.asarray(answer["logits"]), expected)
    for peer in peers:
        check(case, peer.name, peer.exact, peer.run(), expected)
    # Turns of about a fiftieth of a second, of each side.
    repeats = max(3, min(2000, int(0.02 / max(answers["f32"]["seconds"], 1e-6))))
    ours_s, peers_s = {precision: [] for precision in asked}, {peer.name: [] for peer in peers}
    for precision, request in asked.items():
        ours.ask(**request, threads=threads, rounds=3)
        for _ in range(options.rounds):
            ours_s[precision].append(ours.ask(**request, threads=threads, rounds=repeats)["seconds"])
            for peer in peers:
                peers_s[peer.name].append(timed(peer.run, repeats))
    for precision, mine in ours_s.items():
        for peer in peers:
            mine_s, other = statistics.median(mine), statistics.median(peers_s[peer.name])
            print(json.dumps({
                "bench": case.bench, "batch": case.batch, "threads": threads, "precision": precision,
                "ours_ms": round(mine_s * 1e3, 4), "peer": peer.name, "peer_precision": getattr(peer, "precision", None),
                "peer_ms": round(other * 1e3, 4), "ratio": round(other / mine_s, 3),
            }), flush=True)


def packages():
    """The folder and the manifest of the highest version of every model."""
    for model in sorted((ROOT / "models").iterdir()):
        versions = [folder for folder in model.iterdir() if folder.name.isdigit()]
        if versions:
            folder = max(versions, key=lambda folder: int(folder.name))
            yield folder, json.loads((folder / "manifest.json").read_text())


def main():
    parser = argparse.ArgumentParser()
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser.add_argument("--only", help="benches whose name begins with this")
    parser.add_argument("--batches", type=numbers, default=[1, 32])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=["onnxruntime", "openvino"], help=f"of {', '.join(PEERS)}")
    parser.add_argument("--networks", type=lambda text: text.split(","), help="published networks in place of the packages")
    parser.add_argument("--program", help="the bench program, if it is built already")
    options = parser.parse_args()
    ours = Ours("inference", options.program)
    with tempfile.TemporaryDirectory() as scratch:
        if options.networks:
            for case in inference_image.published(options.networks, options.batches, Path(scratch)):
                for threads in options.threads:
                    compare(Case(**case), threads, ours, options)
            ours.close()
            return
        cases = list(inference_image.convolutions(Path(scratch)))
        for folder, manifest in [*packages(), *inference_text.samples(Path(scratch))]:
            module = KINDS.get(manifest["input"]["kind"])
            if module:
                cases += module.cases(folder, manifest, options.batches, Path(scratch))
        for case in cases:
            if case["bench"].startswith(options.only or ""):
                # A single layer has no engines.
                for threads in options.threads if "package" in case["request"] else [1]:
                    compare(Case(**case), threads, ours, options)
    ours.close()


if __name__ == "__main__":
    main()
