"""Makes a digital radiograph of a PNG drawing, as a modality would send it, with pydicom.

Usage: dicom_image.py DRAWING.png OUT.dcm SOP_INSTANCE_UID [MODALITY]
"""

import struct
import sys
import zlib

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

DX = "1.2.840.10008.5.1.4.1.1.1.1"
ROOT = "1.2.826.0.1.3680043.8.498.1"


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def grey(path):
    """Rows, columns and pixels of an 8-bit grey PNG without interlace."""
    data = open(path, "rb").read()
    at, packed = 8, b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            columns, rows, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 0), "an 8-bit grey PNG"
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, lines, before = zlib.decompress(packed), [], bytes(columns)
    for row in range(rows):
        filter_, line = raw[row * (columns + 1)], bytearray(raw[row * (columns + 1) + 1 :][:columns])
        for x in range(columns):
            left, up = (line[x - 1] if x else 0), before[x]
            corner = before[x - 1] if x else 0
            guess = left + up - corner
            paeth = min((abs(guess - v), i, v) for i, v in enumerate((left, up, corner)))[2]
            line[x] = (line[x] + (0, left, up, (left + up) // 2, paeth)[filter_]) % 256
        before = bytes(line)
        lines.append(before)
    return rows, columns, b"".join(lines)


def radiograph(drawing, instance, modality="DX"):
    rows, columns, pixels = grey(drawing)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DX, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    d.SpecificCharacterSet = "ISO_IR 100"
    d.ImageType = ["ORIGINAL", "PRIMARY", ""]
    d.SOPClassUID, d.SOPInstanceUID = DX, instance
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = "20260301"
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = "093000"
    d.AccessionNumber, d.Modality, d.Manufacturer = "A7", modality, "Nobody"
    d.PresentationIntentType = "FOR PRESENTATION"
    d.ReferringPhysicianName, d.StudyDescription = "Roe^Richard", "Chest"
    d.PatientName, d.PatientID, d.PatientBirthDate, d.PatientSex = "Müller^Jane", "p1", "20200101", "F"
    d.BodyPartExamined, d.PatientOrientation = "CHEST", ["L", "F"]
    d.StudyInstanceUID, d.SeriesInstanceUID = ROOT, ROOT + ".1"
    d.StudyID, d.SeriesNumber, d.InstanceNumber = "1", 1, int(instance.rsplit(".", 1)[-1])
    d.ImageLaterality = "U"
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns, d.ImagerPixelSpacing = rows, columns, [0.5, 0.5]
    d.BitsAllocated = d.BitsStored = 8
    d.HighBit, d.PixelRepresentation = 7, 0
    d.BurnedInAnnotation, d.LossyImageCompression = "NO", "00"
    d.PixelIntensityRelationship, d.PixelIntensityRelationshipSign = "LOG", -1
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = 0, 1, "US"
    d.PresentationLUTShape, d.WindowCenter, d.WindowWidth = "IDENTITY", 128, 256
    d.DetectorType, d.PositionerType, d.ViewPosition = "DIRECT", "NONE", "AP"
    d.ViewCodeSequence = [code("399348003", "SCT", "antero-posterior")]
    d.AnatomicRegionSequence = [code("51185008", "SCT", "Chest")]
    d.AcquisitionContextSequence = []
    d.PixelData = pixels + b"\0" * (len(pixels) % 2)
    return d


if __name__ == "__main__":
    radiograph(sys.argv[1], sys.argv[3], *sys.argv[4:5]).save_as(sys.argv[2], enforce_file_format=True)
