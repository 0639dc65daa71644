"""The server and the page that `console.py` uses, and small inputs for it."""

import csv
import io
import json
import re
import shutil
import sqlite3
import struct
import subprocess
import time
import urllib.request
import zlib
from pathlib import Path

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait


# As `train --report` writes one, with markup that a folder's name may bring.
REPORT = """<!doctype html><html lang="en"><body><h1>How pneumonia was trained</h1><p onclick="window.ran=1">Odd <b>words</b></p>
<img src=x onerror="window.ran=1"><script>window.ran=1</script><iframe src="/docs"></iframe>
<div class="plots"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><title>Reliability</title><path d="M0 9L20 1" stroke="red"/></svg></div>
<table><tr><th></th><th>normal</th></tr><tr><td>normal</td><td style="background:rgba(31,98,168,0.40)">7</td></tr></table>
<div class="wrong"><figure><img alt="" src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==">
<figcaption>pneumonia (0.93), right is normal</figcaption></figure></div></body></html>"""


class Server:
    """A server of its own, on a port that it has again after a restart."""

    def __init__(self, program, work):
        self.program, self.work, self.process, self.port = program, work, None, 0
        # The models of the repository, one with a report of its training.
        self.models = work / "models"
        self.models.mkdir()
        for model in (Path.cwd() / "models").iterdir():
            if model.name == "pneumonia":
                shutil.copytree(model, self.models / model.name)
                (self.models / model.name / "1" / "report.html").write_text(REPORT)
            else:
                (self.models / model.name).symlink_to(model)

    def start(self):
        out = self.work / "out"
        out.unlink(missing_ok=True)
        command = [self.program, "serve", "--demo", "--listen", f"127.0.0.1:{self.port}", "--models-dir", self.models,
                   "--database-url", f"sqlite://{self.work}/demo.db"]
        with open(out, "w") as said, open(self.work / "log", "a") as log:
            self.process = subprocess.Popen(command, stdout=said, stderr=log)
        for _ in range(1800):
            found = re.search(r"console: (http://127\.0\.0\.1:(\d+)/)#key=(\S+)", out.read_text())
            if found:
                self.url, self.port, self.key = found[1], int(found[2]), found[3]
                return
            assert self.process.poll() is None, (self.work / "log").read_text()
            time.sleep(0.1)
        raise SystemExit("the server does not start")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()


class Page:
    """What a person does on a page."""

    def __init__(self, browser, server):
        self.browser, self.server = browser, server
        # What is asked about may be drawn anew while it is asked.
        self.wait = WebDriverWait(browser, 120, ignored_exceptions=[StaleElementReferenceException])

    def open(self, address):
        self.browser.execute_script(
            "delete document.getElementById('main').dataset.ready;"
            "if (location.hash === arguments[0]) dispatchEvent(new Event('hashchange')); else location.hash = arguments[0]",
            f"#/{address}")
        self.ready(address.split("/")[0])

    def ready(self, name):
        self.wait.until(lambda b: b.execute_script("return document.getElementById('main')?.dataset.ready") == name)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.wait.until(lambda _: self.all(selector))[0]

    def click(self, selector):
        self.browser.execute_script("arguments[0].click()", self.one(selector))

    def texts(self, selector):
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", selector)

    def text(self, selector):
        self.one(selector)
        return self.texts(selector)[0]

    def until(self, selector, words):
        self.wait.until(lambda _: any(words in text for text in self.texts(selector)), f"{words!r} is not in {selector}")

    def saved(self, button):
        """The name and text of the file that a button gives to the browser to save."""
        self.browser.execute_script(
            "window.saved = null; if (!window.keeping) { window.keeping = URL.createObjectURL; URL.createObjectURL = (blob) => {"
            "window.saved = blob; return window.keeping.call(URL, blob); }; addEventListener('click', (event) => {"
            "if (event.target.download) window.savedAs = event.target.download; }, true); }")
        self.click(button)
        self.wait.until(lambda b: b.execute_script("return window.saved !== null"))
        return self.browser.execute_async_script("const done = arguments[0]; saved.text().then((text) => done([savedAs, text]))")

    def slide(self, slider, value):
        self.browser.execute_script(
            "arguments[0].value = arguments[1]; for (const e of ['input', 'change']) arguments[0].dispatchEvent(new Event(e))",
            self.one(f"[data-slider={slider}]"), value)

    def pixels(self, selector):
        """A canvas as text: another picture has another."""
        return self.browser.execute_script("return document.querySelector(arguments[0]).toDataURL()", selector)

    def shot(self, folder, name, top="main"):
        """A picture of the page from an element on, small: it goes into the repository."""
        if not folder:
            return
        from PIL import Image

        self.browser.execute_script("document.activeElement.blur(); scrollTo(0, document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY - 24)", top)
        time.sleep(0.5)  # Bars grow.
        picture = Image.open(io.BytesIO(self.browser.get_screenshot_as_png())).convert("RGB")
        picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


def png(path, grey):
    """A small picture."""
    rows = b"".join(b"\0" + bytes((grey + x * y) % 256 for x in range(32)) for y in range(32))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return str(path)


def put(server, path, body):
    request = urllib.request.Request(server.url.rstrip("/") + path, json.dumps(body).encode(), method="PUT")
    request.add_header("content-type", "application/json")
    urllib.request.urlopen(request).read()


def invented_week(server, models):
    """Puts in place of what was counted a week in which models answer as on their held-out data; of a label that is given, nearly all
    answers are withheld in the last three days."""
    database = sqlite3.connect(server.work / "demo.db", timeout=30)
    database.execute("DELETE FROM answers_by_hour")
    for name, turned in models.items():
        request = urllib.request.Request(f"{server.url}v1/models/{name}/drift", headers={"authorization": f"Bearer {server.key}"})
        given = json.load(urllib.request.urlopen(request))
        expected, low_high = given["expected"], given["expected"]["confidence"] or [0.8, 0.9]
        for day in range(7):
            # Some days are busier than others.
            answers, hour = 170 + 23 * (day * 5 % 7), int(time.time()) // 3600 - 24 * (6 - day)
            counts = {label: share * (1 - expected["abstained"]) for label, share in expected["shares"].items()}
            counts[""] = expected["abstained"]
            if turned and day >= 4:
                counts[""] += counts[turned] * 0.9
                counts[turned] *= 0.1
            for at, (label, share) in enumerate(counts.items()):
                count = max(0, round(answers * share) + (day * 3 + at) % 4 - 1)
                row = (name, given["version"], hour, label, count, round(count * sum(low_high) / 2 * 1e6))
                database.execute("INSERT INTO answers_by_hour VALUES (?, ?, ?, ?, ?, ?)", row)
    database.commit()
    database.close()


def csv_rows(text):
    return csv.reader(io.StringIO(text))
