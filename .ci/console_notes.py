"""Numbers as people type them, outcomes that a label seldom tells, and addresses of what is not there. `console.py` runs it."""

from console_page import csv_rows

# What is typed, and the number that is sent; None where it is refused beside its field.
TYPED = [("39", 39), ("38.5", 38.5), ("38,5", 38.5), ("0,1", 0.1), (",5", 0.5), ("37.", 37), (" 38,5 ", 38.5), ("３８．５", 38.5), ("-2", -2),
         ("0,125", 0.125), ("60-70", None), ("1,200", None), ("1.200,5", None), ("1,2,3", None), ("1e2", None), ("38 5", None), ("38°", None), ("Infinity", None), ("0x10", None)]
CHOOSE = "const s = document.querySelector('#model'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"


def typed(page, selector, text):
    field = page.one(selector)
    field.clear()
    field.send_keys(text)
    return field


def numbers(page, _):
    page.open("notes")
    read = "const done = arguments[1]; import('/console/lib/numerals.js').then(({ numeral }) => done(arguments[0].map((one) => [numeral(one)].map((n) => Number.isNaN(n) ? null : n)[0])))"
    assert page.browser.execute_async_script(read, [text for text, _ in TYPED]) == [number for _, number in TYPED]
    # A comma is no less than a point: an age of 0,1 is an infant's, and no field says "number" of what it dropped.
    assert not page.all("main input[type=number]")
    page.one("#note").send_keys("fever")
    typed(page, "[data-field=temperature_c]", "39")
    for text in ("0,1", "0.1"):
        field = typed(page, "[data-field=age]", text)
        assert field.get_attribute("value") == text
        page.click("#ask")
        page.until("#answer .flags", "Temperature")
        assert '"age":0.1' in page.one("main pre").get_attribute("textContent")
    for text in ("1,200", "3;5", "abc"):
        field = typed(page, "[data-field=age]", text)
        page.click("#ask")
        page.until("main [role=alert]", "Nothing was asked")
        assert field.get_attribute("aria-invalid") == "true" and field.get_attribute("value") == text and not page.all("#answer")
    # What the server refuses is said beside its field, without a pointer into the request.
    typed(page, "[data-field=age]", "4")
    page.one("#note").clear()
    page.click("#ask")
    page.until(".field:has(#note) .wrong", "blank")
    page.until("main [role=alert]", "beside its field")
    assert "/records" not in page.text("main")
    # As a spreadsheet saves it where decimals have a comma.
    csv = page.server.work / "comma.csv"
    csv.write_text('Note;Age;temperature_c\n"fever; cough";0,1;39\nfever;zero;39\n')
    page.click(".tabs [data-value=batch]")
    page.one("#csv").send_keys(str(csv))
    page.until("#batch h2", "1 of 2")
    page.until("#batch tbody .bad", "age")
    rows = list(csv_rows(page.saved("#batch-save")[1]))
    assert rows[1][0] == "fever; cough" and "temperature_c above" in rows[1][rows[0].index("red_flags")], rows


def seldom(page, _):
    """Of most visits that ended so the most probable label is "no": it is not shown as the answer."""
    page.open("notes")
    page.browser.execute_script(CHOOSE, "ed-critical")
    page.one("#note").send_keys("chest pain")
    typed(page, "[data-field=age]", "67")
    page.click("#ask")
    page.until("#outcomes .verdict", "yes · ")
    page.until("#outcomes", "145 of the 9,417")
    page.until("#outcomes", "found only 9")
    assert page.texts("#answer .verdict") == page.texts("#outcomes .verdict"), "the label stands as a verdict of its own"
    csv = page.server.work / "visits.csv"
    csv.write_text("note,age\nchest pain,67\n")
    page.click(".tabs [data-value=batch]")
    page.one("#csv").send_keys(str(csv))
    page.until("#batch tbody", "yes ")
    rows = list(csv_rows(page.saved("#batch-save")[1]))
    assert rows[0][-1] == "probability of yes" and 0.015 < float(rows[1][-1]) < 0.5, rows
    # Its accuracy does not stand alone.
    page.open("models/ed-critical")
    page.until("#seldom", "found 9. Always answering “no” would have the accuracy 0.9846")
    # One that finds most of what is there is answered as before.
    page.open("images")
    page.click("#sample-clear")
    page.until("#shot[data-status=done] .verdict", "")
    assert not page.all("#outcomes")


def nowhere(page, _):
    page.browser.execute_script("location.hash = '#/nosuchpage'")
    page.until("main [role=alert]", "no page of this name")
    page.open("models/nosuch")
    page.until("main [role=alert]", "nosuch")
    assert not page.all("#model"), "another model stands under this name"
    # What leads past the menu stays on the page.
    page.open("notes")
    page.click("#skip")
    assert page.browser.execute_script("return location.hash + document.activeElement.id") == "#/notesmain"
