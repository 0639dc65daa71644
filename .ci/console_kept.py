"""What stays when the page speaks another language or is given another key, and that the Chinese page has no English sentence of
the console's own. `console.py` runs it.
"""

import re

# Text that the page's own words make, with its place. What the server or a record says is isolated, code, a card or a drawing, and is shown as it is;
# labels for screen readers may name it.
OWN = r"""
const found = [], data = 'bdi, code, pre, script, noscript, svg, .card, .marked, .figure, select:not([data-field]) option, #language';
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) if (!walk.currentNode.parentElement.closest(data)) found.push(walk.currentNode.data.trim());
for (const name of ['aria-label', 'title', 'placeholder', 'alt'])
  for (const one of document.querySelectorAll(`[${name}]`)) if (!one.closest(data) && !/[\u4e00-\u9fff]/.test(one.getAttribute(name))) found.push(one.getAttribute(name));
return [...new Set(found)].filter((one) => /[A-Za-z]{2}/.test(one));"""
# Names and units that Chinese pages write the same way.
SAME = re.compile(r"\b(medserve|API|CSV|JSON|PNG|JPEG|DICOM|UTF-8|[KMG]?B|m?s|km|mmHg|KTAS|AUC|ECE|F1|kappa|Dice|IoU|PSI|UTC|xx|ln|drawing-[\w.-]+|CC BY [\d.]+)\b")


def english(page, place):
    """Fails where the page has words of its own in English: a phrase without Chinese, or three words of a sentence that has some."""
    for text in page.browser.execute_script(OWN):
        words = re.findall(r"[A-Za-z]{2,}", SAME.sub("", text))
        assert not words or (re.search(r"[\u4e00-\u9fff]", text) and len(words) < 3), f"{place}: {text!r}"


def asked(page, part):
    return page.browser.execute_script("return performance.getEntriesByType('resource').filter((one) => one.name.includes(arguments[0])).length", part)


def speak(page, name):
    """Presses the button of the language, on which the keyboard stays."""
    page.browser.execute_script("delete document.getElementById('main').dataset.ready; document.getElementById('language').focus()")
    page.click("#language")
    page.ready(name)
    assert page.browser.execute_script("return document.activeElement.id") == "language", "the keyboard's place is lost"


def rekey(page, name):
    """Another key is given: here the same one."""
    page.browser.execute_script("delete document.getElementById('main').dataset.ready")
    page.click("#key")
    page.one("#key-input").clear()
    page.one("#key-input").send_keys(page.server.key)
    page.click("#key-use")
    page.ready(name)


def kept(page, _):
    # A browser counts 250 requests of a page unless told otherwise.
    page.browser.execute_script("performance.setResourceTimingBufferSize(10000)")
    # Pictures with their answers, the frame and model that they are of.
    page.open("models")
    page.open("images")
    page.click("#sample-dicom")
    page.until("#shot[data-status=done] .bars", "")
    page.slide("frame", 2)
    page.wait.until(lambda _: page.all("#shot[data-status=done] pre") and "frame=3" in page.one("#shot pre").get_attribute("textContent"))
    page.click("#sample-blank")
    page.until("#shot", "of one tone")
    page.click("main tbody tr:first-child button")
    before = asked(page, "/images/classify")
    for change in (speak, rekey, speak):
        change(page, "images")
        page.until("#shot[data-status=done] .bars", "")
        assert page.one("#shot [data-slider=frame]").get_attribute("value") == "2", "another frame is shown than was answered"
        assert len(page.all("main tbody tr")) == 2 and asked(page, "/images/classify") == before, "pictures are lost, or sent again"
    # To leave the page is to be done with them.
    page.open("models")
    page.open("images")
    assert not page.all("#shot")

    # A note half typed, then answered; many notes.
    page.open("notes")
    page.one("#note").send_keys("chest pain, sweating")
    page.one("[data-field=age]").send_keys("67")
    for change in (speak, speak, rekey):
        change(page, "notes")
        assert page.one("#note").get_attribute("value") == "chest pain, sweating" and page.one("[data-field=age]").get_attribute("value") == "67"
    page.click("#ask")
    page.until("#answer .verdict", "")
    before = asked(page, "/notes/classify")
    for _ in range(2):
        speak(page, "notes")
        page.until("#answer .verdict", "")
    page.click(".tabs [data-value=batch]")
    page.click("#batch-sample")
    page.one("#batch-save")
    rows, before = len(page.all("#batch tbody tr")), asked(page, "/notes/classify")
    for _ in range(2):
        speak(page, "notes")
        page.one("#batch-save")
        assert len(page.all("#batch tbody tr")) == rows
    assert asked(page, "/notes/classify") == before, "notes are sent again"

    page.open("cases")
    page.one("#query").send_keys("chest pain")
    page.click("#search")
    page.one(".hits li")
    before = asked(page, "/cases/search")
    for _ in range(2):
        speak(page, "cases")
        assert page.one("#query").get_attribute("value") == "chest pain" and page.all(".hits li")
    assert asked(page, "/cases/search") == before
    page.open("people")
    page.one("#person").send_keys("u4")
    for _ in range(2):
        speak(page, "people")
        assert page.one("#person").get_attribute("value") == "u4"
    page.open("audit")
    page.one("#filter").send_keys("pneumonia")
    for _ in range(2):
        speak(page, "audit")
        assert page.one("#filter").get_attribute("value") == "pneumonia" and all("images" in text for text in page.texts("#audit tbody tr"))


