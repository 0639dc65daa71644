"""Pictures: damaged, hostile, or written in a way that is easily misread. The picture in most of them is one and
the same, so that a file is right when it is answered as a plain file with that picture is."""

import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

DICOM, PNG, JPEG = "application/dicom", "image/png", "image/jpeg"
MEDIA = {".dcm": DICOM, ".png": PNG, ".jpg": JPEG}
PLAIN = "F2-lossless-norestart-reference.dcm"

# The bytes a declaration may cost (MB) and the seconds it may take before it is refused.
REFUSAL_MEMORY, REFUSAL_TIME = 100, 1.0
# What twelve large pictures at once may hold (MB): the limit of the Kubernetes manifest.
MEMORY = 2048


def cases(folder):
    pictures = Pictures(folder / "images")
    alike, refused = pictures.alike, pictures.refused
    checks = {
        "F1-precincts-3000.dcm": pictures.bomb,
        "F1-precincts-8192.dcm": pictures.bomb,
        "F1-tiles-8192.dcm": pictures.bomb,
        "F2-lossless-restart.dcm": alike(PLAIN),
        "F2-lossless-point-transform.dcm": alike(PLAIN, 0.02, or_refused=True),
        "F3-half-eoi.jpg": refused,
        "F3-j2k-header-only.dcm": refused,
        "F3-j2k-tenth.dcm": refused,
        "F3-lossless-half-eoi.dcm": refused,
        "F4-black.png": pictures.blank,
        "F4-slope-0.dcm": alike(PLAIN, or_refused=True),
        "F5-j2k-16-in-12.dcm": alike(PLAIN),
        "F6-non-interleaved-420.jpg": alike(pictures.colour, 0.02),
        "F7-12-in-16.png": alike("F7-reference-8.png", 0.02),
        "F7-10-in-16.png": alike("F7-reference-8.png", 0.02),
        "F8-rgba16-8192.png": pictures.large,
        "F9-padding-65535.dcm": pictures.about(0.07, 0.04),
        "F10-empty-voi-item.dcm": alike(PLAIN),
        "F10-frames-0.dcm": alike(PLAIN),
        "F10-lower-case.dcm": alike(pictures.unwindowed("F10-lower-case.dcm"), 0.002),
        "F10-voi-function-unknown.dcm": alike(PLAIN),
        "F10-window-0.dcm": alike(pictures.stretched, 0.002),
        "F10-window-lt-1.dcm": pictures.answered,
        "F11-fragments-no-table.dcm": pictures.both_frames,
        "F12-no-delimiter.dcm": alike("F12-with-delimiter.dcm"),
        "F12-nulls.dcm": alike("F12-with-delimiter.dcm"),
        "F13-j2k-signed-pr0.dcm": pictures.about(0.04, 0.03),
        "F13-j2k-13-in-14-signed.dcm": pictures.about(0.07, 0.04, or_refused=True),
        "F14-presentation-inverse.dcm": alike(pictures.inverted, 0.002),
    }
    for name, check in checks.items():
        if (folder / "images" / name).is_file():
            yield f"images/{name}", lambda server, name=name, check=check: check(server, name)


