"""Golden values for the metrics, by scikit-learn 1.9.1 and numpy 2.4.6; crates/train/src/metrics.rs compares.

Run from the repository's root: python tests/golden/metrics.py > tests/golden/metrics.json
"""
import json

import numpy as np
from sklearn.metrics import (accuracy_score, cohen_kappa_score, confusion_matrix, f1_score,
                             recall_score, roc_auc_score)


def ece(p, y, bins=15):
    """The textbook definition, bin by bin."""
    confidence, answer = p.max(1), p.argmax(1)
    total = 0.0
    for low, high in zip(np.linspace(0, 1, bins + 1)[:-1], np.linspace(0, 1, bins + 1)[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.sum() * abs((answer[inside] == y[inside]).mean() - confidence[inside].mean())
    return total / len(y)


def case(seed, n, labels, decimals):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, labels, n)
    logits = rng.normal(size=(n, labels)) + 1.5 * np.eye(labels)[y]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # Rounding makes ties; the last column takes up the rest, so that rows still sum to one.
    p = np.round(p, decimals)
    p[:, -1] = np.round(1 - p[:, :-1].sum(1), decimals)
    # What the program sees are single-precision numbers.
    p = p.astype(np.float32).astype(np.float64)
    answer = p.argmax(1)
    auc = roc_auc_score(y, p[:, 1]) if labels == 2 else np.mean(
        [roc_auc_score(y == label, p[:, label]) for label in range(labels)])
    return {
        "probabilities": p.tolist(), "truth": y.tolist(),
        "accuracy": accuracy_score(y, answer), "auc": auc,
        "macro_f1": f1_score(y, answer, average="macro"),
        "quadratic_weighted_kappa": cohen_kappa_score(y, answer, weights="quadratic"),
        "ece": ece(p, y), "confusion": confusion_matrix(y, answer).tolist(),
        "sensitivity": recall_score(y, answer, average=None).tolist(),
        "specificity": [recall_score(y != label, answer != label) for label in range(labels)],
    }


print(json.dumps([case(0, 40, 2, 2), case(1, 60, 5, 2), case(2, 50, 3, 3)]))
