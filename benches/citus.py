"""A Citus cluster of three nodes on this machine, made by docs/citus.md and asked beside one server.

Makes a coordinator and two workers from the installed Postgres (with the extension Citus), takes the
statements from the page as they stand there, and starts the demonstration on the cluster with the
recommender `database` and on SQLite with the recommender `memory`. Both are asked the same, before and
after both were told the same changes, after many writers met on the cluster, and with a learned
recommender; then a worker is taken away and given back. Every answer of the two must be equal to the last
bit; the first that is not ends the run. Prints one JSON line a part.

    cargo build --release
    python benches/citus.py target/release/medserve target/release/train

Postgres refuses to run as root, so root hands the nodes to the user `postgres`.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from ours import ROOT, free_port

KINDS = ["hospital", "doctor", "pharmacy", "drug", "advice"]
SIMILARITIES = ["cosine", "pearson", "euclidean"]
# What names an answer and not what it says.
OWN = {"as_of", "request_id"}


class Node:
    """One Postgres with Citus, in a folder of its own."""

    def __init__(self, binaries, folder, name):
        self.binaries, self.data, self.port = binaries, Path(folder) / name, free_port()
        self.log = Path(folder) / f"{name}.log"
        self.run("initdb", "--pgdata", self.data, "--username=postgres", "--auth=trust",
                 "--encoding=UTF8", "--locale=C", "--no-sync")
        with open(self.data / "postgresql.auto.conf", "a") as settings:
            settings.write(f"""port = {self.port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_preload_libraries = 'citus'
fsync = off
max_connections = 200
""")
        self.start()
        self.psql("CREATE DATABASE medserve", database="postgres")
        self.psql("CREATE EXTENSION citus")

    def run(self, program, *arguments):
        command = [str(self.binaries / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.data.parent,
                       env=os.environ | {"HOME": str(self.data.parent)})

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def psql(self, statements, database="medserve"):
        done = subprocess.run(
            [self.binaries / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url(database)],
            input=statements, text=True, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"psql: {done.stderr}")
        return done.stdout.strip()

    def url(self, database="medserve"):
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"


@contextlib.contextmanager
def cluster(folder):
    """A coordinator and two workers; the page's steps are not done yet."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    nodes = []
    try:
        for name in ["coordinator", "worker-1", "worker-2"]:
            nodes.append(Node(binaries, folder, name))
        yield nodes
    finally:
        for node in nodes:
            with contextlib.suppress(subprocess.CalledProcessError):
                node.stop()


def steps(nodes):
    """The page's statements, in its order, with this cluster's addresses."""
    page = (ROOT / "docs/citus.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    statements = "\n".join(blocks)
    for name, node in zip(["coordinator", "worker-1", "worker-2"], nodes):
        statements = statements.replace(f"'{name}.example', 5432", f"'127.0.0.1', {node.port}")
    return statements


class Server:
    """A medserve, ready."""

    def __init__(self, program, models, *arguments):
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--models-dir", models, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.search(r"http://[0-9.:]+", self.process.stdout.readline()).group()
        while self.status("/health/ready?capability=write") != 200:
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def call(self, method, path, body=None):
        """The status and what was said, as numbers stand in the text: no digit is lost."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, said = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        said = json.loads(said, parse_float=str) if said else None
        if isinstance(said, dict):
            said = {name: value for name, value in said.items() if name not in OWN}
        return status, said

    def status(self, path):
        return self.call("GET", path)[0]


def say(**what):
    print(json.dumps(what), flush=True)


def compare(part, cluster_, alone, paths):
    """Asks both; the answers must be equal."""
    strategies, times = {}, []
    for path in paths:
        began = time.time()
        ours = cluster_.call("GET", path)
        times.append(time.time() - began)
        theirs = alone.call("GET", path)
        if ours != theirs:
            raise SystemExit(f"{part}: {path}\n  cluster {ours}\n  alone   {theirs}")
        strategy = (ours[1] or {}).get("strategy", str(ours[0]))
        strategies[strategy] = strategies.get(strategy, 0) + 1
    say(part=part, questions=len(paths), different=0, strategies=strategies,
        p50_ms_on_the_cluster=round(sorted(times)[len(times) // 2] * 1e3, 1))


def questions(users):
    return [f"/v1/users/{user}/recommendations?kind={kind}&limit=20&similarity={similarity}"
            for user in users for kind in KINDS for similarity in SIMILARITIES]


def tell(both, method, path, body=None):
    """Tells both the same, which must be answered alike."""
    answers = [server.call(method, path, body) for server in both]
    if answers[0] != answers[1] or answers[0][0] >= 300:
        raise SystemExit(f"{method} {path}: {answers}")


def changes(both, users, now):
    """Changes of people, things and interactions of every kind."""
    for number, user in enumerate(users):
        _, person = both[1].call("GET", f"/v1/users/{user}")
        # Numbers were kept as text, and are sent as the numbers they are.
        person = json.loads(json.dumps(person), parse_float=float)
        allowed = {"birth_year", "sex", "conditions", "medications", "lifestyle"}
        profile = {name: value for name, value in person.items() if name in allowed}
        tell(both, "PUT", f"/v1/users/{user}", profile | {"allergies": ["penicillin"][: number % 2]})
    items = [item["item_id"] for item in both[1].call("GET", "/v1/items?kind=pharmacy&limit=6")[1]["items"]]
    events = [{"user_id": user, "item_id": item, "time": now + at}
              for at, user in enumerate(users) for item in items[at % 3:: 3]]
    tell(both, "POST", "/v1/interactions", events)
    tell(both, "PUT", "/v1/items/new-advice", {"kind": "advice", "name": "Walk to the pharmacy"})
    tell(both, "POST", "/v1/interactions", [{"user_id": users[0], "item_id": "new-advice", "time": now}])
    tell(both, "DELETE", f"/v1/users/{users[1]}/interactions?item_id={items[1]}")
    tell(both, "DELETE", f"/v1/items/{items[0]}")
    tell(both, "DELETE", f"/v1/users/{users[-1]}")


def meet(both, users, now, writers=16, count=300):
    """Writers that meet on the same people and things of the cluster; then the other is told the same."""
    items = [item["item_id"] for kind in ["hospital", "pharmacy", "advice"]
             for item in both[1].call("GET", f"/v1/items?kind={kind}&limit=4")[1]["items"]]
    rng = random.Random(5)
    posts = [[{"user_id": rng.choice(users), "item_id": rng.choice(items), "time": now + 10_000 + 10 * number + part}
              for part in range(3)] for number in range(count)]
    began = time.time()
    with ThreadPoolExecutor(writers) as pool:
        statuses = list(pool.map(lambda post: both[0].call("POST", "/v1/interactions", post)[0], posts))
    seconds = time.time() - began
    if any(status >= 300 for status in statuses):
        raise SystemExit(f"writers that meet: {sorted(set(statuses))}")
    for post in posts:
        both[1].call("POST", "/v1/interactions", post)
    say(part="writers that meet", writers=writers, writes=count, refused=0, per_s=round(count / seconds))


def learned(train, folder, alone, users):
    """A folder of models with a learned recommender of what the people of the region take."""
    file = Path(folder) / "interactions.csv"
    with open(file, "w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["user", "item"])
        for user in users:
            status, said = alone.call("GET", f"/v1/users/{user}/interactions?limit=1000")
            if status == 200:
                table.writerows((user, event["item_id"]) for event in said["interactions"])
    models = Path(folder) / "models"
    models.mkdir()
    subprocess.run([train, "recommender", "--interactions", file, "--user-column", "user", "--item-column", "item",
                    "--name", "habits", "--kind", "advice", "--arch", "ease", "--out", models],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return models


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("train", type=Path)
    arguments = parser.parse_args()
    program, train = arguments.program.resolve(), arguments.train.resolve()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as databases, \
            cluster(folder) as nodes:
        say(part="cluster", postgres=nodes[0].psql("SHOW server_version"),
            citus=nodes[0].psql("SELECT extversion FROM pg_extension WHERE extname = 'citus'"))
        empty = Path(databases) / "no-models"
        empty.mkdir()
        on_cluster = ["--demo", "--recommender", "database", "--database-url", nodes[0].url()]
        on_sqlite = ["--demo", "--recommender", "memory", "--database-url", f"sqlite://{databases}/alone.db"]
        # The page: medserve has started once, all are stopped, then the statements.
        with Server(program, empty, "--database-url", nodes[0].url()):
            pass
        nodes[0].psql(steps(nodes))
        say(part="the page's steps", nodes=nodes[0].psql("SELECT count(*) FROM pg_dist_node"),
            shards=nodes[0].psql("SELECT count(*) FROM citus_shards"))
        now = int(time.time() * 1000)
        everybody = [f"u{number}" for number in range(1, 2000)]
        asked = everybody[:8]
        with Server(program, empty, *on_cluster) as ours, Server(program, empty, *on_sqlite) as theirs:
            nodes[0].psql("ANALYZE")
            both = [ours, theirs]
            compare("as loaded", ours, theirs, questions(asked))
            changes(both, asked, now)
            time.sleep(1.5)
            compare("after changes", ours, theirs, questions([*asked, "nobody"]))
            meet(both, asked[:6], now)
            time.sleep(1.5)
            compare("after writers that met", ours, theirs, questions(asked))
            models = learned(train, databases, theirs, everybody)
        with Server(program, models, *on_cluster) as ours, Server(program, models, *on_sqlite) as theirs:
            compare("learned", ours, theirs, [f"/v1/users/{user}/recommendations?kind=advice&limit=20"
                                              for user in everybody[:60]])
            question = questions(asked[:1])[0]
            nodes[1].stop()
            statuses = [ours.status(question) for _ in range(5)]
            nodes[1].start()
            began = time.time()
            while ours.status(question) != 200:
                time.sleep(0.1)
            say(part="a worker away", statuses=statuses, healed_after_s=round(time.time() - began, 2))
            compare("the worker back", ours, theirs, questions(asked))


if __name__ == "__main__":
    main()
