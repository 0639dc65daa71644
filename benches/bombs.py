"""Requests that were made to take more than their share, and writes whose clients hang up.

    python benches/bombs.py PROGRAM memory [FILE.dcm ...]      # peak memory and time of each kind, one and eight at once
    python benches/bombs.py PROGRAM cancelled [--writes 10000]  # audit rows against what was committed

`memory` prints a JSON line a kind: the statuses, the longest answer, the peak of resident memory (reset before each) above what
the server has at rest, and the longest that a usual client beside it waited for a classification. Further DICOM files are sent
as they are. `cancelled` sends writes of one interaction each and closes the connection after a time drawn at random; what is
committed must have its row in the audit, and nothing else one that says so. Everything stays on loopback.
"""

import argparse
import http.client
import json
import os
import random
import socket
import sqlite3
import struct
import tempfile
import threading
import time
import zlib
from pathlib import Path

from overload import Server, request, send, user_and_item

MIB = 1 << 20
AT_ONCE = 8
LIMIT_S = 120


def png(width, height, colour, depth, row):
    """A PNG whose rows are all the same."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packed = zlib.compressobj(1)
    data = b"".join(packed.compress(b"\0" + row) for _ in range(height)) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def note(text):
    return json.dumps({"model": "triage", "records": [{"note": text}]}, ensure_ascii=False).encode()


def bundle(resource, count=1):
    entries = [{"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}] * count
    return json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode()


def allergy(code):
    return {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/u"}, "code": code}


def kinds(files):
    """Name, method, path, content type and body of each."""
    image, notes, fhir = "/v1/images/classify?model=pneumonia", "/v1/notes/classify", "/fhir/R4"
    json_type, fhir_type = "application/json", "application/fhir+json"
    yield "16 MiB of [0,0,... as a profile", "PUT", "/v1/users/u", json_type, b"[" + b"0," * (8 * MIB) + b"0]"
    yield "a profile of 100,000 unknown fields", "PUT", "/v1/users/u", json_type, json.dumps({f"f{i}": i for i in range(100_000)}).encode()
    yield "JSON 500,000 deep", "PUT", "/v1/users/u", json_type, b"[" * 500_000
    yield "a note of which normalisation makes 18", "POST", notes, json_type, note("\ufdfa" * 2_600_000)
    yield "the same, below the limit of notes", "POST", notes, json_type, note("\ufdfa" * 20_000)
    yield "10,000 rows of interactions that are all wrong", "POST", "/v1/interactions", json_type, json.dumps([{"user_id": 7}] * 10_000).encode()
    yield "10,001 inputs of embeddings", "POST", "/v1/embeddings", json_type, json.dumps({"model": "medical-vectors", "input": ["x"] * 10_001}).encode()
    yield "an allergy of 150,000 codings", "POST", fhir, fhir_type, bundle(allergy({"coding": [{"code": "1", "display": "penicillin"}] * 150_000}))
    yield "150,000 empty resources", "POST", fhir, fhir_type, bundle({"resourceType": "Patient"}, 150_000)
    yield "a PNG of 8,192 x 8,192, RGBA of 16 bits", "POST", image, "image/png", png(8192, 8192, 6, 16, bytes(8 * 8192))
    yield "a PNG of 65,535 x 65,535", "POST", image, "image/png", png(65535, 65535, 0, 1, b"")[:4096]
    yield "a PNG of one pixel with 200 MB behind it", "POST", image, "image/png", png(1, 1, 0, 8, bytes(200 * MIB))
    for file in files:
        yield file.name, "POST", image, "application/dicom", file.read_bytes()


def ask(server, text):
    """Status (0 where the connection was cut) and seconds."""
    start = time.perf_counter()
    try:
        with socket.create_connection((server.host, server.port), timeout=LIMIT_S) as stream:
            # What is refused may be before it was sent.
            try:
                stream.sendall(text)
            except OSError:
                pass
            answer = http.client.HTTPResponse(stream)
            answer.begin()
            answer.read()
            return answer.status, time.perf_counter() - start
    except (OSError, http.client.HTTPException):
        return 0, time.perf_counter() - start


class Beside:
    """A usual client, from which nothing must be taken."""

    def __init__(self, server):
        self.server, self.going, self.longest, self.statuses = server, True, 0, set()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        usual = request("POST", "/v1/notes/classify", "application/json", note("chest pain"))
        while self.going:
            status, took = ask(self.server, usual)
            self.longest = max(self.longest, took)
            self.statuses.add(status)
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        self.thread.join()


def memory(program, files):
    with tempfile.TemporaryDirectory() as folder, Server(program, f"sqlite://{folder}/bombs.db") as server:
        send(server, "PUT", "/v1/users/u", {"profile": {}})
        for name, method, path, kind, body in kinds(files):
            text = request(method, path, kind, body)
            for count in (1, AT_ONCE):
                Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
                rest, answers = server.status("VmRSS"), []
                threads = [threading.Thread(target=lambda: answers.append(ask(server, text))) for _ in range(count)]
                with Beside(server) as usual:
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                yield {"bench": "memory", "kind": name, "at_once": count, "body_mib": round(len(body) / MIB, 2),
                       "statuses": sorted({status for status, _ in answers}), "longest_s": round(max(took for _, took in answers), 3),
                       "peak_mib": (server.status("VmHWM") - rest) // 1024, "at_rest_mib": rest // 1024,
                       "usual_longest_s": round(usual.longest, 3), "usual_statuses": sorted(usual.statuses),
                       "restarted": server.process.poll() is not None}


def cancelled(program, writes):
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        database = f"{folder}/cancelled.db"
        with Server(program, f"sqlite://{database}") as server:
            user_and_item(server)

            def some(numbers):
                for number in numbers:
                    row = {"user_id": "u", "item_id": "i", "event": f"e{number}", "time": "2026-01-01T00:00:00Z"}
                    text = request("POST", "/v1/interactions", "application/json", json.dumps([row]).encode())
                    with socket.create_connection((server.host, server.port)) as stream:
                        stream.sendall(text.replace(b"host:", f"x-request-id: w{number}\r\nhost:".encode(), 1))
                        time.sleep(draw.uniform(0, 0.004))
            threads = [threading.Thread(target=some, args=(range(first, writes, 8),)) for first in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(2)
        store = sqlite3.connect(database)
        committed = {event[1:] for event, in store.execute("SELECT event FROM interactions WHERE event LIKE 'e%'")}
        rows = store.execute("SELECT request_id, status FROM audit WHERE request_id LIKE 'w%'").fetchall()
        done = [name[1:] for name, status in rows if status == 200]
        return {"bench": "cancelled", "writes": writes, "committed": len(committed), "rows_that_say_so": len(done),
                "committed_without_a_row": len(committed - set(done)), "rows_without_a_write": len(set(done) - committed),
                "rows_twice": len(done) - len(set(done)), "other_rows": len(rows) - len(done)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("bench", choices=["memory", "cancelled"])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--writes", type=int, default=10_000)
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    for line in memory(program, options.files) if options.bench == "memory" else [cancelled(program, options.writes)]:
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
