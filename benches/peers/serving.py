"""medserve beside Python's servers and Triton, with the same image model and the same note model.

    benches/peers/run.sh serving [--rounds 5] [--seconds 4] [--only medserve,fastapi] [--program PROGRAM]
    benches/peers/run.sh serving --table FILE

Every server is started in turn, asked until it answers for both models, compared with medserve on a few
images and records, and then given what wrk (Debian's package) can send over 32 connections, the image model
first. `servers/` holds the peers: all run the same Python for what one request needs (`servers/models.py`)
and a network exported from the very package. Prints a JSON line for each server, model and round, then the
table of the medians; `--table` makes it from lines that were kept, of several runs for instance.

`ready_s` is the time from the start of the process until both models have answered, `memory_mb` the
proportional set size of all its processes after the load, and `cpu_ms` the processor time that a request
costs them, which hardly depends on what else the machine does.
"""

import argparse
import base64
import http.client
import json
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import inference_image
import trees
from ours import ROOT, free_port

sys.path.insert(0, str(ROOT / "benches"))
from http_classify import CASES, SCRIPT, grey_png, note

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = ROOT / "target"
IMAGE, RECORD = "image:pneumonia", "note:triage"
# The body that is timed, and others that have to be answered alike.
BODIES = {name: [body] for name, _, _, body in CASES if name in (IMAGE, RECORD)}
BODIES[IMAGE] += [grey_png(64), grey_png(200)]
BODIES[RECORD] += [
    note("triage", "abd. pain, abd pain since yesterday; fever"),
    note("triage", "흉통, Dyspnea 38°C", {"age": 8, "sex": "female", "mental": "verbal response", "spo2": 84.5, "nrs_pain": 0}),
]


def export(folder):
    """The packages as the peers read them."""
    for name in ("pneumonia", "triage"):
        package = ROOT / "models" / name / "1"
        manifest = json.loads((package / "manifest.json").read_text())
        weights = load_file(package / manifest["weights"]["file"])
        (folder / name).mkdir()
        shutil.copy(package / "manifest.json", folder / name)
        if manifest["input"]["kind"] == "image":
            shape = ("images", *(manifest["input"][side] for side in ("channels", "height", "width")))
            network = inference_image.network(weights, manifest["architecture"], shape, len(manifest["labels"]))
            (folder / name / "network.onnx").write_bytes(network)
        else:
            np.savez(folder / name / "bag.npz", **weights)
            if "trees.root" in weights:
                (folder / name / "trees.onnx").write_bytes(trees.network(weights))
            shutil.copy(package / "tokenizer.json", folder / name)


class Server:
    """How a server is started and asked; this one speaks medserve's own requests."""

    folder = HERE / "servers"

    def environment(self, port):
        return {}

    def request(self, case, body):
        """Path, headers and body."""
        return next((path, {"content-type": kind}, body) for name, path, kind, _ in CASES if name == case)

    def answer(self, case, headers, body):
        """Probabilities by label."""
        predictions = json.loads(body)["results"][0]["predictions"]
        return {prediction["label"]: prediction["probability"] for prediction in predictions}


class Medserve(Server):
    """As it comes, but for a database of its own; it serves a third model besides."""

    folder = ROOT

    def command(self, port, scratch, options):
        database = f"sqlite://{scratch}/{port}.db"
        return [options.program.resolve(), "serve", "--listen", f"127.0.0.1:{port}", "--models-dir", "models", "--database-url", database]


class Uvicorn(Server):
    """With uvloop and httptools, which it takes where they are installed."""

    def __init__(self, module):
        self.module = module

    def command(self, port, scratch, options):
        uvicorn = ENVIRONMENTS / "peers-serving/bin/uvicorn"
        quiet = ["--no-access-log", "--log-level", "warning"]
        return [uvicorn, f"{self.module}:app", "--workers", "2", "--port", str(port), *quiet]


class LitServe(Server):
    def command(self, port, scratch, options):
        return [ENVIRONMENTS / "peers-serving/bin/python", "with_litserve.py", str(port)]


