"""People, drugs, notes and requests as hospitals' software really sends them."""

import datetime
import gzip
import socket
import subprocess

PERSON = {"birth_year": 1970, "sex": "male", "pregnant": False, "conditions": [], "medications": [], "allergies": []}
PENICILLINS = ("amoxicillin", "amoxicillin-clavulanate", "flucloxacillin")
VITALS = {"age": 50, "sex": "male", "arrival": "private vehicle", "injury": "no", "mental": "alert", "pain": "no",
          "sbp": 120, "dbp": 78, "heart_rate": 75, "respiratory_rate": 16, "temperature_c": 36.6, "spo2": 98}

# What is recorded of a person, and the drugs that must not be offered then: an exclusion or an abstention is right.
NEVER_OFFERED = {
    "01 allergy by a drug's name": [
        ({"allergies": ["aspirin"]}, ("aspirin", "ibuprofen", "naproxen", "diclofenac")),
        ({"allergies": ["amoxicillin"]}, PENICILLINS),
    ],
    "02 allergy and medication in other words": [
        ({"allergies": ["Penicillins"]}, PENICILLINS),
        ({"allergies": ["PCN"]}, PENICILLINS),
        ({"medications": ["warfarin sodium"]}, ("aspirin", "ibuprofen")),
        ({"medications": ["Coumadin"]}, ("aspirin", "ibuprofen")),
        ({"allergies": None}, ("amoxicillin", "aspirin", "paracetamol")),
    ],
    "13 codes, salts and combinations": [
        ({"allergies": ["unknown"], "medications": ["unknown"]}, ("amoxicillin", "warfarin", "ibuprofen")),
        ({"conditions": ["CKD stage 4"]}, ("metformin", "ibuprofen", "methotrexate")),
        ({"medications": ["sacubitril/valsartan"]}, ("valsartan", "losartan")),
        ({"allergies": ["valsartan"]}, ("sacubitril-valsartan",)),
        ({"medications": ["metoprolol succinate"]}, ("verapamil", "diltiazem")),
        ({"allergies": ["Paracetamol & Amidopyrine"], "medications": ["Warfarin Sodium Oral Tablet (1 MG)"]},
         ("paracetamol", "ibuprofen", "aspirin")),
    ],
}
# Taken, and what must not be offered beside it without a word: excluded, or told in a flag.
PAIRS = {
    "lisinopril": "losartan valsartan",
    "aspirin": "ibuprofen naproxen sertraline",
    "warfarin": "sertraline fluoxetine citalopram itraconazole carbamazepine",
    "amiodarone": "ciprofloxacin levofloxacin clarithromycin erythromycin escitalopram ondansetron",
    "citalopram": "clarithromycin erythromycin fluconazole venlafaxine omeprazole",
    "carbamazepine": "clarithromycin erythromycin itraconazole warfarin",
    "tramadol": "bupropion amitriptyline mirtazapine",
    "sertraline": "venlafaxine mirtazapine warfarin aspirin",
    "simvastatin": "fluconazole colchicine",
    "quetiapine": "citalopram amiodarone ondansetron",
    "sildenafil": "clarithromycin itraconazole",
    "lithium": "spironolactone sacubitril-valsartan",
}


def cases(_):
    for name, people in NEVER_OFFERED.items():
        yield f"http/{name}", lambda server, people=people: never_offered(server, people)
    yield "http/15 well-known pairs", pairs
    for name, check in [
        ("03 members twice", duplicates), ("04 arrays for objects", arrays), ("05 a lost update", lost_update),
        ("06 vitals that threaten life", vitals), ("07 words never seen, and denials", words),
        ("08 departments and emergencies", departments), ("09 digits as a time", digits), ("10 gzip", compressed),
        ("11 the sex of a person, and pairs", sex_and_pairs), ("16 small ones", small),
    ]:
        yield f"http/{name}", check


def offered(server, profile, user="case"):
    """Drugs that are offered to a person of this profile, and the answer whole."""
    profile = {name: value for name, value in {**PERSON, **profile}.items() if value is not None}
    answer = server.put(f"/v1/users/{user}", {"profile": profile})
    if answer.status >= 300:
        raise AssertionError(f"PUT of {profile}: {answer.status} {answer.body[:200]}")
    answer = server.get(f"/v1/users/{user}/recommendations?kind=drug&limit=1000").json
    server.request("DELETE", f"/v1/users/{user}")
    return [item["item_id"] for item in answer["items"]], answer


def never_offered(server, people):
    for profile, drugs in people:
        found, _ = offered(server, profile)
        if wrong := [drug for drug in drugs if drug in found]:
            yield f"{profile}: {', '.join(wrong)} offered"


