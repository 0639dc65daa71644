"""Makes the image files and expected values that crates/vision/src/golden.rs compares with.

    pip install -r tests/golden/requirements.txt
    python tests/golden/vision.py

Pictures are drawn by formulas. What a file must decode to is known by construction, by Pillow or
by pydicom, never by the program under test; where two of them can read a file they must agree.
The files and `cases.json` go to tests/golden/vision/ and are committed.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from PIL import Image, ImageOps
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, convert_color_space
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2K,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

OUT = Path(__file__).parent / "vision"
CASES = []
W, H = 19, 15


def grey(top, width=W, height=H):
    """A smooth picture with an edge, 0 to top."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    value = 0.5 + 0.3 * np.sin(x / 3.1) + 0.2 * np.cos(y / 2.3 + x / 9)
    value[(x - 12) ** 2 + (y - 7) ** 2 < 14] *= 0.4
    value = (value - value.min()) / (value.max() - value.min())
    return np.round(value * top).astype(np.uint16 if top > 255 else np.uint8)


def colour(top, width=W, height=H):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [x / (width - 1), y / (height - 1), 0.5 + 0.5 * np.sin((x + 2 * y) / 7)]
    return np.round(np.stack(planes, -1) * top).astype(np.uint16 if top > 255 else np.uint8)


def pixels_case(name, file, levels, full, tolerance=0, **extra):
    """The decoded pixels themselves, in levels of `full`."""
    levels = np.asarray(levels)
    CASES.append(
        {
            "name": name,
            "file": file,
            "kind": "pixels",
            "width": levels.shape[1],
            "height": levels.shape[0],
            "channels": 1 if levels.ndim == 2 else 3,
            "full": full,
            "tolerance": tolerance,
            # Each level in two or four hexadecimal digits.
            "expected": "".join(format(int(v), "02x" if full == 255 else "04x") for v in levels.reshape(-1)),
            **extra,
        }
    )


