"""Admissions made by hl7apy are taken, and their acknowledgements are sound by hl7apy; a result that comes is sound by it too.

Usage: hl7_messages.py HOST:PORT ADDRESS PEER_PORT IMAGE.dcm
"""

import json
import socket
import sys
import urllib.request

from hl7apy.core import Message
from hl7apy.parser import parse_message


def admission(event, version):
    structure = "ADT_A05" if event == "A31" else "ADT_A01"
    message = Message(structure, version=version)
    message.msh.msh_3, message.msh.msh_4, message.msh.msh_5 = "ADT", "WARD", "MEDSERVE"
    message.msh.msh_9 = f"ADT^{event}^{structure}"
    message.msh.msh_10, message.msh.msh_11 = f"{event}-{version}", "P"
    message.evn.evn_2 = "20260301093000"
    message.pid.pid_3 = f"{event}.{version}^^^H^MR"
    message.pid.pid_5 = "Doe^Jane"
    message.pid.pid_7, message.pid.pid_8 = "19540301", "F"
    message.pv1.pv1_2 = "I"
    message.al1.al1_1, message.al1.al1_2 = "1", "DA"
    message.al1.al1_3 = "7980^Penicillin G^RXNORM"
    return message


def exchange(stream, message):
    stream.sendall(message.to_mllp().encode())
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        more = stream.recv(4096)
        assert more, "the connection ended"
        answer += more
    return answer[1:-2].decode()


def receive(stream):
    message = b""
    while not message.endswith(b"\x1c\r"):
        more = stream.recv(4096)
        assert more, "the connection ended"
        message += more
    return message[1:-2].decode()


def acknowledgement(message, code):
    answer = Message("ACK", version="2.5.1")
    answer.msh.msh_3, answer.msh.msh_5, answer.msh.msh_9 = "EHR", "MEDSERVE", "ACK^R01^ACK"
    answer.msh.msh_10, answer.msh.msh_11 = "A1", "P"
    answer.msa.msa_1, answer.msa.msa_2 = code, message.msh.msh_10.value
    return answer


def results(address, port, image):
    """An image comes by STOW-RS, and its result goes to a peer that first cannot take it and then does."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(120)
        stored = urllib.request.Request(f"{address}/dicom-web/studies", open(image, "rb").read(),
                                        {"content-type": "application/dicom"})
        urllib.request.urlopen(stored).close()
        seen = []
        while len(seen) < 2:
            stream, _ = listener.accept()
            with stream:
                while len(seen) < 2:
                    message = parse_message(receive(stream), find_groups=True)
                    seen.append(message)
                    stream.sendall(acknowledgement(message, ["AR", "AA"][len(seen) - 1]).to_mllp().encode())
                    if len(seen) < 2:
                        break
    for message in seen:
        assert message.name == "ORU_R01" and message.validate(), message.value
        assert message.msh.msh_5.value == "EHR" and message.msh.msh_6.value == "H"
        result = message.oru_r01_patient_result
        pid = result.oru_r01_patient.pid
        assert pid.pid_3.pid_3_1.value == "p1" and pid.pid_5.pid_5_1.value == "Müller", pid.value
        order = result.oru_r01_order_observation
        assert order.obr.obr_18.value == "A7" and order.obr.obr_25.value == "P", order.obr.value
        assert order.obr.obr_3.value == message.msh.msh_10.value and order.obr.obr_22.value, order.obr.value
        finding = order.oru_r01_observation[0].obx
        assert finding.obx_3.obx_3_1.value == "121071" and finding.obx_11.value == "P", finding.value
        certainty = [one.obx for one in order.oru_r01_observation if one.obx.obx_2.value == "NM"]
        assert all(0 <= float(one.obx_5.value) <= 100 for one in certainty)
    assert seen[0].msh.msh_10.value == seen[1].msh.msh_10.value, "sent again it is the same message"


def main(hl7, address, peer, image):
    host, port = hl7.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as stream:
        for version in ["2.4", "2.5", "2.5.1"]:
            for event in ["A01", "A04", "A08", "A31"]:
                answer = parse_message(exchange(stream, admission(event, version)))
                assert answer.msa.msa_1.value == "AA", answer.value
                assert answer.msa.msa_2.value == f"{event}-{version}"
                answer.validate()
                with urllib.request.urlopen(f"{address}/v1/users/{event}.{version}") as found:
                    profile = json.load(found)["profile"]
                assert profile["allergies"] == ["Penicillin G"] and profile["birth_year"] == 1954, profile
        refused = admission("A01", "2.5.1")
        refused.pid.pid_3 = ""
        answer = parse_message(exchange(stream, refused))
        assert answer.msa.msa_1.value == "AE" and answer.err.err_3.err_3_1.value == "101", answer.value
    results(address, int(peer), image)
    print("12 admissions taken, one refused, every acknowledgement sound; a result sent twice and sound"
          " by hl7apy")


if __name__ == "__main__":
    main(*sys.argv[1:])
