"""The networks over images in ONNX: those of the packages, and published ones with weights of chance."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

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

    def conv(self, x, name, kernel, stride, padding, bias=False, group=1):
        inputs = [x, self.value(f"{name}.weight")] + ([self.value(f"{name}.bias")] if bias else [])
        return self.add(
            "Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4, group=group
        )

    def norm(self, x, name, epsilon=EPSILON):
        parts = ("scale", "shift", "running_mean", "running_variance")
        values = [self.value(f"{name}.{part}") for part in parts]
        return self.add("BatchNormalization", x, *values, epsilon=epsilon)

    def pool(self, x, kind, kernel, stride, padding=0):
        return self.add(kind, x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4)

    def bounds(self):
        """The ends of what a value is clipped to: 0 and 6."""
        for name, value in (("zero", 0), ("six", 6)):
            self.values[name] = numpy_helper.from_array(np.asarray(value, np.float32), name)
        return "zero", "six"

    def head(self, x):
        return self.dense(self.add("Flatten", self.add("GlobalAveragePool", x)), "head")

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
    if config.get("stem_pool"):
        x = graph.pool(x, "MaxPool", 3, 2, 1)
    for s, stage in enumerate(config["stages"]):
        for b in range(stage["blocks"]):
            name, stride = f"stages.{s}.{b}", stage["stride"] if b == 0 else 1
            if config.get("bottleneck"):
                y = graph.add("Relu", unit(x, f"{name}.first", 1, 1))
                y = graph.add("Relu", unit(y, f"{name}.second", 3, stride))
                y = unit(y, f"{name}.third", 1, 1)
            else:
                y = graph.add("Relu", unit(x, f"{name}.first", 3, stride))
                y = unit(y, f"{name}.second", 3, 1)
            if f"{name}.around.conv.weight" in graph.weights:
                x = unit(x, f"{name}.around", 1, stride)
            x = graph.add("Relu", graph.add("Add", y, x))
    return graph.head(x)


def densenet(graph, config):
    def unit(x, name, kernel):
        return graph.conv(graph.add("Relu", graph.norm(x, f"{name}.norm")), f"{name}.conv", kernel, 1, kernel // 2)

    x = graph.add("Relu", graph.norm(graph.conv("x", "stem.conv", 7, 2, 3), "stem.norm"))
    x = graph.pool(x, "MaxPool", 3, 2, 1)
    for b, layers in enumerate(config["blocks"]):
        for l in range(layers):
            name = f"blocks.{b}.{l}"
            x = graph.add("Concat", x, unit(unit(x, f"{name}.first", 1), f"{name}.second", 3), axis=1)
        if b + 1 < len(config["blocks"]):
            x = graph.pool(unit(x, f"transitions.{b}", 1), "AveragePool", 2, 2)
    return graph.head(graph.add("Relu", graph.norm(x, "last.norm")))


def mobilenet(graph, config):
    def unit(x, name, kernel, stride, group=1, clip=True):
        x = graph.norm(graph.conv(x, f"{name}.conv", kernel, stride, kernel // 2, group=group), f"{name}.norm", config["epsilon"])
        return graph.add("Clip", x, *graph.bounds()) if clip else x

    x, channels = unit("x", "stem", 3, 2), config["stem_channels"]
    for s, stage in enumerate(config["stages"]):
        for b in range(stage["blocks"]):
            name, stride, wide = f"stages.{s}.{b}", stage["stride"] if b == 0 else 1, channels * stage["expand"]
            y = unit(x, f"{name}.expand", 1, 1) if stage["expand"] > 1 else x
            y = unit(y, f"{name}.depthwise", stage["kernel"], stride, wide)
            y = unit(y, f"{name}.project", 1, 1, clip=False)
            x = graph.add("Add", x, y) if stride == 1 and channels == stage["channels"] else y
            channels = stage["channels"]
    return graph.head(unit(x, "last", 1, 1))


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
    build = BUILT[architecture["kind"]]
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


# The kinds that are written in ONNX here; a network that outlines or makes pictures is not among them.
BUILT = {"resnet": resnet, "cnn": cnn, "densenet": densenet, "mobilenet": mobilenet}


def cases(folder, manifest, batches, scratch):
    if manifest["architecture"]["kind"] not in BUILT:
        return
    weights = load_file(folder / manifest["weights"]["file"])
    size = manifest["input"]
    rng = np.random.default_rng(0)
    measured = manifest.get("precision", {})
    precisions = ["f32"] + [name for name in ("bf16", "int8") if measured.get(name, {}).get("allowed")]
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
            "precisions": precisions,
        }


def resnet_sizes(blocks, bottleneck):
    wide = 4 if bottleneck else 1
    stages = [{"channels": 64 * wide << s, "blocks": n, "stride": min(s, 1) + 1} for s, n in enumerate(blocks)]
    return {
        "kind": "resnet", "stem_channels": 64, "stem_kernel": 7, "stem_stride": 2, "stem_pool": True,
        "bottleneck": bottleneck, "stages": stages, "dropout": 0.0,
    }


def vgg_sizes(groups):
    layers = []
    for count, filters in zip(groups, (64, 128, 256, 512, 512)):
        layers += [{"layer": "conv", "filters": filters, "kernel": 3, "padding": 1}] * count + [{"layer": "pool", "size": 2}]
    layers += [{"layer": "flatten"}] + [{"layer": "dense", "units": 4096}] * 2
    return {"kind": "cnn", "layers": layers}


def mobilenet_sizes(rows, epsilon):
    names = ("expand", "channels", "blocks", "kernel", "stride")
    stages = [dict(zip(names, row)) for row in rows]
    return {
        "kind": "mobilenet", "stem_channels": 32, "stages": stages, "last_channels": 1280, "epsilon": epsilon,
        "dropout": 0.0,
    }


PUBLISHED = {
    "resnet18": resnet_sizes([2, 2, 2, 2], False),
    "resnet50": resnet_sizes([3, 4, 6, 3], True),
    "vgg16": vgg_sizes([2, 2, 3, 3, 3]),
    "densenet121": {
        "kind": "densenet", "stem_channels": 64, "growth": 32, "bottleneck": 4, "blocks": [6, 12, 24, 16], "dropout": 0.0,
    },
    "mobilenet-v2": mobilenet_sizes(
        [(1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 32, 3, 3, 2), (6, 64, 4, 3, 2), (6, 96, 3, 3, 1), (6, 160, 3, 3, 2), (6, 320, 1, 3, 1)],
        1e-5,
    ),
    "efficientnet-lite0": mobilenet_sizes(
        [(1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2), (6, 320, 1, 3, 1)],
        1e-3,
    ),
}


class Chance(dict):
    """Weights of chance, named and shaped as our network wants them."""

    def __init__(self):
        self.rng = np.random.default_rng(7)

    def drawn(self, name, shape, spread, middle=0.0):
        self[name] = (middle + spread * self.rng.standard_normal(shape)).astype(np.float32)

    def conv(self, name, outputs, inputs, kernel, bias=False):
        self.drawn(f"{name}.weight", (outputs, inputs, kernel, kernel), (2 / (inputs * kernel * kernel)) ** 0.5)
        if bias:
            self.drawn(f"{name}.bias", (outputs,), 0.1)

    def norm(self, name, channels, scale=1.0):
        self.drawn(f"{name}.scale", (channels,), 0.05, scale)
        self.drawn(f"{name}.shift", (channels,), 0.05)
        self.drawn(f"{name}.running_mean", (channels,), 0.05)
        self[f"{name}.running_variance"] = (1 + 0.1 * self.rng.random(channels)).astype(np.float32)

    def unit(self, name, outputs, inputs, kernel, scale=1.0):
        self.conv(f"{name}.conv", outputs, inputs, kernel)
        self.norm(f"{name}.norm", outputs, scale)

    def dense(self, name, outputs, inputs):
        self.drawn(f"{name}.weight", (outputs, inputs), (2 / inputs) ** 0.5)
        self.drawn(f"{name}.bias", (outputs,), 0.1)


def chance(architecture, channels, side, labels):
    """Weights for an architecture over images of this size."""
    w, kind = Chance(), architecture["kind"]
    if kind == "resnet":
        inputs = architecture["stem_channels"]
        w.unit("stem", inputs, channels, architecture["stem_kernel"])
        for s, stage in enumerate(architecture["stages"]):
            outputs = stage["channels"]
            for b in range(stage["blocks"]):
                name = f"stages.{s}.{b}"
                if architecture["bottleneck"]:
                    w.unit(f"{name}.first", outputs // 4, inputs, 1)
                    w.unit(f"{name}.second", outputs // 4, outputs // 4, 3)
                    w.unit(f"{name}.third", outputs, outputs // 4, 1, 0.3)
                else:
                    w.unit(f"{name}.first", outputs, inputs, 3)
                    w.unit(f"{name}.second", outputs, outputs, 3, 0.3)
                if inputs != outputs or (b == 0 and stage["stride"] != 1):
                    w.unit(f"{name}.around", outputs, inputs, 1)
                inputs = outputs
        w.dense("head", labels, inputs)
    elif kind == "densenet":
        inputs, growth = architecture["stem_channels"], architecture["growth"]
        w.unit("stem", inputs, channels, 7)
        for b, layers in enumerate(architecture["blocks"]):
            for l in range(layers):
                name, wide = f"blocks.{b}.{l}", architecture["bottleneck"] * growth
                w.norm(f"{name}.first.norm", inputs)
                w.conv(f"{name}.first.conv", wide, inputs, 1)
                w.norm(f"{name}.second.norm", wide)
                w.conv(f"{name}.second.conv", growth, wide, 3)
                inputs += growth
            if b + 1 < len(architecture["blocks"]):
                w.norm(f"transitions.{b}.norm", inputs)
                w.conv(f"transitions.{b}.conv", inputs // 2, inputs, 1)
                inputs //= 2
        w.norm("last.norm", inputs)
        w.dense("head", labels, inputs)
    elif kind == "mobilenet":
        inputs = architecture["stem_channels"]
        w.unit("stem", inputs, channels, 3)
        for s, stage in enumerate(architecture["stages"]):
            for b in range(stage["blocks"]):
                name, wide = f"stages.{s}.{b}", inputs * stage["expand"]
                if stage["expand"] > 1:
                    w.unit(f"{name}.expand", wide, inputs, 1)
                w.unit(f"{name}.depthwise", wide, 1, stage["kernel"])
                w.unit(f"{name}.project", stage["channels"], wide, 1)
                inputs = stage["channels"]
        w.unit("last", architecture["last_channels"], inputs, 1)
        w.dense("head", labels, architecture["last_channels"])
    else:
        flat, inputs = False, channels
        for place, layer in enumerate(architecture["layers"]):
            name = f"layers.{place}"
            if layer["layer"] == "conv":
                w.conv(name, layer["filters"], inputs, layer["kernel"], bias=True)
                inputs = layer["filters"]
            elif layer["layer"] == "pool":
                side //= layer["size"]
            elif layer["layer"] == "flatten":
                flat, inputs = True, inputs * side * side
            elif layer["layer"] == "dense":
                w.dense(name, layer["units"], inputs)
                inputs = layer["units"]
        w.dense("head", labels, inputs)
    return dict(w)


def published(names, batches, scratch, channels=3, side=224, labels=10):
    """Published networks with weights of chance over noise, and examples that bytes are calibrated on."""
    rng = np.random.default_rng(3)
    examples = scratch / "examples.f32"
    examples.write_bytes(rng.standard_normal((4, channels, side, side), dtype=np.float32).tobytes())
    for name in names:
        architecture = PUBLISHED[name]
        weights = chance(architecture, channels, side, labels)
        files = {"description": scratch / f"{name}.json", "weights": scratch / f"{name}.safetensors"}
        description = {"architecture": architecture, "channels": channels, "side": side, "labels": labels}
        files["description"].write_text(json.dumps(description))
        save_file(weights, files["weights"])
        for batch in batches:
            shape = (batch, channels, side, side)
            x = rng.standard_normal(shape, dtype=np.float32)
            inputs = scratch / f"{name}-{batch}.f32"
            inputs.write_bytes(x.tobytes())
            yield {
                "bench": f"network:{name}",
                "batch": batch,
                "model": network(weights, architecture, shape, labels),
                "feeds": {"x": x},
                "request": {**files, "examples": examples, "inputs": inputs},
                "precisions": ["f32", "bf16", "int8"],
            }
