"""The sandbox of CDS Hooks in a browser: it opens a record, selects and signs a drug, shows cards, takes a suggestion and overrides one.

Usage: sandbox.py PROGRAM BUILD WORK [FOLDER]. BUILD is the sandbox as webpack leaves it; FOLDER gets screenshots. Beside the
server it starts a small FHIR server of one person, from which the sandbox (and nobody else) fetches.
"""

import functools
import hashlib
import http.client
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from browser import start

KEY = "the key of this check"
ISSUER = "https://sandbox.cds-hooks.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
AMOXICILLIN, AZITHROMYCIN = "308191", "308460"
ORDERED = "Amoxicillin 500 MG Oral Capsule"
PERSON = {"resourceType": "Patient", "id": "ann", "active": True, "gender": "female", "birthDate": "1954-03-01",
          "name": [{"use": "official", "family": "Example", "given": ["Ann"]}]}


def concept(system, code, text):
    return {"coding": [{"system": system, "code": code, "display": text}], "text": text}


RECORD = {
    "Condition": [{"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/ann"},
                   "clinicalStatus": {"coding": [{"code": "active"}]},
                   "code": concept("http://snomed.info/sct", "36971009", "Sinusitis")}],
    "AllergyIntolerance": [{"resourceType": "AllergyIntolerance", "id": "a1", "patient": {"reference": "Patient/ann"},
                            "code": concept("http://snomed.info/sct", "91936005", "Allergy to penicillin")}],
    "MedicationRequest": [],
    "MedicationStatement": [],
}


