"""Uses the console in a browser as people do, and asks axe-core about every page.

Usage: console.py PROGRAM AXE WORK [FOLDER]. FOLDER gets a screenshot of each page.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from browser import start
from console_images import late, previews, replaced
from console_kept import chinese, kept, rekey
from console_notes import nowhere, numbers, seldom
from console_page import Page, Server, csv_rows, invented_week, png, put

PAGES = ["images", "notes", "people", "cases", "models", "operations", "audit"]
MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
MANY = 520


def images(page, folder):
    page.open("images")
    page.click("#sample-dicom")
    page.until("#shot[data-status=done] .bars", "")
    # Level and window change the picture and not the answer.
    before, asked = page.pixels("#shot canvas"), requests(page)
    page.slide("center", 1200)
    page.wait.until(lambda _: page.pixels("#shot canvas") != before)
    page.slide("width", 900)
    assert requests(page) == asked
    # Another frame is another picture, and is asked about.
    page.slide("frame", 2)
    page.wait.until(lambda _: "frame=3" in page.one("#shot pre").get_attribute("textContent"))
    page.until("#shot[data-status=done] .bars", "")
    page.click("#sample-clear")
    page.until("#shot", "drawing-clear.png")
    page.until("#shot[data-status=done] .verdict", "")
    assert re.search(r"\d %", page.text("#shot .much")), "no probability"
    assert "ms" in page.text("#shot .keyed"), "no time by stage"
    assert "/v1/images/classify?model=" in page.one("#shot pre").get_attribute("textContent")
    # Evidence over the picture, as strong as one wants it.
    page.until("#legend", "speaks for")
    assert page.one("#shot .verdict bdi").text in page.text("#legend")
    page.slide("evidence", 20)
    assert page.one("#shot canvas.over").value_of_css_property("opacity") == "0.2"
    page.slide("evidence", 60)
    page.click("#sample-nuclei")
    page.until("#shot .verdict", "nucleus ×")
    assert len(page.pixels("#shot canvas.over")) > 2000, "no outlines"
    page.shot(folder, "images", "#shot")
    # What nothing can be said about: the sentence, and probabilities for who asks for them alone.
    page.click("#sample-blank")
    page.until("#shot", "of one tone")
    assert not page.all("#shot .much") or not page.one("#shot .much").is_displayed()
    name, text = page.saved("main .row.apart button")
    # Outlines have columns of their own: how many objects, and how much of the picture.
    rows = list(csv_rows(text))
    at = rows[0].index("nucleus objects")
    assert rows[0][at + 1] == "nucleus share" and any(row[2] == "nuclei" and int(row[at]) > 0 and 0 < float(row[at + 1]) < 1 for row in rows[1:]), text
    assert name == "images.csv" and text.count("\n") == 5 and "drawing-3-frames.dcm,3,pneumonia,1," in text, text
    # Dropped, with marks of writing direction in the name.
    page.browser.execute_script(
        "const data = new DataTransfer(); for (const name of ['a\\u202egnp.b', 'plain']) data.items.add(new File(['no picture'], name));"
        "document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))")
    page.until("#shot[data-status=refused] [role=alert]", "not an image of a known kind")
    assert page.all("#shot p bdi") and "\u202e" in page.text("#shot p bdi")
    if made(page):
        page.click("#generate-go")
        page.wait.until(lambda _: len(page.all("#generate .made img")) == 4)
        assert all("Synthetic" in text for text in page.texts("#generate figure"))
        name, _ = page.saved("#generate .made button")
        assert name.startswith("synthetic-"), name
    else:
        assert not page.all("#generate"), "nothing makes pictures"

    # A file that is refused says why, in the server's words; one that is too large is not sent at all.
    files = page.server.work
    broken = files / "broken.dcm"
    broken.write_bytes(bytes(128) + b"DICM" + b"\xff" * 64)
    page.one("#files").send_keys(str(broken))
    page.until("#shot[data-status=refused] [role=alert]", "DICOM")
    large = files / "large.png"
    with open(large, "wb") as file:
        file.truncate(200 << 20)
    before = requests(page)
    page.one("#files").send_keys(str(large))
    page.until("#shot[data-status=refused] [role=alert]", "was not sent")
    assert requests(page) == before, "a file that is too large was sent"
    large.unlink()

    # Very many: what does not fit is told, the others are answered a few at a time.
    page.open("models")
    page.open("images")
    page.one("#files").send_keys("\n".join(png(files / f"many-{n}.png", n % 200) for n in range(MANY)))
    page.until("[role=alert]", "left out")
    page.wait.until(lambda _: not page.all("[role=progressbar]"), "not all pictures were answered")
    assert len(page.all("main tbody tr")) == 500 and not page.all("main tbody .bad")


def made(page):
    """Whether a model is in service that makes pictures."""
    return page.browser.execute_async_script(
        "const done = arguments[0]; fetch('/v1/models').then((a) => a.json()).then((a) => done(a.models.some((one) => one.task === 'image-generation')))")


def requests(page):
    return page.browser.execute_script("return performance.getEntriesByType('resource').filter((one) => one.name.includes('/classify') && !one.name.includes('explain')).length")


def notes(page, folder):
    page.open("notes")
    page.click("#sample-0")
    page.until("#answer .verdict", "Emergency")
    page.until("#answer .flags", "chest pain")
    page.until("#answer", "Not known")
    assert page.all("#answer mark") and page.all("#answer .chips .tag"), "no evidence"
    assert "/v1/notes/classify" in page.one("main pre").get_attribute("textContent")
    page.shot(folder, "notes")
    # An answer does not stay beside another note or other values than it was given.
    field = page.one("[data-field=spo2]")
    field.clear()
    field.send_keys("6")
    page.until("main .two", "changed after it was answered")
    assert not page.all("#answer")
    # What a red flag raises is told from what the model says.
    page.click("#sample-2")
    page.until("#answer .verdict", "")
    page.one("[data-field=sbp]").clear()
    page.one("[data-field=sbp]").send_keys("50")
    page.click("#ask")
    page.until("#raised", "red flag")
    # A value that cannot be is said beside its field.
    field.clear()
    field.send_keys("400")
    page.click("#ask")
    page.wait.until(lambda _: page.one("[data-field=spo2]").get_attribute("aria-invalid") == "true")
    assert page.text(".field:has([data-field=spo2]) .wrong")
    # What is no number is not left out of the question without a word.
    field.clear()
    odd = page.one("[data-field=sbp]")
    odd.clear()
    odd.send_keys("60-70")
    page.click("#ask")
    page.until("main [role=alert]", "Nothing was asked")
    assert odd.get_attribute("aria-invalid") == "true" and not page.all("#answer")
    # Markup in a note is text.
    csv = page.server.work / "notes.csv"
    quoted = MARKUP.replace('"', '""')
    csv.write_text(f'note,age,ward\n"{quoted} chest pain",61,7\nsore throat,999,7\n"=cmd() fever",30,7\n')
    page.click(".tabs [data-value=batch]")
    page.one("#csv").send_keys(str(csv))
    page.until("#batch tbody", MARKUP)
    page.until("#batch tbody .bad", "age")
    assert "ward" in page.text("#batch code"), "a column that is not read is not named"
    assert page.browser.execute_script("return window.ran") is None, "markup was run"
    name, text = page.saved("#batch-save")
    rows = list(csv_rows(text))
    assert name == "triage.csv" and len(rows) == 4 and rows[0][:3] == ["note", "age", "ward"], text
    # A cell that a spreadsheet would take for a formula is none.
    assert rows[1][0].startswith("<img") and rows[3][0] == "'=cmd() fever" and "age" in rows[2][-1], text
    # Nothing is lost or misread in silence: a note with a comma and no quotes, another encoding.
    csv.write_text("note\nheadache, sudden, now unresponsive\nsore throat\n")
    page.one("#csv").send_keys(str(csv))
    page.until("#batch tbody .bad", "the row has 3 cells")
    assert len(page.all("#batch tbody tr")) == 2 and len(page.all("#batch tbody .bad")) == 1
    csv.write_bytes("note\n胸痛\n".encode("gb18030"))
    page.one("#csv").send_keys(str(csv))
    page.until("main [role=alert]", "not in UTF-8")
    # Many: progress, then all of them.
    csv.write_text("note\n" + "".join(f"sore throat for {n} days\n" for n in range(1, 301)))
    page.one("#csv").send_keys(str(csv))
    page.one("#batch [role=progressbar]")
    page.until("#batch h2", "300")
    assert len(list(csv_rows(page.saved("#batch-save")[1]))) == 301
    # Where the probabilities mean nothing they are shown to who asks for them alone.
    page.click(".tabs [data-value=one]")
    page.browser.execute_script("const s = document.querySelector('#model'); s.value = 'ed-admission'; s.dispatchEvent(new Event('change')); document.querySelector('#note').value = 'the invoice for the garden chairs is overdue'")
    page.click("#ask")
    page.until("#answer", "unlike what the model was trained on")
    assert not page.one("#answer .much").is_displayed() and all("not known" in one.get_attribute("textContent") for one in page.all("#answer .chips span.tag"))
    # Names found in a note, one denied.
    page.browser.execute_script("const s = document.querySelector('#model'); s.value = 'adverse-drug-events'; s.dispatchEvent(new Event('change'))")
    page.one("#note").send_keys("severe rash and liver failure after amoxicillin; no anaphylaxis after ibuprofen")
    page.click("#ask")
    page.until("#answer mark", "amoxicillin")
    page.until("#answer mark.denied", "anaphylaxis")
    page.until("#answer li", "adverse effect")
    assert not page.all(".tabs [data-value=batch]"), "many notes are offered where they can only be refused"


def people(page, folder):
    page.open("people")
    page.one("#person").send_keys("u1")
    page.click("#open")
    page.until("#profile", "penicillin")
    page.until("#excluded", "allergy: penicillin")
    page.until("#recommended .why", "similar history")
    page.click(".tabs [data-value=pharmacy]")
    page.one(".map .pin")
    page.shot(folder, "people", "#profile")
    titles = page.texts("#recommended .title")
    # What stands in a record is asked about first.
    page.click("#recommended li:nth-child(2) button")
    page.until("#confirm-title", "dispense")
    page.click("#confirm-no")
    assert not page.all("#recorded")
    page.click("#recommended li:nth-child(2) button")
    page.click("#confirm-yes")
    page.until("#recorded", "Recorded")
    page.until("tbody tr:first-child", "dispense")
    assert page.all("#recommended .title bdi"), "names are not isolated"
    assert len(titles) > 1
    # A name that would turn the text around it, with markup in it.
    name = "\u202egnp.\u202c" + MARKUP
    item = {"kind": "pharmacy", "name": name, "repeatable": True, "latitude": 46.49, "longitude": -23.99}
    put(page.server, "/v1/items/odd", item)
    put(page.server, "/v1/users/odd%2F1", {"profile": {"allergies": [], "medications": [], "latitude": 46.49, "longitude": -23.99}})
    page.browser.refresh()
    page.open("people/odd%2F1/pharmacy")
    page.until("#profile", "odd/1")
    page.until("#recommended, #excluded", "Recommended")
    assert page.browser.execute_script("return window.ran") is None, "markup was run"
    page.open("people/nobody-of-this-name")
    page.until("[role=alert]", "nobody-of-this-name")
    # A browser would ask for something else.
    page.open("people/..")
    page.until("main [role=alert]", "takes it out of an address")


def cases(page, folder):
    page.open("cases")
    page.one("#query").send_keys("pressing pain in the chest that goes into the arm")
    page.click("#search")
    page.until(".hits li:first-child", "case-1")
    page.until(".hits li:first-child mark", "chest")
    page.shot(folder, "cases")
    # What is known of a hit narrows the search, and no longer.
    page.click(".hits li:first-child .chips button[data-name=ward]")
    page.until("#filter", "cardiology")
    page.wait.until(lambda _: page.all(".hits li") and all("cardiology" in text for text in page.texts(".hits li")))
    page.click("#filter button")
    page.wait.until(lambda _: any("cardiology" not in text for text in page.texts(".hits li")))
    # Chinese is found in pairs of characters, and markup in a case is text.
    put(page.server, "/v1/cases/odd", {"text": f"胸痛 {MARKUP}", "attributes": {"ward": MARKUP}})
    page.open("cases")
    page.one("#query").send_keys("胸痛")
    page.click("#search")
    page.until(".hits", "odd")
    page.until(".hits mark", "胸痛")
    assert page.browser.execute_script("return window.ran") is None, "markup was run"


def models(page, folder):
    page.open("models/triage")
    page.until(".card", "no medical device")
    page.wait.until(lambda b: b.execute_script("const all = [...document.querySelectorAll('.card .plots img')]; return all.length === 3 && all.every((one) => one.naturalWidth > 0)"), "plots are missing")
    page.until(".confusion", "truth")
    page.shot(folder, "models")
    page.open("models/pneumonia")
    page.click("#report-open")
    page.until("#report-page h2", "How pneumonia was trained")
    page.wait.until(lambda b: b.execute_script("const all = [...document.querySelectorAll('#report-page img')]; return all.length === 2 && all.every((one) => one.naturalWidth > 0)"), "the plot or the thumbnail is missing")
    page.until("#report-page figcaption", "right is normal")
    assert "0.4" in page.one("#report-page td:last-child").value_of_css_property("background-color")
    assert not page.all("#report-page script, #report-page iframe, #report-page [onclick]") and page.browser.execute_script("return window.ran") is None
    name, text = page.saved("#report")
    assert name == "pneumonia-1.html" and "How pneumonia was trained" in text
    # Others notice that a model is gone: it is asked for first.
    unload = "#repository [data-act=unload][data-model=department-zh]"
    page.click(unload)
    assert "department-zh" in page.text("dialog")
    page.click("#confirm-no")
    page.wait.until(lambda _: not page.all("dialog"))
    assert page.all(unload), "it was taken out of service all the same"
    page.click(unload)
    page.click("#confirm-yes")
    page.one("#repository [data-act=load][data-model=department-zh]")
    page.click("#repository [data-act=load][data-model=department-zh]")
    page.one("#repository [data-act=unload][data-model=department-zh]")


def operations(page, folder):
    page.open("operations")
    page.until("#figures", "Ready")
    page.until("#drift", "answers")
    page.until("main table", "/v1/images/classify")
    page.wait.until(lambda _: len(page.one(".spark path:last-child").get_attribute("d").split("L")) > 3)
    # Answers over time: a sentence for each model, and by the hour.
    page.until("#drift tbody", "pneumonia")
    page.click("#drift [data-model=pneumonia]")
    page.until("#drift-model[data-model=pneumonia] p", "stability index")
    page.until("#drift-model table", "normal")
    assert page.all("#drift-model .columns rect"), "nothing is drawn"
    asked = "return performance.getEntriesByType('resource').filter((one) => /pneumonia.drift.*by=hour/.test(one.name)).length"
    page.click("#drift .tabs [data-value='2']")
    page.wait.until(lambda b: b.execute_script(asked) > 0)
    page.until("#drift-model[data-model=pneumonia] p", "stability index")
    page.click("#drift .tabs [data-value='7']")
    page.until("#drift-model p", "stability index")
    page.shot(folder, "operations")
    if folder:
        # The acts before this one sent odd things. The picture shows a week as it may be, with counts that are made up.
        invented_week(page.server, {"blood-cells": None, "chest-xray": "viral", "triage-us": None})
        page.click("#drift .tabs [data-value='7']")
        page.wait.until(lambda _: not page.all("#drift [data-model=pneumonia]") and page.all("#drift [data-model=chest-xray]"))
        page.click("#drift button[data-model=chest-xray]")
        page.one("#drift-model[data-model=chest-xray]")
    page.shot(folder, "drift", "#drift")


def audit(page, folder):
    page.open("audit")
    page.until("#audit", "/v1/notes/classify")
    page.shot(folder, "audit")
    page.one("#filter").send_keys("pneumonia")
    page.wait.until(lambda _: all("images" in text for text in page.texts("#audit tbody tr")))
    assert page.all("#audit tbody tr")
    shown = len(page.all("#audit tbody tr"))
    name, text = page.saved("#audit-csv")
    # With what was not read yet.
    assert name == "audit.csv" and len(list(csv_rows(text))) >= shown + 1 and all("pneumonia" in row for row in list(csv_rows(text))[1:]), text[:400]
    name, text = page.saved("#audit-csv + button")
    assert name == "audit.json" and all(row["model"] == "pneumonia" for row in json.loads(text))
    page.one("#filter").clear()
    page.one("#filter").send_keys(" ")
    choose = "const s = [...document.querySelectorAll('main select')].find((one) => [...one.options].some((o) => o.value === arguments[0])); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"
    page.browser.execute_script(choose, "abstained")
    page.wait.until(lambda _: page.all("#audit tbody tr") and all("No answer" in text for text in page.texts("#audit tbody tr")))
    page.browser.execute_script(choose, "decisions")
    page.browser.execute_script("const p = document.querySelector('#audit-person'); p.value = 'u1'; p.dispatchEvent(new Event('change'))")
    page.wait.until(lambda _: page.all("#audit tbody tr") and all("recommendations" in text for text in page.texts("#audit tbody tr")))
    page.click("#audit tbody summary")
    page.until("#audit tbody details", "input_sha256")
    # A time: nothing is from before this server was there, and what the filter holds is saved whole, also what was not read.
    set_to = "const [id, value] = arguments, one = document.getElementById(id); one.value = value; one.dispatchEvent(new Event('change'))"
    page.browser.execute_script(set_to, "audit-to", "2024-02-29T08:00")
    page.until("#audit", "Nothing fits")
    page.browser.execute_script(set_to, "audit-to", "")
    page.browser.execute_script(set_to, "audit-person", "")
    page.browser.execute_script(set_to, "audit-from", "2024-02-29T08:00")
    page.browser.execute_script(choose.replace("s.value = arguments[0]", "s.value = ''"), "refused")
    page.wait.until(lambda _: page.all("#audit tbody tr") and page.all("#audit .row button"))
    shown = len(page.all("#audit tbody tr"))
    name, text = page.saved("#audit-csv")
    numbers = [int(row[0]) for row in list(csv_rows(text))[1:]]
    assert numbers == list(range(numbers[0], 0, -1)) and len(numbers) > shown, (shown, len(numbers))


def accessible(page, axe, place):
    """No finding of axe-core that is serious or critical."""
    # Its script needs no exception from the page's policy: the driver runs it, not the page.
    page.browser.execute_script(axe)
    found = page.browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations), (e) => done(String(e)))")
    assert isinstance(found, list), found
    serious = [(one["id"], [node["target"] for node in one["nodes"]][:4]) for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, f"{place}: {serious}"


def in_every_form(page, axe):
    """Both languages and themes, wide and narrow."""
    raw = re.compile(r"\b(?:images|notes|people|cases|models|operations|audit|ops|key|failure|reason|drift|field|kind|strategy)\.[a-z_-]+\b")
    for language in ["zh", "en"]:
        page.click("#language")
        for name in PAGES:
            address = {"people": "people/u1/hospital"}.get(name, name)
            page.open(address)
            if name == "people":
                page.one("#recommended")
            assert not raw.search(page.text("body")), f"{language} {name}: {raw.search(page.text('body'))[0]}"
            if language == "en":
                for _ in range(2):
                    page.click("#theme")
                    accessible(page, axe, f"{name}, {page.browser.execute_script('return document.documentElement.dataset.theme')}")
        assert page.browser.execute_script("return document.documentElement.lang") == {"zh": "zh-Hans", "en": "en"}[language]
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})
    for name in PAGES:
        page.open({"people": "people/u1/hospital"}.get(name, name))
        wide = page.browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390, f"{name} is {wide} wide on a phone"
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def keyboard(page):
    """The first stop of the keyboard leads past the menu."""
    page.open("images")
    focused = page.browser.execute_script("document.body.focus(); return document.querySelector('a, button, input').id")
    assert focused == "skip"
    # By keys alone: past the menu, to a drawing, and its answer.
    keys = lambda *pressed: [ActionChains(page.browser).send_keys(key).perform() for key in pressed]
    focused = lambda: page.browser.execute_script("return document.activeElement.id")
    page.browser.refresh()
    page.ready("images")
    keys(Keys.TAB, Keys.ENTER)
    page.wait.until(lambda _: focused() == "main")
    for _ in range(8):
        if focused() == "sample-clear":
            break
        keys(Keys.TAB)
    assert focused() == "sample-clear", focused()
    outline = page.browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where the keyboard is does not show"
    keys(Keys.ENTER)
    page.until("#shot[data-status=done] .verdict", "")


def painted(page, loads=11):
    """When something is first seen, without anything in the cache; the median is told, and held far above what is measured on an
    idle machine, since other work may go on beside."""
    page.browser.execute_cdp_cmd("Network.enable", {})
    times = []
    for _ in range(loads):
        page.browser.get("about:blank")
        page.browser.execute_cdp_cmd("Network.clearBrowserCache", {})
        page.browser.get(page.server.url)
        times.append(page.wait.until(lambda b: b.execute_script("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime")))
    median = sorted(times)[loads // 2]
    print(f"first paint: {median:.0f} ms (median of {loads} loads, {min(times):.0f} to {max(times):.0f})", flush=True)
    assert median < 600


def restarted(page):
    """A page that is open while the server restarts, and the key of the run before."""
    # Pictures on their way are not refused by a server that is not there.
    page.open("images")
    page.one("#files").send_keys("\n".join(png(page.server.work / f"again-{n}.png", n) for n in range(40)))
    page.server.stop()
    page.server.start()
    page.until(".banner", "has expired")
    rekey(page, "images")
    page.wait.until(lambda _: page.all("main tbody tr") and not page.all("[role=progressbar]"), "not all pictures were answered")
    assert len(page.all("main tbody tr")) == 40 and not page.all("main tbody .bad")
    page.open("models")
    page.open("operations")
    page.server.stop()
    page.until("[role=alert]", "does not answer")
    old = page.server.key
    page.server.start()
    page.until(".banner, #figures", "")
    page.wait.until(lambda _: not any("does not answer" in text for text in page.texts("[role=alert]")))
    assert page.server.key != old
    page.open("notes")
    page.until(".banner", "has expired")
    page.click("#key")
    page.one("#key-input").clear()
    page.one("#key-input").send_keys(page.server.key)
    page.click("#key-use")
    page.one("#ask")
    assert not page.all(".banner")
    # What was typed before the server went is answered once there is a key for it, and was not lost.
    page.one("#note").send_keys("chest pain, sweating")
    page.server.stop()
    page.server.start()
    page.click("#ask")
    page.until(".banner", "has expired")
    rekey(page, "notes")
    page.until("#answer .verdict", "")
    assert page.one("#note").get_attribute("value") == "chest pain, sweating" and not page.all(".banner")
    # A bookmark with the key of another run is not said to be in use.
    page.browser.get("about:blank")
    page.browser.get(f"{page.server.url}#key=medserve_{64 * '0'}")
    page.until(".banner", "has expired")
    assert "in use" not in page.one("#announce").get_attribute("textContent") and page.text("#key").strip() == "Key"


def quiet(page, url):
    """Nothing went wrong that nobody was told of, and nothing was asked of anybody else."""
    for entry in page.browser.get_log("browser"):
        # A refusal is told on the page; the browser notes its status too.
        told = re.search(r"Failed to load resource: (the server responded with a status of 4|net::ERR_)", entry["message"])
        assert told or entry["level"] not in ("SEVERE", "WARNING"), entry
    for address in page.browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)"):
        assert address.startswith((url, f"blob:{url}", "data:")), f"a foreign request: {address}"


def main():
    program, axe, work, folder = sys.argv[1:]
    server = Server(program, Path(work))
    folder = Path(folder) if folder else None
    axe = Path(axe).read_text()
    browser = start(1280, 900)
    try:
        server.start()
        page = Page(browser, server)
        browser.get(f"{server.url}#key={server.key}")
        page.ready("images")
        assert "key=" not in browser.current_url, "the key stays in the address"
        assert browser.execute_script("return JSON.stringify(localStorage)").find(server.key) < 0
        for act in [images, previews, late, notes, numbers, seldom, people, cases, models, operations, audit, nowhere, replaced, kept, chinese]:
            began = time.monotonic()
            act(page, folder)
            quiet(page, server.url)
            print(f"{act.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        in_every_form(page, axe)
        keyboard(page)
        quiet(page, server.url)
        painted(page)
        restarted(page)
    except BaseException:
        browser.save_screenshot(str(Path(os.environ.get("TMPDIR", "/tmp")) / "console-failed.png"))
        raise
    finally:
        browser.quit()
        server.stop()


main()
