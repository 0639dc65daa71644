"""Classification over HTTP on loopback: from start to ready, resident memory, latency, throughput.

Starts the server, sends one image and two short notes over 1 and over 32 connections with wrk
(Debian's package), and prints one JSON line a case. `server_ms` is the median of what the
response's `server-timing` adds up to over 200 requests in turn.

    cargo build --release
    python benches/http_classify.py target/release/medserve [--seconds 10] [--models models]
"""

import argparse
import json
import os
import re
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zlib

SCRIPT = """
local file = io.open("%s", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["content-type"] = "%s"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %%d %%d %%f %%f %%d\\n", summary.requests, summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


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


def server_times(url, path, kind, body):
    times = []
    for _ in range(220):
        request = urllib.request.Request(url + path, body, {"content-type": kind})
        with urllib.request.urlopen(request) as response:
            parts = re.findall(r"dur=([0-9.]+)", response.headers["server-timing"])
            times.append(sum(map(float, parts)))
    return times[20:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--models", default="models")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        server = subprocess.Popen(
            [options.program, "serve", "--listen", "127.0.0.1:0", "--models-dir", options.models,
             "--database-url", f"sqlite://{folder}/empty.db"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = re.search(r"http://[0-9.:]+", server.stdout.readline()).group()
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health/ready").close()
                    break
                except urllib.error.HTTPError:
                    time.sleep(0.005)
            ready = time.time() - start
            memory = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server.pid}/status").read()).group(1))
            models = len(os.listdir(options.models))
            print(json.dumps({"models": models, "ready_s": round(ready, 3), "resident_mb": memory // 1024}))
            for name, path, kind, body in CASES:
                if not os.path.isdir(os.path.join(options.models, name.split(":")[1])):
                    continue
                outcome = {"bench": name, "server_ms": round(statistics.median(server_times(url, path, kind, body)), 3)}
                data, script = os.path.join(folder, "body"), os.path.join(folder, "wrk.lua")
                open(data, "wb").write(body)
                open(script, "w").write(SCRIPT % (data, kind))
                for connections in [1, 32]:
                    said = subprocess.run(
                        ["wrk", "-t1", f"-c{connections}", f"-d{options.seconds}s", "-s", script, url + path],
                        capture_output=True, text=True, check=True).stdout
                    requests, micros, p50, p99, errors = map(float, re.search(r"RESULT (.*)", said).group(1).split())
                    outcome |= {f"p50_ms_{connections}": round(p50, 3), f"p99_ms_{connections}": round(p99, 3),
                                f"per_s_{connections}": round(requests / micros * 1e6), f"errors_{connections}": int(errors)}
                print(json.dumps(outcome))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
