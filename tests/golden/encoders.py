"""Small encoders of random weights as transformers saves them, and the vectors that it computes with them.

Writes `encoders/<family>/` (config.json, tokenizer.json, model.safetensors) and `encoders.json`, which
`crates/train/tests/training/adopt.rs` compares with. Versions: requirements-encoders.txt.
"""

import json
import pathlib

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

HERE = pathlib.Path(__file__).parent
WORDS = ["chest", "pain", "fever", "rash", "no", "and", "the", "for", "two", "days", "##s", "##ing", "cough", "胸", "痛", ",", "."]
TEXTS = ["Chest pain", "Fever, cough and rash for two days.", "no", "胸痛", "unheard words", "pains " * 40]
MOST = 24


def tokenizer(first, last, unknown, padding):
    special = [padding, first, last, unknown]
    vocabulary = {word: number for number, word in enumerate(special + WORDS + [chr(c) for c in range(97, 123)] + ["##" + chr(c) for c in range(97, 123)])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B {last}",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )
    made.add_special_tokens(special)
    return made, len(vocabulary)


def families(count):
    plain = dict(vocab_size=count, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, max_position_embeddings=32)
    distilled = dict(vocab_size=count, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=32)
    yield "bert", BertModel(BertConfig(**plain)), ("[CLS]", "[SEP]", "[UNK]", "[PAD]")
    yield "distilbert", DistilBertModel(DistilBertConfig(**distilled)), ("[CLS]", "[SEP]", "[UNK]", "[PAD]")
    yield "roberta", RobertaModel(RobertaConfig(**{**plain, "layer_norm_eps": 1e-5}, pad_token_id=1)), ("<s>", "</s>", "<unk>", "<pad>")
    yield "xlm-roberta", XLMRobertaModel(XLMRobertaConfig(**plain, pad_token_id=1)), ("<s>", "</s>", "<unk>", "<pad>")


def main():
    torch.manual_seed(0)
    _, count = tokenizer("a", "b", "c", "d")
    expected = {}
    for family, model, names in families(count):
        model.eval()
        # Biases and scales begin at 0 and 1; those of a trained model do not.
        with torch.no_grad():
            for name, value in model.named_parameters():
                if value.dim() == 1:
                    value.add_(0.2 * torch.randn_like(value))
        made, _ = tokenizer(*names)
        folder = HERE / "encoders" / family
        model.save_pretrained(folder)
        made.save(str(folder / "tokenizer.json"))
        rows = []
        for text in TEXTS:
            ids = made.encode(text).ids
            ids = ids[: MOST - 1] + ids[-1:] if len(ids) > MOST else ids
            with torch.no_grad():
                states = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).last_hidden_state[0]
            unit = lambda v: (v / v.norm()).double().tolist()
            rows.append({"text": text, "ids": ids, "mean": unit(states.mean(0)), "cls": unit(states[0])})
        expected[family] = rows
    (HERE / "encoders.json").write_text(json.dumps({"most": MOST, "families": expected}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