class Fhir(http.server.BaseHTTPRequestHandler):
    """One person's record, for pages of any origin."""

    asked = []

    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in [("content-type", "application/fhir+json"), ("content-length", str(len(body))),
                           ("access-control-allow-origin", "*"), ("access-control-allow-headers", "*"),
                           ("access-control-allow-methods", "GET, POST, OPTIONS")]:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self):
        self.answer({})

    def do_GET(self):
        self.do_any({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.do_any(urllib.parse.parse_qs(body))

    def do_any(self, form):
        address = urllib.parse.urlsplit(self.path)
        path = address.path.removeprefix("/fhir/").removesuffix("/_search")
        Fhir.asked.append((path, self.headers.get("user-agent", "")))
        query = {**urllib.parse.parse_qs(address.query), **form}
        if path == "metadata":
            return self.answer({"resourceType": "CapabilityStatement", "status": "active", "kind": "instance",
                                "fhirVersion": "4.0.1", "format": ["json"]})
        if path in ("Patient/ann", "Patient"):
            return self.answer(PERSON if path == "Patient/ann" else found([PERSON]))
        if path in RECORD and query.get("patient") in (["ann"], ["Patient/ann"]):
            return self.answer(found(RECORD[path]))
        return self.answer({"resourceType": "OperationOutcome", "issue": []}, 404)


def found(resources):
    return {"resourceType": "Bundle", "type": "searchset", "total": len(resources),
            "entry": [{"resource": resource, "search": {"mode": "match"}} for resource in resources]}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Medserve:
    def __init__(self, program, build, work, pages):
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        # The sandbox signs for the address that it calls, so that is chosen beforehand.
        probe = http.server.HTTPServer(("127.0.0.1", 0), Quiet)
        self.url = f"http://127.0.0.1:{probe.server_port}"
        probe.server_close()
        self.log = open(work / "log", "w")
        self.process = subprocess.Popen(
            [program, "serve", "--listen", self.url.removeprefix("http://"), "--models-dir", work / "models",
             "--database-url", f"sqlite://{work}/sandbox.db", "--api-keys", f"root:admin:{digest}",
             "--jwt-keys", build / ".well-known" / "jwks.json", "--jwt-issuer", ISSUER, "--jwt-audience", self.url,
             "--cors-origins", pages, "--cds-accepted-weight", "1"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.process.stdout.readline()
        for _ in range(600):
            if self.ask("GET", "/health/ready")[0] == 200:
                break
            time.sleep(0.1)

    def ask(self, method, path, value=None):
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        body = None if value is None else json.dumps(value)
        connection.request(method, path, body, {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else None

    def put(self, path, value):
        status, answer = self.ask("PUT", path, value)
        assert status == 200, (path, status, answer)

    def fill(self):
        """A catalogue of two drugs and an advice that many have, and the person without anything recorded."""
        for code, name, allergens in [(AMOXICILLIN, ORDERED, ["penicillin"]),
                                      (AZITHROMYCIN, "Azithromycin 250 MG Oral Tablet", ["macrolide"])]:
            self.put(f"/v1/items/rxnorm:{code}", {
                "kind": "drug", "name": name, "attributes": {"codes": [f"{RXNORM}|{code}"], "treats": ["sinusitis"]},
                "contraindications": {"allergies": allergens}})
        self.put("/v1/items/walk", {"kind": "advice", "name": "Walk half an hour a day"})
        for number in range(8):
            self.put(f"/v1/users/other{number}", {"profile": {"birth_year": 1950 + number, "conditions": ["sinusitis"]}})
        self.put("/v1/users/ann", {"profile": {}})
        events = [{"user_id": f"other{number}", "item_id": "walk", "time": "2026-01-01"} for number in range(8)]
        status, answer = self.ask("POST", "/v1/interactions", events)
        assert status == 200, answer

    def feedback(self, word):
        """The latest decision whose cards somebody has said this of."""
        for _ in range(200):
            for row in self.ask("GET", "/v1/audit?user=ann&limit=50")[1]["rows"]:
                whole = self.ask("GET", f"/v1/audit/{row['number']}")[1]
                if any(one["outcome"].startswith(word) for one in whole["feedback"]):
                    return whole
            time.sleep(0.1)
        raise AssertionError(f"nothing was {word}")


class Sandbox:
    def __init__(self, pages, fhir, services, folder):
        self.browser = start(1500, 1300)
        self.wait = WebDriverWait(self.browser, 60)
        self.pages, self.folder = pages, folder
        self.fixed = {"fhirServiceUrl": fhir, "patientId": "ann", "serviceDiscoveryURL": services}

    def open(self, screen, hook):
        # What an earlier page has kept would be shown in the place of what the address says.
        self.browser.get(f"{self.pages}/index.html")
        self.browser.execute_script("localStorage.clear()")
        self.browser.get(f"{self.pages}/index.html?" + urllib.parse.urlencode({**self.fixed, "screen": screen, "hook": hook}))
        self.until("Ann Example")

    def text(self):
        return self.browser.find_element(By.TAG_NAME, "body").text

    def until(self, words, there=True):
        self.wait.until(lambda _: (words in self.text()) == there, f"{words!r} {'is not' if there else 'stays'} on the page: {self.text()[:2000]}")

    def click(self, path):
        element = self.wait.until(lambda b: next(iter(b.find_elements(By.XPATH, path)), None), path)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", element)

    def press(self, words):
        self.click(f"//button[contains(., {json.dumps(words)})]")

    def choose(self, drug):
        """Words in the field, and the drug from the list. The field forgets letters that are typed one after another."""
        field = self.wait.until(lambda b: next(iter(b.find_elements(By.NAME, "medication-input")), None), "no field")
        self.browser.execute_script(
            "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(arguments[0], arguments[1]);"
            "arguments[0].dispatchEvent(new Event('input', {bubbles: true}))", field, drug)
        self.click(f"//*[@role='button' and normalize-space(.)={json.dumps(drug)}]")

    def shot(self, name):
        if self.folder:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            self.browser.save_screenshot(f"{self.folder}/{name}.png")


def check(medserve, sandbox):
    # A record is opened: one card of what suits.
    sandbox.open("patient-view", "patient-view")
    sandbox.until("May suit this person")
    sandbox.until("Walk half an hour a day")
    sandbox.shot("patient-view")
    # A drug is selected.
    sandbox.open("rx-view", "order-select")
    # An order without a drug yet: nothing is said against it.
    sandbox.until("No recommendations to display")
    sandbox.until("Could not get a response", False)
    sandbox.choose(ORDERED)
    sandbox.until("allergy: Allergy to penicillin")
    sandbox.shot("order-select")
    # It is signed: the card again, with what could be ordered instead, which is taken.
    sandbox.open("rx-sign", "order-sign")
    sandbox.choose(ORDERED)
    sandbox.press("Sign Order")
    sandbox.until("allergy: Allergy to penicillin")
    sandbox.shot("order-sign")
    sandbox.press("Azithromycin 250 MG Oral Tablet instead of")
    whole = medserve.feedback("accepted")
    evidence = whole["evidence"]["cards"]
    assert [card["indicator"] for card in evidence] == ["critical"] and "allergy" in evidence[0]["rules"], whole
    assert re.fullmatch(r"(token:)?.+", whole["feedback"][0]["caller"]), whole
    happened = medserve.ask("GET", "/v1/users/ann/interactions")[1]["interactions"]
    assert [(one["event"], one["item_id"]) for one in happened] == [("accepted", f"rxnorm:{AZITHROMYCIN}")], happened
    # What is ordered now has nothing against it: silence.
    sandbox.press("Sign Order")
    sandbox.until("allergy: Allergy to penicillin", False)
    sandbox.shot("silence")
    # Another time the card is overridden, with a reason.
    sandbox.open("rx-sign", "order-sign")
    sandbox.choose(ORDERED)
    sandbox.press("Sign Order")
    sandbox.until("allergy: Allergy to penicillin")
    sandbox.click("//button[@aria-label='select dismiss reason']")
    sandbox.click("//li[contains(., 'Override: The benefit outweighs the risk')]")
    sandbox.until("No recommendations to display")
    whole = medserve.feedback("overridden")
    assert whole["feedback"][0]["outcome"].endswith(" benefit-outweighs-risk"), whole
    # The record was fetched by the browser alone, and no page of the sandbox found fault with the answers.
    assert Fhir.asked and all("Mozilla" in agent for _, agent in Fhir.asked), Fhir.asked
    assert {path for path, _ in Fhir.asked} >= {"AllergyIntolerance", "Condition", "MedicationRequest", "MedicationStatement"}
    severe = [line["message"] for line in sandbox.browser.get_log("browser") if line["level"] == "SEVERE"]
    ours = [line for line in severe if medserve.url in line]
    assert not ours, ours


def main():
    program, build, work = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3])
    (work / "models").mkdir(exist_ok=True)
    pages = serve(functools.partial(Quiet, directory=build))
    fhir = serve(Fhir) + "/fhir"
    medserve = Medserve(program, build, work, pages)
    sandbox = None
    try:
        medserve.fill()
        sandbox = Sandbox(pages, fhir, f"{medserve.url}/cds-services", sys.argv[4] if len(sys.argv) > 4 else "")
        check(medserve, sandbox)
        print(f"the sandbox of CDS Hooks: {len(Fhir.asked)} requests for the record, cards shown, taken and overridden")
    except BaseException:
        print((work / "log").read_text()[-3000:], file=sys.stderr)
        if sandbox:
            sandbox.shot("failed")
            print(sandbox.browser.get_log("browser")[-10:], file=sys.stderr)
        raise
    finally:
        if sandbox:
            sandbox.browser.quit()
        medserve.process.terminate()
        medserve.process.wait()


main()
