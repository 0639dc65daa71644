"""Our side of a comparison: a bench program that measures on request.

The program reads a JSON line a request and answers with a JSON line, so that a peer in this process
and medserve take turns on the same machine in the same minute.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def build(name):
    """Builds the bench program `name` and returns its path."""
    out = subprocess.run(
        ["cargo", "bench", "--bench", name, "--no-run", "--message-format=json"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == name and message.get("executable"):
            return message["executable"]
    sys.exit("cargo built no bench program")


class Ours:
    """The running program; `threads` is what its numerical library may use by itself."""

    def __init__(self, name, program=None, threads=1):
        self.process = subprocess.Popen(
            [program or build(name), "--peer"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
        )

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the bench program ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
