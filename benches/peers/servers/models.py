"""The shipped models in Python, for the servers in this folder: bytes or a record in, probabilities out.

A model is a folder of the exported package: manifest.json and what `serving.py` writes beside it (an ONNX
file of the network over images, or the arrays of the bag and its tokenizer). Each does what medserve does
for one request, with the quickest means that Python has: OpenCV decodes (Pillow resizes, where an image has
not the model's size, as OpenCV's cubic filter is not antialiased), ONNX Runtime computes, numpy hashes all
n-grams of a note at once. Nothing is remembered from one request to the next.
"""

import json
import math
import os
import re
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image as Picture
from tokenizers import Tokenizer

FOLDER = Path(os.environ["PEER_MODELS"])
cv2.setNumThreads(1)


class Model:
    """What both kinds have in common: the manifest, and probabilities from logits."""

    def __init__(self, name):
        self.folder = FOLDER / name
        self.manifest = json.loads((self.folder / "manifest.json").read_bytes())
        self.labels = self.manifest["labels"]
        self.temperature = self.manifest["calibration"]["temperature"]

    def softmax(self, logits):
        scaled = np.asarray(logits, np.float64) / self.temperature
        terms = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        return terms / terms.sum(axis=-1, keepdims=True)

    def result(self, probabilities):
        """One result as medserve gives it: predictions sorted, no label where the model is not sure enough."""
        pairs = sorted(zip(self.labels, probabilities.tolist()), key=lambda pair: -pair[1])
        abstained = pairs[0][1] < self.manifest["abstain_below"]
        return {
            "label": None if abstained else pairs[0][0],
            "abstained": abstained,
            "predictions": [{"label": label, "probability": value} for label, value in pairs],
        }

    def answer(self, results):
        return {"model": self.manifest["name"], "version": self.manifest["version"], "results": results}


