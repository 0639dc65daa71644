"""Weights between items in closed form, by numpy in double precision, to compare ours with.

B of min |X - X B|^2 + penalty with a diagonal of zeros (Steck 2019): with P the inverse of
X'WX + lambda I + p / (1 - p) diag(X'WX), B[i][j] = -P[i][j] / P[j][j]. A base is a column of ones;
W holds n^-damping for a person with n items, the base not counted.
Scores without one entry are those of weights that are fitted anew to the matrix without it.

    python tests/golden/ease.py        # writes ease.json beside this file
"""

import json
from pathlib import Path

import numpy as np

PEOPLE, ITEMS = 40, 12
rng = np.random.default_rng(17)
have = rng.random((PEOPLE, ITEMS)) < rng.uniform(0.1, 0.6, ITEMS)
have[have.sum(axis=1) < 2, :2] = True


def fit(have, lam, base, dropout, damping):
    x = have.astype(float)
    weight = x.sum(axis=1) ** -damping
    if base:
        x = np.hstack([x, np.ones((PEOPLE, 1))])
    gram = x.T @ (x * weight[:, None])
    inverse = np.linalg.inv(
        gram + lam * np.eye(len(gram)) + dropout / (1 - dropout) * np.diag(np.diag(gram))
    )
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return x, weights


cases = []
for lam, base, dropout, damping in [
    (1.0, False, 0.0, 0.0),
    (7.5, True, 0.0, 0.0),
    (3.0, False, 0.5, 0.0),
    (20.0, True, 0.25, 0.0),
    (0.5, False, 0.0, 0.5),
    (2.0, True, 0.4, 0.75),
]:
    _, weights = fit(have, lam, base, dropout, damping)
    left_out = []
    for person in range(6):
        item = int(np.flatnonzero(have[person])[0])
        without = have.copy()
        without[person, item] = False
        x, anew = fit(without, lam, base, dropout, damping)
        left_out.append({"person": person, "item": item, "scores": (x[person] @ anew)[:ITEMS].tolist()})
    cases.append(
        {
            "lambda": lam,
            "base": base,
            "dropout": dropout,
            "damping": damping,
            "weights": weights.tolist(),
            "left_out": left_out,
        }
    )
golden = {"have": [np.flatnonzero(row).tolist() for row in have], "cases": cases}
path = Path(__file__).with_name("ease.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