def chinese(page, folder):
    """Every page with its main act, in Chinese."""
    page.open("models")
    speak(page, "models")
    page.open("images")
    page.click("#sample-clear")
    page.until("#shot[data-status=done] .verdict", "")
    page.click("#sample-blank")
    page.one("#shot .notice")
    page.click("#sample-dicom")
    page.one("#shot [data-slider=width]")
    page.until("#shot[data-status=done] .bars", "")
    english(page, "images")
    # What was refused here is said in the language in use, also where it was said before.
    speak(page, "images")
    empty = page.server.work / "empty.png"
    empty.write_bytes(b"")
    page.one("#files").send_keys(str(empty))
    page.until("#shot[data-status=refused] [role=alert]", "was not sent")
    speak(page, "images")
    page.until("#shot[data-status=refused] [role=alert]", "未发送")
    english(page, "images, refused")
    page.open("notes")
    page.click("#sample-0")
    page.until("#answer .flags", "")
    english(page, "notes")
    assert all(re.search(r"[\u4e00-\u9fff]", text) for text in page.texts("#answer .flags li div > bdi:last-of-type")), page.texts("#answer .flags")
    page.click(".tabs [data-value=batch]")
    page.click("#batch-sample")
    page.one("#batch-save")
    english(page, "notes, many")
    page.click(".tabs [data-value=one]")
    page.browser.execute_script("const s = document.querySelector('#model'); s.value = 'adverse-drug-events'; s.dispatchEvent(new Event('change'))")
    page.one("#note").send_keys("severe rash after amoxicillin; no anaphylaxis after ibuprofen")
    page.click("#ask")
    page.one("#answer li")
    english(page, "notes, entities")
    for kind in ("drug", "hospital"):
        page.open(f"people/u1/{kind}")
        page.one("#recommended li")
        english(page, f"people, {kind}")
        # What the server says of a person or a note from a form is said in Chinese too, with the names as they are written.
        reasons = page.texts("main .why bdi")
        assert reasons and all(re.search(r"[\u4e00-\u9fff]", text) for text in reasons if ": " in text), reasons
    page.open("people/..")
    page.one("main [role=alert]")
    english(page, "people, refused")
    page.open("cases")
    page.one("#query").send_keys("chest pain")
    page.click("#search")
    page.one(".hits li")
    english(page, "cases")
    page.open("models/triage")
    page.one("#repository [data-act=unload]")
    page.click("#repository [data-act=unload]")
    english(page, "models")
    page.click("#confirm-no")
    page.open("operations")
    page.one("#drift-model")
    english(page, "operations")
    page.open("audit")
    page.click("#audit tbody summary")
    page.until("#audit tbody details", "input_sha256")
    english(page, "audit")
    page.click("#key")
    english(page, "key")
    page.browser.execute_script("document.querySelector('dialog').close()")
    speak(page, "audit")