def session(file):
    """ONNX Runtime with one thread: the servers have as many processes as there are cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


class Images(Model):
    def __init__(self, name="pneumonia"):
        super().__init__(name)
        self.session = session(self.folder / "network.onnx")
        self.size = (self.manifest["input"]["width"], self.manifest["input"]["height"])
        self.floor = self.manifest["input"]["normalisation"]["floor"]

    def read(self, data):
        """Decoded, cropped, resized and normalised: channels x height x width."""
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise ValueError("the image cannot be read")
        if pixels.shape[::-1] != self.size:
            pixels = self.resize(pixels)
        values = pixels.astype(np.float32) * np.float32(1 / 255)
        divisor = max(float(values.std(dtype=np.float64)), self.floor)
        return ((values - values.mean(dtype=np.float64)) / divisor).astype(np.float32)[None]

    def resize(self, pixels):
        height, width = pixels.shape
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = Picture.fromarray(pixels[top : top + side, left : left + side])
        return np.asarray(picture.resize(self.size, Picture.Resampling.BICUBIC))

    def probabilities(self, images):
        """Of a list of what `read` gave, one row an image."""
        return self.softmax(self.session.run(None, {"x": np.stack(images)})[0])


PRIME = 0x0000_0100_0000_01B3
OFFSET = 0xCBF2_9CE4_8422_2325
ALL = 0xFFFF_FFFF_FFFF_FFFF
# What trees read for a number that is missing, and the least share that they give a label.
MISSING = -8.0
FLOOR = 1e-4
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|"
                  r"[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


def start(kind):
    """FNV-1a over the byte that tells the kinds of n-grams apart."""
    return ((OFFSET ^ kind) * PRIME) & ALL


def word_hashes(text, least, most):
    """Of the n-grams of words, in plain Python: there are few."""
    words = [word.encode() + b"\0" for word in WORD.findall(text)]
    hashes = []
    for first in range(len(words)):
        state = start(1)
        for place, word in enumerate(words[first : first + most], 1):
            for byte in word:
                state = ((state ^ byte) * PRIME) & ALL
            if place >= least:
                hashes.append((state >> 32) ^ (state & 0xFFFF_FFFF))
    return np.array(hashes, np.uint32)


def character_hashes(text, least, most):
    """Of the n-grams of characters within the pieces between blanks: all beginnings at once."""
    if most < least:
        return np.empty(0, np.uint32)
    text = f" {' '.join(text.split())} "
    if text.isascii():
        rows = np.frombuffer(text.encode(), np.uint8)[:, None]
    else:
        # No note has the byte 0 any more: it stands for none.
        rows = np.frombuffer(b"".join(c.encode().ljust(4, b"\0") for c in text), np.uint8).reshape(-1, 4)
    blank = rows[:, 0] == 32
    rows = rows.astype(np.uint64)
    states = np.full(len(rows), start(2), np.uint64)
    alive = np.ones(len(rows), bool)
    found = []
    for place in range(most):
        if place >= len(rows):
            break
        part = rows[place:]
        states, alive = states[: len(part)], alive[: len(part)]
        if place >= 2:
            # What lies between the first and the last character is within one piece.
            alive = alive & ~blank[place - 1 : place - 1 + len(part)]
        mixed = (states ^ part[:, 0]) * np.uint64(PRIME)
        for column in range(1, part.shape[1]):
            byte = part[:, column]
            mixed = np.where(byte == 0, mixed, (mixed ^ byte) * np.uint64(PRIME))
        states = mixed
        if place + 1 >= least:
            taken = alive & ~blank if place == 0 else alive
            found.append((states[taken] >> np.uint64(32)) ^ (states[taken] & np.uint64(0xFFFF_FFFF)))
    return np.concatenate(found).astype(np.uint32)


class Notes(Model):
    def __init__(self, name="triage"):
        super().__init__(name)
        arrays = np.load(self.folder / "bag.npz")
        self.hashes = arrays["ngrams"]
        self.weight, self.bias = arrays["weight"].astype(np.float64), arrays["bias"].astype(np.float64)
        self.rarity = arrays["rarity"] if "rarity" in arrays else np.ones(len(self.hashes), np.float32)
        self.bag = self.manifest["architecture"]
        self.fields = self.manifest["input"]["fields"]
        self.tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self.tokenizer.encode_special_tokens = True
        self.places, beyond = {}, []
        for field in self.fields:
            self.places[field["name"]] = (len(beyond), field)
            numeric = field["type"] == "numeric"
            within, outside = map(len, self.number(field, 0.0)) if numeric else (len(field["values"]), 0)
            beyond += [False] * (1 + within) + [True] * outside
        self.beyond, inputs = np.array(beyond), len(beyond)
        file = self.folder / "trees.onnx"
        self.trees = session(file) if file.exists() else None
        # What trees read of the fields' inputs: of a number its value, or that it is missing; of a
        # choice all of its inputs.
        self.read, numbers = [], []
        for place, field in self.places.values():
            if field["type"] == "numeric":
                numbers.append((len(self.read), place))
                self.read.append(place + 1)
            else:
                self.read += range(place, place + 1 + len(field["values"]))
        self.number_at, self.number_missing = (list(part) for part in zip(*numbers))
        self.none = np.zeros(inputs, np.float32)
        self.none[[place for place, _ in self.places.values()]] = 1

    @staticmethod
    def number(field, value):
        """The inputs of a number but for the first, which says that it is missing. Where the field has a normal range these
        describe the value brought into it, and the second list how far beyond it lies on either side."""
        def bends(x, knots, middle):
            return [min(max((x - a) / (b - a), 0), 1) - middle for a, b in zip(knots, knots[1:])]

        (mean, std, knots), normal = (field[key] for key in ("mean", "std", "knots")), field.get("normal")
        if normal is None:
            return [min(max((value - mean) / std, -4), 4), *bends(value, knots, 0.5)], []
        low, high = normal
        within = min(max(value, low), high)
        inside = [low, *(knot for knot in knots if low < knot < high), high]
        outside = []
        below, above = [low, *(knot for knot in reversed(knots) if knot < low)], [high, *(knot for knot in knots if knot > high)]
        for distance, outwards in ((low - value, below), (value - high, above)):
            outside += [min(max(distance / std, 0), 4), *bends(value, outwards, 0)]
        return [min(max((within - mean) / std, -4), 4), *bends(within, inside, 0.5)], outside

    def field_inputs(self, given):
        """The fields' inputs, and the names of those that are missing."""
        unknown = given.keys() - self.places.keys()
        if unknown:
            raise ValueError(f"no such field: {', '.join(sorted(unknown))}")
        row = self.none.copy()
        missing = []
        for name, (place, field) in self.places.items():
            value = given.get(name)
            if value is None:
                missing.append(name)
            elif field["type"] == "numeric":
                if type(value) not in (int, float) or not field["min"] <= value <= field["max"]:
                    raise ValueError(f"{name}: a number from {field['min']} to {field['max']} is expected")
                within, outside = self.number(field, value)
                row[place : place + 1 + len(within) + len(outside)] = [0, *within, *outside]
            else:
                if value not in field["values"]:
                    raise ValueError(f"{name}: one of {field['values']} is expected")
                row[place] = 0
                row[place + 1 + field["values"].index(value)] = 1
        return row, missing

    def add(self, logits, hashes, kind):
        """What the n-grams of one kind give."""
        at = np.searchsorted(self.hashes, hashes)
        at[at == len(self.hashes)] = 0
        counts = np.bincount(at[self.hashes[at] == hashes], minlength=len(self.hashes))
        known = counts.nonzero()[0]
        if len(known):
            values = (1 + np.log(counts[known])) * self.rarity[known]
            logits += (values * (kind["scale"] / math.sqrt(values @ values))) @ self.weight[known]

    def classify(self, record):
        """The probabilities of a record, the number of its tokens and the names of the fields it has not."""
        note, given = record["note"], record.get("fields") or {}
        if not isinstance(note, str) or not note.strip():
            raise ValueError("the note is blank")
        fields, missing = self.field_inputs(given)
        text = self.tokenizer.normalizer.normalize_str(note)
        tokens = len(self.tokenizer.encode(note))
        logits = self.bias.copy()
        for kind, hashes in (("words", word_hashes), ("characters", character_hashes)):
            kind = self.bag[kind]
            self.add(logits, hashes(text, kind["min"], kind["max"]), kind)
        parts = (fields * self.bag["field_scale"])[:, None] * self.weight[len(self.hashes) :]
        logits += parts[~self.beyond].sum(axis=0)
        if self.trees:
            logits = self.mix(fields, logits)
        logits += parts[self.beyond].sum(axis=0)
        return self.softmax(logits), tokens, missing

    def mix(self, fields, logits):
        """The mean of the logarithms of what the linear model and the trees hold probable."""
        known = fields[self.read]
        known[self.number_at] = np.where(fields[self.number_missing] > 0, MISSING, known[self.number_at])
        x = np.concatenate([known, logits - logits.mean()]).astype(np.float32)
        shares = self.trees.run(None, {"x": x[None]})[0][0]
        above = logits - logits.max()
        return 0.5 * (above - math.log(np.exp(above).sum())) + 0.5 * np.log(np.maximum(shares, FLOOR))

    def results(self, records):
        """One result a record, as medserve gives it."""
        found = []
        for record in records:
            probabilities, tokens, missing = self.classify(record)
            more = {"tokens": tokens, "truncated": False, "missing_fields": missing}
            found.append(self.result(probabilities) | more)
        return found
