"""Makes encoders/<family>/, encoders/<family>-labels/, encoders/<family>-tags/ and encoders.json, which
crates/train/tests/training/adopt.rs compares with.

    pip install -r tests/golden/requirements-encoders.txt
    python tests/golden/encoders.py            # writes them
    python tests/golden/encoders.py --check    # compares them with transformers, which needs torch

Small encoders of random weights under the names that transformers gives them, without a head, with one of labels and with
one of tags, and the vectors and logits that a plain implementation in double precision makes of a few texts with them.
--check loads the directories with transformers and says how far its numbers are from those kept.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).parent
WORDS = ["chest", "pain", "fever", "rash", "no", "and", "the", "for", "two", "days", "##s", "##ing", "cough", "胸", "痛", ",", "."]
TEXTS = ["Chest pain", "Fever, cough and rash for two days.", "no", "胸痛", "unheard words", "pains " * 40]
MOST, WIDTH, INNER, LAYERS, PLACES = 24, 16, 24, 2, 32
BERT = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
DISTILBERT = ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"]
FAMILIES = {
    "bert": dict(heads=4, epsilon=1e-12, offset=0, prefix="", names=BERT, layer="encoder.layer"),
    "distilbert": dict(heads=2, epsilon=1e-12, offset=0, prefix="distilbert.", names=DISTILBERT, layer="transformer.layer"),
    "roberta": dict(heads=4, epsilon=1e-5, offset=2, prefix="roberta.", names=BERT, layer="encoder.layer"),
    "xlm-roberta": dict(heads=4, epsilon=1e-12, offset=2, prefix="", names=BERT, layer="encoder.layer"),
}


LABELS = ["Home", "ward", "ICU"]
# In an order that is not ours, and a label without a tag for its later words.
TAGS = ["I-Disease", "O", "B-Symptom", "B-Disease"]
MODERN = "modernbert"
THETAS, REACH = (1000.0, 20.0), 4
DEBERTA = "deberta-v2"
BUCKETS, FARTHEST = 8, 20
CLASSES = {"bert": "Bert", "distilbert": "DistilBert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", MODERN: "ModernBert", DEBERTA: "DebertaV2"}


def tokenizer(family):
    roberta = "roberta" in family
    first, last, unknown, padding = ("<s>", "</s>", "<unk>", "<pad>") if roberta else ("[CLS]", "[SEP]", "[UNK]", "[PAD]")
    special = [first, padding, last, unknown] if roberta else [padding, unknown, first, last]
    letters = [chr(code) for code in range(97, 123)]
    known = special + WORDS + letters + ["##" + letter for letter in letters]
    vocabulary = {word: number for number, word in enumerate(known)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(first, vocabulary[first]), (last, vocabulary[last])]
    made.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", special_tokens=ends)
    made.add_special_tokens(special)
    return made, len(known)


def config(family, count):
    if family == MODERN:
        return modern_config(count)
    if family == DEBERTA:
        return deberta_config(count)
    kind = FAMILIES[family]
    if family == "distilbert":
        return dict(model_type=family, architectures=["DistilBertModel"], vocab_size=count, dim=WIDTH, n_layers=LAYERS, n_heads=kind["heads"], hidden_dim=INNER, max_position_embeddings=PLACES, activation="gelu", pad_token_id=0)
    name = {"bert": "BertModel", "roberta": "RobertaModel", "xlm-roberta": "XLMRobertaModel"}[family]
    pad = 1 if kind["offset"] else 0
    return dict(model_type=family, architectures=[name], vocab_size=count, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=kind["heads"], intermediate_size=INNER, max_position_embeddings=PLACES, layer_norm_eps=kind["epsilon"], hidden_act="gelu", pad_token_id=pad, type_vocab_size=2)


def weights(family, count, rng):
    if family == MODERN:
        return modern_weights(count, rng)
    if family == DEBERTA:
        return deberta_weights(count, rng)
    kind = FAMILIES[family]
    drawn = {}

    def norm(name):
        drawn[f"{name}.weight"] = 1 + 0.2 * rng.standard_normal(WIDTH)
        drawn[f"{name}.bias"] = 0.2 * rng.standard_normal(WIDTH)

    def dense(name, inputs, outputs):
        drawn[f"{name}.weight"] = 0.15 * rng.standard_normal((outputs, inputs))
        drawn[f"{name}.bias"] = 0.1 * rng.standard_normal(outputs)

    # As small as transformers draws them, where the least of epsilons shows.
    drawn["embeddings.word_embeddings.weight"] = 0.02 * rng.standard_normal((count, WIDTH))
    drawn["embeddings.position_embeddings.weight"] = 0.02 * rng.standard_normal((PLACES, WIDTH))
    if family != "distilbert":
        drawn["embeddings.token_type_embeddings.weight"] = 0.02 * rng.standard_normal((2, WIDTH))
    norm("embeddings.LayerNorm")
    query, key, value, output, after_attention, expand, contract, after = kind["names"]
    for number in range(LAYERS):
        at = f"{kind['layer']}.{number}."
        for name in (query, key, value, output):
            dense(at + name, WIDTH, WIDTH)
        dense(at + expand, WIDTH, INNER)
        dense(at + contract, INNER, WIDTH)
        norm(at + after_attention)
        norm(at + after)
    return {kind["prefix"] + name: array.astype(np.float32) for name, array in drawn.items()}


def states(family, stored, ids):
    """The last hidden state of every token, in double precision."""
    if family == MODERN:
        return modern_states(stored, ids)
    if family == DEBERTA:
        return deberta_states(stored, ids)
    kind = FAMILIES[family]
    get = lambda name: stored[kind["prefix"] + name].astype(np.float64)
    dense = lambda name, x: x @ get(f"{name}.weight").T + get(f"{name}.bias")

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + kind["epsilon"])
        return scaled * get(f"{name}.weight") + get(f"{name}.bias")

    erf = np.vectorize(math.erf)
    gelu = lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2)))
    places = np.arange(len(ids)) + kind["offset"]
    x = get("embeddings.word_embeddings.weight")[ids] + get("embeddings.position_embeddings.weight")[places]
    if family != "distilbert":
        x = x + get("embeddings.token_type_embeddings.weight")[0]
    x = norm("embeddings.LayerNorm", x)
    query, key, value, output, after_attention, expand, contract, after = kind["names"]
    size = WIDTH // kind["heads"]
    for number in range(LAYERS):
        at = f"{kind['layer']}.{number}."
        q, k, v = (dense(at + name, x) for name in (query, key, value))
        mixed = np.zeros_like(x)
        for head in range(kind["heads"]):
            own = slice(head * size, (head + 1) * size)
            scores = q[:, own] @ k[:, own].T / math.sqrt(size)
            terms = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, own] = terms / terms.sum(-1, keepdims=True) @ v[:, own]
        x = norm(at + after_attention, x + dense(at + output, mixed))
        x = norm(at + after, x + dense(at + contract, gelu(dense(at + expand, x))))
    return x


# ModernBERT: one layer that sees the whole text and one that sees what is near by, no bias, gates.


def modern_config(count):
    ropes = {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in zip(("full_attention", "sliding_attention"), THETAS)}
    return dict(model_type=MODERN, architectures=["ModernBertModel"], vocab_size=count, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=INNER, max_position_embeddings=PLACES, norm_eps=1e-5, hidden_activation="gelu", pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, local_attention=2 * REACH, layer_types=["full_attention", "sliding_attention"], rope_parameters=ropes)


def modern_weights(count, rng):
    drawn = {"embeddings.tok_embeddings.weight": rng.standard_normal((count, WIDTH))}
    norm = lambda name: drawn.update({f"{name}.weight": 1 + 0.2 * rng.standard_normal(WIDTH)})
    dense = lambda name, inputs, outputs: drawn.update({f"{name}.weight": 0.3 * rng.standard_normal((outputs, inputs))})
    norm("embeddings.norm")
    for number in range(LAYERS):
        at = f"layers.{number}."
        if number > 0:
            norm(at + "attn_norm")
        dense(at + "attn.Wqkv", WIDTH, 3 * WIDTH)
        dense(at + "attn.Wo", WIDTH, WIDTH)
        norm(at + "mlp_norm")
        dense(at + "mlp.Wi", WIDTH, 2 * INNER)
        dense(at + "mlp.Wo", INNER, WIDTH)
    norm("final_norm")
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def normalised(x, weight):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight.astype(np.float64)


def modern_states(stored, ids):
    get = lambda name: stored[f"{name}.weight"].astype(np.float64)
    x = normalised(get("embeddings.tok_embeddings")[ids], get("embeddings.norm"))
    heads, places = 4, np.arange(len(ids))
    size = WIDTH // heads
    for number in range(LAYERS):
        at = f"layers.{number}."
        angles = places[:, None] / THETAS[number] ** (np.arange(0, size, 2) / size)
        near = np.abs(places[:, None] - places[None, :]) <= (REACH if number else len(ids))

        def turned(part):
            first, second = part[:, : size // 2], part[:, size // 2 :]
            return np.concatenate([first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)], 1)

        y = x if number == 0 else normalised(x, get(at + "attn_norm"))
        q, k, v = np.split(y @ get(at + "attn.Wqkv").T, 3, axis=1)
        mixed = np.zeros_like(x)
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            scores = np.where(near, turned(q[:, own]) @ turned(k[:, own]).T / math.sqrt(size), -np.inf)
            terms = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, own] = terms / terms.sum(-1, keepdims=True) @ v[:, own]
        x = x + mixed @ get(at + "attn.Wo").T
        value, gate = np.split(normalised(x, get(at + "mlp_norm")) @ get(at + "mlp.Wi").T, 2, axis=1)
        x = x + (gelu(value) * gate) @ get(at + "mlp.Wo").T
    return normalised(x, get("final_norm"))


# DeBERTa: scores that say how far apart two tokens are. Without a head, keys and queries of distances have weights of their
# own and each distance its row; with one they share the tokens' and distances fall together by their logarithm, as in its
# third version.


def deberta_config(count):
    return dict(model_type=DEBERTA, architectures=["DebertaV2Model"], vocab_size=count, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=INNER, max_position_embeddings=PLACES, layer_norm_eps=1e-7, hidden_act="gelu", pad_token_id=0, type_vocab_size=2, relative_attention=True, max_relative_positions=6, position_buckets=-1, pos_att_type=["p2c", "c2p"], share_att_key=False, position_biased_input=True, norm_rel_ebd="none", pooler_hidden_size=WIDTH, pooler_hidden_act="gelu", pooler_dropout=0)


def deberta_shared(config):
    return config | dict(max_relative_positions=FARTHEST, position_buckets=BUCKETS, share_att_key=True, position_biased_input=False, norm_rel_ebd="layer_norm", type_vocab_size=0, pos_att_type="p2c|c2p")


def deberta_weights(count, rng, shared=False):
    drawn = {"embeddings.word_embeddings.weight": 0.02 * rng.standard_normal((count, WIDTH))}

    def norm(name):
        drawn[f"{name}.weight"] = 1 + 0.2 * rng.standard_normal(WIDTH)
        drawn[f"{name}.bias"] = 0.2 * rng.standard_normal(WIDTH)

    def dense(name, inputs, outputs):
        drawn[f"{name}.weight"] = 0.3 * rng.standard_normal((outputs, inputs))
        drawn[f"{name}.bias"] = 0.2 * rng.standard_normal(outputs)

    norm("embeddings.LayerNorm")
    if shared:
        norm("encoder.LayerNorm")
    else:
        drawn["embeddings.position_embeddings.weight"] = 0.02 * rng.standard_normal((PLACES, WIDTH))
        drawn["embeddings.token_type_embeddings.weight"] = 0.02 * rng.standard_normal((2, WIDTH))
    drawn["encoder.rel_embeddings.weight"] = rng.standard_normal((2 * (BUCKETS if shared else 6), WIDTH))
    for number in range(LAYERS):
        at = f"encoder.layer.{number}."
        for name in ("query_proj", "key_proj", "value_proj") + (() if shared else ("pos_key_proj", "pos_query_proj")):
            dense(f"{at}attention.self.{name}", WIDTH, WIDTH)
        dense(at + "attention.output.dense", WIDTH, WIDTH)
        norm(at + "attention.output.LayerNorm")
        dense(at + "intermediate.dense", WIDTH, INNER)
        dense(at + "output.dense", INNER, WIDTH)
        norm(at + "output.LayerNorm")
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def distance_row(distance, span, buckets):
    """The row of the table of distances, of which there are twice the span."""
    middle = span // 2
    if buckets and abs(distance) > middle:
        far = math.ceil(math.log(abs(distance) / middle) / math.log((FARTHEST - 1) / middle) * (middle - 1)) + middle
        distance = far if distance > 0 else -far
    return min(max(distance + span, 0), 2 * span - 1)


def deberta_states(stored, ids):
    get = lambda name: stored[name].astype(np.float64)
    dense = lambda name, x: x @ get(f"{name}.weight").T + get(f"{name}.bias")

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-7) * get(f"{name}.weight") + get(f"{name}.bias")

    shared = "encoder.LayerNorm.weight" in stored
    x = get("embeddings.word_embeddings.weight")[ids]
    if not shared:
        x = x + get("embeddings.position_embeddings.weight")[: len(ids)] + get("embeddings.token_type_embeddings.weight")[0]
    x = norm("embeddings.LayerNorm", x)
    table = get("encoder.rel_embeddings.weight")
    table = norm("encoder.LayerNorm", table) if shared else table
    heads, count = 4, len(ids)
    size = WIDTH // heads
    rows = np.array([[distance_row(i - j, len(table) // 2, shared) for j in range(count)] for i in range(count)])
    for number in range(LAYERS):
        at = f"encoder.layer.{number}."
        own = lambda name: f"{at}attention.self.{name}"
        q, k, v = (dense(own(name), x) for name in ("query_proj", "key_proj", "value_proj"))
        place_keys = dense(own("key_proj" if shared else "pos_key_proj"), table)
        place_queries = dense(own("query_proj" if shared else "pos_query_proj"), table)
        mixed = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.array([[q[i, part] @ k[j, part] + q[i, part] @ place_keys[rows[i, j], part] + k[j, part] @ place_queries[rows[i, j], part] for j in range(count)] for i in range(count)]) / math.sqrt(3 * size)
            terms = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, part] = terms / terms.sum(-1, keepdims=True) @ v[:, part]
        x = norm(at + "attention.output.LayerNorm", x + dense(at + "attention.output.dense", mixed))
        x = norm(at + "output.LayerNorm", x + dense(at + "output.dense", gelu(dense(at + "intermediate.dense", x))))
    return x


def with_head(family, count, names, kind, rng):
    """The configuration and the weights of an encoder with a head; its rows are larger than without, so that logits differ."""
    task = {"labels": "ForSequenceClassification", "tags": "ForTokenClassification"}[kind]
    made = config(family, count) | dict(architectures=[CLASSES[family] + task], id2label={str(i): name for i, name in enumerate(names)}, label2id={name: i for i, name in enumerate(names)})
    own, prefix = prefixes(family)
    drawn = deberta_weights(count, rng, shared=True) if family == DEBERTA else weights(family, count, rng)
    made = deberta_shared(made) if family == DEBERTA else made
    stored = {prefix + name[len(own):]: array for name, array in drawn.items()}

    def dense(name, outputs, inputs):
        stored[f"{name}.weight"] = rng.standard_normal((outputs, inputs)).astype(np.float32)
        stored[f"{name}.bias"] = rng.standard_normal(outputs).astype(np.float32)

    if family == MODERN:
        dense("head.dense", WIDTH, WIDTH)
        del stored["head.dense.bias"]
        stored["head.norm.weight"] = (1 + 0.2 * rng.standard_normal(WIDTH)).astype(np.float32)
        dense("classifier", len(names), WIDTH)
    elif kind == "labels":
        hidden, last = HEADS[family]
        dense(hidden, WIDTH, WIDTH)
        dense(last, len(names), WIDTH)
    else:
        dense("classifier", len(names), WIDTH)
    return made, stored


def prefixes(family):
    """Before the names of an encoder without a head, and with one."""
    if family in (MODERN, DEBERTA):
        return "", {MODERN: "model.", DEBERTA: "deberta."}[family]
    return FAMILIES[family]["prefix"], f"{family.replace('xlm-', '')}."


HEADS = {
    "bert": ("bert.pooler.dense", "classifier"),
    "distilbert": ("pre_classifier", "classifier"),
    "roberta": ("classifier.dense", "classifier.out_proj"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj"),
    DEBERTA: ("pooler.dense", "classifier"),
}


def logits(family, stored, ids, kind):
    """Of a text, or of each of its tokens, in double precision."""
    own, prefix = prefixes(family)
    body = {own + name[len(prefix):]: array for name, array in stored.items() if name.startswith(prefix)}
    dense = lambda name, x: x @ stored[f"{name}.weight"].astype(np.float64).T + stored[f"{name}.bias"].astype(np.float64)
    x = states(family, body, ids)
    if family == MODERN:
        x = x if kind == "tags" else x[0]
        return dense("classifier", normalised(gelu(x @ stored["head.dense.weight"].astype(np.float64).T), stored["head.norm.weight"]))
    if kind == "tags":
        return dense("classifier", x)
    hidden, last = HEADS[family]
    x = dense(hidden, x[0])
    return dense(last, {"distilbert": lambda x: np.maximum(x, 0), DEBERTA: gelu}.get(family, np.tanh)(x))


def unit(vector):
    return [float(value) for value in vector / np.linalg.norm(vector)]


def write():
    rng = np.random.default_rng(0)
    expected = {}
    for family in [*FAMILIES, MODERN, DEBERTA]:
        folder = HERE / "encoders" / family
        folder.mkdir(parents=True, exist_ok=True)
        made, count = tokenizer(family)
        made.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(json.dumps(config(family, count), indent=1) + "\n")
        stored = weights(family, count, rng)
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        rows = []
        for text in TEXTS:
            ids = made.encode(text).ids
            ids = ids[: MOST - 1] + ids[-1:] if len(ids) > MOST else ids
            x = states(family, stored, ids)
            rows.append({"text": text, "ids": ids, "mean": unit(x.mean(0)), "cls": unit(x[0])})
        expected[family] = rows
    heads = {}
    for kind, names, seed in (("labels", LABELS, 1), ("tags", TAGS, 2)):
        rng = np.random.default_rng(seed)
        heads[kind] = {}
        for family in [*FAMILIES, MODERN, DEBERTA]:
            folder = HERE / "encoders" / f"{family}-{kind}"
            folder.mkdir(parents=True, exist_ok=True)
            made, count = tokenizer(family)
            made.save(str(folder / "tokenizer.json"))
            described, stored = with_head(family, count, names, kind, rng)
            (folder / "config.json").write_text(json.dumps(described, indent=1) + "\n")
            save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
            rows = []
            # The longest shows what a layer that sees what is near by does not see, and distances that fall together.
            for text in TEXTS if kind == "labels" and family in (MODERN, DEBERTA) else TEXTS[:-1]:
                ids = made.encode(text).ids
                ids = ids[: MOST - 1] + ids[-1:] if len(ids) > MOST else ids
                rows.append({"text": text, "ids": ids, "logits": logits(family, stored, ids, kind).round(9).tolist()})
            heads[kind][family] = rows
    text = json.dumps({"most": MOST, "families": expected} | heads, ensure_ascii=False, indent=1)
    (HERE / "encoders.json").write_text(text + "\n")


def check():
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification

    expected = json.loads((HERE / "encoders.json").read_text())["families"]
    for family, rows in expected.items():
        model = AutoModel.from_pretrained(HERE / "encoders" / family).eval()
        worst = 0
        for row in rows:
            ids = torch.tensor([row["ids"]])
            with torch.no_grad():
                x = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].numpy()
            for name, vector in (("mean", x.mean(0)), ("cls", x[0])):
                worst = max(worst, np.abs(np.array(unit(vector)) - np.array(row[name])).max())
        print(family, "differs by at most", worst)
    for kind, classes in (("labels", AutoModelForSequenceClassification), ("tags", AutoModelForTokenClassification)):
        for family, rows in json.loads((HERE / "encoders.json").read_text())[kind].items():
            model = classes.from_pretrained(HERE / "encoders" / f"{family}-{kind}").eval()
            worst = 0
            for row in rows:
                ids = torch.tensor([row["ids"]])
                with torch.no_grad():
                    x = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
                worst = max(worst, np.abs(x - np.array(row["logits"])).max())
            print(family, kind, "differ by at most", worst, "of values up to", np.abs(x).max())


if __name__ == "__main__":
    check() if "--check" in sys.argv else write()