def pairs(server):
    for taken, drugs in PAIRS.items():
        found, answer = offered(server, {"birth_year": 1960, "medications": [taken]})
        told = str(answer.get("flags")) + "".join(str(item) for item in answer["items"] if item.get("cautions"))
        if wrong := [drug for drug in drugs.split() if drug in found and drug not in told]:
            yield f"beside {taken}: {', '.join(wrong)} offered without a word"


def duplicates(server):
    answer = server.put("/v1/users/case", '{"profile":{"allergies":["penicillin"],"medications":[],"allergies":[]}}')
    if not answer.refused():
        yield f"a profile with allergies twice: {answer.status}"
    answer = server.post("/v1/notes/classify", '{"model":"triage","records":[{"note":"chest pain",'
                         '"fields":{"sbp":60,"sbp":120,"spo2":60,"spo2":99}}]}')
    if not answer.refused():
        yield f"a record with sbp twice: {answer.status}"
    file = server.work / "people.jsonl"
    file.write_text('{"user_id":"a","profile":{"allergies":["penicillin"],"allergies":[]}}\n')
    imported = subprocess.run([server.program, "import", "users", file, "--database-url",
                               f"sqlite://{server.work / 'import.db'}"], capture_output=True, text=True, timeout=60)
    if imported.returncode == 0:
        yield "a line of a file with allergies twice is imported"


def arrays(server):
    server.put("/v1/users/case", {"profile": {"allergies": ["penicillin"], "medications": ["warfarin"]}})
    for body in ([], [1960, "male", [], [], [], False, [], None, None]):
        answer = server.put("/v1/users/case", body)
        if not answer.refused():
            yield f"PUT of {body}: {answer.status}"
    if server.get("/v1/users/case").json["profile"].get("allergies") != ["penicillin"]:
        yield "the profile is lost"
    answer = server.post("/v1/interactions", [["case", "metformin", "prescription", 1, "2026-01-01"]])
    if not answer.refused():
        yield f"an interaction as an array: {answer.status}"
    server.request("DELETE", "/v1/users/case")


def lost_update(server):
    server.put("/v1/users/case", {"profile": {"allergies": [], "medications": []}})
    read = server.get("/v1/users/case").headers.get("etag")
    if not read:
        yield "no ETag"
    server.put("/v1/users/case", {"profile": {"allergies": ["penicillin"], "medications": []}})
    late = {"profile": {"allergies": [], "medications": ["metformin"]}}
    for tag in ('"stale"', read or '"older"'):
        answer = server.put("/v1/users/case", late, if_match=tag)
        if answer.status != 412:
            yield f"If-Match of an older state: {answer.status}, right is 412"
    answer = server.put("/v1/users/case", {"profile": {}}, if_none_match="*")
    if answer.status != 412:
        yield f"If-None-Match: * where there is one: {answer.status}, right is 412"
    answer = server.get("/v1/users/case")
    if answer.json["profile"].get("allergies") != ["penicillin"]:
        yield "the allergy is lost"
    tag = answer.headers.get("etag")
    if tag and server.put("/v1/users/case", late, if_match=tag).status >= 300:
        yield "If-Match of the present state is refused"
    server.request("DELETE", "/v1/users/case")


def vitals(server):
    records = [
        ("fever", {"mental": "unresponsive"}),
        ("dyspnea", {"spo2": 50}),
        ("general weakness", {"sbp": 50, "dbp": 30}),
        ("general weakness", {"respiratory_rate": 4}),
        ("fever", {"heart_rate": 20, "temperature_c": 28}),
        ("anaphylaxis after bee sting, stridor, facial swelling, wheezing",
         {"age": 30, "sex": "female", "arrival": "public ambulance", "sbp": 75, "dbp": 40, "heart_rate": 140,
          "respiratory_rate": 32, "temperature_c": 36.8, "spo2": 86}),
        ("hypoglycemia, glucose 20, unresponsive",
         {"age": 60, "arrival": "public ambulance", "mental": "unresponsive", "sbp": 130, "dbp": 80,
          "heart_rate": 100, "temperature_c": 36.0, "spo2": 97}),
    ]
    results = server.notes("triage", *({"note": note, "fields": {**VITALS, **fields}} for note, fields in records))
    for (note, fields), result in zip(records, results):
        if result["label"] not in ("1", "2"):
            yield f"{note!r} with {fields}: {result['label']}"


