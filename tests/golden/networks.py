"""Makes networks.json, which crates/train/tests/training/networks.rs compares with: what torchvision's networks say.

    pip install -r tests/golden/requirements-networks.txt
    python tests/golden/networks.py

Weights and pictures are drawn from names and places by a formula that the test repeats, so that only logits have to
be kept. All is computed in double precision: logits as in serving, logits of a step of training, and logits as in
serving after that step, which holds gradients and running statistics together.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torchvision.models as models
from torchvision.models.vgg import VGG, make_layers

LABELS, BATCH = 3, 4
# How far all weights together go in the step.
DISTANCE = 0.05
MASK = (1 << 64) - 1


def uniform(name, count):
    """Numbers from -1 to 1: SplitMix64 over places, begun at the FNV-1a digest of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        x = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def value(name, shape):
    u = uniform(name, int(np.prod(shape))).reshape(shape)
    if len(shape) > 1:
        u = u * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith(("running_var", "weight")):
        u = 1 + 0.3 * u
    else:
        u = 0.1 * u
    return torch.tensor(u.astype(np.float32).astype(np.float64))


def fill(model):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype == torch.float64:
                tensor.copy_(value(name, tuple(tensor.shape)))


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def case(name, model, side):
    model = model.double()
    fill(model)
    without_dropout(model)
    pictures = uniform(f"pictures of {name}", BATCH * 3 * side * side).astype(np.float32).astype(np.float64)
    pictures = torch.tensor(pictures.reshape(BATCH, 3, side, side))
    rows = lambda logits: [[round(v, 9) for v in row] for row in logits.tolist()]
    model.eval()
    with torch.no_grad():
        served = rows(model(pictures))
    model.train()
    logits = model(pictures)
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(BATCH) % LABELS)
    loss.backward()
    norm = sum(float((parameter.grad**2).sum()) for parameter in model.parameters()) ** 0.5
    rate = DISTANCE / norm
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= rate * parameter.grad
    model.eval()
    with torch.no_grad():
        stepped = rows(model(pictures))
    print(name, served[0], stepped[0], loss.item())
    return {"arch": name, "side": side, "rate": rate, "served": served, "trained": rows(logits), "stepped": stepped}


def small_vgg():
    """VGG-11 with few channels, whose first dense layer would otherwise be a hundred million numbers."""
    layers = make_layers([8, "M", 8, "M", 16, 16, "M", 16, 16, "M", 16, 16, "M"], batch_norm=False)
    model = VGG(layers, num_classes=LABELS, init_weights=False)
    model.classifier[0] = torch.nn.Linear(16 * 7 * 7, 32)
    model.classifier[3] = torch.nn.Linear(32, 32)
    model.classifier[6] = torch.nn.Linear(32, LABELS)
    return model


def main():
    torch.set_num_threads(1)
    plain = dict(weights=None, num_classes=LABELS)
    cases = [
        case("resnet18", models.resnet18(**plain), 64),
        case("resnet34", models.resnet34(**plain), 64),
        case("resnet50", models.resnet50(**plain), 64),
        case("mobilenet-v2", models.mobilenet_v2(**plain), 64),
        case("densenet121", models.densenet121(**plain), 64),
        case("inception-v3", models.inception_v3(aux_logits=False, init_weights=False, **plain), 107),
        case("vgg11", small_vgg(), 224),
    ]
    out = Path(__file__).parent / "networks.json"
    out.write_text(json.dumps({"labels": LABELS, "batch": BATCH, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
