"""How good a model of `train text` is on records it has not seen, beside TF-IDF with logistic regression.

Usage: python triage.py TRAIN_PROGRAM FOLDER [--folds 5] [--seed 0] [--trees N]

FOLDER holds train.csv and val.csv of emergency visits (columns note, the fields, acuity 1 to 5); both are
put together and cut into folds. Every record is predicted once, by a model that has not seen it. Prints one
JSON line a case: the records as they are, the same with every field blank, and folds in which no complaint
of the measured records occurs in training. Needs numpy, pandas, scipy and scikit-learn.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

LABELS = [1, 2, 3, 4, 5]
NUMERIC = {
    "age": "0..120:years",
    "nrs_pain": "0..10",
    "sbp": "0..300:mmHg",
    "dbp": "0..200:mmHg",
    "heart_rate": "0..300:/min",
    "respiratory_rate": "0..100:/min",
    "temperature_c": "25..45:°C",
    "spo2": "0..100:%",
}
CATEGORICAL = ["sex", "arrival", "injury", "mental", "pain"]


def ours(program, train, tests, seed, trees):
    """The metrics that medserve's own evaluation gives for each of `tests`, after one training."""
    fields = CATEGORICAL + [f"{name}:{rest}" for name, rest in NUMERIC.items()]
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data", Path(folder) / "models"
        data.mkdir()
        # The weights are fitted on both files in the end; validation only has to be there.
        inner = np.random.default_rng(seed).permutation(len(train))
        cut = len(train) // 7
        train.iloc[inner[cut:]].to_csv(data / "train.csv", index=False)
        train.iloc[inner[:cut]].to_csv(data / "val.csv", index=False)
        command = [program, "text", "--data", data, "--name", "fold", "--label-column", "acuity", "--scale", "KTAS"]
        command += ["--fields", ",".join(fields), "--refit", "--inverse-penalty", "1", "--out", out]
        command += [] if trees is None else ["--trees", str(trees)]
        subprocess.run(command, check=True, capture_output=True)
        found = []
        for test in tests:
            test.to_csv(data / "test.csv", index=False)
            command = [program, "evaluate", "--model", out / "fold", "--data", data, "--split", "test", "--json"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout)["metrics"])
        return found


def peer(train, tests):
    """Probabilities of TF-IDF (words, 1 and 2) and fields under a logistic regression."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, lowercase=True)
    classes = OneHotEncoder(handle_unknown="ignore")
    scale = StandardScaler()
    medians = train[list(NUMERIC)].median()

    def features(rows, fit):
        numbers = rows[list(NUMERIC)]
        blanks = numbers.isna().to_numpy(float)
        numbers = numbers.fillna(medians)
        known = rows[CATEGORICAL].astype(object).where(rows[CATEGORICAL].notna(), "missing").astype(str)
        if fit:
            parts = [words.fit_transform(rows.note), scale.fit_transform(numbers), classes.fit_transform(known)]
        else:
            parts = [words.transform(rows.note), scale.transform(numbers), classes.transform(known)]
        return sparse.hstack(parts + [sparse.csr_matrix(blanks)]).tocsr()

    model = LogisticRegression(C=1.0, max_iter=5000).fit(features(train, True), train.acuity)
    return [model.predict_proba(features(test, False)) for test in tests]


def scores(truth, probabilities):
    label = np.array(LABELS)[probabilities.argmax(axis=1)]
    return {
        "accuracy": float((label == truth).mean()),
        "kappa": float(cohen_kappa_score(truth, label, weights="quadratic", labels=LABELS)),
        "auc": float(roc_auc_score(truth, probabilities, multi_class="ovr", labels=LABELS)),
    }


def blank(rows):
    empty = rows.copy()
    empty[list(NUMERIC) + CATEGORICAL] = np.nan
    return empty


def mean_of(metrics):
    """Weighted by the records of each fold."""
    weights = [m["examples"] for m in metrics]
    names = ["accuracy", "auc"]
    found = {name: float(np.average([m[name] for m in metrics], weights=weights)) for name in names}
    ordinal = {
        "kappa": "quadratic_weighted_kappa",
        "under_triage": "under_triage",
        "over_triage": "over_triage",
    }
    for short, name in ordinal.items():
        found[short] = float(np.average([m["ordinal"][name] for m in metrics], weights=weights))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trees", type=int, help="as of train text")
    options = parser.parse_args()
    rows = pd.concat([pd.read_csv(options.folder / f"{part}.csv") for part in ["train", "val"]], ignore_index=True)
    complaint = rows.note.str.lower().str.replace(r"[^a-z0-9 ]", "", regex=True).str.split().str.join(" ")
    usual = StratifiedKFold(options.folds, shuffle=True, random_state=options.seed)
    unseen = GroupKFold(options.folds, shuffle=True, random_state=options.seed)
    protocols = [
        ("records as they are", "every field blank", usual.split(rows, rows.acuity)),
        ("complaints never seen", None, unseen.split(rows, rows.acuity, complaint)),
    ]
    for whole, blanked, folds in protocols:
        mine, theirs = {whole: [], blanked: []}, {whole: [], blanked: []}
        for train, test in folds:
            train, test = rows.iloc[train], rows.iloc[test]
            tests = [test, blank(test)] if blanked else [test]
            found = ours(options.program, train, tests, options.seed, options.trees)
            for case, metrics, probabilities in zip([whole, blanked], found, peer(train, tests)):
                mine[case].append(metrics)
                theirs[case].append({"examples": len(test), **scores(test.acuity.to_numpy(), probabilities)})
        for case in filter(None, [whole, blanked]):
            weights = [m["examples"] for m in theirs[case]]
            names = ["accuracy", "kappa", "auc"]
            other = {n: float(np.average([m[n] for m in theirs[case]], weights=weights)) for n in names}
            print(json.dumps({"case": case, "medserve": mean_of(mine[case]), "tf-idf": other}), flush=True)


if __name__ == "__main__":
    main()
