"""The image path without the model, beside Pillow and pydicom.

    pip install -r benches/peers/requirements-vision.txt
    python benches/peers/vision.py [--rounds 15] [--bench PROGRAM]

Decode, centre crop, resize to 28 x 28 with an antialiased bicubic filter, normalise: the same work
on the same three files, one thread on either side. The two programs take turns, `--rounds` times
for each file, so that a busy machine slows both. Prints a JSON line for each file: the median
milliseconds of both, and how many times as fast medserve is. `jpeg-draft` lets Pillow take its
short cuts (a JPEG decoded at a fraction of its size, an approximate first reduction), which change
the result; medserve decodes in full in both. `largest_difference` is that between the two results,
in levels of 255.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from ours import build

ROOT = Path(__file__).resolve().parents[2]
SIDE = 28
MEAN, STD = 0.5, 0.25


def write_files(folder):
    """The phantom as Pillow and pydicom write it."""
    image = Image.open(folder / "phantom.png")
    clean = Image.fromarray(np.asarray(image))
    clean.save(folder / "image.png")
    clean.save(folder / "image.jpg", quality=90)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3.4"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = image.size[1], image.size[0]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelData = (np.asarray(image).astype("<u2") * 16).tobytes()
    ds["PixelData"].VR = "OW"
    pydicom.dcmwrite(folder / "image.dcm", ds, enforce_file_format=True)


def finish(image, **options):
    """Centre crop, resize, normalise."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if (side, side) != image.size:
        image = image.crop((left, top, left + side, top + side))
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, **options)
    return np.asarray(image, np.float32)


def pillow(data):
    image = Image.open(io.BytesIO(data))
    values = finish(image if image.mode == "L" else image.convert("L")) / 255
    return (values - MEAN) / STD


def pillow_draft(data):
    image = Image.open(io.BytesIO(data))
    image.draft("L", (SIDE, SIDE))
    values = finish(image, reducing_gap=2.0) / 255
    return (values - MEAN) / STD


def dicom(data):
    ds = pydicom.dcmread(io.BytesIO(data))
    value = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds)
    brightness = value.astype(np.float32) / (2**ds.BitsStored - 1)
    values = finish(Image.fromarray(brightness))
    return (values - MEAN) / STD


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=20, help="runs in each turn")
    parser.add_argument("--bench", help="the bench program, if it is built already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        program = subprocess.Popen(
            [options.bench or build("vision"), "--peer", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        assert program.stdout.readline().strip() == "ready"
        write_files(folder)
        for name, file, peer in (
            ("png", "image.png", pillow),
            ("jpeg", "image.jpg", pillow),
            ("jpeg-draft", "image.jpg", pillow_draft),
            ("dicom", "image.dcm", dicom),
        ):
            data = (folder / file).read_bytes()
            expected = peer(data)
            ours, theirs = [], []
            for _ in range(options.rounds):
                seconds = []
                for _ in range(options.repeats):
                    start = time.perf_counter()
                    peer(data)
                    seconds.append(time.perf_counter() - start)
                theirs.append(statistics.median(seconds))
                program.stdin.write(f"{file} {options.repeats}\n")
                program.stdin.flush()
                answer = json.loads(program.stdout.readline())
                ours.append(answer["seconds"])
            difference = np.abs(np.reshape(answer["values"], expected.shape) - expected).max()
            mine, other = statistics.median(ours), statistics.median(theirs)
            print(json.dumps({
                "work": name,
                "bytes": len(data),
                "medserve_ms": round(mine * 1e3, 3),
                "peer_ms": round(other * 1e3, 3),
                "times_as_fast": round(other / mine, 2),
                "largest_difference": round(float(difference) * STD * 255, 3),
            }))
        program.stdin.close()
        program.wait()


if __name__ == "__main__":
    main()
