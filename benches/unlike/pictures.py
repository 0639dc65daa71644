#!/usr/bin/env python3
"""How many pictures of other kinds get a label or regions from each model of images, and how many of its own do not.

    benches/unlike/pictures.py BASE [--data FOLDER] [--most N] [--show]

Asks a running server (BASE, such as http://127.0.0.1:8080). Needs numpy and Pillow; with scikit-image its photographs
are asked too, with pydicom the slices of its test files, as PNG, so that no tag says what they are. FOLDER is
`../shared/data` beside the repository. Other models' pictures, adults' films of another country, the models' own turned
upside down, inverted and cut, drawn charts, screens, ultrasound fans, pages, gradients, noise and clouds.

As with the texts of `notes.py`, nothing here chooses anything; but which values of tone are measured was chosen
knowing how they do on the films of Montgomery, so of these the share says less than of the others.
"""

import argparse
import glob
import io
import json
import random
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

MODELS = {
    "pneumonia": ("classify", None),
    "chest-xray": ("classify", "chest-xray-224/val/*/*"),
    "blood-cells": ("classify", "blood-cells-128/val/*/*"),
    "nuclei": ("segment", "nuclei-dsb2018/val/images/*"),
}
# Not foreign to a model: its own pictures, or the same children's.
OWN = {"pneumonia": {"pneumonia", "chest-xray"}, "chest-xray": {"chest-xray", "pneumonia"}, "blood-cells": {"blood-cells"}, "nuclei": {"nuclei"}}
# Turning or inverting a picture of cells gives a picture of cells.
ORIENTED = {"pneumonia", "chest-xray"}


