"""Writes the seeds of messages, JSON bodies, imports and weights, fuzz/seeds/<target>/. Needs nothing but Python."""

import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile

ROOT = pathlib.Path(__file__).parent / "seeds"
SNOMED = "http://snomed.info/sct"


def put(target, name, content):
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def concept(code, words):
    return {"coding": [{"system": SNOMED, "code": code, "display": words}], "text": words}


ANN = {"reference": "Patient/ann"}
PATIENT = {"resourceType": "Patient", "id": "ann", "gender": "female", "birthDate": "1954-03-01",
           "identifier": [{"system": "urn:oid:1.2.3", "value": "77"}], "address": [{"extension": [{
               "url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": [
                   {"url": "latitude", "valueDecimal": 41.2}, {"url": "longitude", "valueDecimal": -95.9}]}]}]}
ALLERGY = {"resourceType": "AllergyIntolerance", "id": "a1", "patient": ANN, "code": concept("91936005", "Penicillin"),
           "verificationStatus": {"coding": [{"code": "confirmed"}]}, "clinicalStatus": {"coding": [{"code": "active"}]}}
CONDITION = {"resourceType": "Condition", "id": "c1", "subject": ANN, "code": concept("44054006", "Diabetes"),
             "onsetDateTime": "2019-05-01"}
MEDICATION = {"resourceType": "Medication", "id": "m1", "code": {"coding": [
    {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "6809", "display": "Metformin"}]}}
ORDER = {"resourceType": "MedicationRequest", "id": "o1", "status": "active", "intent": "order", "subject": ANN,
         "authoredOn": "2025-11-02T10:00:00+01:00", "medicationReference": {"reference": "Medication/m1"}}
TAKEN = {"resourceType": "MedicationStatement", "id": "s1", "status": "active", "subject": ANN,
         "medicationCodeableConcept": {"text": "Aspirin"}, "contained": [MEDICATION]}
VISIT = {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": ANN,
         "period": {"start": "2025-01-01"}, "serviceProvider": {"reference": "Organization/h1"},
         "participant": [{"individual": {"reference": "Practitioner/d1"}}]}
PLACES = [{"resourceType": "Organization", "id": "h1", "name": "Harbour Hospital"},
          {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Vale", "given": ["Ines"]}]},
          {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/d1"},
           "organization": {"reference": "Organization/h1"}, "specialty": [{"text": "Cardiology"}]}]
DISPENSED = {"resourceType": "MedicationDispense", "id": "p1", "status": "completed", "subject": ANN,
             "medicationCodeableConcept": {"text": "Aspirin"}, "whenHandedOver": "2025-01-03",
             "location": {"reference": "Location/l1"}}
ALL = [PATIENT, ALLERGY, CONDITION, MEDICATION, ORDER, TAKEN, VISIT, *PLACES, DISPENSED]


def entries(resources, method="PUT"):
    def entry(resource):
        kind, name = resource["resourceType"], resource["id"]
        return {"fullUrl": f"urn:uuid:{name}", "resource": resource,
                "request": {"method": method, "url": f"{kind}/{name}", "ifNoneExist": f"identifier={name}"}}
    return [entry(resource) for resource in resources]


def bundle(kind, resources):
    return {"resourceType": "Bundle", "type": kind, "entry": entries(resources)}


def fhir():
    file, request, lines, deleted = (bytes([way]) for way in range(4))
    dump = lambda value: json.dumps(value).encode()
    put("fhir", "collection", file + dump(bundle("collection", ALL)))
    put("fhir", "resource", file + dump(TAKEN))
    put("fhir", "transaction", request + dump(bundle("transaction", ALL)))
    put("fhir", "batch", request + dump(bundle("batch", [PATIENT, ALLERGY, VISIT])))
    put("fhir", "lines", lines + b"\n".join(map(dump, ALL)) + b"\n")
    gone = {"resourceType": "Bundle", "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": url}}
                      for url in ("Patient/ann", "Condition/c1", "AllergyIntolerance/a1", "Practitioner/d1")]}
    put("fhir", "deletions", deleted + dump(gone))


def cds():
    def call(name, hook, context, prefetch):
        sent = {"hook": hook, "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
                "context": {"userId": "Practitioner/7", "patientId": "ann", **context}, "prefetch": prefetch}
        put("cds", name, json.dumps(sent).encode())

    search = lambda *resources: {"resourceType": "Bundle", "type": "searchset", "total": len(resources),
                                 "entry": [{"resource": resource} for resource in resources]}
    prefetch = {"patient": PATIENT, "allergies": search(ALLERGY), "conditions": search(CONDITION),
                "medications": search(ORDER, MEDICATION), "statements": search(TAKEN)}
    draft = {**ORDER, "status": "draft", "id": "n1"}
    orders = {"draftOrders": {"resourceType": "Bundle", "type": "collection",
                              "entry": [{"resource": draft}, {"resource": MEDICATION}]}}
    call("sign", "order-sign", orders, prefetch)
    call("select", "order-select", {"selections": ["MedicationRequest/n1"], **orders}, prefetch)
    call("view", "patient-view", {}, {"allergies": None, "conditions": search(), "medications": search()})


