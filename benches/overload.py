"""What the server does when it gets more than it can take, or when its database is killed.

    python benches/overload.py PROGRAM load [--seconds 60]   # twice the load that saturates it
    python benches/overload.py PROGRAM slow [--seconds 20]   # beside 200 clients of a byte a second
    python benches/overload.py PROGRAM postgres [--writes 10000]  # Postgres killed (-9) amid writes

Each prints one JSON line. `load` sends images at a fixed pace whatever becomes of them (an open
loop), so that a slow answer does not slow the next request. Everything stays on loopback.
"""

import argparse
import asyncio
import collections
import glob
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib


def grey_png(side):
    """A PNG of side x side grey values."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(bytes([0]) + bytes((x * y + 3 * x) % 251 for x in range(side)) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def head(path, kind, length):
    return (f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n").encode()


IMAGE = grey_png(768)
REQUEST = head("/v1/images/classify?model=pneumonia", "image/png", len(IMAGE)) + IMAGE


class Server:
    """The program over a database, ready."""

    def __init__(self, program, database, *arguments):
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--models-dir", "models", "--database-url", database, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.search(r"http://[0-9.:]+", self.process.stdout.readline()).group()
        self.host, port = self.url[7:].split(":")
        self.port = int(port)

    def status(self, name):
        text = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(name + r":\s+(\d+)", text).group(1))

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Client:
    """Connections that are kept for the next request."""

    def __init__(self, server):
        self.server, self.free = server, []

    async def ask(self, request=REQUEST):
        """Status, headers and seconds of one request; status 0 where the connection was cut."""
        start = time.perf_counter()
        try:
            reader, writer = self.free.pop() if self.free else await asyncio.open_connection(self.server.host, self.server.port)
            writer.write(request)
            text = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(re.search(r"content-length: (\d+)", text).group(1))
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return 0, "", time.perf_counter() - start
        if "connection: close" in text:
            writer.close()
        else:
            self.free.append((reader, writer))
        return int(text.split()[1]), text, time.perf_counter() - start


def percentile(values, share):
    values = sorted(values)
    return round(1e3 * values[min(len(values) - 1, int(share * len(values)))], 3) if values else None


async def closed(client, connections, seconds):
    """Times of what was answered by so many clients that each wait for their answer."""
    times, end = [], time.perf_counter() + seconds

    async def one():
        while time.perf_counter() < end:
            status, _, took = await client.ask()
            if status == 200:
                times.append(took)
    await asyncio.gather(*(one() for _ in range(connections)))
    return times


async def load(server, seconds):
    client = Client(server)
    alone = await closed(client, 1, 5)
    full = await closed(client, 8, 5)
    rate = 2 * len(full) / 5
    results, tasks, memory = [], set(), {}
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if len(memory) == 0 and due - begin >= 10:
            memory["after_10_s"] = server.status("VmRSS")
        task = asyncio.create_task(client.ask())
        tasks.add(task)
        task.add_done_callback(lambda done: (tasks.discard(done), results.append(done.result())))
    sent = time.perf_counter() - begin
    memory["at_the_end"] = server.status("VmRSS")
    while tasks:
        await asyncio.sleep(0.05)
    statuses = collections.Counter(status for status, _, _ in results)
    refused = [text for status, text, _ in results if status == 429]
    accepted = [took for status, _, took in results if status == 200]
    return {
        "bench": "load", "saturates_at_per_s": round(rate / 2), "asked_per_s": round(len(results) / sent),
        "statuses": dict(statuses), "refused_with_retry_after": sum("retry-after:" in text for text in refused),
        "alone_p50_ms": percentile(alone, 0.5), "alone_p99_ms": percentile(alone, 0.99),
        "accepted_p50_ms": percentile(accepted, 0.5), "accepted_p99_ms": percentile(accepted, 0.99),
        "memory_kb": memory, "restarted": server.process.poll() is not None,
    }


def drip(host, port):
    """200 clients that send a byte a second each, until this process is ended."""
    async def one():
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                for byte in REQUEST:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1)
                    if reader.at_eof():
                        break
                writer.close()
            except OSError:
                await asyncio.sleep(1)

    async def all_of_them():
        await asyncio.gather(*(one() for _ in range(200)))
    asyncio.run(all_of_them())


async def slow(server, seconds):
    client, alone, beside, files = Client(server), [], [], []
    await closed(client, 1, 2)
    # In turn, so that other load on the machine falls on both alike.
    for _ in range(5):
        alone += await closed(client, 1, seconds / 10)
        files.append(server.files())
        dripping = multiprocessing.Process(target=drip, args=(server.host, server.port), daemon=True)
        dripping.start()
        await asyncio.sleep(1.5)
        beside += await closed(client, 1, seconds / 10)
        files.append(server.files())
        dripping.kill()
        dripping.join()
        await asyncio.sleep(0.5)
    p50 = [percentile(times, 0.5) for times in (alone, beside)]
    return {"bench": "slow", "p50_ms_alone": p50[0], "p50_ms_beside_200": p50[1], "ratio": round(p50[1] / p50[0], 3),
            "p99_ms_alone": percentile(alone, 0.99), "p99_ms_beside_200": percentile(beside, 0.99),
            "files_at_rest_and_beside": [min(files), max(files)]}


class Postgres:
    """A throwaway cluster on a free port."""

    def __init__(self, folder):
        self.bin = os.path.dirname(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1])
        self.data = os.path.join(folder, "data")
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust")
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self.folder = folder
        self.start()

    def run(self, program, *arguments):
        subprocess.run([*self.user, f"{self.bin}/{program}", *arguments], check=True, stdout=subprocess.DEVNULL,
                       cwd="/")

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.run("pg_ctl", "-D", self.data, "-l", f"{self.folder}/log", "-w", "-o", options, "start")

    def kill(self):
        """Ends the postmaster and all its children without a word."""
        pid = int(open(f"{self.data}/postmaster.pid").readline())
        children = open(f"/proc/{pid}/task/{pid}/children").read().split()
        for each in [pid, *map(int, children)]:
            os.kill(each, signal.SIGKILL)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.01)


def send(server, method, path, body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"content-type": "application/json"},
                                     method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, None


def postgres(program, writes):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        cluster = Postgres(folder)
        with Server(program, cluster.url) as server:
            send(server, "PUT", "/v1/users/u", {"profile": {}})
            send(server, "PUT", "/v1/items/i", {"kind": "drug", "name": "i"})
            acknowledged, statuses, healed, back = [], collections.Counter(), None, None
            middle = threading.Event()

            def bury():
                nonlocal back
                middle.wait()
                cluster.kill()
                time.sleep(1)
                cluster.start()
                back = time.time()
            burial = threading.Thread(target=bury)
            burial.start()
            for number in range(writes):
                if number == writes // 2:
                    middle.set()
                event = f"e{number}"
                body = [{"user_id": "u", "item_id": "i", "event": event, "time": "2026-01-01T00:00:00Z"}]
                status, _ = send(server, "POST", "/v1/interactions", body)
                statuses[status] += 1
                while status != 200:
                    time.sleep(0.02)
                    status, _ = send(server, "POST", "/v1/interactions", body)
                    statuses[status] += 1
                    if status == 200:
                        healed = time.time()
                acknowledged.append(event)
            burial.join()
            found = subprocess.run(
                [f"{cluster.bin}/psql", cluster.url, "-Atc", "SELECT event FROM interactions"],
                capture_output=True, text=True, check=True).stdout.split()
        cluster.kill()
    return {"bench": "postgres", "writes": writes, "statuses": dict(statuses), "lost": len(set(acknowledged) - set(found)),
            "twice": len(found) - len(set(found)), "healed_s_after_its_return": healed and round(max(healed - back, 0), 2)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("what", choices=["load", "slow", "postgres"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--writes", type=int, default=10000)
    parser.add_argument("--max-in-flight", type=int, default=None, help="the server's setting, if not its default")
    options = parser.parse_args()
    if options.what == "postgres":
        print(json.dumps(postgres(options.program, options.writes)))
        return
    work = {"load": load, "slow": slow}[options.what]
    bound = ["--max-in-flight", str(options.max_in_flight)] if options.max_in_flight else []
    with tempfile.TemporaryDirectory() as folder:
        with Server(options.program, f"sqlite://{folder}/empty.db", *bound) as server:
            print(json.dumps(asyncio.run(work(server, options.seconds))))


main()
