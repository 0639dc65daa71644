"""A server of its own for the cases, and requests to it."""

import http.client
import json
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path


# What the server may reserve, in bytes: a case that would take all memory of the machine ends the server instead.
ADDRESS_SPACE = 8 << 30


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def refused(self):
        return 400 <= self.status < 500


class Server:
    """`serve --demo` on a port of its own, over a database that goes with it."""

    def __init__(self, program):
        self.program = program.resolve()

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.work = Path(self.folder.name)
        self.start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def start(self):
        with open(self.work / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--demo", "--listen", "127.0.0.1:0",
                 "--database-url", f"sqlite://{self.work / 'demo.db'}"],
                cwd=Path(__file__).resolve().parents[1], stdout=subprocess.PIPE, stderr=log, text=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
            )
        for line in self.process.stdout:
            if found := re.search(r"http://([0-9.:]+)", line):
                self.address = found.group(1)
                break
        else:
            raise RuntimeError(f"the server did not start: {(self.work / 'log').read_text()[-2000:]}")
        deadline = time.monotonic() + 60
        while self.get("/health/ready").status != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server is not ready: {(self.work / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def alive(self):
        return self.process.poll() is None

    def memory(self):
        """The most memory that the server has held since `forget_memory`, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024

    def forget_memory(self):
        """From here on the peak counts anew. Returns what is held now, in MB."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.memory()

    def request(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.address, timeout=120)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None:
            headers.setdefault("content-type", "application/json")
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def get(self, path):
        return self.request("GET", path)

    def put(self, path, body, **headers):
        return self.request("PUT", path, body, **headers)

    def post(self, path, body, **headers):
        return self.request("POST", path, body, **headers)

    def classify(self, content, media, query=""):
        """An image to the model `pneumonia`."""
        return self.post(f"/v1/images/classify?model=pneumonia{query}", content, content_type=media)

    def notes(self, model, *records):
        return self.post("/v1/notes/classify", {"model": model, "records": list(records)}).json["results"]
