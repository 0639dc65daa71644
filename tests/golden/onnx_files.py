"""Makes onnx/<name>/ and onnx.json, which crates/train/tests/training/adopt_onnx.rs compares with.

    pip install -r tests/golden/requirements-onnx.txt
    python tests/golden/onnx_files.py            # writes the files and what ONNX Runtime answers
    python tests/golden/onnx_files.py check      # says how far its answers are from those kept

Small residual networks of random weights as ONNX files, one that gives logits of any number of pictures and one that gives
probabilities of one, each beside what an exporter of Hugging Face would write about preprocessing and labels.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SIDE = 32
LABELS = {0: "normal", 1: "bacterial", 2: "viral"}
PREPROCESSOR = dict(
    image_processor_type="ViTImageProcessor",
    size={"height": SIDE, "width": SIDE},
    resample=2,
    do_resize=True,
    do_rescale=True,
    rescale_factor=1 / 255,
    do_normalize=True,
    image_mean=[0.485, 0.456, 0.406],
    image_std=[0.229, 0.224, 0.225],
)
# Name: whether it gives probabilities, of one picture alone.
NETWORKS = {"logits": False, "probabilities": True}


def formula(number, height, width):
    """A picture of three channels, 0 to 255."""
    c, i, j = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    return (127.5 + 60 * np.sin(0.31 * i * (1 + c) + number) + 60 * np.cos(0.17 * j + 0.05 * i * j / width + c)).round()


def pictures():
    """Three normalised pictures of the network's size."""
    mean, std = (np.array(PREPROCESSOR[name])[:, None, None] for name in ("image_mean", "image_std"))
    return np.stack([(formula(number, SIDE, SIDE) / 255 - mean) / std for number in range(3)]).astype(np.float32)


class Builder:
    """Nodes and their random weights, in order."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, values):
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        return name

    def node(self, kind, *inputs, **attributes):
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x, inputs, outputs, kernel, stride):
        scale = np.sqrt(2 / (inputs * kernel * kernel))
        kernels = self.weight(self.rng.normal(size=(outputs, inputs, kernel, kernel)) * scale)
        pad = kernel // 2
        x = self.node("Conv", x, kernels, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)
        norm = [self.rng.uniform(0.5, 1.5, outputs), self.rng.normal(size=outputs) * 0.2, self.rng.normal(size=outputs) * 0.2, self.rng.uniform(0.5, 1.5, outputs)]
        return self.node("BatchNormalization", x, *map(self.weight, norm), epsilon=1e-5)

    def block(self, x, inputs, outputs, stride):
        y = self.node("Relu", self.conv(x, inputs, outputs, 3, stride))
        y = self.conv(y, outputs, outputs, 3, 1)
        if inputs != outputs or stride != 1:
            x = self.conv(x, inputs, outputs, 1, stride)
        return self.node("Relu", self.node("Add", x, y))


def network(seed, probabilities):
    import onnx
    from onnx import TensorProto, helper

    b = Builder(seed)
    x = b.node("Relu", b.conv("pixel_values", 3, 8, 7, 2))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = b.block(b.block(x, 8, 8, 1), 8, 12, 2)
    x = b.node("Flatten", b.node("GlobalAveragePool", x), axis=1)
    x = b.node("Gemm", x, b.weight(b.rng.normal(size=(3, 12))), b.weight(b.rng.normal(size=3)), transB=1)
    if probabilities:
        x = b.node("Softmax", x, axis=1)
    batch = 1 if probabilities else "batch"
    read = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])
    gives = helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph(b.nodes, "resnet", [read], [gives], b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="medserve-golden")
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(file):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return [session.run(None, {"pixel_values": picture[None]})[0][0].astype(float).tolist() for picture in pictures()]


def write():
    kept = {}
    for seed, (name, probabilities) in enumerate(NETWORKS.items()):
        folder = HERE / "onnx" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(network(seed, probabilities).SerializeToString())
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=1) + "\n")
        config = dict(model_type="resnet-of-others", num_channels=3, id2label=LABELS)
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        kept[name] = answers(folder / "model.onnx")
    (HERE / "onnx.json").write_text(json.dumps(dict(side=SIDE, answers=kept)) + "\n")


def check():
    kept = json.loads((HERE / "onnx.json").read_text())["answers"]
    for name in NETWORKS:
        apart = np.abs(np.array(kept[name]) - np.array(answers(HERE / "onnx" / name / "model.onnx"))).max()
        print(f"{name}: {apart:.2g}")


if __name__ == "__main__":
    check() if sys.argv[1:] == ["check"] else write()