class Pictures:
    def __init__(self, folder):
        self.folder = folder

    def read(self, name):
        return (self.folder / name).read_bytes()

    def answer(self, server, name, query=""):
        return server.classify(self.read(name), MEDIA[name[-4:]], query)

    def alike(self, reference, tolerance=1e-4, or_refused=False):
        """As `reference`, the name of a file or what makes (bytes, media type), is answered."""
        def check(server, name):
            answer = self.answer(server, name)
            if or_refused and answer.refused():
                return
            other = self.answer(server, reference) if isinstance(reference, str) else server.classify(*reference())
            got, right = probability(answer), probability(other)
            if abs(got - right) > tolerance:
                yield f"pneumonia {got:.4f}, right is {right:.4f}"
        return check

    def about(self, right, tolerance, or_refused=False):
        def check(server, name):
            answer = self.answer(server, name)
            if or_refused and answer.refused():
                return
            if abs(probability(answer) - right) > tolerance:
                yield f"pneumonia {probability(answer):.4f}, right is about {right}"
        return check

    def refused(self, server, name):
        answer = self.answer(server, name)
        if answer.status != 422:
            yield f"answered with {answer.status}, right is 422"

    def answered(self, server, name):
        probability(self.answer(server, name))
        return ()

    def bomb(self, server, name):
        before, start = server.forget_memory(), time.monotonic()
        answer = self.answer(server, name)
        seconds, grown = time.monotonic() - start, server.memory() - before
        if not answer.refused():
            yield f"answered with {answer.status}, right is 4xx"
        if seconds > REFUSAL_TIME:
            yield f"refused after {seconds:.1f} s"
        if grown > REFUSAL_MEMORY:
            yield f"refused after {grown:.0f} MB"

    def blank(self, server, name):
        answer = self.answer(server, name)
        if answer.status == 422:
            return
        result = answer.json["results"][0]
        if result["label"] is not None or not result.get("reason"):
            yield f"label {result['label']}, reason {result.get('reason')}; right is null with a reason"

    def large(self, server, name):
        server.forget_memory()
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: self.answer(server, name), range(12)))
        wrong = sorted({answer.status for answer in answers if answer.status not in (200, 413, 422, 429, 503)})
        if wrong:
            yield f"answered with {wrong}"
        if server.memory() > MEMORY:
            yield f"twelve at once took {server.memory():.0f} MB, right is at most {MEMORY}"

    def both_frames(self, server, name):
        right = probability(self.answer(server, PLAIN))
        for frame in (1, 2):
            got = probability(self.answer(server, name, f"&frame={frame}"))
            if abs(got - right) > 1e-4:
                yield f"frame {frame}: pneumonia {got:.4f}, right is {right:.4f}"

    def stretched(self):
        """The picture with its least value black and its greatest white, as it is without a window."""
        width, height, rows = read_grey(self.read("F7-12-in-16.png"))
        low, high = min(map(min, rows)), max(map(max, rows))
        rows = [[round((value - low) * 65535 / (high - low)) for value in row] for row in rows]
        return write_png(width, height, 16, 0, [b"".join(value.to_bytes(2, "big") for value in row) for row in rows]), PNG

    def colour(self):
        """What the colour JPEG was made of: the picture, upside down, and left to right."""
        width, height, rows = read_grey(self.read("F7-reference-8.png"))
        lines = [bytes(value for x in range(width) for value in (rows[y][x], rows[-1 - y][x], rows[y][-1 - x]))
                 for y in range(height)]
        return write_png(width, height, 8, 2, lines), PNG

    def unwindowed(self, name):
        """The file with MONOCHROME2 written as it should be."""
        return lambda: (self.read(name).replace(b"monochrome2", b"MONOCHROME2"), DICOM)

    def inverted(self):
        """The same stored values, said to be MONOCHROME1."""
        return self.read("F10-lower-case.dcm").replace(b"monochrome2", b"MONOCHROME1"), DICOM


def probability(answer):
    if answer.status != 200:
        raise AssertionError(f"answered with {answer.status}: {answer.body[:160].decode(errors='replace')}")
    predictions = answer.json["results"][0]["predictions"]
    return next(p["probability"] for p in predictions if p["label"] == "pneumonia")


def read_grey(png):
    """Width, height and rows of a grey PNG of 8 or 16 bits without interlacing."""
    at, data = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        chunk = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, bits = struct.unpack(">IIB", chunk[:9])
        elif kind == b"IDAT":
            data += chunk
        at += 12 + length
    data, size = zlib.decompress(data), bits // 8
    stride, above, rows = width * size, bytes(width * size), []
    for y in range(height):
        start = y * (stride + 1)
        filtered, line = data[start], bytearray(data[start + 1:start + 1 + stride])
        for i in range(stride):
            left = line[i - size] if i >= size else 0
            corner = above[i - size] if i >= size else 0
            guess = left + above[i] - corner
            nearest = min((left, above[i], corner), key=lambda value: abs(guess - value))
            line[i] = (line[i] + (0, left, above[i], (left + above[i]) // 2, nearest)[filtered]) & 255
        above = line
        rows.append([int.from_bytes(line[i:i + size], "big") for i in range(0, stride, size)])
    return width, height, rows


def write_png(width, height, bits, colour, lines):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
