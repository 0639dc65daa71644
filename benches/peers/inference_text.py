"""The networks over notes (lstm and transformer) in ONNX.

No trained package of these kinds is shipped, so two of the sizes that `train text` makes by default are
written here with seeded weights; a package under models/ is measured as well. The peer pads a batch to its
longest note and masks, which is what a network in ONNX can do; ours takes the notes as they are. A bag is
no network that ONNX could express better than a loop.
"""

import hashlib
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

EPSILON = 1e-5
VOCABULARY, WIDTH, FEED_FORWARD, LAYERS, HEADS, MAX_TOKENS = 8192, 128, 256, 2, 4, 384
LABELS = ["1", "2", "3", "4", "5"]
# Its inputs: missing, no, yes.
FIELDS = [{"name": "pain", "type": "categorical", "values": ["no", "yes"]}]


class Graph:
    """A graph of ONNX operations, one after another."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.values, self.count = [], {}, 0

    def add(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"v{self.count}.{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, name, value):
        self.values[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def weight(self, name, transposed=False):
        value = self.weights[name]
        return self.constant(name, value.T if transposed else value)

    def integers(self, *values):
        return self.constant("integers." + ".".join(map(str, values)), np.array(values, dtype=np.int64))

    def dense(self, x, name):
        product = self.add("MatMul", x, self.weight(f"{name}.weight", transposed=True))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x, name):
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPSILON)

    def mean(self, x, axis):
        """Mean over the tokens: `x` is (records, tokens, values) or (tokens, records, values)."""
        mask = "mask" if axis == 1 else self.add("Transpose", "mask", perm=[1, 0, 2])
        total = self.add("ReduceSum", self.add("Mul", x, mask), self.integers(axis), keepdims=0)
        return self.add("Div", total, "counts")

    def head(self, parts):
        return self.dense(self.add("Concat", *parts, "fields", axis=1), "head")

    def model(self, inputs, output):
        graph = helper.make_graph(
            self.nodes, "network",
            [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["records", "labels"])],
            list(self.values.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def lstm(graph, config):
    hidden = config["hidden"]
    names = ["forward", "backward"] if config["bidirectional"] else ["forward"]
    gates = [0, 3, 1, 2]  # ours are input, forget, cell, output; those of ONNX input, output, forget, cell

    def stack(part):
        values = [graph.weights[f"{name}.{part}"] for name in names]
        return np.stack([np.concatenate([np.split(value, 4)[gate] for gate in gates]) for value in values])

    x = graph.add("Gather", graph.weight("embedding.weight"), "ids")
    bias = stack("input.bias")
    states = graph.add(
        "LSTM", graph.add("Transpose", x, perm=[1, 0, 2]),
        graph.constant("input", stack("input.weight")), graph.constant("recurrent", stack("recurrent")),
        graph.constant("bias", np.concatenate([bias, np.zeros_like(bias)], 1)), "lengths",
        hidden_size=hidden, direction="bidirectional" if len(names) == 2 else "forward", outputs=3,
    )[0]
    parts = []
    # (tokens, directions, records, hidden)
    for place in range(len(names)):
        own = graph.add("Gather", states, graph.constant(f"direction.{place}", np.array(place)), axis=1)
        outside = graph.add("Transpose", "outside", perm=[1, 0, 2])
        highest = graph.add("ReduceMax", graph.add("Add", own, outside), graph.integers(0), keepdims=0)
        parts += [graph.mean(own, 0), highest]
    return graph.head([*parts, graph.mean(x, 1)])


def transformer(graph, config):
    width, heads = config["width"], config["heads"]
    # (records, 1, 1, tokens): nothing is added to a token's score, much is taken from padding's.
    hidden_places = graph.add("Unsqueeze", graph.add("Transpose", "outside", perm=[0, 2, 1]), graph.integers(1))
    tokens = graph.add("Gather", graph.weight("embedding.weight"), "ids")
    x = graph.add("Add", tokens, graph.add("Gather", graph.weight("positions.weight"), "places"))

    for layer in range(config["layers"]):
        name = f"layer{layer}"
        all_three = graph.dense(graph.norm(x, f"{name}.attention_norm"), f"{name}.queries_keys_values")
        three = graph.add("Split", all_three, graph.integers(width, width, width), axis=-1, outputs=3)

        def split(part, perm):
            shape = graph.integers(0, 0, heads, width // heads)
            return graph.add("Transpose", graph.add("Reshape", part, shape), perm=perm)

        queries, values = split(three[0], [0, 2, 1, 3]), split(three[2], [0, 2, 1, 3])
        scores = graph.add("MatMul", queries, split(three[1], [0, 2, 3, 1]))
        root = graph.constant("root", np.float32(np.sqrt(width / heads)))
        scores = graph.add("Add", graph.add("Div", scores, root), hidden_places)
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
        mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.integers(0, 0, width))
        x = graph.add("Add", x, graph.dense(mixed, f"{name}.output"))
        inner = graph.dense(graph.norm(x, f"{name}.feed_forward_norm"), f"{name}.expand")
        x = graph.add("Add", x, graph.dense(graph.add("Gelu", inner), f"{name}.contract"))

    x = graph.norm(x, "norm")
    scores = graph.add("Add", graph.dense(x, "pool"), "outside")
    shares = graph.add("Softmax", scores, axis=1)
    pooled = graph.add("ReduceSum", graph.add("Mul", x, shares), graph.integers(1), keepdims=0)
    return graph.head([pooled, graph.mean(tokens, 1)])


def network(weights, architecture, records, tokens, fields):
    """The bytes of the ONNX model of an architecture over padded batches of one size."""
    graph = Graph(weights)
    inputs = {
        "ids": (TensorProto.INT64, [records, tokens]),
        "mask": (TensorProto.FLOAT, [records, tokens, 1]),
        "outside": (TensorProto.FLOAT, [records, tokens, 1]),
        "counts": (TensorProto.FLOAT, [records, 1]),
        "fields": (TensorProto.FLOAT, [records, fields]),
    }
    if architecture["kind"] == "lstm":
        inputs["lengths"] = (TensorProto.INT32, [records])
        return graph.model(inputs, lstm(graph, architecture))
    inputs["places"] = (TensorProto.INT64, [tokens])
    return graph.model(inputs, transformer(graph, architecture))


def feeds(architecture, notes, fields):
    """The batch as the peer is given it; padding's states count as -1e9 where a maximum is taken."""
    lengths = np.array([len(note) for note in notes])
    longest = lengths.max()
    mask = (np.arange(longest)[None] < lengths[:, None]).astype(np.float32)[..., None]
    padded = {
        "ids": np.array([note + [0] * (longest - len(note)) for note in notes], dtype=np.int64),
        "mask": mask,
        "outside": (mask - 1) * np.float32(1e9),
        "counts": lengths[:, None].astype(np.float32),
        "fields": fields,
    }
    if architecture["kind"] == "lstm":
        return padded | {"lengths": lengths.astype(np.int32)}
    return padded | {"places": np.arange(longest)}


