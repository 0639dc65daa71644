"""Calls every operation of the OpenAPI document with the client that was generated from it.

Usage: openapi.py URL TOKEN DOCUMENT PICTURE, with the generated package on the path.
"""

import importlib
import inspect
import json
import sys
import typing
from pathlib import Path

from medserve_client import AuthenticatedClient
from medserve_client.types import File

USER, ITEM, CASE = "ci person/1", "ci:item", "ci case/1"
TENSOR = {"name": "note", "shape": [1], "datatype": "BYTES", "data": ["chest pain"]}

BUNDLE = {"resourceType": "Bundle", "type": "batch", "entry": [
    {"resource": {"resourceType": "Patient", "id": "ci"}, "request": {"method": "PUT", "url": "Patient/ci"}}]}
ORDER = {"hook": "order-sign", "hookInstance": "ci", "context": {"patientId": "ci", "draftOrders": {
    "resourceType": "Bundle", "type": "collection"}}}
FEEDBACK = {"feedback": [{"card": "ci", "outcome": "overridden"}]}

# No shipped package has a report, so this is the answer.
UNSERVED = {"get_model_report": "404"}
# DICOMweb is multipart/related, which generated clients do not know; `.ci/dicom` speaks it.
ELSEWHERE = "/dicom-web/"

# In this order; each with its arguments and its body.
CALLS = [
    ("health_live", {}, None),
    ("health_startup", {}, None),
    ("health_ready", {}, None),
    ("get_metrics", {}, None),
    ("list_models", {}, None),
    ("get_model", {"name": "pneumonia"}, None),
    ("get_model_plot", {"name": "pneumonia", "plot": "roc.svg"}, None),
    ("get_model_card", {"name": "pneumonia"}, None),
    ("get_model_report", {"name": "pneumonia"}, None),
    ("get_model_drift", {"name": "triage"}, None),
    ("classify_images", {"model": "pneumonia", "top_k": 1}, "picture"),
    ("explain_image", {"model": "pneumonia"}, "picture"),
    ("segment_images", {}, "picture"),
    ("generate_images", {}, {"model": "blood-cells-generator", "label": "platelet", "count": 1, "seed": 7}),
    ("create_embeddings", {}, {"model": "medical-vectors", "input": ["chest pain"]}),
    ("extract_notes", {}, {"model": "biomedical-entities", "records": [{"note": "aspirin for headache"}]}),
    ("classify_notes", {}, {"model": "triage", "records": [{"note": "chest pain", "fields": {"age": 67}}]}),
    ("put_case", {"case_id": CASE}, {"text": "chest pain", "attributes": {"ward": "7"}}),
    ("get_case", {"case_id": CASE}, None),
    ("search_cases", {}, {"query": "pain of the chest", "limit": 1, "filter": {"ward": ["7", "8"]}}),
    ("delete_case", {"case_id": CASE}, None),
    ("put_item", {"item_id": ITEM}, {"item_id": ITEM, "kind": "advice", "name": "Drink water"}),
    ("get_item", {"item_id": ITEM}, None),
    ("list_items", {"kind": "advice", "limit": 2}, None),
    ("put_user", {"user_id": USER}, {"user_id": USER, "profile": {"birth_year": 1954, "allergies": [], "medications": []}}),
    ("get_user", {"user_id": USER}, None),
    ("put_interactions", {}, [{"user_id": USER, "item_id": ITEM, "time": "2026-03-01T09:30:00Z"}]),
    ("list_interactions", {"user_id": USER, "limit": 2}, None),
    ("get_recommendations", {"user_id": USER, "kind": "advice"}, None),
    ("list_neighbors", {"user_id": USER, "kind": "advice"}, None),
    ("get_fhir_metadata", {}, None),
    ("post_fhir_bundle", {}, BUNDLE),
    ("list_cds_services", {}, None),
    ("call_cds_service", {"id": "medserve-order-sign"}, ORDER),
    ("post_cds_feedback", {"id": "medserve-order-sign"}, FEEDBACK),
    ("delete_interactions", {"user_id": USER}, None),
    ("delete_user", {"user_id": USER}, None),
    ("delete_item", {"item_id": ITEM}, None),
    ("list_audit", {"limit": 2, "from_": "2026-03-01", "to": "9999-01-01"}, None),
    ("get_audit", {"number": 1}, None),
    ("oip_server_metadata", {}, None),
    ("oip_server_live", {}, None),
    ("oip_server_ready", {}, None),
    ("oip_model_metadata", {"name": "triage"}, None),
    ("oip_model_version_metadata", {"name": "triage", "version": "1"}, None),
    ("oip_model_ready", {"name": "triage"}, None),
    ("oip_model_version_ready", {"name": "triage", "version": "1"}, None),
    ("oip_infer", {"name": "triage"}, {"inputs": [TENSOR]}),
    ("oip_infer_version", {"name": "triage", "version": "1"}, {"inputs": [TENSOR]}),
    ("oip_repository_index", {}, {"ready": True}),
    ("oip_load_model", {"name": "triage"}, {"parameters": {"version": "1"}}),
    ("oip_unload_model", {"name": "triage"}, None),
]


def typed(kind, value):
    """The value as the client's own type for it: a model, an enumeration, or a list of these."""
    if typing.get_origin(kind) is list:
        return [typed(*typing.get_args(kind), one) for one in value]
    for part in typing.get_args(kind) or [kind]:
        if typing.get_origin(part) is list:
            return typed(part, value)
        if isinstance(value, dict) and hasattr(part, "from_dict"):
            return part.from_dict(value)
        if isinstance(value, str) and hasattr(part, "__members__"):
            return part(value)
    return value


def main():
    url, token, document, picture = sys.argv[1:]
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
    operations = {
        operation["operationId"]: operation
        for place, path in json.loads(Path(document).read_text())["paths"].items()
        if not place.startswith(ELSEWHERE)
        for operation in path.values()
    }
    missing = operations.keys() ^ {name for name, _, _ in CALLS}
    assert not missing, f"in the document or here alone: {sorted(missing)}"
    for name, arguments, body in CALLS:
        tag = operations[name]["tags"][0].replace(" ", "_")
        call = importlib.import_module(f"medserve_client.api.{tag}.{name}").sync_detailed
        kinds = {key: parameter.annotation for key, parameter in inspect.signature(call).parameters.items()}
        arguments = {key: typed(kinds[key], value) for key, value in arguments.items()}
        if body == "picture":
            arguments["body"] = File(payload=open(picture, "rb"), file_name="chest.png", mime_type="image/png")
        elif body is not None:
            arguments["body"] = typed(kinds["body"], body)
        response = call(client=client, **arguments)
        answers = (status for status in operations[name]["responses"] if status.startswith("2"))
        expected = UNSERVED.get(name) or next(answers)
        assert response.status_code == int(expected), f"{name}: {response.status_code} {response.content[:500]}"
        assert expected == "204" or response.parsed is not None, f"{name}: nothing was read of {response.content[:500]}"
        print(f"{name}: {int(response.status_code)}")


main()
