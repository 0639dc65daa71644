"""How many images a second are taken by C-STORE or over HTTP, by a server and by Orthanc beside it: pynetdicom or plain
HTTP as the client, several associations or connections at a time, each with instances of its own.

Usage: dicom_store.py IMAGE.dcm COUNT ASSOCIATIONS TITLE@HOST:PORT|http://HOST:PORT/PATH...

An address of http is sent each file as application/dicom: medserve's is /dicom-web/studies (STOW-RS, which answers when the
model has), Orthanc's is /instances.
"""

import http.client
import io
import statistics
import sys
import threading
import time
from urllib.parse import urlsplit

import pydicom
from pynetdicom import AE
from pydicom.uid import generate_uid


def send(peer, datasets, times, wrong):
    title, address = peer.split("@")
    host, port = address.rsplit(":", 1)
    ae = AE("BENCH")
    ae.add_requested_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)
    association = ae.associate(host, int(port), ae_title=title)
    assert association.is_established, f"{title} refused the association"
    for dataset in datasets:
        start = time.perf_counter()
        status = association.send_c_store(dataset)
        times.append(time.perf_counter() - start)
        if getattr(status, "Status", None) != 0:
            wrong.append(status)
    association.release()


def post(peer, datasets, times, wrong):
    address = urlsplit(peer)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    files = []
    for dataset in datasets:
        file = io.BytesIO()
        dataset.save_as(file)
        files.append(file.getvalue())
    for file in files:
        start = time.perf_counter()
        connection.request("POST", address.path, file, {"content-type": "application/dicom"})
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - start)
        if answer.status != 200:
            wrong.append(answer.status)
    connection.close()


def main():
    image, count, associations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for peer in sys.argv[4:]:
        groups = []
        for _ in range(associations):
            datasets = []
            for _ in range(count // associations):
                dataset = pydicom.dcmread(image)
                dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
                datasets.append(dataset)
            groups.append(datasets)
        times, wrong = [], []
        way = post if peer.startswith("http") else send
        threads = [threading.Thread(target=way, args=(peer, group, times, wrong)) for group in groups]
        start = time.perf_counter()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        took = time.perf_counter() - start
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        print(f"{peer}: {len(times) / took:.1f} instances/s, p50 {1e3 * statistics.median(times):.1f} ms, "
              f"p99 {1e3 * p99:.1f} ms, {len(wrong)} not taken")


if __name__ == "__main__":
    main()
