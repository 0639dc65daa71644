"""How many images a second are taken by C-STORE, by a server and by Orthanc beside it: pynetdicom as the client, several
associations at a time, each with instances of its own.

Usage: dicom_store.py IMAGE.dcm COUNT ASSOCIATIONS TITLE@HOST:PORT...
"""

import statistics
import sys
import threading
import time

import pydicom
from pynetdicom import AE
from pydicom.uid import generate_uid


def send(title, host, port, datasets, times, statuses):
    ae = AE("BENCH")
    ae.add_requested_context(datasets[0].SOPClassUID, datasets[0].file_meta.TransferSyntaxUID)
    association = ae.associate(host, port, ae_title=title)
    assert association.is_established, f"{title} refused the association"
    for dataset in datasets:
        start = time.perf_counter()
        status = association.send_c_store(dataset)
        times.append(time.perf_counter() - start)
        statuses.append(getattr(status, "Status", None))
    association.release()


def main():
    image, count, associations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for peer in sys.argv[4:]:
        title, address = peer.split("@")
        host, port = address.rsplit(":", 1)
        groups = []
        for _ in range(associations):
            datasets = []
            for _ in range(count // associations):
                dataset = pydicom.dcmread(image)
                dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
                datasets.append(dataset)
            groups.append(datasets)
        times, statuses = [], []
        threads = [threading.Thread(target=send, args=(title, host, int(port), g, times, statuses)) for g in groups]
        start = time.perf_counter()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        took = time.perf_counter() - start
        wrong = sum(status != 0 for status in statuses)
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
        print(f"{title}: {len(times) / took:.1f} instances/s, p50 {1e3 * statistics.median(times):.1f} ms, "
              f"p99 {1e3 * p99:.1f} ms, {wrong} not taken")


if __name__ == "__main__":
    main()