def png(image):
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def drawn(kind, rng):
    size = rng.choice([(320, 240), (512, 512), (640, 480), (300, 400)])
    tone = lambda: tuple(rng.randint(0, 255) for _ in range(3))
    image = Image.new("RGB", size, tone() if kind in ("chart", "shapes") else (255, 255, 255))
    pen, (w, h) = ImageDraw.Draw(image), size
    if kind == "chart":
        for at in range(rng.randint(4, 12)):
            top = rng.randint(h // 8, h - h // 8)
            pen.rectangle([at * w // 12, top, at * w // 12 + w // 18, h - 10], fill=tone())
        pen.line([(rng.randint(0, w), rng.randint(0, h)) for _ in range(8)], fill=tone(), width=3)
    elif kind == "screen":
        pen.rectangle([0, 0, w, h // 10], fill=tone())
        pen.rectangle([0, h // 10, w // 5, h], fill=(230, 230, 235))
        for row in range(h // 8 + 10, h - 10, 14):
            pen.text((w // 5 + 10, row), "".join(rng.choice("abcdefghij klmnop qrst uvw ") for _ in range(50)), fill=(20, 20, 20))
        pen.rectangle([w // 2, h // 2, w - 20, h - 30], outline=(0, 0, 0), fill=tone())
    elif kind == "page":
        for row in range(12, h - 12, 13):
            pen.text((14, row), "".join(rng.choice("abcdefgh ijklmno pqrstuv ") for _ in range(w // 7)), fill=(0, 0, 0))
    elif kind == "shapes":
        for _ in range(rng.randint(2, 9)):
            x, y = rng.randint(0, w), rng.randint(0, h)
            box = [x, y, x + rng.randint(10, w // 2), y + rng.randint(10, h // 2)]
            rng.choice([pen.ellipse, pen.rectangle])(box, fill=tone())
    return image


def fan(rng):
    """Speckle in a sector on black, as ultrasound shows."""
    side = 400
    noise = np.random.default_rng(rng.randint(0, 1 << 30))
    y, x = np.mgrid[0:side, 0:side] / side
    radius, angle = np.hypot(x - 0.5, y), np.arctan2(x - 0.5, y + 1e-9)
    inside = (radius > 0.12) & (radius < 0.95) & (np.abs(angle) < 0.7)
    speckle = noise.rayleigh(0.25, (side, side)) * (0.6 + 0.4 * np.sin(radius * rng.uniform(10, 40) + rng.uniform(0, 6)))
    return Image.fromarray((np.clip(speckle * inside, 0, 1) * 255).astype(np.uint8))


def patterns(rng):
    noise = np.random.default_rng(rng.randint(0, 1 << 30))
    y, x = np.mgrid[0:256, 0:256] / 256
    kind = rng.randrange(4)
    values = [
        noise.random((256, 256)),
        np.clip(rng.uniform(-1, 1) * x + rng.uniform(-1, 1) * y + 0.5, 0, 1),
        0.5 + 0.5 * np.sin(rng.uniform(5, 80) * (x * rng.random() + y)),
        np.kron(noise.random((8, 8)), np.ones((32, 32))),
    ][kind]
    return Image.fromarray((values * 255).astype(np.uint8))


def cloud(rng):
    """Noise whose amplitude falls with the frequency, grey or in colours: blobs on a ground, as nuclei are."""
    noise, side, power = np.random.default_rng(rng.randint(0, 1 << 30)), rng.randint(256, 512), rng.uniform(0.5, 2.5)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) + 1 / side
    planes = [np.fft.ifft2(np.fft.fft2(noise.normal(size=(side, side))) / frequency**power).real for _ in range(rng.choice([1, 3]))]
    planes = [((plane - plane.min()) / (plane.max() - plane.min()) * 255).astype(np.uint8) for plane in planes]
    return Image.fromarray(planes[0] if len(planes) == 1 else np.stack(planes, -1))


def altered(data, kind):
    image = Image.open(io.BytesIO(data)).convert("L")
    w, h = image.size
    if kind == "upside down":
        return png(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    if kind == "on its side":
        return png(image.transpose(Image.Transpose.ROTATE_90))
    if kind == "inverted":
        return png(Image.eval(image, lambda value: 255 - value))
    return png(image.crop((w // 3, h // 3, w // 3 + w // 3, h // 3 + h // 3)))


def sets(data, most):
    rng = random.Random(7)

    def files(pattern):
        found = sorted(glob.glob(str(data / pattern)))
        rng.shuffle(found)
        return [Path(file).read_bytes() for file in found[:most]]

    found = {name: files(pattern) for name, (_, pattern) in MODELS.items() if pattern}
    with np.load(data / "pneumoniamnist/pneumoniamnist.npz") as archive:
        found["pneumonia"] = [png(Image.fromarray(image)) for image in archive["test_images"][:most]]
    found["adults' films (Montgomery)"] = files("lungs-montgomery/*/images/*")
    found["masks of lungs"] = [
        png(Image.eval(Image.open(io.BytesIO(mask)).convert("L"), lambda value: min(255, 255 * value)))
        for mask in files("lungs-montgomery/*/masks/*")[:40]]
    for kind in ("chart", "screen", "page", "shapes"):
        found[kind] = [png(drawn(kind, rng)) for _ in range(40)]
    found["ultrasound, drawn"] = [png(fan(rng)) for _ in range(40)]
    found["patterns of chance"] = [png(patterns(rng)) for _ in range(40)]
    found["clouds of chance"] = [png(cloud(random.Random(at))) for at in range(120)]
    try:
        from skimage import data as photographs

        names = ["astronaut", "brick", "camera", "cat", "chelsea", "clock", "coffee", "coins", "grass", "gravel", "horse", "hubble_deep_field",
                 "logo", "moon", "page", "rocket", "text", "checkerboard", "immunohistochemistry", "retina"]
        found["photographs"] = []
        for name in names:
            try:
                values = np.asarray(getattr(photographs, name)())
                values = values.astype(np.uint8) * 255 if values.dtype == bool else values
                image = Image.fromarray(values[..., :3] if values.ndim == 3 else values).convert("RGB")
            except Exception:
                continue
            found["photographs"].append(png(image))
            w, h = image.size
            for _ in range(4):
                x, y = rng.randint(0, w // 2), rng.randint(0, h // 2)
                found["photographs"].append(png(image.crop((x, y, x + w // 2, y + h // 2))))
    except ImportError:
        pass
    try:
        from pydicom import data, dcmread

        # Those that came with the package: asking it for its files would fetch others.
        installed = Path(data.__file__).parent.rglob("*.dcm")
        found["slices of CT, MR, NM, US"] = []
        for file in sorted(installed):
            try:
                read = dcmread(file)
                if read.get("Modality") not in ("CT", "MR", "NM", "US", "PT") or "PixelData" not in read:
                    continue
                values = np.squeeze(read.pixel_array).astype(np.float32)
                values = values[0] if values.ndim == 3 and values.shape[-1] != 3 else values
                values = (values - values.min()) / max(1e-6, float(values.max() - values.min()))
                found["slices of CT, MR, NM, US"].append(png(Image.fromarray((values * 255).astype(np.uint8))))
            except Exception:
                continue
    except ImportError:
        pass
    return {name: pictures for name, pictures in found.items() if pictures}


def ask(base, model, route, picture):
    kind = "image/png" if picture[:4] == b"\x89PNG" else "image/jpeg"
    request = urllib.request.Request(f"{base}/v1/images/{route}?model={model}", picture, {"content-type": kind})
    return json.load(urllib.request.urlopen(request))["results"][0]


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("base")
    options.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared/data")
    options.add_argument("--most", type=int, default=120, help="pictures of a set, at most")
    options.add_argument("--model", nargs="*", default=list(MODELS))
    options = options.parse_args()
    found = sets(options.data, options.most)
    for model in options.model:
        route = MODELS[model][0]
        told, count, lines = 0, 0, []
        foreign = {name: pictures for name, pictures in found.items() if name not in OWN[model]}
        if model in ORIENTED:
            for kind in ("upside down", "on its side", "inverted", "a part"):
                foreign[f"its own, {kind}"] = [altered(picture, kind) for picture in found[model][:40]]
        for name, pictures in foreign.items():
            abstained = sum(ask(options.base, model, route, picture)["abstained"] for picture in pictures)
            told, count = told + abstained, count + len(pictures)
            lines.append(f"{name} {abstained}/{len(pictures)}")
        reasons = [ask(options.base, model, route, picture).get("reason") for picture in found[model]]
        unlike = sum(reason == "unlike_training" for reason in reasons)
        print(f"{model}: {told} of {count} foreign pictures abstained ({100 * told / count:.1f} %); its own unlike_training "
              f"{unlike} of {len(reasons)}")
        print("    " + ", ".join(lines), flush=True)


if __name__ == "__main__":
    main()
