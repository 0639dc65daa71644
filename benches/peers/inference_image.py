"""The networks over images (cnn and resnet) in ONNX."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

EPSILON = 1e-5


class Graph:
    """A graph of ONNX operations, one after another."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.values, self.count = [], {}, 0

    def add(self, kind, *inputs, **attributes):
        self.count += 1
        name = f"v{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def value(self, name):
        self.values[name] = numpy_helper.from_array(self.weights[name], name)
        return name

    def conv(self, x, name, kernel, stride, padding, bias=False):
        inputs = [x, self.value(f"{name}.weight")] + ([self.value(f"{name}.bias")] if bias else [])
        return self.add(
            "Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4
        )

    def norm(self, x, name):
        parts = ("scale", "shift", "running_mean", "running_variance")
        values = [self.value(f"{name}.{part}") for part in parts]
        return self.add("BatchNormalization", x, *values, epsilon=EPSILON)

    def dense(self, x, name):
        return self.add("Gemm", x, self.value(f"{name}.weight"), self.value(f"{name}.bias"), transB=1)

    def model(self, shape, output, result):
        graph = helper.make_graph(
            self.nodes, "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, result)],
            list(self.values.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def resnet(graph, config):
    def unit(x, name, kernel, stride):
        return graph.norm(graph.conv(x, f"{name}.conv", kernel, stride, kernel // 2), f"{name}.norm")

    x = graph.add("Relu", unit("x", "stem", config["stem_kernel"], config["stem_stride"]))
    for s, stage in enumerate(config["stages"]):
        for b in range(stage["blocks"]):
            name, stride = f"stages.{s}.{b}", stage["stride"] if b == 0 else 1
            y = graph.add("Relu", unit(x, f"{name}.first", 3, stride))
            y = unit(y, f"{name}.second", 3, 1)
            if f"{name}.around.conv.weight" in graph.weights:
                x = unit(x, f"{name}.around", 1, stride)
            x = graph.add("Relu", graph.add("Add", y, x))
    return graph.dense(graph.add("Flatten", graph.add("GlobalAveragePool", x)), "head")


def cnn(graph, config):
    x = "x"
    for place, layer in enumerate(config["layers"]):
        name = f"layers.{place}"
        match layer["layer"]:
            case "conv":
                x = graph.conv(x, name, layer["kernel"], 1, layer.get("padding", 0), bias=True)
                x = graph.add("Relu", x)
            case "pool":
                x = graph.add("MaxPool", x, kernel_shape=[layer["size"]] * 2, strides=[layer["size"]] * 2)
            case "flatten":
                x = graph.add("Flatten", x)
            case "dense":
                x = graph.add("Relu", graph.dense(x, name))
    return graph.dense(x, "head")


def network(weights, architecture, shape, labels):
    """The bytes of the ONNX model of an architecture over inputs of `shape`."""
    graph = Graph(weights)
    build = {"resnet": resnet, "cnn": cnn}[architecture["kind"]]
    return graph.model(shape, build(graph, architecture), (shape[0], labels))


def convolutions(scratch):
    """Single layers: 3 x 3, stride 1, as many channels out as in."""
    rng = np.random.default_rng(1)
    shapes = [(1, 64, 28), (8, 64, 28), (1, 32, 28), (32, 32, 14), (1, 16, 28), (32, 16, 28), (32, 64, 7), (32, 128, 4)]
    for batch, channels, side in shapes:
        shape = (batch, channels, side, side)
        x = rng.uniform(-1, 1, shape).astype(np.float32)
        weights = {
            "layer.weight": rng.standard_normal((channels, channels, 3, 3), dtype=np.float32)
            * np.float32((2 / (9 * channels)) ** 0.5)
        }
        graph = Graph(weights)
        output = graph.conv("x", "layer", 3, 1, 1)
        files = {"inputs": scratch / f"conv-{batch}x{channels}x{side}.f32"}
        files["weights"] = files["inputs"].with_suffix(".weights")
        files["inputs"].write_bytes(x.tobytes())
        files["weights"].write_bytes(weights["layer.weight"].tobytes())
        yield {
            "bench": f"conv3x3:{channels}x{side}x{side}",
            "batch": batch,
            "model": graph.model(shape, output, shape),
            "feeds": {"x": x},
            "request": {"channels": channels, "side": side, **files},
        }


def cases(folder, manifest, batches, scratch):
    weights = load_file(folder / manifest["weights"]["file"])
    size = manifest["input"]
    rng = np.random.default_rng(0)
    for batch in batches:
        shape = (batch, size["channels"], size["height"], size["width"])
        x = rng.standard_normal(shape, dtype=np.float32)
        inputs = scratch / f"{manifest['name']}-{batch}.f32"
        inputs.write_bytes(x.tobytes())
        yield {
            "bench": f"image:{manifest['name']}",
            "batch": batch,
            "model": network(weights, manifest["architecture"], shape, len(manifest["labels"])),
            "feeds": {"x": x},
            "request": {"package": str(folder), "inputs": inputs},
        }