class MlServer(Server):
    def command(self, port, scratch, options):
        return [ENVIRONMENTS / "peers-mlserver/bin/mlserver", "start", "mlserver"]

    def environment(self, port):
        return {"MLSERVER_HTTP_PORT": str(port), "MLSERVER_GRPC_PORT": str(free_port())}

    def request(self, case, body):
        if case == IMAGE:
            data, parameters = base64.b64encode(body).decode(), {"content_type": "base64"}
        else:
            data, parameters = record(body).decode(), {"content_type": "str"}
        tensor = {"name": "input", "datatype": "BYTES", "shape": [1, 1], "parameters": parameters, "data": [data]}
        body = json.dumps({"inputs": [tensor]}).encode()
        return f"/v2/models/{case.split(':')[1]}/infer", {"content-type": "application/json"}, body

    def answer(self, case, headers, body):
        outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
        return dict(zip(labels(case), outputs["probabilities"]))


class Triton(Server):
    """The server that nvidia-pytriton carries, which has the Python backend only, without PyTriton's proxy."""

    def command(self, port, scratch, options):
        server = triton_folder()
        backends = Path(scratch) / "backends"
        if not backends.exists():
            shutil.copytree(server / "backends", backends)
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            shutil.copy(server / f"python_backend_stubs/{python}/triton_python_backend_stub", backends / "python")
        return [
            server / "bin/tritonserver", f"--model-repository={HERE}/servers/triton", f"--backend-directory={backends}",
            "--http-address=127.0.0.1", f"--http-port={port}", "--allow-grpc=false", "--allow-metrics=false",
            "--log-info=false",
        ]

    def environment(self, port):
        libraries = [triton_folder().parents[1] / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
        path = f"{ENVIRONMENTS}/peers-triton/bin:{os.environ['PATH']}"
        return {"PATH": path, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}

    def request(self, case, body):
        # A raw binary request: all of the body is the one element of the one input.
        headers = {"content-type": "application/octet-stream", "Inference-Header-Content-Length": "0"}
        return f"/v2/models/{case.split(':')[1]}/infer", headers, body if case == IMAGE else record(body)

    def answer(self, case, headers, body):
        # The tensors follow the JSON, the probabilities first.
        names = labels(case)
        return dict(zip(names, struct.unpack_from(f"<{len(names)}f", body, int(headers["Inference-Header-Content-Length"]))))


SERVERS = {
    "medserve": Medserve(),
    "fastapi": Uvicorn("with_fastapi"),
    "fastapi-tuned": Uvicorn("with_fastapi_tuned"),
    "litserve": LitServe(),
    "mlserver": MlServer(),
    "triton": Triton(),
}


def triton_folder():
    return next((ENVIRONMENTS / "peers-triton").glob("lib/python*/site-packages/pytriton/tritonserver"))


def record(body):
    """The record alone, as JSON."""
    return json.dumps(json.loads(body)["records"][0]).encode()


def labels(case):
    return json.loads((ROOT / "models" / case.split(":")[1] / "1/manifest.json").read_text())["labels"]


class Running:
    """A server that is running, in a session of its own."""

    def __init__(self, name, scratch, options):
        self.name, self.kind, self.port = name, SERVERS[name], free_port()
        own = {"PEER_MODELS": f"{scratch}/models", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        own |= {"PYTHONPATH": str(HERE / "servers")} | self.kind.environment(self.port)
        self.log = open(Path(scratch) / f"{name}.log", "w+")
        start = time.perf_counter()
        self.process = subprocess.Popen(
            list(map(str, self.kind.command(self.port, scratch, options))), cwd=self.kind.folder, env=os.environ | own,
            stdout=self.log, stderr=self.log, start_new_session=True,
        )
        for case in BODIES:
            while self.ask(case, BODIES[case][0]) is None:
                if self.process.poll() is not None or time.perf_counter() - start > 120:
                    self.close()
                    self.log.seek(0)
                    sys.exit(f"{name} does not start:\n{self.log.read()[-3000:]}")
                time.sleep(0.005)
        self.ready_s = time.perf_counter() - start

    def ask(self, case, body):
        """Probabilities by label; None where there is no answer (yet)."""
        path, headers, body = self.kind.request(case, body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
            return self.kind.answer(case, response.headers, content) if response.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def load(self, case, seconds, scratch):
        """What wrk reports of `seconds` over 32 connections."""
        path, headers, body = self.kind.request(case, BODIES[case][0])
        data, script = Path(scratch) / "body", Path(scratch) / "wrk.lua"
        data.write_bytes(body)
        script.write_text(SCRIPT % (data, headers["content-type"]))
        before = self.processor_s()
        more = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        said = subprocess.run(
            ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-s", script, *more, f"http://127.0.0.1:{self.port}{path}"],
            capture_output=True, text=True, check=True,
        ).stdout
        requests, micros, p50, p99, errors = map(float, re.search(r"RESULT (.*)", said).group(1).split())
        return {
            "per_s": round(requests / micros * 1e6, 1), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3),
            "cpu_ms": round((self.processor_s() - before) / requests * 1e3, 4), "errors": int(errors),
        }

    def processes(self):
        """The folders in /proc of all processes of the session."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(folder.name)) == self.process.pid:
                    yield folder
            except ProcessLookupError:
                pass  # It has ended meanwhile.

    def memory_mb(self):
        """Proportional set size: what the processes share counts once."""
        found = [re.search(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.M) for folder in self.processes()]
        return sum(int(size.group(1)) for size in found if size) / 1024

    def processor_s(self):
        """User's and system's time so far."""
        found = [(folder / "stat").read_text().rpartition(")")[2].split() for folder in self.processes()]
        return sum(int(fields[11]) + int(fields[12]) for fields in found) / os.sysconf("SC_CLK_TCK")

    def close(self):
        """Asks the server to end; whatever of its session is left after ten seconds is killed."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def compare(server, expected):
    for case, bodies in BODIES.items():
        for body, wanted in zip(bodies, expected[case]):
            given = server.ask(case, body)
            difference = max(abs(given[label] - value) for label, value in wanted.items()) if given else 1
            if not difference <= 1e-3:
                sys.exit(f"{server.name}, {case}: differs from medserve by {difference}")


def measure(options):
    names = options.only or list(SERVERS)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "models").mkdir()
        export(Path(scratch) / "models")
        ours = Running("medserve", scratch, options)
        expected = {case: [ours.ask(case, body) for body in bodies] for case, bodies in BODIES.items()}
        ours.close()
        for _ in range(options.rounds):
            for name in names:
                server = Running(name, scratch, options)
                try:
                    compare(server, expected)
                    lines = []
                    for case in BODIES:
                        server.load(case, 1, scratch)
                        lines.append({"bench": case, "server": name, **server.load(case, options.seconds, scratch)})
                    memory = server.memory_mb()
                finally:
                    server.close()
                for line in lines:
                    line |= {"memory_mb": round(memory, 1), "ready_s": round(server.ready_s, 3)}
                    print(json.dumps(line), flush=True)
                    yield line


def table(lines):
    """Medians in the rows of a page; the throughput of medserve as a multiple of each peer's."""
    columns = ["per_s", "p50_ms", "p99_ms", "cpu_ms", "memory_mb", "ready_s"]
    found = {}
    for line in lines:
        found.setdefault((line["bench"], line["server"]), []).append(line)
    medians = {key: [statistics.median(line[column] for line in group) for column in columns] for key, group in found.items()}
    print("| model | server | " + " | ".join(columns) + " | medserve's throughput | rounds | errors |")
    print("|---" * (len(columns) + 5) + "|")
    for (case, name), values in sorted(medians.items(), key=lambda item: (item[0][0], -item[1][0])):
        group, ours = found[case, name], medians.get((case, "medserve"))
        ratio = f"{ours[0] / values[0]:.2f} x" if ours else ""
        errors = sum(line["errors"] for line in group)
        print(f"| {case} | {name} | " + " | ".join(f"{value:.4g}" for value in values) + f" | {ratio} | {len(group)} | {errors} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/medserve", help="of `cargo build --release`")
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of servers")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each server")
    parser.add_argument("--seconds", type=int, default=4, help="of load, after one to warm up")
    parser.add_argument("--table", type=Path, help="prints the table of the lines in this file, and measures nothing")
    options = parser.parse_args()
    if options.table:
        table([json.loads(line) for line in options.table.read_text().splitlines() if line.startswith("{")])
    else:
        table(list(measure(options)))


if __name__ == "__main__":
    main()
