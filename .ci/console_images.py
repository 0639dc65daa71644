"""What the console shows of a picture belongs to its answer: previews of DICOM files as they are written in many ways, and answers
that come late, after another frame, model or question has been chosen. `console.py` runs it.
"""

import base64
import struct
import time

from console_page import csv_rows, png

# A slope from left to right, and a little down: every brightness of 8 bits at most, and no symmetry.
SIDE = 16
SLOPE = [x * 15 + y * 2 for y in range(SIDE) for x in range(SIDE)]
# Its negative as a grey JPEG: MONOCHROME1 stores what is bright as a small number.
NEGATIVE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkKCgr/wAAL"
    "CAAQABABAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS"
    "0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5"
    "usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AP0O/wCCiPiX/j+/ef3u9fg//wAFEfEv/H9+8/vd6/aD/goj4l/4/v3n97vX"
    "4P8A/BRHxL/x/fvP73ev/9k=")
EXPLICIT, JPEG, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
LONG = ("OW", "OB", "SQ")
CHOOSE = "const s = document.querySelector('select.narrow'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"
# Answers that a test has in hand: those of `late` come so many milliseconds later, as from a busy server and whether the page still
# wants them or not; with `invented` the pictures' are made here.
STUB = """
window.late = {}; window.invented = arguments[0]; window.asked = []; window.under = window.peak = window.explained = 0;
window.real ??= window.fetch;
window.fetch = async (address, options = {}) => {
  const what = String(address) + (typeof options.body === 'string' ? options.body : ''), explains = what.includes('explain=true'), image = explains ? null : what.match(/images\\/(classify|segment)/)?.[1];
  if (image) { asked.push(what); under += 1; peak = Math.max(peak, under); }
  const given = new URL(address, location.href).searchParams, label = `${given.get('model')} ${given.get('frame') ?? 1}`;
  const result = image === 'segment' ? {abstained: true, reason: 'unlike_training', regions: [], height: 16, width: 16}
    : {label, abstained: false, predictions: [{label: 'least', probability: 0.9}, {label, probability: 0.1}]};
  const wait = Object.entries(late).find(([part]) => what.includes(part))?.[1] ?? 0;
  if (explains) explained += 1;
  const evidence = {label, height: 1, width: 2, values: [1, -1], area: {left: 0, top: 0, width: 16, height: 16}};
  const response = invented && explains ? new Response(JSON.stringify({results: [{evidence}]})) : image && invented ? new Response(JSON.stringify({model: given.get('model'), version: '7', results: [result]})) : await real(address, wait ? {...options, signal: undefined} : options);
  await new Promise((done) => setTimeout(done, wait));
  if (image) under -= 1;
  return response;
};"""


def element(tag, vr, value):
    if vr in ("US", "SS"):
        value = struct.pack(f"<{len(value)}H", *value)
    elif isinstance(value, str):
        value = value.encode() + b" " * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def item(*elements):
    inner = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner


def dicom(path, pixels, photometric="MONOCHROME2", bits=(16, 12, 11), samples=1, frames=1, syntax=EXPLICIT, more=()):
    """A file with these pixels. `more` holds elements as `(tag, vr, value)`."""
    all = [(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7"), (0x00280002, "US", [samples]), (0x00280004, "CS", photometric),
           (0x00280008, "IS", str(frames)), (0x00280010, "US", [SIDE]), (0x00280011, "US", [SIDE]), (0x00280100, "US", [bits[0]]),
           (0x00280101, "US", [bits[1]]), (0x00280102, "US", [bits[2]]), (0x00280103, "US", [0]), *more]
    data = b"".join(element(*one) for one in sorted(all, key=lambda one: one[0]))
    if syntax == EXPLICIT:
        data += element(0x7FE00010, "OW", pixels)
    else:
        data += struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + b"".join(pixels) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(bytes(128) + b"DICM" + element(0x00020010, "UI", syntax) + data)
    return str(path)


def words(values):
    return struct.pack(f"<{len(values)}H", *values)


def ybr(red, green, blue):
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return [round(luma), round(128 + (blue - luma) / 1.772), round(128 + (red - luma) / 1.402)]


def previews(page, _):
    """The picture beside the answer is the one that the server answers about, or a sentence says that it is not shown."""
    window = [(0x00281050, "DS", "2048"), (0x00281051, "DS", "4097")]
    deep, grey = words([value << 4 for value in SLOPE]), [(value,) * 3 for value in SLOPE]
    colours = [(value, 90, 255 - value) for value in SLOPE]
    tables = [values for values in (range(256), range(255, -1, -1), [0] * 256)]
    palette = [(0x00281101 + n, "US", [256, 0, 8]) for n in range(3)] + [(0x00281201 + n, "OW", words(values)) for n, values in enumerate(tables)]
    groups = [(0x52009229, "SQ", item(element(0x00289145, "SQ", item(element(0x00281052, "DS", "-100"), element(0x00281053, "DS", "2"))))),
              (0x52009230, "SQ", item(element(0x00289132, "SQ", item(element(0x00281050, "DS", "155"), element(0x00281051, "DS", "511")))))]
    half = len(NEGATIVE) // 4 * 2
    negative, eight = NEGATIVE + bytes(len(NEGATIVE) % 2), (8, 8, 7)
    shades = [(0x00281050, "DS", "128"), (0x00281051, "DS", "256")]
    folder = page.server.work
    shown = {
        "window": (grey, dict(pixels=deep, more=window)),
        "no-window": (grey, dict(pixels=deep)),
        "empty-slope": (grey, dict(pixels=deep, more=[*window, (0x00281052, "DS", ""), (0x00281053, "DS", "")])),
        "high-bit": (grey, dict(pixels=words([value << 8 for value in SLOPE]), bits=(16, 12, 15), more=window)),
        "32-bits": (grey, dict(pixels=struct.pack("<256I", *[value << 20 for value in SLOPE]), bits=(32, 32, 31))),
        "negative": (grey, dict(pixels=words([4095 - (value << 4) for value in SLOPE]), photometric="MONOCHROME1", more=window)),
        "groups": (grey, dict(pixels=words(SLOPE), more=groups)),
        "rgb": (colours, dict(pixels=bytes(sum(colours, ())), photometric="RGB", bits=eight, samples=3, more=[(0x00280006, "US", [0])])),
        "rgb-16": (colours, dict(pixels=words([value * 257 for value in sum(colours, ())]), photometric="RGB", bits=(16, 16, 15), samples=3, more=[(0x00280006, "US", [0])])),
        "planes": (colours, dict(pixels=bytes(sum(zip(*colours), ())), photometric="RGB", bits=eight, samples=3, more=[(0x00280006, "US", [1])])),
        "ybr": (colours, dict(pixels=bytes(sum((ybr(*one) for one in colours), [])), photometric="YBR_FULL", bits=eight, samples=3, more=[(0x00280006, "US", [0])])),
        "palette": ([(value, 255 - value, 0) for value in SLOPE], dict(pixels=bytes(SLOPE), photometric="PALETTE COLOR", bits=eight, more=palette)),
        "jpeg-negative": (grey, dict(pixels=[item(), item(negative)], photometric="MONOCHROME1", bits=eight, syntax=JPEG, more=shades)),
        "jpeg-fragments": (grey, dict(pixels=[item(), item(negative[:half]), item(negative[half:])], photometric="MONOCHROME1", bits=eight, syntax=JPEG, more=shades)),
    }
    # Exif data that says "turn me": no matter of a DICOM file, and a browser goes by it.
    turn = b"\xff\xe1" + struct.pack(">H", 34) + b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    hidden = {
        "turned": dict(pixels=[item(), item(negative[:2] + turn + negative[2:])], photometric="MONOCHROME1", bits=eight, syntax=JPEG, more=shades),
        "rle": dict(pixels=[item(), *[item(bytes(64))] * 5], frames=5, syntax=RLE, more=window),
        "table": dict(pixels=deep, more=[(0x00283010, "SQ", item(element(0x00283002, "US", [1, 0, 16]), element(0x00283006, "US", [0])))]),
        "halves": dict(pixels=bytes(512), photometric="YBR_FULL_422", bits=eight, samples=3, more=[(0x00280006, "US", [0])]),
        "float": dict(pixels=bytes(1024), bits=(64, 64, 63)),
        "short": dict(pixels=deep[:100], more=window),
    }
    page.open("models")
    page.open("images")
    page.browser.execute_script(STUB, True)
    for name, (expected, file) in shown.items():
        page.one("#files").send_keys(dicom(folder / f"{name}.dcm", **file))
        page.until("#shot[data-status=done] p", f"{name}.dcm")
        page.one("#shot .view > canvas:first-child ~ .over")
        got = page.browser.execute_script("const c = document.querySelector('#shot .view > canvas'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
        worst = max(abs(got[at * 4 + channel] - colour[channel]) for at, colour in enumerate(expected) for channel in range(3))
        assert worst <= 3, f"{name} is shown otherwise than it is, by {worst} of 255"
    explained = page.browser.execute_script("return explained")
    assert explained == len(shown)
    for name, file in hidden.items():
        page.one("#files").send_keys(dicom(folder / f"{name}.dcm", **file))
        page.until("#shot[data-status=done] p", f"{name}.dcm")
        page.until("#shot .view .none", "cannot show")
        # Nothing lies over the sentence, and nothing is asked for that would.
        time.sleep(0.3)
        assert not page.all("#shot .over, #shot [data-slider=evidence], #shot [data-slider=center]"), name
        assert page.browser.execute_script("return explained") == explained, name
        # Frames are chosen all the same.
        assert len(page.all("#shot [data-slider=frame]")) == (1 if name == "rle" else 0), name
        if name == "rle":
            page.slide("frame", 3)
            page.until("#shot[data-status=done] .verdict", "pneumonia 4")
    page.browser.execute_script("fetch = real")


def late(page, _):
    """An answer that comes after another frame or model was chosen, or the list cleared, is nobody's."""
    folder = page.server.work
    frames = b"".join(words([value * (16 - frame) for value in SLOPE]) for frame in range(4))
    page.open("models")
    page.open("images")
    page.browser.execute_script(STUB, True)
    page.one("#files").send_keys(dicom(folder / "frames.dcm", frames, frames=4))
    page.until("#shot[data-status=done] .verdict", "pneumonia 1")
    assert "pneumonia · version 7" in page.text("#by"), "which model answered is not told"
    page.browser.execute_script("late = {'frame=3': 1500}")
    # From the moment that the slider moves nothing stands beside the frame that was said of another; it keeps hand and focus.
    page.browser.execute_script("const s = document.querySelector('[data-slider=frame]'); s.focus(); s.value = 2; s.dispatchEvent(new Event('input'))")
    assert not page.all("#shot .verdict, #shot .bars, #shot .over, #shot pre")
    assert page.browser.execute_script("return document.activeElement.dataset.slider") == "frame"
    # A slider that rests is a choice, with or without the hand off it.
    page.wait.until(lambda b: b.execute_script("return asked.at(-1).includes('frame=3')"))
    page.slide("frame", 1)
    page.until("#shot[data-status=done] .verdict", "pneumonia 2")
    time.sleep(2)
    assert page.text("#shot .verdict") == "pneumonia 2" and "frame=2" in page.one("#shot pre").get_attribute("textContent")

    # Another model while pictures are under way, then cleared while they are.
    many = [png(folder / f"a_name_without_a_place_to_break_it_{n}.png", n) for n in range(40)]
    page.browser.execute_script("late = {'model=pneumonia': 1500, 'model=blood-cells': 150}; peak = 0")
    for part in range(4):
        page.one("#files").send_keys("\n".join(many[part * 10:part * 10 + 10]))
    page.browser.execute_script(CHOOSE, "blood-cells")
    page.wait.until(lambda _: not page.all("[role=progressbar]"))
    time.sleep(2)
    name, text = page.saved("main .row.apart button")
    rows = list(csv_rows(text))
    assert len(rows) == 42 and all(row[2:6] == ["blood-cells", "7", f"blood-cells {row[1]}", "0.1"] for row in rows[1:]), text
    assert rows[1][:2] == ["frames.dcm", "2"] and all("blood-cells · version 7" in one for one in page.texts("main tbody tr"))
    assert page.browser.execute_script("return peak") <= 6, "more than three at once, and three that were given up"
    # A drawing is asked of its own model, what waits of the one that it was dropped for; each line names it.
    page.browser.execute_script("late = {}; peak = 0")
    page.click("#sample-clear")
    page.until("main tbody tr:last-child", "pneumonia · version 7")
    assert "blood-cells · version 7" in page.texts("main tbody tr")[0]
    page.browser.execute_script("late = {classify: 200}")
    for part in range(4):
        page.one("#files").send_keys("\n".join(many[part * 10:part * 10 + 10]))
    page.click("main .row.apart button.quiet")
    sent = page.browser.execute_script("return asked.length")
    time.sleep(1)
    assert page.browser.execute_script("return asked.length") == sent, "pictures are sent after the list was cleared"
    assert page.browser.execute_script("return peak") == 3 and not page.all("#shot")

    # Without outlines there is no answer in the list and nothing over the picture.
    page.browser.execute_script("late = {}")
    page.browser.execute_script(CHOOSE, "nuclei")
    page.one("#files").send_keys("\n".join(many[:2]))
    page.until("#shot[data-status=done]", "outlines nothing")
    page.wait.until(lambda _: all("No answer" in one for one in page.texts("main tbody tr")))
    assert not page.all("#shot .over, #shot [data-slider=evidence]")
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})
    wide = page.browser.execute_script("return document.documentElement.scrollWidth")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 390, f"a list of answers is {wide} wide on a phone"
    # What is refused here has no advice about a server.
    empty = folder / "empty.png"
    empty.write_bytes(b"")
    page.one("#files").send_keys(str(empty))
    page.until("#shot[data-status=refused] [role=alert]", "was not sent")
    assert "running" not in page.text("#shot [role=alert]")
    page.browser.execute_script("fetch = real")


