"""Inputs that take memory or time from what they declare. Each is refused early, by its own limit."""

import time

from case_images import DICOM, REFUSAL_MEMORY, REFUSAL_TIME

# What a body of some megabytes may hold beyond itself while it is read (MB), and for how long (s).
BODY_MEMORY, BODY_TIME = 512, 10.0


def cases(folder):
    for file in sorted((folder / "security/jp2").glob("*.dcm")):
        yield f"security/01 {file.name}", lambda server, file=file: bounded(
            server, REFUSAL_MEMORY, REFUSAL_TIME, lambda: server.classify(file.read_bytes(), DICOM))
    yield "security/09 a note that normalisation makes longer", lambda server: bounded(
        server, BODY_MEMORY, BODY_TIME, lambda: server.post(
            "/v1/notes/classify", '{"model":"triage","records":[{"note":"' + "\ufdfa" * 3_000_000 + '"}]}'))
    yield "security/10 millions of numbers", lambda server: bounded(
        server, BODY_MEMORY, BODY_TIME, lambda: server.post(
            "/v1/notes/classify", '{"model":"triage","records":[' + "0," * 8_000_000 + "0]}"))


def bounded(server, memory, seconds, send):
    before, start = server.forget_memory(), time.monotonic()
    try:
        answer = send()
        if not answer.refused():
            yield f"answered with {answer.status}, right is 4xx"
    except ConnectionError:
        # A body that is refused before it is read ends in a connection closed under it.
        pass
    passed, grown = time.monotonic() - start, server.memory() - before
    if passed > seconds:
        yield f"took {passed:.1f} s, right is at most {seconds:g}"
    if grown > memory:
        yield f"took {grown:.0f} MB, right is at most {memory}"
