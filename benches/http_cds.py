"""CDS Hooks over HTTP: 32 connections call `medserve-order-sign` over the demonstration's region.

Each call brings its prefetch: a person with an allergy, three conditions and three drugs, who is ordered one of
ten drugs, of which some are stopped and some are not. Loaded with wrk (Debian's package) on loopback. Prints one
JSON line: throughput, p50 and p99, and how many cards the ten orders got.

    cargo build --release
    python benches/http_cds.py target/release/medserve [--seconds 20]
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from http_classify import DONE

DRUGS = ["Amoxicillin 500 MG Oral Capsule", "Ibuprofen 400 MG", "Paracetamol 500 MG", "lisinopril", "metformin",
         "Clarithromycin", "omeprazole", "Naproxen sodium 220 MG Oral Tablet", "sertraline", "amlodipine"]
SCRIPT = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local n = 0
wrk.headers["content-type"] = "application/json"
request = function()
  n = n + 1
  return wrk.format("POST", "/cds-services/medserve-order-sign", nil, bodies[n %% #bodies + 1])
end
""" + DONE


def concept(text):
    return {"text": text}


def drug(name, number, status):
    return {"resourceType": "MedicationRequest", "id": f"m{number}", "status": status, "intent": "order",
            "subject": {"reference": "Patient/p"}, "medicationCodeableConcept": concept(name)}


def found(resources):
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}


def body(name):
    subject = {"reference": "Patient/p"}
    allergy = {"resourceType": "AllergyIntolerance", "id": "a", "patient": subject, "code": concept("penicillin")}
    conditions = [{"resourceType": "Condition", "id": f"c{n}", "subject": subject, "code": concept(text)}
                  for n, text in enumerate(["hypertension", "type 2 diabetes", "osteoarthritis"])]
    taken = [drug(text, n, "active") for n, text in enumerate(["warfarin", "simvastatin", "losartan"])]
    return {"hook": "order-sign", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {"userId": "Practitioner/7", "patientId": "p", "draftOrders": found([drug(name, 9, "draft")])},
            "prefetch": {"patient": {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1950-01-01"},
                         "allergies": found([allergy]), "conditions": found(conditions), "medications": found(taken)}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines, script = os.path.join(folder, "bodies"), os.path.join(folder, "calls.lua")
        bodies = [json.dumps(body(name)) for name in DRUGS]
        open(lines, "w").write("\n".join(bodies))
        open(script, "w").write(SCRIPT % lines)
        server = subprocess.Popen([options.program, "serve", "--demo", "--listen", "127.0.0.1:0", "--database-url",
                                   f"sqlite://{folder}/cds.db"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  text=True)
        try:
            url = re.search(r"http://[0-9.:]+", server.stdout.readline()).group()
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health/ready").close()
                    break
                except urllib.error.HTTPError:
                    time.sleep(0.05)
            cards = 0
            for text in bodies:
                call = urllib.request.Request(f"{url}/cds-services/medserve-order-sign", text.encode(),
                                              {"content-type": "application/json"})
                cards += len(json.load(urllib.request.urlopen(call))["cards"])
            said = subprocess.run(["wrk", "-t1", "-c32", f"-d{options.seconds}s", "-s", script, url],
                                  capture_output=True, text=True, check=True).stdout
            requests, micros, p50, p99, errors = map(float, re.search(r"RESULT (.*)", said).group(1).split())
            print(json.dumps({"orders": len(DRUGS), "cards": cards, "requests_per_s": round(requests / micros * 1e6),
                              "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "errors": int(errors)}))
        finally:
            server.terminate()
            server.wait()


main()
