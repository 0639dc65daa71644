"""Classification over HTTP on loopback: from start to ready, resident memory, latency, throughput.

Starts the server, sends one image and two short notes over 1 and over 32 connections with wrk
(Debian's package), and prints one JSON line a case. `server_ms` is the median of what the
response's `server-timing` adds up to over 200 requests in turn; `cpu_us_32` is the processor time
that the server spends on a request, which other work on the machine hardly changes.

    cargo build --release
    python benches/http_classify.py target/release/medserve [--seconds 10] [--models models]

Of several programs, such as that of today and that of yesterday, each is asked in turn, `--rounds`
times, and its medians are printed. With `--bench PROGRAM` (the path that `cargo bench --bench
inference --no-run` prints) the image's network is also computed without any server, between the
rounds, by as many engines as `--engines` gives each server: `share` is how much of what they do
alone comes out over HTTP.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from ours import Ours

# What wrk prints at the end: requests, microseconds, the median and the 99th percentile in milliseconds, errors.
DONE = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %%d %%d %%f %%f %%d\\n", summary.requests, summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
SCRIPT = """
local file = io.open("%s", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["content-type"] = "%s"
""" + DONE


def grey_png(side):
    """A PNG of side x side grey values."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(bytes([0]) + bytes((x * y + 3 * x) % 251 for x in range(side)) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def note(model, text, fields=None):
    record = {"note": text} | ({"fields": fields} if fields else {})
    return json.dumps({"model": model, "records": [record]}).encode()


CASES = [
    ("image:pneumonia", "/v1/images/classify?model=pneumonia", "image/png", grey_png(28)),
    ("note:triage", "/v1/notes/classify", "application/json",
     note("triage", "chest pain for two hours", {"age": 63, "sbp": 92, "heart_rate": 118, "pain": "yes"})),
    ("note:department-zh", "/v1/notes/classify", "application/json",
     note("department-zh", "高血压应当怎样治疗？")),
]


class Server:
    """A program over an empty database, ready."""

    def __init__(self, program, models, folder, *arguments):
        start = time.time()
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--models-dir", models,
             "--database-url", f"sqlite://{tempfile.mkdtemp(dir=folder)}/empty.db", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.program = program
        self.url = re.search(r"http://[0-9.:]+", self.process.stdout.readline()).group()
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/health/ready").close()
                break
            except urllib.error.HTTPError:
                time.sleep(0.005)
        self.ready = time.time() - start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def resident_mb(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024

    def processor_s(self):
        times = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

    def own_ms(self, path, kind, body):
        times = []
        for _ in range(220):
            request = urllib.request.Request(self.url + path, body, {"content-type": kind})
            with urllib.request.urlopen(request) as response:
                parts = re.findall(r"dur=([0-9.]+)", response.headers["server-timing"])
                times.append(sum(map(float, parts)))
        return statistics.median(times[20:])

    def under_load(self, script, path, connections, seconds):
        before = self.processor_s()
        said = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, self.url + path],
            capture_output=True, text=True, check=True).stdout
        requests, micros, p50, p99, errors = map(float, re.search(r"RESULT (.*)", said).group(1).split())
        return {f"p50_ms_{connections}": p50, f"p99_ms_{connections}": p99,
                f"per_s_{connections}": round(requests / micros * 1e6), f"errors_{connections}": int(errors),
                f"cpu_us_{connections}": 1e6 * (self.processor_s() - before) / requests}


class Alone:
    """The engines of one model of images with nothing around them, in batches of 32."""

    def __init__(self, program, package, engines, folder):
        self.ours, self.package, self.engines = Ours("inference", program), package, engines
        shape = json.loads((Path(package) / "manifest.json").read_text())["input"]
        values = 32 * shape["channels"] * shape["height"] * shape["width"]
        self.inputs = Path(folder) / "inputs"
        self.inputs.write_bytes(struct.pack(f"{values}f", *(i % 97 / 48.5 - 1 for i in range(values))))

    def per_s(self):
        seen = self.ours.ask(package=self.package, inputs=self.inputs, threads=self.engines, rounds=200)
        return 32 / seen["seconds"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="+", metavar="program")
    parser.add_argument("--models", default="models")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--engines", type=int, default=os.cpu_count())
    parser.add_argument("--bench", help="the bench program `inference`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        arguments = [options.models, folder, "--engines", str(options.engines)]
        servers = [running.enter_context(Server(program, *arguments)) for program in options.programs]
        models = len(os.listdir(options.models))
        for server in servers:
            print(json.dumps({"program": server.program, "models": models, "ready_s": round(server.ready, 3),
                              "resident_mb": server.resident_mb()}))
        for name, path, kind, body in CASES:
            if not os.path.isdir(os.path.join(options.models, name.split(":")[1])):
                continue
            data, script = os.path.join(folder, "body"), os.path.join(folder, "wrk.lua")
            open(data, "wb").write(body)
            open(script, "w").write(SCRIPT % (data, kind))
            package = os.path.join(options.models, name.split(":")[1], "1")
            alone = options.bench and name.startswith("image:") and Alone(
                options.bench, os.path.abspath(package), options.engines, folder)
            rounds = [[] for _ in servers]
            for _ in range(options.rounds):
                for server, seen in zip(servers, rounds):
                    outcome = {"server_ms": server.own_ms(path, kind, body)}
                    for connections in [1, 32]:
                        outcome |= server.under_load(script, path, connections, options.seconds)
                    if alone:
                        outcome["alone_per_s"] = alone.per_s()
                        outcome["share"] = outcome["per_s_32"] / outcome["alone_per_s"]
                    seen.append(outcome)
            for server, seen in zip(servers, rounds):
                medians = {key: round(statistics.median(outcome[key] for outcome in seen), 3) for key in seen[0]}
                print(json.dumps({"program": server.program, "bench": name} | medians), flush=True)


if __name__ == "__main__":
    main()
