"""The same recommendation in other people's software, turn by turn with ours.

One request: a user's 100 nearest neighbors by cosine, the sum of similarity x weight over their
items, the ten best items the user does not have. One thread each, the same interactions and
the same users; who goes first changes from user to user, and everyone is asked three times in a
row, of which the fastest counts (turn by turn, the caches are the other's at first). Prints one
JSON line for each size and implementation: median, 10th and 90th percentile in milliseconds, and
how often the ten items were the same as ours.

    cargo bench --bench recommend --no-run      # prints where the program is
    python benches/peers/recommend.py PROGRAM [--sizes small,large] [--requests 200]

- scipy: the user's row times the transposed matrix, argpartition, neighbors' similarities times
  the matrix, argpartition
- scikit-learn: NearestNeighbors(metric="cosine", algorithm="brute"), scores as scipy
- implicit (if installed): CosineRecommender is an item-item model; fitted on the transposed
  matrix it gives user-user neighbors, which it precomputes, so it is timed for what it does at
  request time only and left out of the comparison of results

Versions: requirements-recommend.txt beside this file.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

SIZES = {"small": (6_040, 3_706, 850_000), "large": (162_000, 59_000, 25_800_000)}
NEIGHBORS, TOP, REPEATS = 100, 10, 3


class Ours:
    name = "medserve"

    def __init__(self, program, path):
        self.process = subprocess.Popen(
            [program, "answer", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.loaded = json.loads(self.process.stdout.readline())

    def __call__(self, user):
        """Seconds (measured inside, so that the pipe does not count) and the items."""
        self.process.stdin.write(f"{user}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.touched = answer["touched"]
        return answer["ns"] / 1e9, [item for item, _ in answer["items"]]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def best_items(scores, own):
    scores[own] = 0
    top = np.argpartition(-scores, TOP)[:TOP]
    return top[np.argsort(-scores[top], kind="stable")].tolist()


class Scipy:
    name = "scipy"

    def __init__(self, matrix):
        self.matrix = matrix
        self.transposed = matrix.T.tocsr()
        self.norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())

    def request(self, user):
        row = self.matrix[user]
        dots = row @ self.transposed
        alike = dots.data / (self.norms[user] * self.norms[dots.indices])
        alike[dots.indices == user] = 0
        count = min(NEIGHBORS, len(alike) - 1)
        near = np.argpartition(-alike, count)[:count]
        weights = sp.csr_matrix(
            (alike[near], (np.zeros(count, dtype=int), dots.indices[near])),
            shape=(1, self.matrix.shape[0]),
        )
        return best_items((weights @ self.matrix).toarray().ravel(), row.indices)

    def __call__(self, user):
        fastest = float("inf")
        for _ in range(REPEATS):
            start = time.perf_counter()
            items = self.request(user)
            fastest = min(fastest, time.perf_counter() - start)
        return fastest, items


class ScikitLearn(Scipy):
    name = "scikit-learn"

    def __init__(self, matrix):
        super().__init__(matrix)
        self.index = NearestNeighbors(
            n_neighbors=NEIGHBORS + 1, metric="cosine", algorithm="brute", n_jobs=1
        ).fit(matrix)

    def request(self, user):
        row = self.matrix[user]
        distances, near = self.index.kneighbors(row)
        keep = near[0] != user
        near, alike = near[0][keep][:NEIGHBORS], 1 - distances[0][keep][:NEIGHBORS]
        weights = sp.csr_matrix(
            (alike, (np.zeros(len(near), dtype=int), near)), shape=(1, self.matrix.shape[0])
        )
        return best_items((weights @ self.matrix).toarray().ravel(), row.indices)


class Implicit(Scipy):
    name = "implicit"

    def __init__(self, matrix):
        from implicit.nearest_neighbours import CosineRecommender

        super().__init__(matrix)
        start = time.perf_counter()
        self.model = CosineRecommender(K=NEIGHBORS + 1, num_threads=1)
        self.model.fit(matrix.T.tocsr(), show_progress=False)
        self.fit_seconds = time.perf_counter() - start

    def request(self, user):
        near, alike = self.model.similar_items(user, N=NEIGHBORS + 1)
        keep = near != user
        near, alike = near[keep][:NEIGHBORS], alike[keep][:NEIGHBORS]
        weights = sp.csr_matrix(
            (alike, (np.zeros(len(near), dtype=int), near)), shape=(1, self.matrix.shape[0])
        )
        return best_items((weights @ self.matrix).toarray().ravel(), self.matrix[user].indices)


def measure(program, size, requests, peers):
    users, items, interactions = SIZES[size]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "interactions.bin")
        subprocess.run(
            [program, "generate", str(users), str(items), str(interactions), path], check=True
        )
        data = np.fromfile(path, dtype=[("user", "<u4"), ("item", "<u4"), ("weight", "<f4")])
        ours = Ours(program, path)
    matrix = sp.csr_matrix(
        (data["weight"].astype(np.float64), (data["user"], data["item"])), shape=(users, items)
    )
    del data
    print(json.dumps({"size": size, "implementation": ours.name, **ours.loaded}), flush=True)
    runners = [ours] + [peer(matrix) for peer in peers]
    asked = np.random.default_rng(1).integers(0, users, requests)
    times = {runner.name: [] for runner in runners}
    same = {runner.name: 0 for runner in runners}
    touched = []
    for runner in runners:  # one request that does not count, to warm up
        runner(0)
    for turn, user in enumerate(asked.tolist()):
        expected = None
        order = runners[turn % len(runners) :] + runners[: turn % len(runners)]
        answers = {}
        for runner in order:
            seconds, answers[runner.name] = runner(user)
            times[runner.name].append(seconds)
        touched.append(ours.touched)
        expected = answers[ours.name]
        for name, answer in answers.items():
            same[name] += sorted(answer[: len(expected)]) == sorted(expected)
    ours.close()
    for runner in runners:
        low, median, high = np.percentile(times[runner.name], [10, 50, 90]) * 1e3
        line = {
            "size": size,
            "implementation": runner.name,
            "requests": requests,
            "median_ms": round(median, 4),
            "p10_ms": round(low, 4),
            "p90_ms": round(high, 4),
            "times_ours": round(median / (np.median(times[ours.name]) * 1e3), 2),
            "same_items": f"{same[runner.name]}/{requests}",
        }
        if runner is ours:
            line["median_entries_touched"] = int(np.median(touched))
        if hasattr(runner, "fit_seconds"):
            line["fit_seconds"] = round(runner.fit_seconds, 1)
        print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built benches/recommend.rs")
    parser.add_argument("--sizes", default="small")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--peers", default="scipy,scikit-learn,implicit")
    arguments = parser.parse_args()
    peers = []
    for peer in (Scipy, ScikitLearn, Implicit):
        if peer.name not in arguments.peers.split(","):
            continue
        if peer is Implicit:
            try:
                import implicit  # noqa: F401
            except ImportError:
                print(json.dumps({"implementation": "implicit", "skipped": "not installed"}))
                continue
        peers.append(peer)
    for size in arguments.sizes.split(","):
        measure(arguments.program, size, arguments.requests, peers)


if __name__ == "__main__":
    main()
