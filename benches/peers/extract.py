"""Names and pairs of `train extract` beside a plain conditional random field.

    pip install python-crfsuite==0.9.12
    python benches/peers/extract.py target/release/train PHEE MODEL [--split dev]

PHEE is the folder of the data set, with train.jsonl and the split in the form of its authors; MODEL a package whose figures are
printed beside. The plain one has the features that tutorials of CRFsuite give a word: it in lower case, its last two
and three letters, how it is written, and the same of the words beside it; it is fitted by L-BFGS (c1 = 0.1, c2 = 0.1, 100 steps) to the
training texts and gives its best sequence. Its pairs are every drug with every effect (or treated disorder) of a sentence. Both are measured on exact
spans, by one count. A package that was fitted to the split as well says nothing here.
"""
import argparse
import json
import re
import subprocess
from collections import Counter
from pathlib import Path

LABELS = ["Drug", "Effect", "Disorder"]
RELATIONS = {"adverse_effect": "Effect", "treated_disorder": "Disorder"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--split", default="dev")
    return parser.parse_args()


def stretches(argument, label):
    argument = argument or {}
    for texts, starts in zip(argument.get("text", []), argument.get("start", [])):
        for text, start in zip(texts, starts):
            yield start, start + len(text), label


def read(file):
    """Texts with their names and pairs; of names that overlap the first in the order of LABELS stays."""
    samples = []
    for line in file.open(encoding="utf-8"):
        row = json.loads(line)
        found, ties = [], set()
        for event in (event for part in row["annotations"] for event in part["events"]):
            treatment = event.get("Treatment") or {}
            drugs = list(stretches(treatment.get("Drug"), "Drug"))
            effects = list(stretches(event.get("Effect"), "Effect"))
            disorders = list(stretches(treatment.get("Disorder"), "Disorder"))
            adverse = effects if event["event_type"] == "Adverse_event" else []
            ties |= {(drug, other, "adverse_effect") for drug in drugs for other in adverse}
            ties |= {(drug, other, "treated_disorder") for drug in drugs for other in disorders}
            found += drugs + effects + disorders
        names = []
        for name in sorted(set(found), key=lambda name: (LABELS.index(name[2]), name)):
            if all(name[1] <= taken[0] or taken[1] <= name[0] for taken in names):
                names.append(name)
        ties = {tie for tie in ties if tie[0] in names and tie[1] in names}
        samples.append((row["context"], set(names), ties))
    return samples


def tokens(text):
    return [(match.start(), match.end()) for match in re.finditer(r"\w+|[^\w\s]", text)]


def features(words):
    def of(word, place):
        return [f"{place}word={word.lower()}", f"{place}last3={word[-3:]}", f"{place}last2={word[-2:]}", f"{place}upper={word.isupper()}",
                f"{place}title={word.istitle()}", f"{place}digit={word.isdigit()}"]

    rows = []
    for at, word in enumerate(words):
        row = ["bias"] + of(word, "")
        row += of(words[at - 1], "-1:") if at > 0 else ["first"]
        row += of(words[at + 1], "+1:") if at + 1 < len(words) else ["last"]
        rows.append(row)
    return rows


def tags(places, names):
    row = ["O"] * len(places)
    for start, end, label in sorted(names):
        own = [at for at, (begin, stop) in enumerate(places) if begin < end and start < stop]
        for at in own:
            row[at] = f"I-{label}"
        if own:
            row[own[0]] = f"B-{label}"
    return row


def spans(places, row):
    found, last = [], None
    for (begin, stop), tag in zip(places, row):
        if tag.startswith("I-") and last and last[2] == tag[2:]:
            last[1] = stop
            continue
        last = [begin, stop, tag[2:]] if tag != "O" else None
        if last:
            found.append(last)
    return {tuple(name) for name in found}


def widened(names, places):
    """Names as they are in whole tokens."""
    return {(min(own)[0], max(own)[1], label) for start, end, label in names
            for own in [[place for place in places if place[0] < end and start < place[1]]] if own}


def f1(right, found, there):
    return 2 * right / max(found + there, 1)


def plain(train, test):
    import pycrfsuite

    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True})
    for text, names, _ in train:
        places = tokens(text)
        trainer.append(features([text[a:b] for a, b in places]), tags(places, names))
    file = Path("/tmp/plain.crfsuite")
    trainer.train(str(file))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(file))
    file.unlink()
    counts, pairs = {label: Counter() for label in LABELS}, {name: Counter() for name in RELATIONS}
    for text, names, ties in test:
        places = tokens(text)
        there, found = widened(names, places), spans(places, tagger.tag(features([text[a:b] for a, b in places])))
        for label in LABELS:
            own, answers = ({name for name in of if name[2] == label} for of in (there, found))
            counts[label].update(right=len(own & answers), found=len(answers), there=len(own))
        for name, label in RELATIONS.items():
            own = {(next(iter(widened([a], places))), next(iter(widened([b], places)))) for a, b, of in ties if of == name}
            answers = {(a, b) for a in found if a[2] == "Drug" for b in found if b[2] == label}
            pairs[name].update(right=len(own & answers), found=len(answers), there=len(own))
    return {name: f1(of["right"], of["found"], of["there"]) for name, of in (counts | pairs).items()}


def ours(options):
    split = "val" if options.split == "dev" else options.split
    command = [options.program, "evaluate", "--model", options.model, "--data", str(options.data), "--split", split, "--json"]
    metrics = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["metrics"]
    return {name: of["f1"] for kind in ("by_label", "relations") for name, of in metrics["extraction"][kind].items()}


def main():
    options = arguments()
    other = plain(read(options.data / "train.jsonl"), read(options.data / f"{options.split}.jsonl"))
    own = ours(options)
    print(f"| F1 on {options.split} | plain | ours |\n|---|---|---|")
    for name, value in other.items():
        print(f"| {name} | {value:.4f} | {own.get(name, float('nan')):.4f} |")


if __name__ == "__main__":
    main()