def words(server):
    emergencies = [
        "anaphylaxis after bee sting, stridor, facial swelling, wheezing", "burn 50% of body, inhalation injury, hoarse voice",
        "septic shock, fever, confusion, BP 70/40", "cardiac arrest, CPR in progress",
        "opioid overdose, respiratory rate 4, pinpoint pupils",
    ]
    unknown, infarct, pain, denial, *results = server.notes(
        "triage", *({"note": note} for note in ["x", "myocardial infarction", "chest pain", "denies chest pain", *emergencies]))
    if unknown["label"] is not None:
        yield f"'x': {unknown['label']}, right is an abstention"
    if infarct["label"] not in (None, "1", "2"):
        yield f"'myocardial infarction': {infarct['label']}"
    if denial.get("red_flags"):
        yield f"'denies chest pain' has red flags: {denial['red_flags']}"
    if pain["label"] is None:
        yield "'chest pain': abstained"
    for note, result in zip(emergencies, results):
        if result["label"] not in ("1", "2"):
            yield f"{note!r}: {result['label']}"


def departments(server):
    # An emergency is told as one, or nothing is answered; what belongs to none of the six is not answered.
    emergencies = ["胸口压榨样疼痛放射到左臂，出汗，持续半小时", "抑郁想自杀怎么办", "喝农药了怎么办"]
    others = ["前列腺炎尿频尿急", "狗咬伤要打狂犬疫苗吗"]
    own = {"甲亢吃甲巯咪唑后白细胞低怎么办？": "内分泌科", "偏头痛发作恶心呕吐怎么办": "神经科"}
    notes = [*emergencies, *others, *own]
    for note, result in zip(notes, server.notes("department-zh", *({"note": note} for note in notes))):
        label, flags = result["label"], result.get("red_flags")
        if note in emergencies and label is not None and not flags:
            yield f"{note}: {label} without a red flag"
        if note in others and label is not None:
            yield f"{note}: {label}, right is an abstention"
        if note in own and label not in (None, own[note]):
            yield f"{note}: {label}, right is {own[note]} or an abstention"


def digits(server):
    server.put("/v1/users/case", {"profile": {}})
    for moment in ("1700000000", 1700000000):
        server.post("/v1/interactions", [{"user_id": "case", "item_id": "metformin", "time": moment}])
        answer = server.get("/v1/users/case/interactions").json
        times = [each["time"] for each in answer.get("interactions", answer)]
        if len(times) != 1 or not times[0].startswith("2023-11-14T22:13:20"):
            yield f"{moment!r} means {times}, right is 2023-11-14T22:13:20"
        server.request("DELETE", "/v1/users/case/interactions")
    server.request("DELETE", "/v1/users/case")


def compressed(server):
    bodies = {
        "/v1/notes/classify": b'{"model":"triage","records":[{"note":"chest pain"}]}',
        "/v2/models/triage/infer": b'{"inputs":[{"name":"note","shape":[1],"datatype":"BYTES","data":["chest pain"]}]}',
    }
    statuses = {path: server.post(path, gzip.compress(body), content_encoding="gzip").status for path, body in bodies.items()}
    if set(statuses.values()) not in ({200}, {415}):
        yield f"{statuses}, right is 415 or 200 on both"


def sex_and_pairs(server):
    for user, drugs in {"u1002": ("ethinylestradiol-levonorgestrel",), "u247": ("ethinylestradiol-levonorgestrel",),
                        "u1": ("losartan", "valsartan")}.items():
        items = server.get(f"/v1/users/{user}/recommendations?kind=drug&limit=1000").json["items"]
        if wrong := [item["item_id"] for item in items if item["item_id"] in drugs]:
            yield f"{user}: {', '.join(wrong)} offered"


def small(server):
    count = len(server.get("/v1/items?kind=advice&limit=1000").json["items"])
    if server.get(f"/v1/items?kind=advice&limit={count}").json.get("next") is not None:
        yield "a last page that is exactly full names a next one"
    if (status := server.get("/v1/items?after=%ff").status) != 400:
        yield f"a query that is not UTF-8: {status}, right is 400"
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\n\r\n")
        line = connection.recv(64).split(b"\r\n")[0]
    if b" 400" not in line:
        yield f"HTTP/1.1 without Host: {line.decode()}, right is 400"
    parameters = server.get("/openapi.json").json["paths"]["/v1/users/{user_id}/recommendations"]["get"]["parameters"]
    for parameter in parameters:
        if parameter["name"] in ("kind", "similarity") and "enum" not in str(parameter) and "$ref" not in str(parameter):
            yield f"the contract does not list the values of {parameter['name']}"
    # Where the day begins first, 14 hours before it does in Greenwich, today may already be the next date.
    date = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=14)).date().isoformat()
    server.put("/v1/users/case", {"profile": {}})
    status = server.post("/v1/interactions", [{"user_id": "case", "item_id": "metformin", "time": date}]).status
    if status >= 300:
        yield f"the local date {date} is refused with {status}"
    server.request("DELETE", "/v1/users/case")
