"""Drugs with rules, for `train evaluate-recommender --rules`: those of the demonstration's tables that a file of
prescriptions names, under its own names.

    python benches/drug_rules.py medications.csv RXDDRUG > rules.jsonl

The rules are those of src/store/demo (drugs.csv, interactions.csv: public labels, cut short; for measuring, not for
treating). A drug of the file that the tables do not have stays known by its name alone.
"""
import csv
import json
import sys
from pathlib import Path

TABLES = Path(__file__).parent.parent / "src/store/demo"


def parts(text):
    return [part for part in text.split(";") if part]


def main(file, column):
    with open(file, encoding="latin-1", newline="") as opened:
        named = {row[column].lower(): row[column] for row in csv.DictReader(opened)}
    with open(TABLES / "interactions.csv", newline="") as opened:
        pairs = list(csv.DictReader(opened))
    with open(TABLES / "drugs.csv", newline="") as opened:
        drugs = list(csv.DictReader(opened))
    for drug in drugs:
        if drug["name"].lower() not in named:
            continue
        rules = [
            {"about": "medication", "code": pair["second"], "severity": pair["severity"], "note": pair["note"],
             "source": pair["source"]}
            for pair in pairs
            if {drug["name"], drug["class"]} & set(parts(pair["first"]))
        ]
        against = {
            "therapeutic_class": drug["class"],
            "allergies": parts(drug["allergens"]),
            "conditions": parts(drug["contraindicated_in"]),
            "interacts_with": parts(drug["interacts_with"]),
            "rules": rules,
        }
        item = named[drug["name"].lower()]
        print(json.dumps({"item_id": item, "kind": "drug", "name": item, "contraindications": against}))


if __name__ == "__main__":
    main(*sys.argv[1:])
