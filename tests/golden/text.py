"""Golden values for the networks over tokens, by PyTorch in double precision; crates/text/src/golden.rs compares.

PyTorch pads and masks; medserve packs. That both give the same logits shows that padding is
nowhere counted. The versions are pinned in requirements-text.txt. Run from the repository's root:

    python tests/golden/text.py > tests/golden/text.json
"""
import json

import numpy as np
import torch
from torch import nn

VOCABULARY, WIDTH, HIDDEN, HEADS, LAYERS, INNER, MOST, FIELDS = 11, 8, 5, 2, 2, 12, 9, 3
NOTES = [[3, 1, 4, 1, 5, 9, 2, 6], [5], [8, 0, 7, 10], [2, 2]]
rng = np.random.default_rng(7)


def values(*shape, scale=0.5):
    return np.round(rng.normal(0, scale, shape), 4)


def tensor(x):
    return torch.tensor(x, dtype=torch.float64)


def padded(notes):
    longest = max(map(len, notes))
    ids = torch.tensor([note + [0] * (longest - len(note)) for note in notes])
    mask = torch.tensor([[1.0] * len(note) + [0.0] * (longest - len(note)) for note in notes], dtype=torch.float64)
    return ids, mask


def mean(x, mask):
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def highest(x, mask):
    return x.masked_fill(mask[..., None] == 0, -torch.inf).max(1).values


def head(weights, parts, fields, labels):
    out = torch.cat([*parts, fields], 1) @ tensor(weights["head.weight"]).T + tensor(weights["head.bias"])
    if labels == 2:
        out = torch.cat([torch.zeros_like(out), out], 1)
    return out


def lstm(labels, bidirectional):
    names = ["forward", "backward"] if bidirectional else ["forward"]
    weights = {"embedding.weight": values(VOCABULARY, WIDTH)}
    for name in names:
        weights[f"{name}.input.weight"] = values(4 * HIDDEN, WIDTH)
        weights[f"{name}.input.bias"] = values(4 * HIDDEN)
        weights[f"{name}.recurrent"] = values(4 * HIDDEN, HIDDEN)
    outputs = 1 if labels == 2 else labels
    weights["head.weight"] = values(outputs, 2 * HIDDEN * len(names) + WIDTH + FIELDS)
    weights["head.bias"] = values(outputs)
    layer = nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=bidirectional).double()
    with torch.no_grad():
        for name, suffix in zip(names, ["", "_reverse"]):
            getattr(layer, f"weight_ih_l0{suffix}").copy_(tensor(weights[f"{name}.input.weight"]))
            getattr(layer, f"weight_hh_l0{suffix}").copy_(tensor(weights[f"{name}.recurrent"]))
            getattr(layer, f"bias_ih_l0{suffix}").copy_(tensor(weights[f"{name}.input.bias"]))
            getattr(layer, f"bias_hh_l0{suffix}").zero_()
    ids, mask = padded(NOTES)
    x = tensor(weights["embedding.weight"])[ids]
    packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(1).long(), batch_first=True, enforce_sorted=False)
    states, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)
    parts = []
    for at in range(len(names)):
        own = states[..., at * HIDDEN:(at + 1) * HIDDEN]
        parts += [mean(own, mask), highest(own, mask)]
    fields = values(len(NOTES), FIELDS)
    logits = head(weights, [*parts, mean(x, mask)], tensor(fields), labels)
    config = {"kind": "lstm", "vocabulary": VOCABULARY, "embedding": WIDTH, "hidden": HIDDEN,
              "bidirectional": bidirectional, "token_dropout": 0.2, "dropout": 0.2, "recurrent_dropout": 0.2}
    return case(config, labels, weights, fields, logits)


def transformer(labels):
    weights = {"embedding.weight": values(VOCABULARY, WIDTH), "positions.weight": values(MOST, WIDTH, scale=0.2)}
    ids, mask = padded(NOTES)
    tokens = tensor(weights["embedding.weight"])[ids]
    x = tokens + tensor(weights["positions.weight"])[: ids.shape[1]]
    for at in range(LAYERS):
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=0.0, activation="gelu", batch_first=True,
                                           norm_first=True).double().train()
        own = {"attention_norm.weight": layer.norm1.weight, "attention_norm.bias": layer.norm1.bias,
               "queries_keys_values.weight": layer.self_attn.in_proj_weight,
               "queries_keys_values.bias": layer.self_attn.in_proj_bias,
               "output.weight": layer.self_attn.out_proj.weight, "output.bias": layer.self_attn.out_proj.bias,
               "feed_forward_norm.weight": layer.norm2.weight, "feed_forward_norm.bias": layer.norm2.bias,
               "expand.weight": layer.linear1.weight, "expand.bias": layer.linear1.bias,
               "contract.weight": layer.linear2.weight, "contract.bias": layer.linear2.bias}
        with torch.no_grad():
            for name, parameter in own.items():
                weights[f"layer{at}.{name}"] = values(*parameter.shape)
                parameter.copy_(tensor(weights[f"layer{at}.{name}"]))
        x = layer(x, src_key_padding_mask=mask == 0)
    weights["norm.weight"], weights["norm.bias"] = values(WIDTH), values(WIDTH)
    x = nn.functional.layer_norm(x, (WIDTH,), tensor(weights["norm.weight"]), tensor(weights["norm.bias"]), 1e-5)
    weights["pool.weight"], weights["pool.bias"] = values(1, WIDTH), values(1)
    scores = (x @ tensor(weights["pool.weight"]).T + tensor(weights["pool.bias"]))[..., 0]
    shares = scores.masked_fill(mask == 0, -torch.inf).softmax(1)
    pooled = (x * shares[..., None]).sum(1)
    fields = values(len(NOTES), FIELDS)
    weights["head.weight"], weights["head.bias"] = values(labels, 2 * WIDTH + FIELDS), values(labels)
    logits = head(weights, [pooled, mean(tokens, mask)], tensor(fields), labels)
    config = {"kind": "transformer", "vocabulary": VOCABULARY, "width": WIDTH, "heads": HEADS, "layers": LAYERS,
              "feed_forward": INNER, "token_dropout": 0.2, "dropout": 0.2}
    return case(config, labels, weights, fields, logits)


def case(config, labels, weights, fields, logits):
    return {"architecture": config, "labels": labels, "max_tokens": MOST, "notes": NOTES, "fields": fields.tolist(),
            "weights": {name: {"shape": list(x.shape), "values": x.flatten().tolist()} for name, x in weights.items()},
            "logits": np.round(logits.detach().numpy(), 9).tolist()}


cases = [lstm(2, False), lstm(5, True), transformer(4)]
print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]")
