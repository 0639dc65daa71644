"""Golden values for the recommender, by numpy and scikit-learn.

Writes recommend.json beside this file; crates/recommend/src/tests/golden.rs compares. The data are
invented here. Versions: numpy 2.4.6, scikit-learn 1.9.1.

    python tests/golden/recommend.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

USERS, ITEMS, NEIGHBORS, RATERS = 30, 24, 7, 4
rng = np.random.default_rng(42)

# Ratings of a half to five stars; some users rate everything alike (no variance).
ratings = np.where(rng.random((USERS, ITEMS)) < 0.4, rng.integers(1, 11, (USERS, ITEMS)) * 0.5, 0)
ratings[3] = np.where(ratings[3] > 0, 2.5, 0)
ratings[9] = 0
ratings[9, 4] = 4.0
have = ratings > 0
users = [f"u{u:02}" for u in range(USERS)]
items = [f"i{i:02}" for i in range(ITEMS)]


def ordered(values):
    """Indices by value, highest first, ties by index (which here is the order of the ids)."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def listed(ids, values, indices):
    return [[ids[i], float(values[i])] for i in indices]


with np.errstate(invalid="ignore", divide="ignore"):
    similarities = {
        "cosine": cosine_similarity(ratings),
        "pearson": np.corrcoef(ratings),
        "euclidean": 1 / (1 + euclidean_distances(ratings)),
    }
shares = (have.astype(int) @ have.T.astype(int)) > 0

neighbors, scores = {}, {}
for name, matrix in similarities.items():
    neighbors[name], scores[name] = {}, {}
    for u in range(USERS):
        allowed = shares[u] & np.isfinite(matrix[u]) & (matrix[u] >= 1e-6)
        allowed[u] = False
        near = [v for v in ordered(np.where(allowed, matrix[u], -np.inf)) if allowed[v]][:NEIGHBORS]
        neighbors[name][users[u]] = listed(users, matrix[u], near)
        total = sum((matrix[u, v] * ratings[v] for v in near), np.zeros(ITEMS))
        scores[name][users[u]] = [[items[i], float(total[i])] for i in range(ITEMS) if total[i] > 0]

# Explicit: centre on the user's mean, cosine, the RATERS most similar users who rated the item.
means = np.array([row[row > 0].mean() for row in ratings])
centred = np.where(have, ratings - means[:, None], 0)
norms = np.linalg.norm(centred, axis=1)
with np.errstate(invalid="ignore", divide="ignore"):
    alike = (centred @ centred.T) / np.outer(norms, norms)
predictions = []
for u in range(USERS):
    for i in range(ITEMS):
        raters = [
            v
            for v in ordered(np.nan_to_num(alike[u], nan=-1))
            if v != u and have[v, i] and alike[u, v] >= 1e-6
        ][:RATERS]
        if raters:
            s = alike[u, raters]
            value = means[u] + (s * centred[raters, i]).sum() / s.sum()
            predictions.append([users[u], items[i], float(value)])

# Metrics: rankings of ten items out of forty, some of which are wanted.
metrics = []
for case in range(20):
    ranked = rng.permutation(40)[:10]
    if case % 2:
        wanted = rng.choice(40, size=1 + case % 5, replace=False)
    else:
        wanted = rng.choice(ranked, size=1 + case % 4, replace=False)
    relevance = np.isin(np.arange(40), wanted).astype(int)
    position = np.zeros(40)
    position[ranked] = np.arange(10, 0, -1)
    hits = int(relevance[ranked].sum())
    entry = {
        "ranked": ranked.tolist(),
        "wanted": wanted.tolist(),
        "hit_rate": float(hits > 0),
        "precision": hits / 10,
        "recall": hits / len(wanted),
        "ndcg": float(ndcg_score([relevance], [position], k=10, ignore_ties=True)),
        "map": None,
    }
    if case % 2 == 0:  # all wanted items are ranked, so the usual definition needs no cut
        entry["map"] = float(average_precision_score(relevance[ranked], position[ranked]))
    metrics.append(entry)

golden = {
    "ratings": [
        [users[u], items[i], float(ratings[u, i])]
        for u in range(USERS)
        for i in range(ITEMS)
        if have[u, i]
    ],
    "items": ITEMS,
    "neighbor_count": NEIGHBORS,
    "raters": RATERS,
    "neighbors": neighbors,
    "scores": scores,
    "predictions": predictions,
    "metrics": metrics,
}
path = Path(__file__).with_name("recommend.json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
