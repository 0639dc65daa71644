"""What the server does when it gets more than it can take, when it or its database is killed, and
when it runs for long.

    python benches/overload.py PROGRAM load [--seconds 60]   # twice the load that saturates it
    python benches/overload.py PROGRAM slow [--seconds 20]   # beside 200 clients of a byte a second
    python benches/overload.py PROGRAM hostile [--seconds 60]  # beside 900 connections of five bad kinds
    python benches/overload.py PROGRAM soak [--seconds 600]  # everything at once: what grows?
    python benches/overload.py PROGRAM postgres [--writes 10000]  # Postgres killed (-9) amid writes
    python benches/overload.py PROGRAM kill [--writes 10000]  # the server killed ten times amid writes

Each prints one JSON line, `kill` one for SQLite and one for Postgres. `load` sends images at a fixed
pace whatever becomes of them (an open loop), so that a slow answer does not slow the next request.
Everything stays on loopback.
"""

import argparse
import asyncio
import collections
import glob
import http.client
import itertools
import json
import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
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


def request(method, path, kind, body):
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def image(side):
    return request("POST", "/v1/images/classify?model=pneumonia", "image/png", grey_png(side))


REQUEST = image(768)


class Server:
    """The program over a database, ready; on the processors `cores` alone, where they are given."""

    def __init__(self, program, database, *arguments, cores=None):
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--models-dir", "models", "--database-url", database, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            preexec_fn=cores and (lambda: os.sched_setaffinity(0, cores)))
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

    def kill(self):
        self.process.kill()
        self.process.wait()

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


async def load(server, seconds, in_flight, database):
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
    # By the server's own clock, from a request's first byte: without what this program makes a request wait.
    await asyncio.sleep(1)
    rows = sqlite3.connect(database).execute(
        "SELECT latency_ms / 1e3 FROM audit WHERE status = 200 ORDER BY number DESC LIMIT ?", [len(accepted)])
    served = [latency for latency, in rows]
    # What is let in waits for what was let in before it.
    queue = 1e3 * in_flight / (len(accepted) / sent)
    return {
        "bench": "load", "saturates_at_per_s": round(rate / 2), "asked_per_s": round(len(results) / sent),
        "statuses": dict(statuses), "refused_with_retry_after": sum("retry-after:" in text for text in refused),
        "alone_p50_ms": percentile(alone, 0.5), "alone_p99_ms": percentile(alone, 0.99),
        "accepted_p50_ms": percentile(accepted, 0.5), "accepted_p99_ms": percentile(accepted, 0.99),
        "served_p50_ms": percentile(served, 0.5), "served_p99_ms": percentile(served, 0.99),
        "queue_bound_ms": round(queue, 1), "bound_ms": round(4 * percentile(alone, 0.99) + queue, 1),
        "memory_kb": memory, "restarted": server.process.poll() is not None,
    }


async def by_the_byte(host, port, text):
    """A request of which a byte comes a second."""
    reader, writer = await asyncio.open_connection(host, port)
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)
        if reader.at_eof():
            break
    writer.close()


async def unread(host, port):
    """Requests for a large answer that is not read."""
    _, writer = await asyncio.open_connection(host, port, limit=1024)
    for _ in range(20):
        writer.write(request("GET", "/openapi.json", "text/plain", b""))
    await asyncio.sleep(30)
    writer.close()


async def silent(host, port):
    """A connection on which nothing comes."""
    reader, writer = await asyncio.open_connection(host, port)
    await reader.read(1)
    writer.close()


async def garbage(host, port):
    """Bytes that are no HTTP, a new connection for each."""
    _, writer = await asyncio.open_connection(host, port)
    writer.write(bytes(range(256)) * 4)
    await asyncio.sleep(2)
    writer.close()


async def drip(host, port):
    await by_the_byte(host, port, REQUEST)


async def heads(host, port):
    """A head of a request that does not end."""
    await by_the_byte(host, port, b"GET / HTTP/1.1\r\nhost: localhost\r\nx-" + b"a" * 600)


def bother(host, port, kinds):
    """So many clients of each kind, again and again until this process is ended."""
    # A connection that the server has closed is what is wanted, and no news.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    async def one(kind):
        while True:
            try:
                await kind(host, port)
            except OSError:
                pass
            await asyncio.sleep(1)

    async def all_of_them():
        await asyncio.gather(*(one(kind) for kind, count in kinds for _ in range(count)))
    asyncio.run(all_of_them())


