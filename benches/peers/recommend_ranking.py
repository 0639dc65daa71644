"""How well other people's recommenders rank on the very split that ours is measured on.

`train evaluate-recommender --split-out` writes what is known and what is held out; every
recommender here is fitted on the first and asked for ten items, and the same metrics are
computed from its lists and from ours. Prints one JSON line a case.

    python benches/peers/recommend_ranking.py target/release/train FILE.csv \
        --user-column user --item-column item [--split ratio:0.25] [--seeds 0,1,2]

- popularity, EASE in ten lines of numpy (Steck 2019; lambda 100 to 1000, the best on a fifth of
  the known items that is held out for it), user neighbors by numpy (cosine, 100)
- SAR in numpy (Microsoft's "simple algorithm for recommendation": Jaccard similarity of items, without times)
- implicit (if installed): ALS (64 factors), BPR (64 factors), item-item cosine and BM25
- irspack (if installed): its EASE (a dense SLIM with a quadratic penalty) and SLIM, with penalties as it proposes them
- LensKit (if installed): item-item and user-user k-NN for implicit feedback, and its ALS

Weights are left out on both sides: who has what is what counts. Versions:
requirements-recommend.txt beside this file.
"""

import argparse
import csv
import json
import os
import subprocess
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "2")

import numpy as np
import scipy.sparse as sp

K = 10
GAINS = 1 / np.log2(np.arange(2, K + 2))


def metrics(ranked, wanted):
    """Ranked: an array of items a user; wanted: a set a user."""
    rows = []
    for items, want in zip(ranked, wanted):
        hits = np.array([item in want for item in items[:K]] + [False] * (K - len(items[:K])))
        reach = min(len(want), K)
        found = np.cumsum(hits)
        rows.append(
            (
                hits.any(),
                hits.sum() / K,
                hits.sum() / len(want),
                (hits * GAINS).sum() / GAINS[:reach].sum(),
                (hits * found / np.arange(1, K + 1)).sum() / reach,
            )
        )
    names = ("hit_rate", "precision", "recall", "ndcg", "map")
    return dict(zip(names, np.round(np.mean(rows, axis=0), 4).tolist()))


def best(scores, own):
    scores = np.array(scores, dtype=float)
    scores[own] = -np.inf
    top = np.argsort(-scores, kind="stable")[:K]
    return top[np.isfinite(scores[top])]


def popularity(x):
    counts = np.asarray(x.sum(axis=0)).ravel()
    return lambda user: counts


def user_neighbors(x, count=100):
    dense = x.toarray()
    unit = dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)

    def score(user):
        alike = unit @ unit[user]
        alike[user] = 0
        near = np.argsort(-alike, kind="stable")[:count]
        return alike[near] @ dense[near]

    return score


def sar(x):
    together = (x.T @ x).toarray()
    counts = np.diag(together)
    alike = together / np.maximum(counts[:, None] + counts[None] - together, 1e-12)
    return lambda user: x[user] @ alike


def ease(x, penalty):
    gram = (x.T @ x).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return lambda user: x[user] @ weights


def ease_chosen(x):
    rng = np.random.default_rng(0)
    kept, held = x.tolil(copy=True), {}
    for user in range(x.shape[0]):
        own = x[user].indices
        if len(own) > 1:
            held[user] = set(rng.permutation(own)[: max(1, round(len(own) / 5))].tolist())
            kept[user, list(held[user])] = 0
    kept = kept.tocsr()
    kept.eliminate_zeros()

    def gain(penalty):
        score = ease(kept, penalty)
        lists = [best(np.ravel(score(user)), kept[user].indices) for user in held]
        return metrics(lists, held.values())["ndcg"]

    chosen = max((100, 200, 300, 500, 1000), key=gain)
    return ease(x, chosen)


def peers_of_implicit():
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

    def made(model):
        def fit(x):
            model.fit(x, show_progress=False)
            return lambda user: model.recommend(user, x[user], N=K)[0]

        return fit

    yield "implicit ALS", made(AlternatingLeastSquares(factors=64, random_state=1, num_threads=2))
    yield "implicit BPR", made(BayesianPersonalizedRanking(factors=64, random_state=1, num_threads=2))
    yield "implicit item-item cosine", made(CosineRecommender(K=100, num_threads=2))
    yield "implicit item-item BM25", made(BM25Recommender(K=100, num_threads=2))