def sizes(kind):
    """The tensors of a network by name, with the bound of their uniform values."""
    dense = lambda name, inputs, outputs: {
        f"{name}.weight": ((outputs, inputs), (6 / (inputs + outputs)) ** 0.5), f"{name}.bias": ((outputs,), 0.1),
    }
    norm = lambda name: {f"{name}.weight": ((WIDTH,), 1.0), f"{name}.bias": ((WIDTH,), 0.1)}
    tensors = {"embedding.weight": ((VOCABULARY, WIDTH), 1.0)}
    if kind == "lstm":
        for name in ("forward", "backward"):
            tensors |= dense(f"{name}.input", WIDTH, 4 * WIDTH)
            tensors[f"{name}.recurrent"] = ((4 * WIDTH, WIDTH), 0.15)
        return tensors | dense("head", 5 * WIDTH + 3, len(LABELS))
    tensors["positions.weight"] = ((MAX_TOKENS, WIDTH), 0.1)
    for layer in (f"layer{place}" for place in range(LAYERS)):
        tensors |= norm(f"{layer}.attention_norm") | norm(f"{layer}.feed_forward_norm")
        tensors |= dense(f"{layer}.queries_keys_values", WIDTH, 3 * WIDTH) | dense(f"{layer}.output", WIDTH, WIDTH)
        tensors |= dense(f"{layer}.expand", WIDTH, FEED_FORWARD) | dense(f"{layer}.contract", FEED_FORWARD, WIDTH)
    return tensors | norm("norm") | dense("pool", WIDTH, 1) | dense("head", 2 * WIDTH + 3, len(LABELS))


def sample(root, kind):
    """Writes a package of default size with seeded weights; its folder and its manifest."""
    rates = {"token_dropout": 0.2, "dropout": 0.2}
    if kind == "lstm":
        config = {"embedding": WIDTH, "hidden": WIDTH, "bidirectional": True, "recurrent_dropout": 0.2}
    else:
        config = {"width": WIDTH, "heads": HEADS, "layers": LAYERS, "feed_forward": FEED_FORWARD}
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.uniform(-1, 1, shape) * bound).astype(np.float32) for name, (shape, bound) in sizes(kind).items()
    }
    folder = root / kind / "1"
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    manifest = {
        "format": 1, "name": kind, "version": "1", "description": "Random weights, for measuring.",
        "labels": LABELS, "input": {"kind": "record", "max_tokens": MAX_TOKENS, "fields": FIELDS},
        "architecture": {"kind": kind, "vocabulary": VOCABULARY, **config, **rates},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.0,
        "data": {"name": "none", "source": "none", "licence": "none", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 0, "settings": {}, "program": "benches/peers"}, "metrics": {},
        "weights": {
            "file": "model.safetensors",
            "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
            "parameters": sum(value.size for value in weights.values()),
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "README.md").write_text("Random weights, for measuring.\n")
    return folder, manifest


def samples(scratch):
    """Packages that are made for measuring."""
    return [sample(scratch, kind) for kind in ("lstm", "transformer")]


def field_inputs(fields):
    return sum(
        2 + max(len(field["knots"]) - 1, 0) if field["type"] == "numeric" else 1 + len(field["values"])
        for field in fields
    )


def cases(folder, manifest, batches, scratch):
    architecture = manifest["architecture"]
    if architecture["kind"] == "bag":
        return
    weights = load_file(folder / manifest["weights"]["file"])
    for batch in batches:
        rng = np.random.default_rng(batch)
        # One note of 64 tokens, or a mixed batch whose longest and shortest are always the same.
        lengths = [64] if batch == 1 else [8, 256, *rng.integers(8, 257, batch - 2)]
        notes = [rng.integers(1, architecture["vocabulary"], length).tolist() for length in lengths]
        fields = rng.standard_normal((batch, field_inputs(manifest["input"]["fields"])), dtype=np.float32)
        inputs = scratch / f"{manifest['name']}-{batch}.jsonl"
        lines = ({"tokens": note, "fields": row.tolist()} for note, row in zip(notes, fields))
        inputs.write_text("".join(json.dumps(line) + "\n" for line in lines))
        yield {
            "bench": f"text:{manifest['name']}",
            "batch": batch,
            "model": network(weights, architecture, batch, max(lengths), fields.shape[1]),
            "feeds": feeds(architecture, notes, fields),
            "request": {"package": str(folder), "inputs": inputs},
        }
