"""The index of cases beside faiss (exact, IndexFlatIP) and tantivy (BM25), on the same made-up cases in one run.

    pip install -r benches/peers/requirements-search.txt
    cargo build --release -p text --example search
    python benches/peers/search.py target/release/examples/search MEDQUAD.jsonl [--cases 1000000] [--dimensions 300]

Cases are runs of words of real answers (so that words have the frequencies of text), about --words of them;
vectors are random directions around one of 2,000 centres. Questions are those of the file. Everything uses
--threads threads. Prints one JSON line a program: seconds to build, MB, milliseconds a question (median, 95 %),
and how many of faiss' ten best were found.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("answers")
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=300)
    parser.add_argument("--words", type=int, default=40)
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="faiss,tantivy")
    return parser.parse_args()


def make(folder, given):
    """Writes texts, vectors, questions and their vectors."""
    import numpy as np

    rows = [json.loads(line) for line in open(given.answers)]
    words = [word for row in rows for word in row["answer"].split()]
    chosen = random.Random(1)
    with open(folder / "texts", "w") as file:
        for _ in range(given.cases):
            length = max(5, int(chosen.gauss(given.words, given.words / 3)))
            start = chosen.randrange(len(words) - length)
            file.write(" ".join(words[start:start + length]) + "\n")
    with open(folder / "queries", "w") as file:
        for row in chosen.sample(rows, given.questions):
            file.write(" ".join(row["question"].split()) + "\n")
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((2000, given.dimensions), dtype=np.float32)

    def rows_of(count):
        rows = centres[rng.integers(0, 2000, count)] + rng.standard_normal((count, given.dimensions), dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    with open(folder / "vectors", "wb") as file:
        for first in range(0, given.cases, 50_000):
            file.write(rows_of(min(50_000, given.cases - first)).tobytes())
    (folder / "query_vectors").write_bytes(rows_of(given.questions).tobytes())


def percentiles(times):
    times = sorted(times)
    return {"median_ms": round(times[len(times) // 2], 2), "p95_ms": round(times[int(0.95 * (len(times) - 1))], 2)}


def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


def faiss_flat(folder, given):
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(given.threads)
    before = resident()
    began = time.perf_counter()
    index = faiss.IndexFlatIP(given.dimensions)
    with open(folder / "vectors", "rb") as file:
        while len(part := np.frombuffer(file.read(50_000 * 4 * given.dimensions), np.float32)):
            index.add(part.reshape(-1, given.dimensions))
    built = time.perf_counter() - began
    asked = np.frombuffer((folder / "query_vectors").read_bytes(), np.float32).reshape(-1, given.dimensions)
    times, best = [], []
    for turn in range(given.rounds):
        for one in asked:
            began = time.perf_counter()
            _, found = index.search(one[None], 10)
            times.append((time.perf_counter() - began) * 1e3)
            if turn == 0:
                best.append(found[0].tolist())
    return {"program": f"faiss {faiss.__version__} IndexFlatIP", "build_s": round(built, 1),
            "memory_mb": round((resident() - before) / 1e6), **percentiles(times), "best": best}


def tantivy_bm25(folder, given):
    import tantivy

    began = time.perf_counter()
    schema = tantivy.SchemaBuilder().add_text_field("text", tokenizer_name="en_stem").add_unsigned_field("id", stored=True).build()
    index = tantivy.Index(schema)
    writer = index.writer(heap_size=512_000_000, num_threads=given.threads)
    for number, line in enumerate(open(folder / "texts")):
        writer.add_document(tantivy.Document(text=line, id=number))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    built = time.perf_counter() - began
    searcher = index.searcher()
    queries = [line.strip() for line in open(folder / "queries")]
    times = []
    for _ in range(given.rounds):
        for text in queries:
            clean = "".join(c if c.isalnum() else " " for c in text)
            began = time.perf_counter()
            searcher.search(index.parse_query(clean, ["text"]), 10)
            times.append((time.perf_counter() - began) * 1e3)
    return {"program": f"tantivy-py {tantivy.__version__} BM25", "build_s": round(built, 1), **percentiles(times)}


def ours(folder, given):
    files = [folder / "texts", folder / "vectors", given.dimensions, folder / "queries", folder / "query_vectors", given.rounds]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(given.threads)}
    done = subprocess.run([given.program, *map(str, files)], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main():
    given = arguments()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make(folder, given)
        found = ours(folder, given)
        peers = {}
        for name, run in {"faiss": faiss_flat, "tantivy": tantivy_bm25}.items():
            if name in given.peers.split(","):
                peers[name] = run(folder, given)
        same = None
        if "faiss" in peers:
            pairs = list(zip(peers["faiss"].pop("best"), found["vectors"]["best"]))
            same = sum(len(set(theirs) & set(best)) for theirs, best in pairs) / sum(len(theirs) for theirs, _ in pairs)
        line = {"program": "medserve", "cases": found["cases"], "dimensions": given.dimensions, "threads": given.threads,
                "build_s": round(found["build_s"], 1), "vectors_of_floats": round(found["vector_bytes"] / found["vector_bytes_of_floats"], 3),
                "other_of_floats": round(found["other_bytes"] / found["vector_bytes_of_floats"], 3),
                "resident_of_floats": round(found["resident_bytes"] / found["vector_bytes_of_floats"], 3), "same_as_faiss": same}
        for name in ["words", "vectors", "both"]:
            line[name] = {key: round(value, 2) for key, value in found[name].items() if key != "best"}
        print(json.dumps(line), flush=True)
        for peer in peers.values():
            print(json.dumps(peer), flush=True)


main()
