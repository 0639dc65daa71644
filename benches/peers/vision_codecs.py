"""Codecs against decoders that others wrote: every encoder's switches, decoded by `medserve` and by its peer.

    pip install pydicom numpy pillow imagecodecs
    apt-get install libjpeg-turbo-progs          # cjpeg
    cargo build --release -p vision --example decode
    python3 benches/peers/vision_codecs.py [target/release/examples/decode]

Pictures are drawn here: smooth, noisy, of flat areas, of sizes that fill no block. Lossless codecs must
agree in every sample. Lossy ones may differ by the levels that two sound transforms differ by. It prints
a line for each codec: files, files that differ, the largest difference.
"""
import collections
import io
import itertools
import pathlib
import subprocess
import sys
import tempfile

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

DECODE = sys.argv[1] if len(sys.argv) > 1 else "target/release/examples/decode"
SYNTAX = "1.2.840.10008.1.2.4."
TALLY = collections.defaultdict(lambda: [0, 0, 0.0])


def pictures(bits, channels):
    """Planes of `bits` bits, of the kinds that take different ways through a coder."""
    rng = np.random.default_rng(7)
    top = 2**bits - 1
    for height, width in ((1, 1), (3, 5), (17, 23), (64, 64), (70, 131)):
        y, x = np.mgrid[:height, :width]
        smooth = (np.sin(x / 9) * np.cos(y / 7) + 1) / 2 * top
        noise = rng.integers(0, top + 1, (height, width))
        flat = np.where((x // 16 + y // 16) % 2, top, top // 5)
        for picture in (smooth, noise, flat, smooth * 0.9 + rng.normal(0, 2, (height, width))):
            plane = np.clip(picture, 0, top).astype(np.uint8 if bits <= 8 else np.uint16)
            yield plane if channels == 1 else np.stack([plane, np.flipud(plane), np.fliplr(plane)], -1)


def decoded(data, suffix):
    """The samples that `decode` gives: what a network sees, before resizing."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        done = subprocess.run([DECODE, file.name], capture_output=True)
    if done.returncode:
        return done.stderr.decode().strip()
    head, _, rest = done.stdout.partition(b"\n")
    width, height, channels, bits = map(int, head.split())
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.frombuffer(rest, np.uint8 if bits == 8 else "<u2").reshape(shape)


def dicom(frame, syntax, shape, bits, signed=False):
    """A file around a frame, with a window that leaves values as they are."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = SYNTAX + syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.Rows, ds.Columns = shape[:2]
    ds.SamplesPerPixel = 1 if len(shape) == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if len(shape) == 2 else "RGB"
    if len(shape) == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = (8 if bits <= 8 else 16), bits, bits - 1
    ds.PixelRepresentation = int(signed)
    ds.WindowCenter, ds.WindowWidth = 2 ** (bits - 1) - (2 ** (bits - 1) if signed else 0), 2**bits
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def compare(codec, data, suffix, expected, bits, tolerance=0.0):
    """Counts a file; `tolerance` is in levels of `bits` bits."""
    got = decoded(data, suffix)
    tally = TALLY[codec]
    tally[0] += 1
    if isinstance(got, str) or got.shape != expected.shape:
        tally[1] += 1
        print(f"{codec}: {got if isinstance(got, str) else got.shape}")
        return
    full = 255 if got.dtype == np.uint8 else 65535
    off = np.abs(got / full * (2**bits - 1) - expected.astype(float)).max()
    tally[2] = max(tally[2], float(off))
    tally[1] += off > tolerance + 0.51


def charls(picture, near=0):
    """A picture as charls codes it; nothing where its buffer, made for pictures that shrink, is too small."""
    try:
        return imagecodecs.jpegls_encode(picture, level=near)
    except imagecodecs.JpeglsError as error:
        if "buffer is too small" not in str(error):
            raise
        TALLY["(pictures that charls itself could not code)"][0] += 1
        return None


def lossless():
    for bits in (2, 5, 8, 10, 12, 16):
        for picture in pictures(bits, 1):
            shape = picture.shape
            stored = max(bits, 8) if bits > 8 else bits
            word = picture.copy()
            for near in (0, 2):
                if bits < 5 and near:
                    continue
                data = charls(word, near)
                if data is None:
                    continue
                peer = imagecodecs.jpegls_decode(data)
                # The encoder takes the container's bits where it is told nothing else.
                coded = 8 if bits <= 8 else 16
                compare(f"JPEG-LS {'near ' if near else ''}grey", dicom(data, "80" if not near else "81", shape, coded), ".dcm", peer, coded)
            if min(shape) > 4:
                data = imagecodecs.jpeg2k_encode(word, level=0, reversible=True, codecformat="J2K")
                coded = 8 if bits <= 8 else 16
                compare("JPEG 2000 grey", dicom(data, "90", shape, coded), ".dcm", word, coded)
                data = imagecodecs.htj2k_encode(word, reversible=True)
                compare("HTJ2K grey", dicom(data, "201", shape, coded), ".dcm", word, coded)
                data = imagecodecs.htj2k_encode(word, reversible=False)
                # Coefficients are put at the lower end of their step here, in its middle there.
                peer = imagecodecs.htj2k_decode(data)
                compare(f"HTJ2K lossy grey, {coded} bits", dicom(data, "203", shape, coded), ".dcm", peer, coded, 4.0)
            if bits >= 8:
                data = imagecodecs.ljpeg_encode(word, bitspersample=bits)
                compare("JPEG lossless", dicom(data, "70", shape, stored), ".dcm", word, bits)
    for bits in (8, 16):
        for picture in pictures(bits, 3):
            data = charls(picture)
            if data is None:
                continue
            compare("JPEG-LS colour", dicom(data, "80", picture.shape, bits), ".dcm", imagecodecs.jpegls_decode(data), bits)


    for picture in pictures(8, 3):
        if min(picture.shape[:2]) > 4:
            data = imagecodecs.htj2k_encode(picture, reversible=True)
            compare("HTJ2K colour", dicom(data, "201", picture.shape, 8), ".dcm", picture, 8)
            data = imagecodecs.jpeg2k_encode(picture, level=0, reversible=True, codecformat="J2K")
            compare("JPEG 2000 colour", dicom(data, "90", picture.shape, 8), ".dcm", picture, 8)


def cjpeg():
    scans = {"apart": "0;\n1;\n2;\n", "two": "0;\n1 2;\n"}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, script in scans.items():
            (folder / name).write_text(script)
        quality = (["-quality", "35"], ["-quality", "95"])
        sampling = ([], ["-sample", "1x1"], ["-sample", "2x1"], ["-sample", "1x2"], ["-sample", "2x2"], ["-sample", "4x1"])
        order = ([], ["-progressive"], ["-optimize"], ["-restart", "1"], ["-restart", "3B"])
        order += tuple(["-scans", str(folder / name)] for name in scans)
        for index, picture in enumerate(pictures(8, 3)):
            Image.fromarray(picture).save(folder / "in.ppm")
            for switches in itertools.product(quality, sampling, order):
                switches = sum(switches, [])
                done = subprocess.run(["cjpeg", *switches, str(folder / "in.ppm")], capture_output=True)
                if done.returncode == 0:
                    peer = np.asarray(Image.open(io.BytesIO(done.stdout)))
                    kind = "in scans apart" if "-scans" in switches else "progressive" if "-progressive" in switches else "baseline"
                    # Chroma is stretched by different straight lines where it is subsampled.
                    loose = 4.0 if "-sample" in switches and "1x1" in switches else 40.0
                    compare(f"JPEG {kind}", done.stdout, ".jpg", peer, 8, loose)
            Image.fromarray(picture[..., 0]).save(folder / "in.pgm")
            for switches in itertools.product(quality, order[:5]):
                done = subprocess.run(["cjpeg", *sum(switches, []), str(folder / "in.pgm")], capture_output=True)
                peer = np.asarray(Image.open(io.BytesIO(done.stdout)))
                compare("JPEG grey", done.stdout, ".jpg", peer, 8, 3.0)


def twelve():
    for picture in pictures(12, 1):
        for quality in (40, 90):
            data = imagecodecs.jpeg_encode(picture, level=quality, bitspersample=12, lossless=False)
            compare("JPEG extended, 12 bits", dicom(data, "51", picture.shape, 12), ".dcm", imagecodecs.jpeg_decode(data), 12, 1.0)


def main():
    for part in (lossless, twelve, cjpeg):
        part()
    for codec, (files, wrong, largest) in sorted(TALLY.items()):
        print(f"{codec:32} {files:5} files {wrong:5} differ, by at most {largest:.2f} levels")
    return any(wrong for _, wrong, _ in TALLY.values())


if __name__ == "__main__":
    sys.exit(main())
