"""Makes adopted/<family>/, adopted.json and adopted/middle.png, which crates/train/tests/training/adopt_images.rs compares with.

    pip install -r tests/golden/requirements-adopted.txt
    python tests/golden/adopted.py            # writes the directories and the logits that transformers gives
    python tests/golden/adopted.py middle     # writes the picture that Pillow resizes and cuts
    python tests/golden/adopted.py check      # says how far transformers' logits are from those kept

Small classifiers of images of random weights, as transformers saves them, and their logits for an input that a formula
gives. The picture is what ConvNeXt's preprocessing says: the shorter side resized to a little more, then the middle.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SIDE = 32
LABELS = {0: "normal", 1: "bacterial", 2: "viral"}
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])


def formula(number, height, width):
    """A picture of three channels, 0 to 255."""
    c, i, j = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    return (127.5 + 60 * np.sin(0.31 * i * (1 + c) + number) + 60 * np.cos(0.17 * j + 0.05 * i * j / width + c)).round()


def families():
    from transformers import (
        ConvNextConfig,
        ConvNextForImageClassification,
        ResNetConfig,
        ResNetForImageClassification,
        ViTConfig,
        ViTForImageClassification,
    )

    labels = dict(num_labels=3, id2label=LABELS, label2id={name: number for number, name in LABELS.items()})
    shorter = dict(do_resize=True, do_normalize=True, do_rescale=True, rescale_factor=1 / 255, crop_pct=0.875, resample=3, **IMAGENET)
    return {
        "resnet": (
            ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 2], layer_type="basic", **labels)),
            # As its older versions wrote it.
            dict(feature_extractor_type="ConvNextFeatureExtractor", size=SIDE, **{k: v for k, v in shorter.items() if "rescale" not in k}),
        ),
        "resnet-bottleneck": (
            ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[2, 1], layer_type="bottleneck", downsample_in_first_stage=True, **labels)),
            dict(image_processor_type="BitImageProcessor", size={"shortest_edge": 36}, crop_size={"height": SIDE, "width": SIDE}, do_center_crop=True, do_resize=True, resample=2, **IMAGENET),
        ),
        "vit": (
            ViTForImageClassification(ViTConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, image_size=SIDE, patch_size=8, **labels)),
            dict(image_processor_type="ViTImageProcessor", size={"height": SIDE, "width": SIDE}, resample=2, do_resize=True, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, image_mean=[0.5] * 3, image_std=[0.5] * 3),
        ),
        "convnext": (
            ConvNextForImageClassification(ConvNextConfig(hidden_sizes=[8, 20], depths=[1, 2], num_stages=2, image_size=SIDE, **labels)),
            dict(image_processor_type="ConvNextImageProcessor", size={"shortest_edge": SIDE}, **shorter),
        ),
    }


def inputs(config):
    """Normalised pictures of the network's size."""
    mean, std = (np.array(config[name])[:, None, None] for name in ("image_mean", "image_std"))
    return np.stack([(formula(number, SIDE, SIDE) / 255 - mean) / std for number in range(3)]).astype(np.float32)


def logits(model, config):
    import torch

    with torch.no_grad():
        return model.eval().double()(pixel_values=torch.tensor(inputs(config)).double()).logits.numpy().tolist()


def write():
    import torch

    torch.manual_seed(7)
    kept = {}
    for name, (model, config) in families().items():
        # As far from what a fresh network has as training takes them.
        for part, values in list(model.named_parameters()) + list(model.named_buffers()):
            if not values.is_floating_point():
                continue
            noise = torch.randn_like(values)
            scale = 0.3 if values.ndim < 2 else 0.7 / max(1, values[0].numel()) ** 0.5
            values.data = noise.abs() * 0.5 + 0.5 if "running_var" in part or ("norm" in part and part.endswith("weight")) else noise * scale
        folder = HERE / "adopted" / name
        model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=2) + "\n")
        kept[name] = logits(model, config)
    (HERE / "adopted.json").write_text(json.dumps({"side": SIDE, "logits": kept}, indent=1) + "\n")


def check():
    from transformers import AutoModelForImageClassification

    kept = json.loads((HERE / "adopted.json").read_text())["logits"]
    for name, rows in kept.items():
        folder = HERE / "adopted" / name
        model = AutoModelForImageClassification.from_pretrained(folder)
        config = json.loads((folder / "preprocessor_config.json").read_text())
        print(name, np.abs(np.array(logits(model, config)) - np.array(rows)).max())


def middle():
    from PIL import Image

    picture = Image.fromarray(formula(1, 61, 90).transpose(1, 2, 0).astype(np.uint8))
    shorter, side = 40, SIDE
    longer = int(shorter * 90 / 61)
    resized = picture.resize((longer, shorter), Image.BICUBIC)
    left, top = (longer - side) // 2, (shorter - side) // 2
    resized.crop((left, top, left + side, top + side)).save(HERE / "adopted" / "middle.png")


if __name__ == "__main__":
    {"middle": middle, "check": check}.get(sys.argv[1] if len(sys.argv) > 1 else "", write)()