def replaced(page, _):
    """The same of what is written: a question that another has replaced leaves no answer."""
    page.open("notes")
    page.browser.execute_script(STUB, False)
    page.browser.execute_script("late = {'late one': 1500}")
    for text in ("chest pain, a late one", "sore throat since yesterday"):
        page.browser.execute_script("document.getElementById('note').value = arguments[0]", text)
        page.click("#ask")
    page.until("#answer", "tokens read")
    before = page.text("#answer")
    time.sleep(2)
    assert page.text("#answer") == before, "an answer of another note came late"

    page.open("cases")
    for text in ("a late one", "chest pain"):
        page.browser.execute_script("document.getElementById('query').value = arguments[0]", text)
        page.click("#search")
    page.until("main pre", "")
    time.sleep(2)
    assert "chest pain" in page.one("main pre").get_attribute("textContent"), "hits of another search came late"

    # What is recorded is of the kind that is listed: nothing of another kind can be chosen meanwhile.
    page.open("people/u1/drug")
    page.one("#recommended li button")
    page.browser.execute_script("late = {'kind=hospital': 1000}")
    page.click(".tabs [data-value=hospital]")
    assert not page.all("#recommended"), "what is listed is of another kind"
    page.one("#recommended li button")

    page.open("audit")
    page.until("#audit", "")
    page.browser.execute_script("late = {'user=u1': 1500}")
    for who in ("u1", "nobody-of-this-name"):
        page.browser.execute_script("const p = document.querySelector('#audit-person'); p.value = arguments[0]; p.dispatchEvent(new Event('change'))", who)
    page.until("#audit", "Nothing fits")
    time.sleep(2)
    assert not page.all("#audit tbody tr"), "rows of another person came late"
    page.browser.execute_script("fetch = real")
