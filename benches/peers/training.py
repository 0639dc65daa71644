"""An epoch of training the shipped network of images, beside PyTorch on the CPU and stock candle.

    benches/peers/run.sh training [--threads 1,2] [--rounds 5]

The same layers, the same number of images as the model was trained on, batches of 64 of noise,
forward, backward and AdamW; reading and altering images is not part of it. The sides take turns of
a few steps; an epoch is that many steps of the median length. Prints one JSON line a case.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn

from ours import ROOT, Ours, build

BATCH = 64


class Unit(nn.Sequential):
    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
        )


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = Unit(inputs, outputs, 3, stride), Unit(outputs, outputs, 3, 1)
        self.around = Unit(inputs, outputs, 1, stride) if inputs != outputs or stride != 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + self.around(x))


def network(config, channels, labels):
    width = config["stem_channels"]
    layers = [Unit(channels, width, config["stem_kernel"], config["stem_stride"]), nn.ReLU()]
    for stage in config["stages"]:
        for b in range(stage["blocks"]):
            layers.append(Block(width, stage["channels"], stage["stride"] if b == 0 else 1))
            width = stage["channels"]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, labels))


class PyTorch:
    """One step a call. `channels_last` is the layout that PyTorch recommends for convolutions."""

    def __init__(self, manifest, channels_last):
        torch.manual_seed(0)
        size = manifest["input"]
        self.model = network(manifest["architecture"], size["channels"], len(manifest["labels"])).train()
        self.x = torch.randn(BATCH, size["channels"], size["height"], size["width"])
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        self.y = torch.arange(BATCH) % len(manifest["labels"])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.step()

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()

    def seconds(self, steps):
        taken = []
        for _ in range(steps):
            start = time.perf_counter()
            self.step()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--package", default="models/pneumonia/1")
    parser.add_argument("--threads", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side")
    parser.add_argument("--program", help="the bench program, if it is built already")
    options = parser.parse_args()
    manifest = json.loads((ROOT / options.package / "manifest.json").read_text())
    if manifest["architecture"]["kind"] != "resnet":
        sys.exit(f"{options.package} is not a resnet")
    steps = -(-manifest["data"]["examples"]["train"] // BATCH)
    program = options.program or build("training")
    for threads in options.threads:
        torch.set_num_threads(threads)
        ours = Ours("training", program, threads)
        request = {"package": options.package, "batch": BATCH}
        peers = {"pytorch": PyTorch(manifest, False), "pytorch-channels-last": PyTorch(manifest, True)}
        mine, others = [], {name: [] for name in ["candle", *peers]}
        for _ in range(options.rounds):
            mine.append(ours.ask(**request, network="ours", rounds=5)["seconds"])
            for name, peer in peers.items():
                others[name].append(peer.seconds(5))
            others["candle"].append(ours.ask(**request, network="stock", rounds=1)["seconds"])
        ours.close()
        ours_s = statistics.median(mine)
        for name, seconds in others.items():
            other = statistics.median(seconds)
            print(json.dumps({
                "bench": f"training:{manifest['name']}", "batch": BATCH, "threads": threads,
                "ours_ms": round(ours_s * steps * 1e3, 1), "peer": name,
                "peer_ms": round(other * steps * 1e3, 1), "ratio": round(other / ours_s, 3),
            }), flush=True)


if __name__ == "__main__":
    main()