def hl7():
    def message(event, *segments):
        header = f"MSH|^~\\&|ADT|WARD|MEDSERVE|H|20260301120000+0100||ADT^{event}|77|P|2.5.1||||||UNICODE UTF-8"
        return b"\x0b" + "\r".join([header, "EVN||20260301", *segments, ""]).encode() + b"\x1c\r"

    person = "PID|1||ann^^^H^MR~9^^^X||Test^Ann||19540301|F|||1 Harbour St^^Omaha||||||||||||||||||||||"
    admission = message("A01", person, "AL1|1|DA|7980^Penicillin^RXNORM|SV|rash\\T\\fever|2020",
                        "DG1|1||E11^Diabetes^I10|\\X48\\igh|20200101|A")
    put("hl7", "admission", admission)
    put("hl7", "two", message("A08", person) + message("A04", person, "AL1|1||^Latex"))
    put("hl7", "acknowledgement", b"MSH|^~\\&|A|B|C|D|20260301||ACK^A01^ACK|3|P|2.5.1\rMSA|AE|77\rERR||PID^1^3|102^^HL70357|E\r")


def pdu():
    def unit(kind, body):
        return struct.pack(">BxI", kind, len(body)) + body

    def item(kind, body):
        return struct.pack(">BxH", kind, len(body)) + body

    def command(*values):
        elements = b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in values)
        return struct.pack("<HHII", 0, 0, 4, len(elements)) + elements

    image = b"1.2.840.10008.5.1.4.1.1.1"
    proposed = bytes([1, 0, 0, 0]) + item(0x30, image) + item(0x40, b"1.2.840.10008.1.2") \
        + item(0x40, b"1.2.840.10008.1.2.4.70")
    user = item(0x51, struct.pack(">I", 1 << 18)) + item(0x52, b"1.2.3") + item(0x55, b"X")
    called = b"MEDSERVE".ljust(16) + b"PACS".ljust(16) + bytes(32)
    associate = struct.pack(">HH", 1, 0) + called + item(0x10, b"1.2.840.10008.3.1.1.1") \
        + item(0x20, proposed) + item(0x50, user)
    number = lambda value: struct.pack("<H", value)
    store = command((0x0002, image + b"\0"), (0x0100, number(1)), (0x0110, number(7)), (0x0700, number(0)),
                    (0x0800, number(1)), (0x1000, b"1.2.3.4\0"))
    echo = command((0x0002, b"1.2.840.10008.1.1\0"), (0x0100, number(0x30)), (0x0110, number(1)),
                   (0x0800, number(0x0101)))
    value = lambda control, part: struct.pack(">IBB", len(part) + 2, 1, control) + part
    put("pdu", "store", unit(1, associate) + unit(4, value(3, store)) + unit(4, value(0, b"ab") + value(2, b"cd"))
        + unit(5, bytes(4)))
    put("pdu", "answers", unit(2, associate.replace(b"\x20\0", b"\x21\0")) + unit(3, bytes([0, 1, 2, 3]))
        + unit(6, bytes(4)) + unit(7, bytes([0, 0, 2, 6])))
    put("pdu", "command", echo)


PERSON = {"user_id": "u1", "profile": {"birth_year": 1954, "sex": "female", "conditions": ["diabetes"],
          "allergies": [], "medications": ["metformin"], "pregnant": False, "lifestyle": ["smoker"], "latitude": 41.2,
          "longitude": -95.9, "recorded": {"conditions": {"diabetes": {"codes": [f"{SNOMED}|44054006"]}}}}}
THING = {"item_id": "drug:metformin", "kind": "drug", "name": "Metformin", "attributes": {"treats": ["diabetes"]},
         "latitude": 1, "longitude": 2, "hidden": False, "repeatable": True,
         "contraindications": {"conditions": ["renal failure"], "min_age": 10, "rules": []}}
CASE = {"case_id": "k1", "text": "Chest pain since this morning", "attributes": {"ward": "emergency", "age": 67}}
HAPPENED = {"user_id": "u1", "item_id": "drug:metformin", "event": "prescription", "weight": 1.5,
            "time": "2026-01-01T09:30:00Z"}


