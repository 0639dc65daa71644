"""Validates every kind of answer in FHIR with fhir.resources (R4B). Usage: fhir_answers.py ADDRESS CHEST.png"""

import importlib
import json
import sys
import time
import urllib.error
import urllib.request

ADDRESS, IMAGE = sys.argv[1], sys.argv[2]
seen = set()


def call(method, path, body=None, kind="application/json", accept="application/fhir+json"):
    headers = {"accept": accept, "content-type": kind}
    request = urllib.request.Request(ADDRESS + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def validate(resource):
    """The whole, and each resource within by its own model."""
    kind = resource["resourceType"]
    module = importlib.import_module(f"fhir.resources.R4B.{kind.lower()}")
    getattr(module, kind).model_validate(resource)
    seen.add(kind)
    for entry in resource.get("entry", []):
        if isinstance(entry, dict) and "resource" in entry:
            validate(entry["resource"])
        outcome = entry.get("response", {}).get("outcome") if isinstance(entry, dict) else None
        if outcome:
            validate(outcome)


def get(*arguments, status=200, **others):
    got, body = call(*arguments, **others)
    assert got == status, (arguments, got, body)
    validate(body)
    return body


for _ in range(600):
    if call("GET", "/health/ready", accept="*/*")[0] == 200:
        break
    time.sleep(0.1)
get("GET", "/fhir/R4/metadata")
with open(IMAGE, "rb") as file:
    get("POST", "/v1/images/classify?model=pneumonia", file.read(), "image/png")
notes = [{"note": "chest pain", "fields": {"age": 67, "sbp": 60}}, {"note": "qzx jjk vvq"}, {"note": "cut finger"}]
get("POST", "/v1/notes/classify", json.dumps({"model": "triage", "records": notes}).encode())
get("POST", "/v1/notes/classify", json.dumps({"model": "department-zh", "records": [{"note": "头痛"}]}).encode())
profiles = [
    {"birth_year": 1950, "sex": "male", "allergies": ["penicillin"], "medications": ["warfarin"],
     "conditions": ["hypertension"]},
    {},
]
for number, profile in enumerate(profiles):
    call("PUT", f"/v1/users/v{number}", json.dumps({"profile": profile}).encode(), accept="*/*")
    for kind in ("drug", "hospital", "advice"):
        get("GET", f"/v1/users/v{number}/recommendations?kind={kind}&limit=50")
for model in ("pneumonia", "triage", "department-zh"):
    get("GET", f"/v1/models/{model}/card.json")
patient = {"resource": {"resourceType": "Patient", "id": "x", "gender": "male"},
           "request": {"method": "PUT", "url": "Patient/x"}}
pulse = {"resource": {"resourceType": "Observation", "id": "o"}, "request": {"method": "PUT", "url": "Observation/o"}}
lost = {"resource": {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/nobody"},
                     "code": {"text": "gout"}}, "request": {"method": "PUT", "url": "Condition/c"}}
for kind, entries, status in [("batch", [patient, pulse, lost], 200), ("transaction", [patient, pulse], 200),
                              ("transaction", [], 200), ("transaction", [lost], 422), ("collection", [], 422)]:
    body = {"resourceType": "Bundle", "type": kind, "entry": entries}
    get("POST", "/fhir/R4", json.dumps(body).encode(), "application/fhir+json", status=status)
get("GET", "/fhir/R4/Patient/x", status=404)
wanted = {"Bundle", "CapabilityStatement", "Observation", "DiagnosticReport", "RiskAssessment", "DetectedIssue", "List",
          "Device", "Provenance", "DocumentReference", "OperationOutcome"}
assert wanted <= seen, wanted - seen
print("valid by fhir.resources (R4B):", ", ".join(sorted(seen)))
