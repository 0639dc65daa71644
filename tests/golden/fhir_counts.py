"""Counts what follows from FHIR R4 Bundles, independently of the server, and holds a database against it.

Usage: fhir_counts.py FOLDER            prints the counts
       fhir_counts.py FOLDER DATABASE   compares them with a SQLite database after
                                        `medserve import fhir FOLDER --database-url sqlite://DATABASE`

It knows the Bundles that Synthea writes: one person a file, references within the file or by identifier. It is
written from the description in docs/fhir.md alone and shares nothing with the program.
"""

import collections
import datetime
import glob
import json
import os
import sqlite3
import sys

READ = {
    "Patient", "AllergyIntolerance", "Condition", "Medication", "MedicationRequest", "MedicationStatement",
    "MedicationDispense", "Encounter", "Immunization", "Location", "Organization", "Practitioner",
    "PractitionerRole", "ServiceRequest",
}
DRUG_SYSTEMS = [
    ("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("snomed", "http://snomed.info/sct"),
    ("atc", "http://www.whocc.no/atc"),
    ("ndc", "http://hl7.org/fhir/sid/ndc"),
    ("cvx", "http://hl7.org/fhir/sid/cvx"),
]
NO_ALLERGY = {"716186003", "409137002"}


def millis(text):
    if len(text) == 10:
        text += "T00:00:00+00:00"
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(round(moment.timestamp() * 1000))


def words(concept):
    displays = [c["display"] for c in concept.get("coding", []) if c.get("display")]
    return (concept.get("text") or (displays or [None])[0]).strip()


def drug(concept):
    for word, system in DRUG_SYSTEMS:
        for coding in concept.get("coding", []):
            if coding.get("system") == system and coding.get("code"):
                return f"{word}:{coding['code']}"
    raise SystemExit(f"a drug of a system this script does not know: {concept}")


def code(concept):
    return {c.get("code") for c in (concept or {}).get("coding", [])}


def count(folder):
    files = sorted(glob.glob(os.path.join(folder, "*.json")))
    bundles = [json.load(open(file, encoding="utf-8")) for file in files]
    kinds, not_read = collections.Counter(), collections.Counter()
    people, items, interactions, places = {}, {}, set(), {}
    # Items first: a file may refer to another's by identifier.
    for bundle in bundles:
        for entry in bundle["entry"]:
            resource = entry["resource"]
            kind = resource["resourceType"]
            kinds[kind] += 1
            if kind not in READ:
                not_read[kind] += 1
            if kind in ("Organization", "Practitioner"):
                name = f"{kind}/{resource['id']}"
                pharmacy = "pharm" in json.dumps(resource.get("type", "")).lower()
                pharmacy |= kind == "Organization" and "pharmacy" in resource.get("name", "").lower()
                items[name] = "doctor" if kind == "Practitioner" else "pharmacy" if pharmacy else "hospital"
                for identifier in resource.get("identifier", []):
                    places[f"{kind}?identifier={identifier.get('system')}|{identifier.get('value')}"] = name
    for bundle in bundles:
        here = {}
        for entry in bundle["entry"]:
            resource = entry["resource"]
            here[entry.get("fullUrl")] = resource
            here[f"{resource['resourceType']}/{resource['id']}"] = resource

        def target(reference):
            written = reference["reference"]
            if written in here:
                return f"{here[written]['resourceType']}/{here[written]['id']}"
            return places.get(written)

        def person(reference):
            return target(reference).split("/")[1]

        for entry in bundle["entry"]:
            resource = entry["resource"]
            kind = resource["resourceType"]
            if kind == "Patient":
                people[resource["id"]] = {
                    "birth_year": int(resource["birthDate"][:4]), "sex": resource["gender"],
                    "allergies": None, "conditions": None, "medications": None,
                }
        for entry in bundle["entry"]:
            resource = entry["resource"]
            kind = resource["resourceType"]

            def happened(user, item, event, text):
                interactions.add((user, item, event, millis(text)))

            def has(user, which, text):
                people[user][which] = sorted(set(people[user][which] or []) | {text})

            if kind == "AllergyIntolerance":
                user = person(resource["patient"])
                if code(resource.get("verificationStatus")) & {"refuted", "entered-in-error"}:
                    continue
                if code(resource.get("clinicalStatus")) & {"inactive", "resolved"}:
                    continue
                if code(resource["code"]) & NO_ALLERGY:
                    people[user]["allergies"] = people[user]["allergies"] or []
                    continue
                has(user, "allergies", words(resource["code"]))
            elif kind == "Condition":
                if code(resource.get("verificationStatus")) & {"refuted", "entered-in-error", "differential"}:
                    continue
                if not code(resource.get("clinicalStatus")) & {"inactive", "resolved"}:
                    has(person(resource["subject"]), "conditions", words(resource["code"]))
            elif kind == "MedicationRequest":
                concept = resource.get("medicationCodeableConcept")
                if concept is None:
                    concept = here[resource["medicationReference"]["reference"]]["code"]
                user, item = person(resource["subject"]), drug(concept)
                items[item] = "drug"
                happened(user, item, "prescription", resource["authoredOn"])
                if resource["status"] in ("active", "on-hold", "unknown"):
                    has(user, "medications", words(concept))
            elif kind == "Immunization" and resource["status"] == "completed":
                item = drug(resource["vaccineCode"])
                items[item] = "drug"
                happened(person(resource["patient"]), item, "immunization", resource["occurrenceDateTime"])
            elif kind == "Encounter" and resource["status"] not in ("planned", "cancelled", "entered-in-error"):
                user = person(resource["subject"])
                whom = [p["individual"] for p in resource.get("participant", []) if "individual" in p]
                whom += [resource["serviceProvider"]] if "serviceProvider" in resource else []
                for reference in whom:
                    item = target(reference)
                    if item:
                        happened(user, item, "visit", resource["period"]["start"])
    return kinds, not_read, people, items, interactions


def main():
    kinds, not_read, people, items, interactions = count(sys.argv[1])
    by_event = collections.Counter(event for _, _, event, _ in interactions)
    summary = {
        "resources": sum(kinds.values()), "not_read": dict(sorted(not_read.items())), "people": len(people),
        "items": dict(sorted(collections.Counter(items.values()).items())), "all_items": len(items),
        "interactions": len(interactions), "by_event": dict(sorted(by_event.items())),
    }
    print(json.dumps(summary, indent=1))
    if len(sys.argv) < 3:
        return
    database = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
    wrong = 0

    def compare(what, theirs, ours):
        nonlocal wrong
        if theirs != ours:
            wrong += 1
            print(f"{what}: the database has {len(ours)}, of which {len(ours - theirs)} are not expected and "
                  f"{len(theirs - ours)} are missing", file=sys.stderr)

    compare("items", set(items.items()), set(database.execute("SELECT id, kind FROM items")))
    table = "SELECT user_id, item_id, event, occurred_at FROM interactions"
    compare("interactions", interactions, set(database.execute(table)))
    flat, stored = set(), set()
    for user, known in people.items():
        for name, value in known.items():
            flat.add((user, name, json.dumps(value)))
    for user, text in database.execute("SELECT id, profile FROM users"):
        profile = json.loads(text)
        for name in ("birth_year", "sex", "allergies", "conditions", "medications"):
            value = profile.get(name)
            stored.add((user, name, json.dumps(sorted(value) if isinstance(value, list) else value)))
    compare("what is known of people", flat, stored)
    if wrong:
        raise SystemExit(1)
    print("the database holds the same")


main()