def bodies():
    feedback = {"feedback": [{"card": "x", "outcome": "accepted", "acceptedSuggestions": [{"id": "y"}],
                              "outcomeTimestamp": "2026-01-01T00:00:00Z"},
                             {"card": "z", "outcome": "overridden", "overrideReason": {
                                 "reason": {"code": "known", "system": "urn:x"}, "userComment": "as discussed"}}]}
    notes = {"model": "triage", "records": [{"note": "chest pain", "fields": {"age": 67}}], "top_k": 2}
    sent = [PERSON, PERSON["profile"], THING, [HAPPENED], CASE,
            {"query": "chest", "limit": 3, "filter": {"ward": ["emergency"]}}, notes,
            {"records": [{"note": "rash after amoxicillin"}]},
            {"model": "words", "input": ["one", "two"], "encoding_format": "base64", "dimensions": 4},
            {"label": "platelet", "count": 2, "seed": 7}, feedback, {"a": [1, 2.5e3, None, "\u00e9"], "b": {}}]
    for route, body in enumerate(sent):
        put("body", f"route-{route:02}", bytes([route]) + json.dumps(body).encode())


def imports():
    lines = lambda value: json.dumps(value).encode() + b"\n"
    another = {**PERSON, "user_id": "u2"}
    put("import", "users", b"\0" + lines(PERSON) + b"\n" + lines(another))
    put("import", "items", b"\1" + lines(THING))
    put("import", "cases", b"\2\xef\xbb\xbf" + lines(CASE))
    put("import", "interactions", b"\3" + b"user,item,weight,time\nu1,7,1.5,2026-01-01\nu2,,2,1700000000\nu1,99,1,\"2025-02-03T04:05:06Z\"\n")
    put("import", "terms", b"\4" + b"kind,name,synonyms,codes,ingredients,classes,cross_reactivity\n"
        b"drug,Augmentin,co-amoxiclav,RXNORM|7980,amoxicillin;clavulanate,penicillins,\n"
        b"class,penicillins,,,,,cephalosporins\n")


def weights():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage = storage

    def rebuild(*_):
        pass

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = "torch._utils", "_rebuild_tensor_v2", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})

    class Kept:
        def __init__(self, key, count):
            self.key, self.count = key, count

    class Tensor:
        def __init__(self, kept, shape, strides):
            self.parts = (kept, 0, shape, strides, False, collections.OrderedDict())

        def __reduce__(self):
            return rebuild, self.parts

    class Writer(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", storage, thing.key, "cpu", thing.count) if isinstance(thing, Kept) else None

    def dumped(value):
        buffer = io.BytesIO()
        Writer(buffer, 2).dump(value)
        return buffer.getvalue()

    tensors = collections.OrderedDict(weight=Tensor(Kept("0", 6), (2, 3), (3, 1)), bias=Tensor(Kept("1", 2), (2,), (1,)))
    numbers = {"0": struct.pack("<6f", *range(6)), "1": struct.pack("<2f", 0.5, -1)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        stamp = (2026, 1, 1, 0, 0, 0)
        archive.writestr(zipfile.ZipInfo("net/data.pkl", stamp), dumped({"state_dict": tensors, "epoch": 3}))
        for key, content in numbers.items():
            archive.writestr(zipfile.ZipInfo(f"net/data/{key}", stamp), content)
    put("weights", "archive.pth", buffer.getvalue())
    magic = pickle.dumps(0x1950a86a20f9469cfc6c, 2)
    kept = b"".join(struct.pack("<q", len(numbers[key]) // 4) + numbers[key] for key in ("0", "1"))
    system = pickle.dumps({"little_endian": True, "protocol_version": 1001}, 2)
    put("weights", "old.pth", magic + pickle.dumps(1001, 2) + system + dumped(tensors) + pickle.dumps(["0", "1"], 2) + kept)
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                         "bias": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]}}).encode()
    put("weights", "safetensors", struct.pack("<Q", len(header)) + header + numbers["0"] + bytes(4))


def tables():
    notes = b"note,label,age,sex,split\nchest pain,urgent,67,male,train\ncough,routine,,female,train\n" \
        b"\"fall, at home\",urgent,81,female,val\nrash,routine,9,male,test\n"
    put("table", "notes", b"\0" + notes)
    put("table", "lines", b"\1" + b'{"text": "chest pain"}\n\n{"text": "cough", "more": 1}\n')
    put("table", "vectors", b"\2" + b"2 3\npain 0.5 1 -2e-1\ncough 1 0 3\n")
    put("table", "bare-vectors", b"\2" + b"pain 0.5 1\ncough 1 0\n")


if __name__ == "__main__":
    fhir()
    cds()
    hl7()
    pdu()
    bodies()
    imports()
    weights()
    tables()
