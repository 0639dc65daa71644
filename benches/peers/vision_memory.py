"""What decoding a large picture takes, beside what `vision::memory` says before it: admission goes by the latter.

    pip install -r benches/peers/requirements-vision.txt imagecodecs
    cargo build --release -p vision --example decode
    python3 benches/peers/vision_memory.py [target/release/examples/decode]

Prints a line for each kind of file: MB said, MB taken (the growth of the process's peak, read from
/proc/self/status), and their ratio. Ends with 1 where more is taken than was said.
"""
import io
import subprocess
import sys
import tempfile
import zlib

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

DECODE = sys.argv[1] if len(sys.argv) > 1 else "target/release/examples/decode"
SIDE = 2500
EXPLICIT = "1.2.840.10008.1.2.1"


def dicom(picture, syntax=EXPLICIT, frame=None, bits=None, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.Rows, ds.Columns = picture.shape[:2]
    ds.SamplesPerPixel = 1 if picture.ndim == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if picture.ndim == 2 else "RGB"
    if picture.ndim == 3:
        ds.PlanarConfiguration = 0
    allocated = picture.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored = allocated, bits or allocated
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
    for name, value in more.items():
        setattr(ds, name, value)
    if picture.dtype.kind == "f":
        del ds.BitsStored, ds.HighBit, ds.PixelRepresentation
        ds.FloatPixelData = picture.tobytes()
    else:
        ds.PixelData = encapsulate([frame]) if frame else picture.tobytes()
        ds["PixelData"].VR = "OB" if frame else "OW"
        ds["PixelData"].is_undefined_length = bool(frame)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def pillow(picture, kind, **options):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **options)
    return out.getvalue()


def files():
    y, x = np.mgrid[:SIDE, :SIDE]
    twelve = ((np.sin(x / 90) * np.cos(y / 70) + 1) * 2000 + (x * 7 + y * 3) % 32).astype(np.uint16)
    eight = (twelve >> 4).astype(np.uint8)
    rgb = np.stack([eight, np.flipud(eight), np.fliplr(eight)], -1)
    yield "PNG grey 8", pillow(eight, "PNG", compress_level=1)
    yield "PNG grey 16", imagecodecs.png_encode(twelve)
    yield "PNG RGB 8", pillow(rgb, "PNG", compress_level=1)
    yield "PNG RGB 16", imagecodecs.png_encode(rgb.astype(np.uint16) * 257)
    yield "JPEG grey", pillow(eight, "JPEG", quality=85)
    yield "JPEG colour", pillow(rgb, "JPEG", quality=85)
    yield "JPEG progressive", pillow(rgb, "JPEG", quality=85, progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "JPEG turned", pillow(rgb, "JPEG", quality=85, exif=exif)
    yield "DICOM 16", dicom(twelve, bits=12)
    yield "DICOM 8", dicom(eight)
    yield "DICOM RGB", dicom(rgb)
    yield "DICOM RGB planes", dicom(rgb, PlanarConfiguration=1)
    yield "DICOM 32", dicom(twelve.astype(np.uint32) << 16)
    yield "DICOM float", dicom(twelve.astype(np.float32))
    raw = dicom(twelve, bits=12)
    deflated = zlib.compressobj(1, wbits=-15)
    at = raw.index(b"\x08\x00\x16\x00")
    body = deflated.compress(raw[at:]) + deflated.flush()
    head = raw[:at].replace(b"\x14\x00" + EXPLICIT.encode() + b"\0", b"\x16\x00" + EXPLICIT.encode() + b".99")
    yield "DICOM deflated", head + body
    ljpeg = imagecodecs.ljpeg_encode(twelve, bitspersample=12)
    yield "DICOM JPEG lossless", dicom(twelve, EXPLICIT[:17] + ".4.70", ljpeg, bits=12)
    yield "DICOM JPEG-LS", dicom(twelve, EXPLICIT[:17] + ".4.80", imagecodecs.jpegls_encode(twelve), bits=12)
    extended = imagecodecs.jpeg_encode(twelve, level=85, bitspersample=12, lossless=False)
    yield "DICOM JPEG 12 bits", dicom(twelve, EXPLICIT[:17] + ".4.51", extended, bits=12)
    for name, reversible in (("lossless", True), ("lossy", False)):
        j2k = imagecodecs.jpeg2k_encode(twelve, level=0 if reversible else 60, reversible=reversible, codecformat="J2K")
        yield f"DICOM JPEG 2000 {name}", dicom(twelve, EXPLICIT[:17] + ".4.91", j2k)
        ht = imagecodecs.htj2k_encode(twelve, reversible=reversible)
        yield f"DICOM HTJ2K {name}", dicom(twelve, EXPLICIT[:17] + ".4.203", ht)
    yield "DICOM JPEG 2000 colour", dicom(rgb, EXPLICIT[:17] + ".4.90", imagecodecs.jpeg2k_encode(rgb, level=0, reversible=True, codecformat="J2K"))
    yield "DICOM HTJ2K colour", dicom(rgb, EXPLICIT[:17] + ".4.201", imagecodecs.htj2k_encode(rgb, reversible=True))
    yield "DICOM RLE", dicom(twelve, EXPLICIT[:17] + ".5", pydicom.pixels.get_encoder("1.2.840.10008.1.2.5").encode(twelve, rows=SIDE, columns=SIDE, samples_per_pixel=1, bits_allocated=16, bits_stored=12, pixel_representation=0, photometric_interpretation="MONOCHROME2", number_of_frames=1), bits=12)


def main():
    short = 0
    for name, data in files():
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = subprocess.run([DECODE, file.name, "--memory"], capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: {done.stderr.strip()}")
            short += 1
            continue
        said, taken = (int(word) / 1e6 for word in done.stdout.split())
        short += taken > said
        print(f"{name:26} said {said:7.1f} MB, took {taken:7.1f} MB, {taken / said:.2f} of it", flush=True)
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
