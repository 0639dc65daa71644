"""Writes the seeds, fuzz/seeds/<target>/: small and sound inputs for the fuzzers to break.

Needs numpy, pillow, pydicom and imagecodecs. The same seeds come out of every run; `message_seeds.py` writes those of
messages, imports and weights.
"""

import io
import json
import pathlib
import struct
import zlib

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset

ROOT = pathlib.Path(__file__).parent / "seeds"
random = np.random.default_rng(0)


def put(target, name, content):
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def encoded(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def dicom(array, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.Rows, file.Columns = array.shape
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8 * array.itemsize
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = 0
    for tag, value in tags.items():
        setattr(file, tag, value)
    file.PixelData = array.tobytes()
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def images():
    gray = random.integers(0, 256, (9, 7), np.uint8)
    colour = random.integers(0, 256, (8, 8, 3), np.uint8)
    put("image", "gray.png", encoded(gray, "PNG"))
    put("image", "colour.png", encoded(colour, "PNG"))
    put("image", "gray.jpg", encoded(gray, "JPEG"))
    put("image", "colour.jpg", encoded(colour, "JPEG", progressive=True))
    put("dicom", "8-bit.dcm", dicom(gray))
    wide = random.integers(0, 4096, (6, 5), np.uint16)
    put("dicom", "window.dcm", dicom(wide, WindowCenter=2048, WindowWidth=1000, RescaleSlope=2, RescaleIntercept=-1024))


def records():
    record = {"note": "chest pain", "fields": {"age": 67, "sex": "male", "spo2": None}}
    put("record", "whole.json", json.dumps(record).encode())
    put("record", "bare.json", b'{"note": "cough"}')


def tensor(name, datatype, shape, **rest):
    return {"name": name, "datatype": datatype, "shape": shape, **rest}


def requests():
    def put_request(name, inputs, binary=b"", **rest):
        text = json.dumps({"inputs": inputs, **rest}).encode()
        put("infer", name, struct.pack("<H", len(text)) + text + binary)

    notes = b"".join(struct.pack("<I", len(note)) + note for note in (b"chest pain", b"cough"))
    ages = struct.pack("<2d", 67, float("nan"))
    sized = lambda data: {"parameters": {"binary_data_size": len(data)}}
    put_request(
        "notes",
        [tensor("note", "BYTES", [2], **sized(notes)), tensor("age", "FP64", [2], **sized(ages))],
        notes + ages,
        parameters={"binary_data_output": True},
    )
    put_request("json", [tensor("note", "BYTES", [1, 1], data=[["cough"]])], outputs=[{"name": "label"}])
    put_request("image", [tensor("image", "BYTES", [1], data=["aaaa"])])


def archives():
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = random.integers(0, 256, (2, 4, 4), np.uint8)
        arrays[f"{split}_labels"] = np.array([[0], [1]], np.uint8)
    for name, write in (("stored.npz", np.savez), ("deflated.npz", np.savez_compressed)):
        buffer = io.BytesIO()
        write(buffer, **arrays)
        put("npz", name, buffer.getvalue())


def packages():
    shapes = {"head.weight": [2, 4], "head.bias": [2], "layers.0.weight": [1, 1, 3, 3], "layers.0.bias": [1]}
    header, data = {}, b""
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    weights = struct.pack("<Q", len(text)) + text + data
    manifest = {
        "format": 1, "name": "fuzzed", "version": "1", "description": "", "labels": ["a", "b"],
        "input": {"kind": "image", "height": 4, "width": 4, "channels": 1, "crop": "none", "resize": "bilinear",
                  "normalisation": {"kind": "fixed", "mean": [0.5], "std": [0.5]}},
        "architecture": {"kind": "cnn", "layers": [{"layer": "conv", "filters": 1, "kernel": 3}, {"layer": "flatten"}]},
        "calibration": {"temperature": 1.0}, "abstain_below": 0.5,
        "data": {"name": "", "source": "", "licence": "", "sha256": {}, "examples": {}},
        "training": {"seed": 0, "epochs": 1, "settings": {}, "program": ""},
        "metrics": {}, "weights": {"file": "model.safetensors", "sha256": "", "parameters": 20},
    }
    text = json.dumps(manifest).encode()
    put("package", "cnn", struct.pack("<I", len(text)) + text + weights)
    triage = (ROOT.parent.parent / "models/triage/1/manifest.json").read_bytes()
    put("package", "bag", struct.pack("<I", len(triage)) + triage + weights)


def codecs():
    def put_frame(name, syntax, kind, array, frame):
        put("codec", name, bytes([syntax, kind, *array.shape[:2]]) + frame)

    # As codecs.rs has them: the places of the transfer syntaxes, and the bits of the kind of samples.
    rle, baseline, extended, lossless, ls, jpeg2000, throughput, deflated, plain = range(9)
    colour, words, twelve = 1, 2, 32
    x, y = np.meshgrid(np.arange(16), np.arange(12))
    gray = (x * 9 + y * 5 + random.integers(0, 8, x.shape)).astype(np.uint8)
    red = np.stack([gray, gray[::-1], gray[:, ::-1]], axis=2)
    deep = (gray.astype(np.uint16) * 16) % 4096
    for name, array, kind in (("gray", gray, 0), ("colour", red, colour), ("deep", deep, words | twelve)):
        if array.itemsize == 1:
            put_frame(f"baseline-{name}", baseline, kind, array, imagecodecs.jpeg8_encode(array, level=80))
            progressive = encoded(array, "JPEG", progressive=True, quality=80)
            put_frame(f"progressive-{name}", extended, kind, array, progressive)
        if array.ndim == 2:
            precision = 8 * array.itemsize
            frame = imagecodecs.ljpeg_encode(array, bitspersample=precision)
            put_frame(f"lossless-{name}", lossless, kind & ~twelve, array, frame)
        put_frame(f"ls-{name}", ls, kind, array, imagecodecs.jpegls_encode(array))
        put_frame(f"ls-near-{name}", ls, kind, array, imagecodecs.jpegls_encode(array, level=3))
        for way, options in (("", {"reversible": True, "level": 0}), ("-lossy", {"reversible": False, "level": 40})):
            frame = imagecodecs.jpeg2k_encode(array, codecformat="j2k", **options)
            put_frame(f"jpeg2000{way}-{name}", jpeg2000, kind & ~twelve, array, frame)
        frame = imagecodecs.htj2k_encode(array, reversible=True)
        put_frame(f"throughput-{name}", throughput, kind & ~twelve, array, frame)
        native = array.tobytes()
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        put_frame(f"deflated-{name}", deflated, kind, array, compressor.compress(native) + compressor.flush())
        put_frame(f"plain-{name}", plain, kind, array, native)
    segment = b"".join(bytes([255 & (1 - 16), row]) for row in range(12))
    put_frame("rle-gray", rle, 0, gray, struct.pack("<16I", 1, 64, *[0] * 14) + segment)
    literal = b"".join(bytes([15]) + bytes(line) for line in gray)
    put_frame("rle-literal", rle, 0, gray, struct.pack("<16I", 1, 64, *[0] * 14) + literal)
    three = struct.pack("<16I", 3, 64, 64 + len(segment), 64 + 2 * len(segment), *[0] * 12) + 3 * segment
    put_frame("rle-colour", rle, colour, red, three)


def ways_to_show():
    """What decides how stored samples are shown, and the ways to write it down."""
    from pydicom import uid
    from pydicom.dataset import Dataset

    def put_file(name, array, frames=1, syntax=uid.ExplicitVRLittleEndian, pixels=None, **tags):
        file = pydicom.dcmread(io.BytesIO(dicom(array[0] if frames > 1 else array)))
        for tag, value in tags.items():
            setattr(file, tag, value)
        for element in file:
            if " or " in element.VR:
                element.VR = "OW" if isinstance(element.value, bytes) else "US"
        if frames > 1:
            file.NumberOfFrames = frames
            file.PixelData = array.tobytes()
        if pixels is not None:
            file.PixelData = pixels
        file.file_meta.TransferSyntaxUID = syntax
        if syntax.is_encapsulated:
            file["PixelData"].VR = "OB"
        buffer = io.BytesIO()
        little, implicit = syntax.is_little_endian, syntax.is_implicit_VR
        pydicom.dcmwrite(buffer, file, little_endian=little, implicit_vr=implicit, enforce_file_format=True)
        put("dicom", name, buffer.getvalue())

    def of(**tags):
        inner = Dataset()
        for tag, value in tags.items():
            setattr(inner, tag, value)
        return inner

    gray = random.integers(0, 256, (6, 8), np.uint8)
    wide = random.integers(0, 4096, (6, 8), np.uint16)
    two = random.integers(0, 256, (2, 4, 6), np.uint8)
    table = of(LUTDescriptor=[256, 0, 16], LUTData=[index * 250 for index in range(256)])
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    put_file("tables.dcm", gray, ModalityLUTSequence=[table], VOILUTSequence=[table], PresentationLUTShape="INVERSE")
    put_file("inverted.dcm", gray, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0,
             PixelPaddingRangeLimit=9, Modality="DX", BodyPartExamined="CHEST", StudyInstanceUID="1.2.3")
    put_file("signed.dcm", wide, PixelRepresentation=1, BitsStored=12, HighBit=11, WindowCenter=[40, 300],
             WindowWidth=[400, 1500], VOILUTFunction="SIGMOID", syntax=uid.ImplicitVRLittleEndian)
    put_file("big.dcm", wide, syntax=uid.ExplicitVRBigEndian)
    put_file("deflated.dcm", wide, syntax=uid.DeflatedExplicitVRLittleEndian)
    palette = {f"{colour}PaletteColorLookupTableDescriptor": [4, 0, 16] for colour in ("Red", "Green", "Blue")}
    palette |= {f"{colour}PaletteColorLookupTableData": struct.pack("<4H", 0, 9000, 40000, 65535)
                for colour in ("Red", "Green", "Blue")}
    put_file("palette.dcm", gray % 4, PhotometricInterpretation="PALETTE COLOR", **palette)
    segmented = {key.replace("LookupTableData", "LookupTableDat"): value for key, value in palette.items()}
    segmented = {key: value for key, value in segmented.items() if not key.endswith("Dat")}
    segmented |= {f"Segmented{colour}PaletteColorLookupTableData": struct.pack("<7H", 0, 2, 5, 70, 1, 2, 60000)
                  for colour in ("Red", "Green", "Blue")}
    put_file("segmented.dcm", gray % 4, PhotometricInterpretation="PALETTE COLOR", **segmented)
    window = lambda centre: of(FrameVOILUTSequence=[of(WindowCenter=centre, WindowWidth=100)],
                               PixelValueTransformationSequence=[of(RescaleIntercept=-5, RescaleSlope=2)])
    put_file("groups.dcm", two, frames=2, PerFrameFunctionalGroupsSequence=[window(20), window(90)],
             SharedFunctionalGroupsSequence=[window(50)])
    colour = random.integers(0, 256, (4, 6, 3), np.uint8)
    put_file("colour.dcm", colour[:, :, 0], SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL",
             PlanarConfiguration=1, pixels=colour.transpose(2, 0, 1).tobytes())
    put_file("packed.dcm", gray, BitsAllocated=1, BitsStored=1, HighBit=0, pixels=bytes([0b10110100] * 6))
    frames = [struct.pack("<16I", 1, 64, *[0] * 14) + bytes([256 + 1 - 24, 7 * number]) for number in (1, 2)]
    fragments = [frames[0][:40], frames[0][40:], frames[1][:66]]
    item = lambda content: struct.pack("<HHI", 0xfffe, 0xe000, len(content)) + content
    offsets = struct.pack("<2I", 0, sum(len(item(part)) for part in fragments[:2]))
    written = b"".join(map(item, [offsets, *fragments])) + struct.pack("<HHI", 0xfffe, 0xe0dd, 0)
    put_file("fragments.dcm", two, frames=2, syntax=uid.RLELossless, pixels=written)
    real = dicom(random.random((3, 4)).astype(np.float32).view(np.uint32))
    put("dicom", "real.dcm", real.replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x08\0OF"))


if __name__ == "__main__":
    images()
    records()
    requests()
    archives()
    packages()
    codecs()
    ways_to_show()
