"""Looks at what was made of images with pydicom and highdicom, which know DICOM by themselves.

Usage: dicom_results.py files FOLDER IMAGES | stow ADDRESS IMAGE.dcm REFUSED.dcm | orthanc ADDRESS IMAGE.dcm
"""

import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

import highdicom
import pydicom


def until(what, found, seconds=90):
    end = time.time() + seconds
    while time.time() < end:
        if result := found():
            return result
        time.sleep(0.2)
    sys.exit(f"waited too long for {what}")


def look(dataset, source):
    """A result is of the image's patient and study, and says which model made it."""
    for name in ["StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "StudyDate"]:
        assert dataset[name].value == source[name].value, name
    assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
    assert dataset.Manufacturer == "medserve" and dataset.ManufacturerModelName == "pneumonia"
    assert source.SOPInstanceUID in str(dataset)
    if dataset.Modality == "SR":
        report = highdicom.sr.Comprehensive3DSR.from_dataset(dataset)
        groups = report.content.get_image_measurement_groups()
        assert len(groups) == 1, groups
        [group] = groups
        print("  finding:", group.finding_type.meaning if group.finding_type else "none",
              [(m.name.meaning, m.value) for m in group.get_measurements()])
        assert any("Algorithm Name" in str(item) for item in group[0].ContentSequence)
    else:
        assert dataset.pixel_array.shape[2] == 3


def files(folder, images):
    found = until("results", lambda: (all_ := sorted(pathlib.Path(folder).iterdir())) and len(all_) >= 2 * images and all_)
    time.sleep(0.5)
    datasets = [pydicom.dcmread(path) for path in found]
    assert len({d.SOPInstanceUID for d in datasets}) == 2 * images, [d.SOPInstanceUID for d in datasets]
    for dataset in datasets:
        source = pydicom.dcmread(pathlib.Path(folder).parent / "1.dcm")
        source.SOPInstanceUID = next(u for u in (source.SOPInstanceUID, source.SOPInstanceUID[:-1] + "2") if u in str(dataset))
        look(dataset, source)


def ask(url, body=None, **headers):
    request = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def stow(address, image, refused):
    parts = b"".join(
        b"--q\r\nContent-Type: application/dicom\r\n\r\n" + pathlib.Path(path).read_bytes() + b"\r\n" for path in (image, refused)
    )
    kind = 'multipart/related; type="application/dicom"; boundary=q'
    status, body = ask(f"{address}/dicom-web/studies", parts + b"--q--\r\n", content_type=kind)
    answer = pydicom.Dataset.from_json(json.loads(body))
    assert status == 202, (status, body)
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [pydicom.dcmread(image).SOPInstanceUID]
    assert answer.FailedSOPSequence[0].FailureReason == 0x0122
    status, body = ask(answer.RetrieveURL + "/metadata")
    datasets = [pydicom.Dataset.from_json(one) for one in json.loads(body)]
    assert status == 200 and {d.Modality for d in datasets} == {"SR", "OT"}, body


def orthanc(address, image):
    until("Orthanc", lambda: is_up(address))
    status, body = ask(f"{address}/instances", pathlib.Path(image).read_bytes())
    assert status == 200, body
    study = json.loads(body)["ParentStudy"]
    source = pydicom.dcmread(image)

    def modalities():
        _, body = ask(f"{address}/studies/{study}/series")
        found = {one["MainDicomTags"]["Modality"]: one for one in json.loads(body)}
        return found if set(found) == {"DX", "SR", "OT"} else None

    found = until("results in Orthanc's study", modalities)
    for modality in ["SR", "OT"]:
        assert len(found[modality]["Instances"]) == 1
        _, file = ask(f"{address}/instances/{found[modality]['Instances'][0]}/file")
        path = pathlib.Path(image).parent / f"orthanc-{modality}.dcm"
        path.write_bytes(file)
        look(pydicom.dcmread(path), source)


def is_up(address):
    try:
        return ask(f"{address}/system")[0] == 200
    except OSError:
        return False


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["files", folder, images]:
            files(folder, int(images))
        case ["stow", address, image, refused]:
            stow(address, image, refused)
        case ["orthanc", address, image]:
            orthanc(address, image)
        case _:
            sys.exit(__doc__)
