"""Other projects' DICOM test files: which are read here, which by pydicom, and whether both see the same picture.

    pip install pydicom numpy pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg python-gdcm
    cargo build --release -p vision --example decode
    python3 benches/peers/vision_dicom.py target/release/examples/decode FOLDER [FOLDER ...]

Folders are those of pydicom (`pydicom/data/test_files`), pydicom-data, fo-dicom (`Tests/FO-DICOM.Tests/Test Data`),
dcm4che (`dcm4che-test-data`) and cornerstone (`testImages`). It prints each file with pixels that is refused
here, and each picture that differs: grey by its correlation with pydicom's, after pydicom's own modality and VOI
transformations; colour by its largest difference in levels of 255. Padding and windows of functional groups, which
pydicom leaves to its caller, are left out of the comparison.
"""
import collections
import logging
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
pydicom.config.settings.reading_validation_mode = 0
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read(path):
    """The data set and its first frame by pydicom, or why there is none."""
    try:
        ds = pydicom.dcmread(path, force=True)
        if not any(name in ds for name in PIXELS):
            return None, None
    except Exception:
        return None, None
    try:
        frames = ds.pixel_array
        return ds, frames[0] if int(ds.get("NumberOfFrames") or 1) > 1 else frames
    except Exception as error:
        return ds, f"{type(error).__name__}: {str(error)[:80]}".replace("\n", " ")


def decoded(program, path):
    """The picture, 0 to 1, or the sentence of the refusal."""
    done = subprocess.run([program, str(path)], capture_output=True)
    if done.returncode:
        return done.stderr.decode().strip()
    head, _, rest = done.stdout.partition(b"\n")
    width, height, channels, bits = map(int, head.split())
    shape = (height, width) if channels == 1 else (height, width, channels)
    values = np.frombuffer(rest, np.uint8 if bits == 8 else "<u2").reshape(shape)
    return values.astype(float) / (255 if bits == 8 else 65535)


def difference(ds, frame, picture):
    """What differs, in words, or nothing."""
    if picture.ndim == 2:
        if "SharedFunctionalGroupsSequence" in ds:
            return None
        own = apply_voi_lut(apply_modality_lut(frame, ds), ds, prefer_lut=True).astype(float)
        shown = frame != ds.PixelPaddingValue if "PixelPaddingValue" in ds else np.ones(frame.shape, bool)
        own, picture = own[shown], picture[shown]
        if own.std() == 0 or picture.std() == 0:
            return None if own.std() == picture.std() else "one is blank"
        correlation = abs(np.corrcoef(own, picture)[0, 1])
        return f"correlation {correlation:.4f}" if correlation < 0.999 else None
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        own = apply_color_lut(frame, ds).astype(float)
        own /= 255 if own.max() <= 255 else 65535
    else:
        own = frame / (2.0**ds.BitsStored - 1)
    off = np.abs(own - picture).max() * 255
    return f"{off:.1f} levels" if off > 5 else None


def main():
    program, folders = sys.argv[1], sys.argv[2:]
    count = collections.Counter()
    for path in sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*") if path.is_file()):
        ds, frame = read(path)
        if ds is None:
            count["without pixels"] += 1
            continue
        picture = decoded(program, path)
        mine, theirs = not isinstance(picture, str), not isinstance(frame, str)
        count[f"read by {('neither', 'pydicom alone', 'medserve alone', 'both')[2 * mine + theirs]}"] += 1
        if not mine:
            print(f"refused: {path.name}: {picture} (pydicom: {'reads it' if theirs else frame})")
        elif theirs:
            try:
                words = difference(ds, frame, picture)
            except Exception:
                count["not comparable by pydicom's own functions"] += 1
                continue
            if words:
                count["differ"] += 1
                print(f"differs: {path.name}: {words}")
    print(", ".join(f"{number} {what}" for what, number in sorted(count.items())))


if __name__ == "__main__":
    main()