def peers_of_irspack():
    from irspack import DenseSLIMRecommender, SLIMRecommender

    def made(model, **settings):
        def fit(x):
            fitted = model(x, **settings).learn()
            return lambda user: fitted.get_score(np.array([user]))

        return scored(fit)

    yield "irspack EASE", made(DenseSLIMRecommender, reg=300.0)
    yield "irspack SLIM", made(SLIMRecommender, alpha=0.05, l1_ratio=0.02, n_threads=2)


def peers_of_lenskit():
    from lenskit.als import ImplicitMFScorer
    from lenskit.data import from_interactions_df
    from lenskit.knn import ItemKNNScorer, UserKNNScorer
    from lenskit.pipeline import topn_pipeline
    import pandas

    def made(scorer):
        def fit(x):
            rows, columns = x.nonzero()
            frame = pandas.DataFrame({"user_id": rows, "item_id": columns})
            pipeline = topn_pipeline(scorer, n=K)
            pipeline.train(from_interactions_df(frame))
            return lambda user: np.asarray(pipeline.run("recommender", query=int(user)).ids(), dtype=int)

        return fit

    yield "LensKit item-item", made(ItemKNNScorer(max_nbrs=20, feedback="implicit"))
    yield "LensKit user-user", made(UserKNNScorer(max_nbrs=100, feedback="implicit"))
    yield "LensKit ALS", made(ImplicitMFScorer(embedding_size=64))


def scored(fit):
    """A recommender that gives scores becomes one that gives lists."""

    def fitted(x):
        score = fit(x)
        return lambda user: best(np.ravel(score(user)), x[user].indices)

    return fitted


def optional(peers, name):
    try:
        yield from peers()
    except ImportError:
        print(json.dumps({"implementation": name, "skipped": "not installed"}), flush=True)


def read(folder):
    rows = {part: list(csv.DictReader(open(f"{folder}/{part}.csv"))) for part in ("train", "test")}
    users = {user: n for n, user in enumerate(sorted({row["user_id"] for row in rows["train"]}))}
    items = {item: n for n, item in enumerate(sorted({row["item_id"] for row in rows["train"]}))}
    pairs = [(users[row["user_id"]], items[row["item_id"]]) for row in rows["train"]]
    x = sp.csr_matrix((np.ones(len(pairs)), tuple(zip(*pairs))), shape=(len(users), len(items)))
    wanted = {}
    for row in rows["test"]:
        # An item nobody is known to have cannot be found, and counts as missed.
        wanted.setdefault(users[row["user_id"]], set()).add(items.get(row["item_id"], -1))
    return x, wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built `train`")
    parser.add_argument("file")
    parser.add_argument("--user-column", required=True)
    parser.add_argument("--item-column", required=True)
    parser.add_argument("--split", default="ratio:0.25")
    parser.add_argument("--seeds", default="0")
    arguments = parser.parse_args()
    columns = ["--user-column", arguments.user_column, "--item-column", arguments.item_column]
    peers = [
        ("popularity", scored(popularity)),
        ("user neighbors by numpy", scored(user_neighbors)),
        ("EASE by numpy", scored(ease_chosen)),
        ("SAR by numpy", scored(sar)),
        *optional(peers_of_implicit, "implicit"),
        *optional(peers_of_irspack, "irspack"),
        *optional(peers_of_lenskit, "LensKit"),
    ]
    for seed in arguments.seeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            command = [arguments.program, "evaluate-recommender", "--json", "--interactions"]
            split = ["--split", arguments.split, "--seed", seed, "--split-out", folder]
            subprocess.run([*command, arguments.file, *columns, *split], check=True, capture_output=True)
            for arch in ("cosine", "neighbors", "ease", "auto"):
                start = time.perf_counter()
                given = ["--user-column", "user_id", "--item-column", "item_id", "--test", f"{folder}/test.csv"]
                ran = subprocess.run(
                    [*command, f"{folder}/train.csv", *given, "--arch", arch, "--seed", seed],
                    check=True,
                    capture_output=True,
                )
                report = json.loads(ran.stdout)
                line = {"implementation": f"medserve {arch}", "seed": int(seed)}
                ours = {name: round(report["recommender"][name], 4) for name in metrics([[0]], [{0}])}
                seconds = round(time.perf_counter() - start, 2)
                chosen = report.get("chosen")
                print(json.dumps({**line, **ours, "seconds": seconds, "chosen": chosen}), flush=True)
            x, wanted = read(folder)
        for name, fit in peers:
            start = time.perf_counter()
            ranks = fit(x)
            lists = [ranks(user) for user in wanted]
            seconds = round(time.perf_counter() - start, 2)
            line = {"implementation": name, "seed": int(seed), **metrics(lists, wanted.values())}
            print(json.dumps({**line, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
