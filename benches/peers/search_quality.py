"""How well questions find answers among cases, over HTTP: nDCG@10 of short questions and of long ones.

    python benches/peers/search_quality.py target/release/medserve MEDQUAD.jsonl [--models models] [--part held|train]

The answers of a part of the foci (by a hash of the focus; "held": two tenths, "train": the others) become the
cases of a server that is started for it. Asked are, for --foci foci with at least three answers, one of their
questions as it stands ("short") and the same between sentences that people write around what they want to
know ("long"; crates/train/src/embed/asides-en.txt, of which training uses every other line and this the rest),
also with a word of another illness ("mixed").
An answer to the same kind of question about the same focus counts 3, another about the focus 1. Prints one
JSON line. Choose by "train", report "held".
"""
import argparse
import collections
import hashlib
import json
import math
import random
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

KINDS = ["treat", "symptom", "cause", "inherit", "genetic change", "how many", "outlook", "prevent", "diagnos", "risk",
         "research", "complication", "what is (are)"]
ASIDES = Path(__file__).resolve().parents[2] / "crates/train/src/embed/asides-en.txt"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("answers")
    parser.add_argument("--models", help="folder of models; without it, words alone")
    parser.add_argument("--part", choices=["held", "train"], default="held")
    parser.add_argument("--foci", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="only write cases.jsonl and questions.jsonl into this folder, for examples/search_ranking.rs")
    return parser.parse_args()


def is_held(focus):
    return int(hashlib.sha256(focus.lower().encode()).hexdigest(), 16) % 10 >= 8


def kind(question):
    return next((kind for kind in KINDS if kind in question.lower()), "")


def ndcg(found, gains):
    dcg = lambda values: sum((2 ** gain - 1) / math.log2(at + 2) for at, gain in enumerate(values))
    return dcg([gains.get(one, 0) for one in found]) / dcg(sorted(gains.values(), reverse=True)[:10])


class Server:
    def __init__(self, program, models, folder):
        models = models or folder / "none"
        command = [program, "serve", "--listen", "127.0.0.1:0", "--models-dir", str(models), "--database-url", f"sqlite://{folder}/cases.db"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.search(r"http://\S+", self.process.stdout.readline())[0]

    def ask(self, query):
        request = urllib.request.Request(self.url + "/v1/cases/search", json.dumps({"query": query}).encode())
        request.add_header("content-type", "application/json")
        return json.load(urllib.request.urlopen(request))["results"]

    def until_filled(self):
        while True:
            text = urllib.request.urlopen(self.url + "/metrics").read().decode()
            left = re.search(r'medserve_cases\{vector="no"\} (\S+)', text)
            if left and float(left[1]) == 0:
                return
            time.sleep(1)


def main():
    given = arguments()
    rows = [json.loads(line) for line in open(given.answers)]
    rows = [row for row in rows if row["answer"].strip() and is_held(row["focus"]) == (given.part == "held")]
    chosen = random.Random(given.seed)
    foci = collections.defaultdict(list)
    for number, row in enumerate(rows):
        foci[row["focus"].lower()].append(number)
    asked = sorted(focus for focus in foci if len(foci[focus]) >= 3)
    asked = chosen.sample(asked, min(given.foci, len(asked)))
    asides = ASIDES.read_text().splitlines()[1::2]
    questions = []
    for focus in asked:
        row = rows[chosen.choice(foci[focus])]
        gains = {str(n): 2 if kind(rows[n]["question"]) == kind(row["question"]) else 1 for n in foci[focus]}
        around = chosen.sample(asides, chosen.randint(3, 7))
        around.insert(chosen.randint(1, len(around) - 1), row["question"])
        other = chosen.choice(["I also have {}.", "My father had {}.", "She was treated for {} before."]).format(rows[chosen.randrange(len(rows))]["focus"])
        mixed = [*around[:1], other, *around[1:]]
        for name, query in [("short", row["question"]), ("long", " ".join(around)), ("mixed", " ".join(mixed))]:
            questions.append({"kind": name, "query": query, "gains": gains})
    cases = [{"id": str(number), "text": row["answer"], "source": row["source"]} for number, row in enumerate(rows)]
    if given.write:
        given.write.mkdir(parents=True, exist_ok=True)
        for name, lines in [("cases", cases), ("questions", questions)]:
            (given.write / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with open(folder / "cases.jsonl", "w") as file:
            for case in cases:
                file.write(json.dumps({"case_id": case["id"], "text": case["text"], "attributes": {"source": case["source"]}}) + "\n")
        subprocess.run([given.program, "import", "cases", str(folder / "cases.jsonl"), "--database-url", f"sqlite://{folder}/cases.db"], check=True, capture_output=True)
        server = Server(given.program, given.models, folder)
        try:
            if given.models:
                server.until_filled()
            sums, times = collections.Counter(), []
            for question in questions:
                began = time.perf_counter()
                found = server.ask(question["query"])
                times.append(time.perf_counter() - began)
                sums[question["kind"]] += ndcg([one["case_id"] for one in found], question["gains"])
        finally:
            server.process.terminate()
            server.process.wait()
    line = {"part": given.part, "cases": len(rows), "questions": len(asked), "models": bool(given.models)}
    line.update({f"ndcg_at_10_{name}": round(total / len(asked), 4) for name, total in sums.items()})
    print(json.dumps({**line, "median_ms": round(sorted(times)[len(times) // 2] * 1e3, 2)}))


main()
