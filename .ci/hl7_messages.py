"""Admissions made by hl7apy are taken, and their acknowledgements are sound by hl7apy.

Usage: hl7_messages.py HOST:PORT ADDRESS
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


def main(hl7, address):
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
    print("12 admissions taken, one refused, every acknowledgement sound")


if __name__ == "__main__":
    main(*sys.argv[1:])
