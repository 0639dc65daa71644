"""Vectors of words by `train embed` beside gensim and fastText: the same text, the same settings, the same threads.

    pip install gensim==4.4.0 fasttext-wheel==0.9.2 "numpy<2" scipy safetensors
    python benches/peers/embed.py target/release/train TEXT [--threads 2] [--epochs 5] [--rounds 3] [--subword]

TEXT is a .txt with a text a line, or a .jsonl whose members "question" and "answer" are taken. It is cut into words
before, so that all read the same. Each runs in a process of its own, in turns; of a peer the time counts from the import
of its library to the last step of learning, of ours the whole command with reading, learning and writing. Printed are
medians of the time on the clock and of processor time, and by how much each agrees with people on how alike two words
are (Spearman's rank correlation over the pairs of WordSim-353 and SimLex-999, which come with gensim, whose words are both
known). --subword learns words from their n-grams of characters (3 to 6), as fastText does.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIMENSIONS, WINDOW, NEGATIVES, LEAST, SAMPLE, RATE, BUCKETS = 128, 5, 5, 3, 1e-4, 0.05, 200_000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("text", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--subword", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def cut(source, target):
    """Writes the words of a text's lines; returns how many there are."""
    count = 0
    with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            if source.suffix == ".jsonl":
                row = json.loads(line)
                line = f"{row.get('question', '')} {row.get('answer', '')}"
            words = re.findall(r"[a-z0-9]+", line.lower())
            count += len(words)
            if words:
                out.write(" ".join(words) + "\n")
    return count


def as_peer(options):
    """Learns in this process and keeps the vectors; prints the seconds it took."""
    import numpy

    if options.peer == "gensim":
        from gensim.models import FastText, Word2Vec

        shared = dict(corpus_file=str(options.text), vector_size=DIMENSIONS, window=WINDOW, negative=NEGATIVES, hs=0, sg=1, min_count=LEAST,
                      sample=SAMPLE, alpha=RATE, epochs=options.epochs, workers=options.threads, seed=1)
        learn = lambda: FastText(min_n=3, max_n=6, bucket=BUCKETS, **shared) if options.subword else Word2Vec(**shared)
        start = time.perf_counter(), time.process_time()
        model = learn()
        took = time.perf_counter() - start[0], time.process_time() - start[1]
        words, vectors = model.wv.index_to_key, model.wv.vectors
    else:
        import fasttext

        start = time.perf_counter(), time.process_time()
        model = fasttext.train_unsupervised(
            str(options.text), model="skipgram", dim=DIMENSIONS, ws=WINDOW, neg=NEGATIVES, minCount=LEAST, t=SAMPLE, lr=RATE, loss="ns",
            epoch=options.epochs, thread=options.threads, minn=3, maxn=6 if options.subword else 0, bucket=BUCKETS, verbose=0)
        took = time.perf_counter() - start[0], time.process_time() - start[1]
        words = model.get_words()
        vectors = numpy.stack([model.get_word_vector(word) for word in words])
    numpy.savez(options.out, words=numpy.array(words), vectors=vectors.astype("float32"))
    print(json.dumps(took))


def run(command):
    """The last line of what a command prints; its time on the clock and on processors."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return said, time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def ours(options, text, folder):
    command = [options.program, "embed", "--data", text, "--name", "peer", "--out", folder, "--version", "1", "--dimensions", DIMENSIONS,
               "--window", WINDOW, "--negatives", NEGATIVES, "--min-count", LEAST, "--subsample", SAMPLE, "--lr", RATE, "--common", 0,
               "--epochs", options.epochs, "--threads", options.threads, "--arch", "subword" if options.subword else "skipgram",
               "--subwords", BUCKETS if options.subword else 0]
    (folder / "peer").exists() and subprocess.run(["rm", "-r", folder / "peer"], check=True)
    _, clock, processor = run([str(part) for part in command])
    return clock, processor


def word_hash(word):
    """What a package knows a word by: FNV-1a with a leading 3, its halves combined."""
    value = 0xCBF29CE484222325
    for byte in b"\x03" + word.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return (value >> 32) ^ (value & 0xFFFFFFFF)


def our_vectors(folder, words):
    import numpy
    from safetensors.numpy import load_file

    tensors = load_file(str(next((folder / "peer").glob("*/*.safetensors"))))
    places = {int(value): place for place, value in enumerate(tensors["hashes"])}
    known = [word for word in words if word_hash(word) in places]
    return {word: tensors["words"][places[word_hash(word)]].astype(numpy.float32) for word in known}


def agreement(vectors, pairs):
    """Spearman's rank correlation of cosines with what people said, and over how many pairs."""
    import numpy
    from scipy.stats import spearmanr

    cosine = lambda a, b: float(a @ b / (numpy.linalg.norm(a) * numpy.linalg.norm(b) + 1e-12))
    known = [(cosine(vectors[a], vectors[b]), said) for a, b, said in pairs if a in vectors and b in vectors]
    return float(spearmanr(*zip(*known)).statistic), len(known)


def judged():
    import gensim

    folder = Path(gensim.__file__).parent / "test/test_data"
    rows = {}
    for name in ("wordsim353.tsv", "simlex999.txt"):
        lines = (folder / name).read_text().splitlines()
        cells = [line.lower().split("\t") for line in lines if not line.startswith("#")]
        rows[name.split(".")[0]] = [(row[0], row[1], float(row[2])) for row in cells if len(row) > 2 and row[2].replace(".", "").isdigit()]
    return rows


def main():
    options = arguments()
    if options.peer:
        return as_peer(options)
    import numpy

    pairs = judged()
    words = {word for rows in pairs.values() for row in rows for word in row[:2]}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        text = folder / "text.txt"
        count = cut(options.text, text)
        taken, found = {}, {}
        for _ in range(options.rounds):
            for name in ("ours", "gensim", "fasttext"):
                if name == "ours":
                    taken.setdefault(name, []).append(ours(options, text, folder))
                    found[name] = our_vectors(folder, words)
                    continue
                out = folder / f"{name}.npz"
                command = [sys.executable, __file__, options.program, text, "--peer", name, "--out", out, "--threads", options.threads,
                           "--epochs", options.epochs] + ["--subword"] * options.subword
                said, *_ = run([str(part) for part in command])
                taken.setdefault(name, []).append(tuple(json.loads(said.splitlines()[-1])))
                with numpy.load(out) as kept:
                    known, vectors = kept["words"].tolist(), kept["vectors"]
                place = {word: at for at, word in enumerate(known)}
                found[name] = {word: vectors[place[word]].copy() for word in words if word in place}
    print(f"{count} words, {options.epochs} epochs, {options.threads} threads, {DIMENSIONS} values, medians of {options.rounds}")
    for name, times in taken.items():
        clock, processor = (statistics.median(column) for column in zip(*times))
        line = f"{name:9} {clock:7.1f} s on the clock, {processor:7.1f} s of processor"
        for judges, rows in pairs.items():
            correlation, known = agreement(found[name], rows)
            line += f", {judges} {correlation:.3f} ({known} pairs)"
        print(line)


if __name__ == "__main__":
    main()
