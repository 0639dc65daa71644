#!/usr/bin/env python3
"""How many pictures that are framed, turned or drawn otherwise than a model's own get a label.

    benches/unlike/framing.py BASE [--model NAME] [--data FOLDER] [--most N]

Asks a running server (BASE, such as http://127.0.0.1:8080) about films of the validation split of chest-xray-224, whole and
changed, and prints the answers of each change by label or by the reason of abstaining. Needs Pillow. FOLDER is `../shared/data`
beside the repository. Nothing here chooses anything.
"""

import argparse
import collections
import io
import json
import random
import urllib.request
from pathlib import Path

from PIL import Image


def part(share, middle=False):
    def change(image, rng):
        width, height = image.size
        across, down = int(width * share), int(height * share)
        left, top = (width - across) // 2, (height - down) // 2
        if not middle:
            left, top = rng.randint(0, width - across), rng.randint(0, height - down)
        return image.crop((left, top, left + across, top + down)).resize(image.size, Image.BICUBIC)

    return change


def turned(degrees):
    return lambda image, _: image.rotate(degrees, Image.BICUBIC)


def squares(count):
    return lambda image, _: image.resize((count, count), Image.BOX).resize(image.size, Image.NEAREST)


def covered(image, _):
    width, height = image.size
    image = image.copy()
    image.paste(128, (0, height * 2 // 3, width, height))
    return image


CHANGES = {"as it is": lambda image, _: image}
CHANGES |= {f"turned by {degrees}": turned(degrees) for degrees in (10, 20, 30)}
CHANGES |= {f"a part of {share}": part(share) for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)}
CHANGES |= {f"the middle {share}": part(share, middle=True) for share in (0.8, 0.7, 0.6)}
CHANGES |= {f"{count} x {count} squares": squares(count) for count in (8, 16)}
CHANGES |= {"the lower third grey": covered}


def answer(base, model, image):
    body = io.BytesIO()
    image.save(body, "PNG")
    url = f"{base}/v1/images/classify?model={model}"
    request = urllib.request.Request(url, body.getvalue(), {"content-type": "image/png"})
    with urllib.request.urlopen(request, timeout=60) as response:
        result = json.load(response)["results"][0]
    return result["reason"] if result["abstained"] else result["label"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("base")
    arguments.add_argument("--model", default="pneumonia")
    arguments.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    arguments.add_argument("--most", type=int, default=90)
    asked = arguments.parse_args()
    rng = random.Random(5)
    films = []
    for folder in sorted((asked.data / "chest-xray-224" / "val").iterdir()):
        files = sorted(folder.iterdir())
        films += rng.sample(files, min(len(files), asked.most // 3))
    images = [Image.open(film).convert("L") for film in films]
    for name, change in CHANGES.items():
        rng = random.Random(7)
        answers = collections.Counter(answer(asked.base, asked.model, change(image, rng)) for image in images)
        labels = sum(count for said, count in answers.items() if said not in ("unlike_training", "low_confidence", "blank"))
        print(f"{name}: {labels} of {len(images)} answered; {dict(answers.most_common())}", flush=True)


if __name__ == "__main__":
    main()
