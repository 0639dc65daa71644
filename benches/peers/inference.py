"""The forward pass of every package beside ONNX Runtime and OpenVINO.

    benches/peers/run.sh inference [--only image:pneumonia] [--batches 1,32] [--threads 1,2]

A module for each kind of network (`inference_image`, ...) writes a package's very network
in ONNX from its safetensors and its manifest; what a module offers is `cases(folder, manifest,
batches, scratch)`, which yields `Case`s. The logits of both sides are compared first, then both are
timed in turns. One JSON line a case: medians in milliseconds for a batch, and how many times as
long the peer takes. With two threads a peer uses both on one batch; ours are two engines, each at
its own batch, and `ours_ms` is the time from one finished batch to the next, which is how it serves.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
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


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, model, feeds, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.feeds = feeds

    def run(self):
        return self.session.run(None, self.feeds)[0]


class OpenVino:
    name = "openvino"

    def __init__(self, model, feeds, threads):
        core = openvino.Core()
        model = core.read_model(model)
        # Sizes that are known let it choose its kernels; float32 keeps it from rounding to bfloat16.
        model.reshape({name: list(value.shape) for name, value in feeds.items()})
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.request = core.compile_model(model, "CPU", settings).create_infer_request()
        self.feeds = feeds

    def run(self):
        return next(iter(self.request.infer(self.feeds, share_inputs=True).values()))


def timed(run, repeats):
    """Median seconds of one run."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def compare(case, threads, ours, options):
    peers = [kind(case.model, case.feeds, threads) for kind in (OnnxRuntime, OpenVino) if kind.name in options.peers]
    answer = ours.ask(**case.request, threads=threads, rounds=3)
    expected = np.asarray(answer["logits"])
    for peer in peers:
        difference = float(np.abs(peer.run().reshape(expected.shape) - expected).max())
        if not difference <= 1e-3:
            sys.exit(f"{case.bench}, batch {case.batch}: {peer.name} differs by {difference}")
    # Turns of about a fiftieth of a second.
    repeats = max(3, min(2000, int(0.02 / max(answer["seconds"], 1e-6))))
    ours_s, peers_s = [], {peer.name: [] for peer in peers}
    for _ in range(options.rounds):
        ours_s.append(ours.ask(**case.request, threads=threads, rounds=repeats)["seconds"])
        for peer in peers:
            peers_s[peer.name].append(timed(peer.run, repeats))
    mine = statistics.median(ours_s)
    for name, seconds in peers_s.items():
        other = statistics.median(seconds)
        print(json.dumps({
            "bench": case.bench, "batch": case.batch, "threads": threads, "ours_ms": round(mine * 1e3, 4),
            "peer": name, "peer_ms": round(other * 1e3, 4), "ratio": round(other / mine, 3),
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
    parser.add_argument("--peers", type=lambda text: text.split(","), default=["onnxruntime", "openvino"])
    parser.add_argument("--program", help="the bench program, if it is built already")
    options = parser.parse_args()
    ours = Ours("inference", options.program)
    with tempfile.TemporaryDirectory() as scratch:
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