async def beside(server, seconds, kinds):
    """Times of one usual client alone and beside those of `kinds`."""
    client, alone, bothered, files = Client(server), [], [], []
    await closed(client, 1, 2)
    # In turn, so that other load on the machine falls on both alike.
    for _ in range(5):
        alone += await closed(client, 1, seconds / 10)
        files.append(server.files())
        others = multiprocessing.Process(target=bother, args=(server.host, server.port, kinds), daemon=True)
        others.start()
        await asyncio.sleep(2.5)
        bothered += await closed(client, 1, seconds / 10)
        files.append(server.files())
        others.kill()
        others.join()
        await asyncio.sleep(0.5)
    p50 = [percentile(times, 0.5) for times in (alone, bothered)]
    return {"p50_ms_alone": p50[0], "p50_ms_beside": p50[1], "ratio": round(p50[1] / p50[0], 3),
            "p99_ms_alone": percentile(alone, 0.99), "p99_ms_beside": percentile(bothered, 0.99),
            "answered": [len(alone), len(bothered)], "files_at_rest_and_beside": [min(files), max(files)],
            "peak_mib": server.status("VmHWM") // 1024}


async def slow(server, seconds):
    return {"bench": "slow"} | await beside(server, seconds, [(drip, 200)])


async def hostile(server, seconds):
    kinds = [(kind, 180) for kind in (drip, heads, unread, silent, garbage)]
    return {"bench": "hostile"} | await beside(server, seconds, kinds)


async def soak(server, seconds):
    client, clients = Client(server), 8
    statuses, unexpected, samples, times = collections.Counter(), collections.Counter(), [], []
    _, listed = send(server, "GET", "/v1/items?limit=20", None)
    items = [item["item_id"] for item in listed["items"]]
    images = [image(28), image(512)]
    end, draw = time.perf_counter() + seconds, random.Random(1)

    def json_request(method, path, body):
        return request(method, path, "application/json", json.dumps(body).encode())

    # What is written is written again and again, so that the data do not grow.
    def next_request():
        user, kind = f"u{draw.randint(1, 50)}", draw.choices(range(5), [4, 4, 3, 1, 1])[0]
        if kind == 0:
            return "image", draw.choice(images)
        if kind == 1:
            record = {"note": " ".join(draw.choices(["chest", "pain", "cough", "fever", "fall"], k=draw.choice([4, 400])))}
            return "note", json_request("POST", "/v1/notes/classify", {"model": "triage", "records": [record]})
        if kind == 2:
            return "recommendation", request("GET", f"/v1/users/{user}/recommendations?kind=pharmacy&limit=3", "text/plain", b"")
        if kind == 3:
            row = {"user_id": user, "item_id": draw.choice(items), "event": "soak", "time": "2026-01-01T00:00:00Z",
                   "weight": draw.randint(1, 5)}
            return "interaction", json_request("POST", "/v1/interactions", [row])
        return "profile", json_request("PUT", f"/v1/users/{user}", {"profile": {"birth_year": draw.randint(1930, 2010)}})

    async def one():
        while time.perf_counter() < end:
            kind, wanted = next_request()
            status, _, took = await client.ask(wanted)
            statuses[kind] += 1
            times.append(took)
            if status != 200:
                unexpected[f"{kind} {status}"] += 1

    async def watch():
        while time.perf_counter() < end:
            samples.append((server.status("VmRSS"), server.files()))
            await asyncio.sleep(seconds / 100)
    await asyncio.gather(watch(), *(one() for _ in range(clients)))
    tenth = len(samples) // 10
    memory, files = zip(*samples[tenth:])
    return {"bench": "soak", "seconds": seconds, "answers": dict(statuses), "unexpected": dict(unexpected),
            "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99),
            "memory_kb": {"by_tenths": memory[::tenth], "most": max(memory), "at_the_end": memory[-1]},
            "files": {"after_a_tenth": files[0], "most": max(files), "at_the_end": files[-1]},
            "restarted": server.process.poll() is not None}


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

    def column(self, query):
        return subprocess.run([f"{self.bin}/psql", self.url, "-Atc", query], capture_output=True, text=True,
                              check=True).stdout.split()

    def kill(self):
        """Ends the postmaster and all its children without a word."""
        pid = int(open(f"{self.data}/postmaster.pid").readline())
        children = open(f"/proc/{pid}/task/{pid}/children").read().split()
        for each in [pid, *map(int, children)]:
            os.kill(each, signal.SIGKILL)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.01)


