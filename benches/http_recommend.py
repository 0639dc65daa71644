"""Recommendations over HTTP while someone writes: 32 connections read, one writer posts 100 a second.

Makes 6,040 users x 3,706 items x 0.85 million interactions (popularity 1/rank^0.8, log-normal
activity, seeded), imports them as a user would, starts the server and loads it with wrk (Debian's
package) on loopback. Prints one JSON line: what the import and the start took, the readers'
throughput, p50 and p99, and whether the writer's requests were all answered.

    cargo build --release
    python benches/http_recommend.py target/release/medserve [--database-url postgres://...] [--seconds 20]
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from http_classify import DONE

USERS, ITEMS, INTERACTIONS = 6_040, 3_706, 850_000
SCRIPT = """
math.randomseed(7)
request = function()
  return wrk.format("GET", "/v1/users/u" .. math.random(0, %d) .. "/recommendations?kind=doctor&limit=10&neighbors=100")
end
""" + DONE


def write_interactions(path):
    rng = np.random.default_rng(1)
    activity = rng.lognormal(0, 1, USERS)
    users = rng.choice(USERS, INTERACTIONS * 2, p=activity / activity.sum())
    popularity = np.arange(1, ITEMS + 1) ** -0.8
    items = rng.choice(ITEMS, INTERACTIONS * 2, p=popularity / popularity.sum())
    pairs = np.unique(users.astype(np.int64) * ITEMS + items)
    pairs = rng.permutation(pairs)[:INTERACTIONS]
    with open(path, "w") as file:
        file.write("user,item\n")
        file.writelines(f"u{pair // ITEMS},i{pair % ITEMS}\n" for pair in pairs.tolist())
    return len(pairs)


def writer(url, until, outcome):
    """Posts 100 interactions a second, whether or not the answers keep pace."""
    rng = np.random.default_rng(2)
    local = threading.local()

    def write(user, item):
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(url.removeprefix("http://"))
        start = time.time()
        body = json.dumps([{"user_id": f"u{user}", "item_id": f"i{item}", "time": int(start * 1000)}])
        local.connection.request("POST", "/v1/interactions", body, {"content-type": "application/json"})
        response = local.connection.getresponse()
        response.read()
        assert response.status < 300, response.status
        return (time.time() - start) * 1e3

    begin, sent = time.time(), []
    with ThreadPoolExecutor(32) as pool:
        while time.time() < until:
            sent.append(pool.submit(write, rng.integers(USERS), rng.integers(ITEMS)))
            time.sleep(max(0, begin + len(sent) / 100 - time.time()))
    times = [one.result() for one in sent]
    outcome["writes_per_s"] = round(len(times) / (time.time() - begin))
    outcome["write_p50_ms"] = round(float(np.median(times)), 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--database-url")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, script = os.path.join(folder, "interactions.csv"), os.path.join(folder, "readers.lua")
        rows = write_interactions(data)
        open(script, "w").write(SCRIPT % (USERS - 1))
        database = options.database_url or f"sqlite://{folder}/load.db"
        start = time.time()
        subprocess.run([options.program, "import", "interactions", data, "--kind", "doctor", "--user-column", "user",
                        "--item-column", "item", "--database-url", database], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        outcome = {"interactions": rows, "import_s": round(time.time() - start, 2)}
        start = time.time()
        server = subprocess.Popen([options.program, "serve", "--listen", "127.0.0.1:0", "--database-url", database],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = re.search(r"http://[0-9.:]+", server.stdout.readline()).group()
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health/ready").close()
                    break
                except urllib.error.HTTPError:
                    time.sleep(0.02)
            outcome["ready_s"] = round(time.time() - start, 2)
            thread = threading.Thread(target=writer, args=(url, time.time() + options.seconds, outcome))
            thread.start()
            said = subprocess.run(["wrk", "-t1", "-c32", f"-d{options.seconds}s", "-s", script, url],
                                  capture_output=True, text=True, check=True).stdout
            thread.join()
            requests, micros, p50, p99, errors = map(float, re.search(r"RESULT (.*)", said).group(1).split())
            outcome |= {"requests_per_s": round(requests / micros * 1e6), "p50_ms": round(p50, 2),
                        "p99_ms": round(p99, 2), "errors": int(errors)}
            status = open(f"/proc/{server.pid}/status").read()
            outcome["resident_mb"] = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024
        finally:
            server.terminate()
            server.wait()
    print(json.dumps(outcome))


main()