# --- PNG ---------------------------------------------------------------------------------------

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(levels, depth, color_type, interlaced=False, chunks=()):
    """A PNG file of an array (height, width[, channels]), for what Pillow does not write."""
    levels = np.asarray(levels)
    if levels.ndim == 2:
        levels = levels[..., None]

    def rows(part):
        data = b""
        for number, row in enumerate(part):
            values = row.reshape(-1)
            if depth == 16:
                raw = values.astype(">u2").tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in values)
                bits += "0" * (-len(bits) % 8)
                raw = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
            step = max(1, part.shape[2] * depth // 8)
            if number % 2:  # filter 1: difference to the pixel on the left
                left = bytes(step) + raw
                data += b"\1" + bytes((a - b) & 255 for a, b in zip(raw, left))
            else:
                data += b"\0" + raw
        return data

    if interlaced:
        parts = [levels[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7]
        data = b"".join(rows(p) for p in parts if p.shape[0] and p.shape[1])
    else:
        data = rows(levels)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = levels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for kind, body in chunks:
        out += chunk(kind, body)
    return out + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def save(name, data):
    (OUT / name).write_bytes(data)
    return name


def pngs():
    g8, g16, c8, c16 = grey(255), grey(65535), colour(255), colour(65535)
    a8, a16 = grey(255)[::-1], grey(65535)[::-1]
    pillow = lambda file, mode: np.asarray(Image.open(OUT / file).convert(mode))

    file = save("gray8.png", png(g8, 8, 0))
    assert (pillow(file, "L") == g8).all()
    pixels_case("png grey 8 bit", file, g8, 255)
    file = save("gray8-interlaced.png", png(g8, 8, 0, interlaced=True))
    assert (pillow(file, "L") == g8).all()
    pixels_case("png grey 8 bit interlaced", file, g8, 255)
    file = save("gray16.png", png(g16, 16, 0))
    assert (np.asarray(Image.open(OUT / file)).astype(int) == g16).all()
    pixels_case("png grey 16 bit", file, g16, 65535)
    for depth in (1, 2, 4):
        top = 2**depth - 1
        levels = grey(top)
        file = save(f"gray{depth}.png", png(levels, depth, 0))
        assert (pillow(file, "L") == levels.astype(int) * 255 // top).all()
        pixels_case(f"png grey {depth} bit", file, levels.astype(int) * 255 // top, 255)
    file = save("rgb8.png", png(c8, 8, 2))
    assert (pillow(file, "RGB") == c8).all()
    pixels_case("png colour 8 bit", file, c8, 255)
    file = save("rgb8-interlaced.png", png(c8, 8, 2, interlaced=True))
    assert (pillow(file, "RGB") == c8).all()
    pixels_case("png colour 8 bit interlaced", file, c8, 255)
    file = save("rgb16.png", png(c16, 16, 2))
    pixels_case("png colour 16 bit", file, c16, 65535)

    # Alpha is composited on black.
    black = Image.new("RGBA", (W, H), (0, 0, 0, 255))
    on_black = lambda file: np.asarray(
        Image.alpha_composite(black, Image.open(OUT / file).convert("RGBA")).convert("RGB")
    )
    file = save("la8.png", png(np.stack([g8, a8], -1), 8, 4))
    pixels_case("png grey and alpha 8 bit", file, on_black(file)[..., 0], 255, tolerance=1)
    file = save("rgba8.png", png(np.concatenate([c8, a8[..., None]], -1), 8, 6))
    pixels_case("png colour and alpha 8 bit", file, on_black(file), 255, tolerance=1)
    exact = lambda v, a: np.round(v.astype(float) * a / 65535)
    file = save("la16.png", png(np.stack([g16, a16], -1), 16, 4))
    pixels_case("png grey and alpha 16 bit", file, exact(g16, a16), 65535, tolerance=1)
    file = save("rgba16.png", png(np.concatenate([c16, a16[..., None]], -1), 16, 6))
    pixels_case("png colour and alpha 16 bit", file, exact(c16, a16[..., None]), 65535, tolerance=1)
    key = int(g8[3, 3])
    file = save("gray8-key.png", png(g8, 8, 0, chunks=[(b"tRNS", struct.pack(">H", key))]))
    pixels_case("png grey with a transparent level", file, np.where(g8 == key, 0, g8), 255)

    for depth, count in ((8, 200), (4, 16), (2, 4), (1, 2)):
        index = grey(count - 1)
        table = np.array([[(37 * i) % 256, (91 * i + 5) % 256, 255 - i] for i in range(count)], np.uint8)
        file = save(f"palette{depth}.png", png(index, depth, 3, chunks=[(b"PLTE", table.tobytes())]))
        assert (pillow(file, "RGB") == table[index]).all()
        pixels_case(f"png palette {depth} bit", file, table[index], 255)
    index = grey(15)
    table = np.array([[16 * i, 255 - 9 * i, (40 * i) % 256] for i in range(16)], np.uint8)
    alpha = bytes(range(0, 256, 17))
    chunks = [(b"PLTE", table.tobytes()), (b"tRNS", alpha)]
    file = save("palette-alpha.png", png(index, 4, 3, chunks=chunks))
    pixels_case("png palette with alpha", file, on_black(file), 255, tolerance=1)


# --- JPEG --------------------------------------------------------------------------------------

# Two sound decoders differ by rounding in the inverse transform and the chroma interpolation.
JPEG_GREY, JPEG_COLOUR = 2, 6


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def without_segment(data, marker):
    at = 2
    while data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] == marker:
            return data[:at] + data[at + 2 + length :]
        at += 2 + length
    raise ValueError("no such segment")


def jpegs():
    g, c = Image.fromarray(grey(255)), Image.fromarray(colour(255))
    read = lambda file: np.asarray(ImageOps.exif_transpose(Image.open(OUT / file)))
    file = save("gray.jpg", jpeg(g, quality=90))
    pixels_case("jpeg grey", file, read(file), 255, JPEG_GREY)
    file = save("gray-progressive.jpg", jpeg(g, quality=90, progressive=True))
    pixels_case("jpeg grey progressive", file, read(file), 255, JPEG_GREY)
    file = save("gray-restart.jpg", jpeg(g, quality=90, restart_marker_blocks=2))
    pixels_case("jpeg grey with restart markers", file, read(file), 255, JPEG_GREY)
    for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
        file = save(f"rgb-{name}.jpg", jpeg(c, quality=92, subsampling=sampling))
        pixels_case(f"jpeg colour {name}", file, read(file), 255, JPEG_COLOUR)
    file = save("rgb-progressive.jpg", jpeg(c, quality=92, progressive=True))
    pixels_case("jpeg colour progressive", file, read(file), 255, JPEG_COLOUR)
    file = save("rgb-stored.jpg", jpeg(c, quality=92, keep_rgb=True))
    pixels_case("jpeg colour stored as RGB", file, read(file), 255, JPEG_COLOUR)

    cmyk = np.concatenate([colour(255), grey(180)[..., None]], -1)
    data = jpeg(Image.fromarray(cmyk, "CMYK"), quality=95, subsampling=0)
    file = save("cmyk-adobe.jpg", data)
    expected = np.asarray(Image.open(OUT / file).convert("RGB"))
    pixels_case("jpeg CMYK as Adobe stores it", file, expected, 255, JPEG_COLOUR)
    file = save("cmyk-plain.jpg", without_segment(data, 0xEE))
    # Pillow takes ink for inverted whether the marker says so or not.
    expected = np.asarray(Image.open(OUT / file).convert("RGB"))
    pixels_case("jpeg CMYK without Adobe's marker", file, expected, 255, JPEG_COLOUR)
    # The same stream declared to be YCCK: the Adobe marker's last byte is the transform.
    at = data.index(b"Adobe") + 11
    file = save("ycck.jpg", data[:at] + b"\2" + data[at + 1 :])
    expected = np.asarray(Image.open(OUT / file).convert("RGB"))
    pixels_case("jpeg YCCK", file, expected, 255, JPEG_COLOUR)

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        source = c if orientation == 6 else g
        file = save(f"orientation{orientation}.jpg", jpeg(source, quality=90, exif=exif, subsampling=0))
        tolerance = JPEG_COLOUR if orientation == 6 else JPEG_GREY
        pixels_case(f"jpeg orientation {orientation}", file, read(file), 255, tolerance)


# --- DICOM -------------------------------------------------------------------------------------


def dicom(syntax, photometric, frames, stored, allocated=None, signed=False, shift=0, **attributes):
    """A data set with uncompressed pixels; frames is (n, rows, columns[, 3])."""
    allocated = allocated or (16 if stored > 8 else 8)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = "1.2.3.4"
    ds.PatientName = "Drawn^Nobody"
    ds.PatientID = "none"
    # Sequences in front of the pixels, as real files have them.
    ref = Dataset()
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3.5"
    ref.ReferencedInstanceSequence = Sequence([inner])
    ds.ReferencedSeriesSequence = Sequence([ref, Dataset()])
    ds["ReferencedSeriesSequence"].is_undefined_length = True
    ds.PhotometricInterpretation = photometric
    ds.SamplesPerPixel = 1 if frames.ndim == 3 else 3
    ds.Rows, ds.Columns = frames.shape[1:3]
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, stored, stored - 1 + shift
    ds.PixelRepresentation = int(signed)
    if frames.ndim == 4:
        ds.PlanarConfiguration = 0
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    words = (frames.astype(np.int64) & (2**stored - 1)) << shift
    data = words.astype(f"{order}u{allocated // 8}").tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if allocated == 16 else "OB"
    for key, value in attributes.items():
        setattr(ds, key, value)
    return ds


def store(name, ds):
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return save(name, out.getvalue())


def levels(brightness, inverted=False):
    brightness = np.clip(brightness, 0, 1)
    return np.round((1 - brightness if inverted else brightness) * 65535)


def by_pydicom(file, frame=0):
    """Brightness 0 to 1 by pydicom's modality and VOI functions."""
    ds = pydicom.dcmread(OUT / file)
    array = ds.pixel_array
    array = array[frame] if array.ndim == 3 else array
    value = apply_modality_lut(array, ds)
    out = apply_voi_lut(value, ds).astype(np.float64)
    if "VOILUTSequence" in ds:
        return out / (2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    # pydicom's windowing spreads over the range that the stored bits could reach.
    low, high = (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1) if ds.PixelRepresentation else (0, 2**ds.BitsStored - 1)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    if "ModalityLUTSequence" in ds:
        low, high, slope, intercept = 0, 2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1, 1, 0
    low, high = low * slope + intercept, high * slope + intercept
    return (out - low) / (high - low)


def lossless_jpeg(array, precision):
    """JPEG process 14, first-order prediction (ITU-T T.81 annex H), one component."""
    array = array.astype(np.int64)
    bits = []
    for y in range(array.shape[0]):
        for x in range(array.shape[1]):
            if x:
                prediction = array[y, x - 1]
            elif y:
                prediction = array[y - 1, x]
            else:
                prediction = 2 ** (precision - 1)
            difference = int((array[y, x] - prediction + 32768) % 65536 - 32768)
            size = abs(difference).bit_length()
            bits.append(format(size, "05b"))  # 17 codes of five bits, in order
            if 0 < size < 16:
                extra = difference if difference > 0 else difference + 2**size - 1
                bits.append(format(extra, f"0{size}b"))
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")
    segment = lambda marker, body: bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    frame = struct.pack(">BHHB", precision, *array.shape, 1) + bytes([1, 0x11, 0])
    table = bytes([0]) + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    return (
        b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table)
        + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + scan + b"\xff\xd9"
    )


def jpeg2000(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG2000", no_jp2=True, num_resolutions=3, **options)
    return out.getvalue()


def htj2k(picture, reversible=True, **options):
    data = imagecodecs.htj2k_encode(picture, reversible=reversible, resolutions=3, **options)
    off = np.abs(imagecodecs.htj2k_decode(data).astype(int) - imagecodecs.jpeg2k_decode(data)).max()
    assert off <= (0 if reversible else 1), off
    return data


def compressed(ds, syntax, frames, **options):
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate(frames, **options)
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    return ds


def lut(first, entries, bits, signed=False):
    item = Dataset()
    item.add_new(0x00283002, "SS" if signed else "US", [len(entries), first, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    return item


def dicoms():
    explicit = ExplicitVRLittleEndian
    twelve = grey(4095)[None]
    signed = grey(4095)[None].astype(np.int64) - 1500

    def check(name, file, inverted=False, tolerance=1, **extra):
        pixels_case(name, file, levels(by_pydicom(file), inverted), 65535, tolerance, **extra)

    window = dict(WindowCenter=1800, WindowWidth=2200)
    file = store("mono2-8.dcm", dicom(explicit, "MONOCHROME2", grey(255)[None], 8, WindowCenter=100, WindowWidth=150))
    check("dicom 8 bit window", file)
    file = store("mono2-12.dcm", dicom(explicit, "MONOCHROME2", twelve, 12, **window))
    check("dicom 12 bit window", file)
    file = store("mono1-12.dcm", dicom(explicit, "MONOCHROME1", twelve, 12, **window))
    check("dicom MONOCHROME1", file, inverted=True)
    file = store("ct.dcm", dicom(explicit, "MONOCHROME2", signed, 16, signed=True, RescaleSlope=1, RescaleIntercept=-24, WindowCenter=[40, -600], WindowWidth=[400, 1500]))
    check("dicom signed, rescaled, two windows", file)
    file = store("slope.dcm", dicom(explicit, "MONOCHROME2", signed, 13, signed=True, RescaleSlope="0.5", RescaleIntercept="-100.25", WindowCenter="200.5", WindowWidth="900"))
    check("dicom 13 bit signed, fractional rescale", file)
    for function in ("LINEAR_EXACT", "SIGMOID"):
        file = store(f"{function.lower()}.dcm", dicom(explicit, "MONOCHROME2", twelve, 12, VOILUTFunction=function, **window))
        check(f"dicom VOI function {function}", file)
    file = store("threshold.dcm", dicom(explicit, "MONOCHROME2", twelve, 12, WindowCenter=2000, WindowWidth=1))
    check("dicom window of width 1", file)

    full = (twelve[0].astype(float) - twelve.min()) / (twelve.max() - twelve.min())
    file = store("no-window.dcm", dicom(explicit, "MONOCHROME2", twelve, 16))
    pixels_case("dicom without a window", file, levels(full), 65535, 1)
    file = store("falling.dcm", dicom(explicit, "MONOCHROME2", twelve, 16, RescaleSlope=-2, RescaleIntercept=5000))
    pixels_case("dicom without a window, falling slope", file, levels(1 - full), 65535, 1)
    file = store("constant.dcm", dicom(explicit, "MONOCHROME2", np.full((1, 4, 5), 77), 12))
    pixels_case("dicom of one level without a window", file, np.zeros((4, 5)), 65535)
    file = store("shifted.dcm", dicom(explicit, "MONOCHROME2", twelve, 12, shift=4))
    pixels_case("dicom high bit 15 of 12 stored", file, levels(full), 65535, 1)

    entries = (np.linspace(0, 1, 900) ** 2 * 4095).astype(int)
    file = store("voi-lut.dcm", dicom(explicit, "MONOCHROME2", twelve, 12, VOILUTSequence=Sequence([lut(500, entries, 12)])))
    check("dicom VOI table", file)
    file = store("voi-lut-signed.dcm", dicom(explicit, "MONOCHROME2", signed, 16, signed=True, VOILUTSequence=Sequence([lut(-1000, entries, 12, signed=True)])))
    check("dicom VOI table, first value negative", file)
    # The slope is negative and what comes to the table is not, so its first value is not either.
    entries = (np.linspace(0, 1, 20000) ** 2 * 4095).astype(int)
    turned = dict(RescaleSlope=-1, RescaleIntercept=65535)
    file = store("voi-lut-turned.dcm", dicom(explicit, "MONOCHROME2", grey(65535)[None], 16, **turned, VOILUTSequence=Sequence([lut(40000, entries, 12)])))
    check("dicom VOI table, falling slope", file)
    # Entries of 16 bits where 12 are announced: pydicom gives them as they are.
    entries = (np.linspace(0, 1, 4096) ** 2 * 4092).astype(int) * 16
    ds = dicom(explicit, "MONOCHROME2", twelve, 12, VOILUTSequence=Sequence([lut(0, entries, 12)]))
    file = store("voi-lut-deep.dcm", ds)
    pixels_case("dicom VOI table deeper than announced", file, apply_voi_lut(twelve[0], pydicom.dcmread(OUT / file)), 65535, 1)
    entries = (np.sqrt(np.linspace(0, 1, 256)) * 65535).astype(int)
    file = store("modality-lut.dcm", dicom(explicit, "MONOCHROME2", grey(255)[None], 8, ModalityLUTSequence=Sequence([lut(0, entries, 16)]), WindowCenter=30000, WindowWidth=50000))
    check("dicom modality table", file)

    frames = np.stack([twelve[0] // d for d in (1, 2, 3)])
    file = store("frames.dcm", dicom(explicit, "MONOCHROME2", frames, 12, **window))
    for frame in (1, 2, 3):
        pixels_case(f"dicom frame {frame} of 3", file, levels(by_pydicom(file, frame - 1)), 65535, 1, frame=frame)
    pixels_case("dicom first frame unless asked", file, levels(by_pydicom(file, 0)), 65535, 1)

    # An enhanced file: rescale shared, window by frame, in functional groups.
    ds = dicom(explicit, "MONOCHROME2", frames, 12)
    transform, shared = Dataset(), Dataset()
    transform.RescaleIntercept, transform.RescaleSlope = "-1000", "2"
    shared.PixelValueTransformationSequence = Sequence([transform])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for centre in (1000, 2000, 3000):
        voi, group = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = centre, 3001
        group.FrameVOILUTSequence = Sequence([voi])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    ds["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    for group in groups:
        group.is_undefined_length_sequence_item = True
    file = store("enhanced.dcm", ds)
    value = frames[1].astype(float) * 2 - 1000
    pixels_case("dicom enhanced multi-frame", file, levels((value - 1999.5) / 3000 + 0.5), 65535, 1, frame=2)

    for name, syntax in (("implicit", ImplicitVRLittleEndian), ("big-endian", ExplicitVRBigEndian), ("deflated", DeflatedExplicitVRLittleEndian)):
        file = store(f"{name}.dcm", dicom(syntax, "MONOCHROME2", twelve, 12, **window))
        check(f"dicom {name}", file)

    c = colour(255)[None]
    file = store("rgb.dcm", dicom(explicit, "RGB", c, 8))
    pixels_case("dicom RGB", file, c[0], 255)
    ds = dicom(explicit, "RGB", c, 8, PlanarConfiguration=1)
    ds.PixelData = c[0].transpose(2, 0, 1).tobytes()
    file = store("rgb-planes.dcm", ds)
    assert (pydicom.dcmread(OUT / file).pixel_array == c[0]).all()
    pixels_case("dicom RGB in planes", file, c[0], 255)
    ybr = np.asarray(Image.fromarray(c[0]).convert("YCbCr"))[None]
    file = store("ybr.dcm", dicom(explicit, "YBR_FULL", ybr, 8))
    pixels_case("dicom YBR_FULL", file, convert_color_space(ybr[0], "YBR_FULL", "RGB"), 255, 1)
    # Subsampled as the label says, and not, as archives leave it after decompressing a JPEG: pydicom refuses the latter
    # under that label and reads it as YBR_FULL.
    even = np.asarray(Image.fromarray(colour(255, W + 1)).convert("YCbCr"))
    shared = even.copy()
    shared[:, 1::2, 1:] = even[:, ::2, 1:]
    ds = dicom(explicit, "YBR_FULL_422", shared[None], 8)
    fours = [shared[:, ::2, 0], shared[:, 1::2, 0], shared[:, ::2, 1], shared[:, ::2, 2]]
    ds.PixelData = np.stack(fours, -1).tobytes()
    file = store("ybr-422.dcm", ds)
    expected = convert_color_space(shared, "YBR_FULL", "RGB")
    assert np.abs(pydicom.dcmread(OUT / file).pixel_array.astype(int) - expected).max() <= 1
    pixels_case("dicom YBR_FULL_422", file, expected, 255, 1)
    for count in (1, 2):
        file = store(f"ybr-422-whole-{count}.dcm", dicom(explicit, "YBR_FULL_422", np.stack([even[::-1], even][-count:]), 8))
        pixels_case(f"dicom YBR_FULL_422 that is not subsampled, {count}", file, convert_color_space(even, "YBR_FULL", "RGB"), 255, 1, frame=count)
    c12 = colour(4095)[None]
    file = store("rgb-12.dcm", dicom(explicit, "RGB", c12, 12))
    pixels_case("dicom RGB 12 bit", file, np.round(c12[0] / 4095 * 65535), 65535, 1)

    table = np.array([[300 * i % 65536, 65535 - 250 * i, (1000 * i) % 65536] for i in range(200)])
    ds = dicom(explicit, "PALETTE COLOR", grey(255)[None], 8)
    for name, column in zip(("Red", "Green", "Blue"), table.T):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [200, 20, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", column.astype("<u2").tobytes())
    file = store("palette.dcm", ds)
    expected = pydicom.pixels.apply_color_lut(grey(255), pydicom.dcmread(OUT / file))
    pixels_case("dicom PALETTE COLOR", file, expected, 65535)

    # Eight bits are announced, and the value is in the high byte of sixteen.
    for name, column in zip(("Red", "Green", "Blue"), table.T):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [200, 20, 8])
        setattr(ds, f"{name}PaletteColorLookupTableData", (column & 0xFF00).astype("<u2").tobytes())
    file = store("palette-deep.dcm", ds)
    expected = pydicom.pixels.apply_color_lut(grey(255), pydicom.dcmread(OUT / file))
    assert expected.max() > 255
    pixels_case("dicom PALETTE COLOR deeper than announced", file, expected, 65535)

    # RLE: pydicom's encoder.
    for name, ds, expected, full_scale in (
        ("rle-8", dicom(explicit, "MONOCHROME2", grey(255)[None], 8, WindowCenter=128, WindowWidth=256), grey(255).astype(int) * 257, 65535),
        ("rle-16", dicom(explicit, "MONOCHROME2", frames, 12, WindowCenter=2048, WindowWidth=4096), np.round(frames[1] / 4095 * 65535), 65535),
        ("rle-rgb", dicom(explicit, "RGB", c, 8), c[0], 255),
    ):
        ds.compress(RLELossless, generate_instance_uid=False)
        file = store(f"{name}.dcm", ds)
        extra = {"frame": 2} if name == "rle-16" else {}
        pixels_case(f"dicom {name}", file, expected, full_scale, 1, **extra)

    # JPEG, whole and in two fragments, several frames by their offset table.
    identity = dict(WindowCenter=128, WindowWidth=256)
    data = jpeg(Image.fromarray(grey(255)), quality=90)
    decoded = np.asarray(Image.open(io.BytesIO(data))).astype(int) * 257
    tolerance = JPEG_GREY * 257
    file = store("jpeg.dcm", compressed(dicom(explicit, "MONOCHROME2", grey(255)[None], 8, **identity), JPEGBaseline8Bit, [data]))
    pixels_case("dicom JPEG baseline", file, decoded, 65535, tolerance)
    ds = compressed(dicom(explicit, "MONOCHROME2", grey(255)[None], 8, **identity), JPEGBaseline8Bit, [data], fragments_per_frame=2)
    pixels_case("dicom JPEG in two fragments", store("jpeg-fragments.dcm", ds), decoded, 65535, tolerance)
    three = [jpeg(Image.fromarray(grey(255) // d), quality=90) for d in (1, 2, 3)]
    last = np.asarray(Image.open(io.BytesIO(three[2]))).astype(int) * 257
    ds = compressed(dicom(explicit, "MONOCHROME2", np.stack([grey(255)] * 3), 8, **identity), JPEGBaseline8Bit, three, fragments_per_frame=2)
    pixels_case("dicom JPEG frames by offset table", store("jpeg-frames.dcm", ds), last, 65535, tolerance, frame=3)
    data = jpeg(Image.fromarray(c[0]), quality=92, subsampling=1)
    decoded = np.asarray(Image.open(io.BytesIO(data)))
    file = store("jpeg-colour.dcm", compressed(dicom(explicit, "YBR_FULL_422", c, 8), JPEGBaseline8Bit, [data]))
    pixels_case("dicom JPEG colour", file, decoded, 255, JPEG_COLOUR)
    # Colour stored without a transform and without any marker that says so.
    data = jpeg(Image.fromarray(c[0]), quality=92, keep_rgb=True)
    decoded = np.asarray(Image.open(io.BytesIO(data)))
    ds = compressed(dicom(explicit, "RGB", c, 8), JPEGBaseline8Bit, [without_segment(data, 0xEE)])
    pixels_case("dicom JPEG colour as stored", store("jpeg-rgb.dcm", ds), decoded, 255, JPEG_COLOUR)

    for name, frame, stored, is_signed in (
        ("lossless-8", grey(255), 8, False),
        ("lossless-12", grey(4095), 12, False),
        ("lossless-16", grey(65535), 16, False),
    ):
        top = 2**stored
        ds = dicom(explicit, "MONOCHROME2", frame[None], stored, WindowCenter=top // 2, WindowWidth=top)
        file = store(f"jpeg-{name}.dcm", compressed(ds, JPEGLosslessSV1, [lossless_jpeg(frame, stored)]))
        pixels_case(f"dicom JPEG {name}", file, np.round(frame / (top - 1) * 65535), 65535, 1)
    words = signed[0] & 0xFFFF
    ds = dicom(explicit, "MONOCHROME2", signed, 16, signed=True)
    file = store("jpeg-lossless-signed.dcm", compressed(ds, JPEGLosslessSV1, [lossless_jpeg(words, 16)]))
    pixels_case("dicom JPEG lossless signed", file, levels(full), 65535, 1)

    for name, image, stored in (("8", Image.fromarray(grey(255)), 8), ("12", Image.fromarray(grey(4095)), 16)):
        ds = dicom(explicit, "MONOCHROME2", np.asarray(image)[None], stored, WindowCenter=2 ** (stored - 1), WindowWidth=2**stored)
        data = jpeg2000(image, irreversible=False)
        assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(image)).all()
        file = store(f"jpeg2000-{name}.dcm", compressed(ds, JPEG2000Lossless, [data]))
        pixels_case(f"dicom JPEG 2000 {name} bit", file, np.round(np.asarray(image) / (2**stored - 1) * 65535), 65535, 1)
    # A codestream marked as signed, of levels that mean the same either way.
    data = jpeg2000(Image.fromarray(grey(127)), irreversible=False, signed=True)
    ds = dicom(explicit, "MONOCHROME2", grey(127)[None], 8, signed=True, WindowCenter=64, WindowWidth=128)
    file = store("jpeg2000-signed.dcm", compressed(ds, JPEG2000Lossless, [data]))
    pixels_case("dicom JPEG 2000 signed", file, np.round(grey(127) / 127 * 65535), 65535, 1)
    data = jpeg2000(Image.fromarray(c[0]), irreversible=False, mct=1)
    file = store("jpeg2000-colour.dcm", compressed(dicom(explicit, "YBR_RCT", c, 8), JPEG2000Lossless, [data]))
    pixels_case("dicom JPEG 2000 colour", file, c[0], 255, 1)
    data = jpeg2000(Image.fromarray(grey(255)), irreversible=True, quality_mode="dB", quality_layers=[45])
    decoded = np.asarray(Image.open(io.BytesIO(data))).astype(int) * 257
    file = store("jpeg2000-lossy.dcm", compressed(dicom(explicit, "MONOCHROME2", grey(255)[None], 8, **identity), JPEG2000, [data]))
    pixels_case("dicom JPEG 2000 lossy", file, decoded, 65535, tolerance)

    # High-Throughput JPEG 2000, coded by OpenJPH; OpenJPEG must read the same.
    for name, picture, bits in (("8", grey(255), 8), ("16", grey(65535), 16)):
        data = htj2k(picture)
        identical = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
        file = store(f"htj2k-{name}.dcm", compressed(dicom(explicit, "MONOCHROME2", picture[None], bits, **identical), HTJ2KLossless, [data]))
        pixels_case(f"dicom HTJ2K {name} bit", file, np.round(picture / (2**bits - 1) * 65535), 65535, 1)
    picture = (grey(4095).astype(int) - 2048).astype(np.int16)
    ds = dicom(explicit, "MONOCHROME2", picture[None], 16, signed=True, WindowCenter=0, WindowWidth=4096)
    file = store("htj2k-signed.dcm", compressed(ds, HTJ2KLossless, [htj2k(picture)]))
    pixels_case("dicom HTJ2K signed", file, np.round((picture.astype(int) + 2048) / 4095 * 65535), 65535, 1)
    file = store("htj2k-colour.dcm", compressed(dicom(explicit, "RGB", c, 8), HTJ2KLossless, [htj2k(c[0])]))
    pixels_case("dicom HTJ2K colour", file, c[0], 255, 1)
    data = htj2k(grey(255), reversible=False, level=0.01)
    file = store("htj2k-lossy.dcm", compressed(dicom(explicit, "MONOCHROME2", grey(255)[None], 8, **identity), HTJ2K, [data]))
    # OpenJPH puts a coefficient in the middle of its step, the decoder here at the step's lower end.
    pixels_case("dicom HTJ2K lossy", file, imagecodecs.htj2k_decode(data).astype(int) * 257, 65535, 3 * 257)

    ds = dicom(explicit, "MONOCHROME2", twelve, 12, **window)
    native = ds.PixelData
    file = store("encapsulated.dcm", compressed(ds, "1.2.840.10008.1.2.1.98", [native]))
    pixels_case("dicom encapsulated uncompressed", file, levels(by_pydicom("mono2-12.dcm")), 65535, 1)

    # Pixels that lie elsewhere (JPIP) are not read: answered with the UID.
    store("referenced.dcm", compressed(dicom(explicit, "MONOCHROME2", twelve, 12), "1.2.840.10008.1.2.4.94", [b"\xff\xd8\xff\xf7"]))


# --- Preprocessing -----------------------------------------------------------------------------

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}


def preprocess(array, full, spec):
    """What the manifest's `input` means, by Pillow and numpy."""
    height, width = array.shape[:2]
    tw, th = spec["width"], spec["height"]
    left = top = 0
    cw, ch = width, height
    if spec["crop"] == "centre":
        if width * th > height * tw:
            cw = max(1, int(np.floor(height * tw / th + 0.5)))
        else:
            ch = max(1, int(np.floor(width * th / tw + 0.5)))
        left, top = (width - cw) // 2, (height - ch) // 2
    array = array[top : top + ch, left : left + cw]

    def resized(plane):
        if plane.dtype == np.uint8:
            return np.asarray(Image.fromarray(plane).resize((tw, th), FILTERS[spec["resize"]]))
        # 16 bits: in floating point, rows and columns apart, back to levels after each as Pillow
        # does with 8 bits.
        for size in ((tw, plane.shape[0]), (tw, th)):
            out = Image.fromarray(plane.astype(np.float32)).resize(size, FILTERS[spec["resize"]])
            plane = np.clip(np.round(np.asarray(out)), 0, full)
        return plane

    planes = [array] if array.ndim == 2 else [array[..., i] for i in range(3)]
    planes = [resized(np.ascontiguousarray(p)).astype(np.float64) for p in planes]
    if len(planes) == 3 and spec["channels"] == 1:
        r, g, b = (p.astype(np.int64) for p in planes)
        luma = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
        if full == 255:
            image = Image.fromarray(np.stack([r, g, b], -1).astype(np.uint8))
            assert (np.asarray(image.convert("L")) == luma).all()
        planes = [luma.astype(np.float64)]
    if len(planes) == 1 and spec["channels"] == 3:
        planes = planes * 3
    out = np.stack(planes) / full
    n = spec["normalisation"]
    if n["kind"] == "fixed":
        return (out - np.reshape(n["mean"], (-1, 1, 1))) / np.reshape(n["std"], (-1, 1, 1))
    return (out - out.mean()) / max(out.std(), n["floor"])


def preprocessing():
    wide = (61, 47)
    pictures = {
        "pre-gray8.png": (grey(255, *wide), 255, 0, 8),
        "pre-rgb8.png": (colour(255, *wide), 255, 2, 8),
        "pre-gray16.png": (grey(65535, *wide), 65535, 0, 16),
        "pre-rgb16.png": (colour(65535, 33, 40), 65535, 2, 16),
        "pre-tall.png": (grey(255, 31, 83), 255, 0, 8),
        "pre-small.png": (grey(255), 255, 0, 8),
        "pre-blank.png": (np.full((9, 9), 128, np.uint8), 255, 0, 8),
    }
    for file, (array, _, kind, depth) in pictures.items():
        save(file, png(array, depth, kind))
    one = {"kind": "fixed", "mean": [0.0], "std": [1.0]}
    half = {"kind": "fixed", "mean": [0.5], "std": [0.25]}
    three = {"kind": "fixed", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    own = {"kind": "per-image", "floor": 0.01}
    specs = [
        ("pre-gray8.png", 14, 14, 1, "centre", "bicubic", one),
        ("pre-gray8.png", 12, 20, 1, "centre", "bicubic", half),
        ("pre-gray8.png", 15, 11, 1, "none", "bilinear", one),
        ("pre-gray8.png", 9, 16, 1, "none", "lanczos3", own),
        ("pre-small.png", 15, 15, 1, "centre", "bicubic", one),
        ("pre-small.png", 15, 19, 1, "none", "bicubic", one),
        ("pre-small.png", 30, 11, 1, "centre", "bicubic", one),
        ("pre-gray8.png", 10, 10, 3, "centre", "bicubic", three),
        ("pre-rgb8.png", 12, 12, 3, "centre", "bicubic", three),
        ("pre-rgb8.png", 14, 9, 3, "none", "lanczos3", own),
        ("pre-rgb8.png", 14, 14, 1, "centre", "bicubic", half),
        ("pre-gray16.png", 14, 14, 1, "centre", "bicubic", one),
        ("pre-gray16.png", 10, 13, 1, "none", "lanczos3", own),
        ("pre-rgb16.png", 9, 9, 3, "centre", "bilinear", three),
        ("pre-rgb16.png", 13, 9, 1, "none", "bicubic", one),
        ("pre-tall.png", 14, 14, 1, "centre", "bicubic", own),
        ("pre-blank.png", 6, 6, 1, "centre", "bicubic", own),
    ]
    for file, height, width, channels, crop, resize, normalisation in specs:
        array, full, _, _ = pictures[file]
        spec = {
            "height": height,
            "width": width,
            "channels": channels,
            "crop": crop,
            "resize": resize,
            "normalisation": normalisation,
        }
        expected = preprocess(array, full, spec)
        # One level of rounding in each of the two passes, spread by the normalisation.
        divisor = min(normalisation["std"]) if "std" in normalisation else 0.15
        CASES.append(
            {
                "name": f"{file} {width}x{height}x{channels} {crop} {resize} {normalisation['kind']}",
                "file": file,
                "kind": "preprocess",
                "input": spec,
                "tolerance": round(1.01 / full / divisor + 2e-6, 7),
                "expected": [float(f"{v:.6g}") for v in expected.reshape(-1)],
            }
        )


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    pngs()
    jpegs()
    dicoms()
    preprocessing()
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in CASES)
    (OUT / "cases.json").write_text(f"[\n{lines}\n]\n")
    total = sum(path.stat().st_size for path in OUT.iterdir())
    print(f"{len(CASES)} cases, {total / 1000:.0f} kB in {OUT}")


if __name__ == "__main__":
    main()