def send(server, method, path, body, headers=None):
    """Status and answer; status 0 where there is none."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(server.url + path, data, {"content-type": "application/json"} | (headers or {}),
                                   method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, None
    except (OSError, http.client.HTTPException):
        return 0, None


def write(server, event, headers=None):
    body = [{"user_id": "u", "item_id": "i", "event": event, "time": "2026-01-01T00:00:00Z"}]
    return send(server, "POST", "/v1/interactions", body, headers)[0]


def user_and_item(server):
    send(server, "PUT", "/v1/users/u", {"profile": {}})
    send(server, "PUT", "/v1/items/i", {"kind": "drug", "name": "i"})


def postgres(program, writes):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        cluster = Postgres(folder)
        with Server(program, cluster.url) as server:
            user_and_item(server)
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
                status = write(server, event)
                statuses[status] += 1
                while status != 200:
                    time.sleep(0.02)
                    status = write(server, event)
                    statuses[status] += 1
                    if status == 200:
                        healed = time.time()
                acknowledged.append(event)
            burial.join()
            found = cluster.column("SELECT event FROM interactions")
        cluster.kill()
    return {"bench": "postgres", "writes": writes, "statuses": dict(statuses), "lost": len(set(acknowledged) - set(found)),
            "twice": len(found) - len(set(found)), "healed_s_after_its_return": healed and round(max(healed - back, 0), 2)}


def killed(program, writes, database, column, kills=10, clients=8):
    """Writes of several clients, each sent until it is acknowledged, while the server is killed and
    started again; answers wait for their audit rows. `column` asks the database."""
    def start():
        return Server(program, database, "--audit", "fail")
    server = start()
    user_and_item(server)
    numbers, acknowledged, answered, healed = iter(range(writes)), [], [], []

    def client():
        for number in numbers:
            for attempt in itertools.count():
                name = f"e{number}-{attempt}"
                if write(server, f"e{number}", {"x-request-id": name}) == 200:
                    acknowledged.append(f"e{number}")
                    answered.append(name)
                    break
                time.sleep(0.01)
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for number in range(kills):
        while len(acknowledged) < writes * (number + 1) // (kills + 1):
            time.sleep(0.001)
        server.kill()
        before, since = len(acknowledged), time.perf_counter()
        server = start()
        while len(acknowledged) <= before + clients:
            time.sleep(0.001)
        healed.append(time.perf_counter() - since)
    for thread in threads:
        thread.join()
    server.kill()
    found = column("SELECT event FROM interactions")
    rows = column("SELECT request_id FROM audit WHERE route = '/v1/interactions'")
    return {"bench": "kill", "database": database.split(":")[0], "writes": writes, "kills": kills,
            "acknowledged": len(acknowledged), "lost": len(set(acknowledged) - set(found)),
            "twice": len(found) - len(set(found)), "audit_rows_lost": len(set(answered) - set(rows)),
            "audit_rows_twice": len(rows) - len(set(rows)), "longest_outage_s": round(max(healed), 2)}


def kill(program, writes):
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/kill.db"
        yield killed(program, writes, f"sqlite://{file}",
                     lambda query: [value for value, in sqlite3.connect(file).execute(query)])
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        cluster = Postgres(folder)
        yield killed(program, writes, cluster.url, cluster.column)
        cluster.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("what", choices=["load", "slow", "hostile", "soak", "postgres", "kill"])
    parser.add_argument("--seconds", type=int, default=None)
    parser.add_argument("--writes", type=int, default=10000)
    parser.add_argument("--max-in-flight", type=int, default=128 * (os.cpu_count() - 1), help="the server's setting")
    options = parser.parse_args()
    if options.what == "postgres":
        print(json.dumps(postgres(options.program, options.writes)))
        return
    if options.what == "kill":
        for outcome in kill(options.program, options.writes):
            print(json.dumps(outcome), flush=True)
        return
    folder = tempfile.TemporaryDirectory()
    database, most = f"{folder.name}/empty.db", options.max_in_flight
    work, seconds, arguments = {
        "load": (lambda *given: load(*given, most, database), 60, ["--max-in-flight", str(most)]),
        "slow": (slow, 20, []),
        "hostile": (hostile, 60, []),
        "soak": (soak, 600, ["--demo"]),
    }[options.what]
    cores = None
    if options.what == "load":
        # What asks for too much must not take the server's time as well.
        *cores, last = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {last})
    with folder:
        with Server(options.program, f"sqlite://{database}", *arguments, cores=cores) as server:
            print(json.dumps(asyncio.run(work(server, options.seconds or seconds))))


if __name__ == "__main__":
    main()
