"""Tries every operation of the page /docs in a browser, as a reader of it would.

Usage: try_it_out.py URL TOKEN PICTURE.
"""

import json
import os
import sys
import urllib.request

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from browser import start

# What is done after everything else, since it takes away what the others ask for.
LAST = ["delete_interactions", "delete_user", "delete_item", "delete_case", "oip_unload_model"]


# No shipped package has a report, so this is the answer.
UNSERVED = {"get_model_report": "404"}


def main():
    url, token, picture = sys.argv[1:]
    with urllib.request.urlopen(f"{url}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    # DICOMweb is multipart/related, which a browser's page does not send; `.ci/dicom` speaks it.
    spoken = [path for place, path in paths.items() if not place.startswith("/dicom-web/")]
    operations = [operation for path in spoken for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    writes = {"put_user", "put_item", "put_case"}
    order = sorted(names, key=lambda name: (LAST.index(name) + 1 if name in LAST else 0, name not in writes))

    browser = start(1400, 2000)
    wait = WebDriverWait(browser, 120)
    broken = []
    try:
        browser.get(f"{url}/docs/#/")
        wait.until(lambda page: len(page.find_elements(By.CSS_SELECTOR, ".opblock")) == sum(map(len, paths.values())))
        browser.find_element(By.CSS_SELECTOR, "button.authorize").click()
        wait.until(lambda page: page.find_element(By.CSS_SELECTOR, ".auth-container input")).send_keys(token)
        browser.find_element(By.CSS_SELECTOR, ".auth-btn-wrapper .authorize").click()
        browser.find_element(By.CSS_SELECTOR, ".close-modal").click()
        for name in order:
            status = try_out(browser, wait, name, picture)
            print(f"{name}: {status}", flush=True)
            if not status.startswith("2") and status != UNSERVED.get(name):
                broken.append(name)
    finally:
        browser.quit()
    if broken:
        sys.exit(f"not answered with 2xx: {', '.join(broken)}")


def try_out(browser, wait, name, picture):
    """The status that the page shows for an operation with what it proposes."""
    (block,) = browser.find_elements(By.CSS_SELECTOR, f".opblock[id$='-{name}']")
    browser.execute_script("arguments[0].scrollIntoView()", block)
    block.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    find = lambda selector: wait.until(lambda _: block.find_elements(By.CSS_SELECTOR, selector))[0]
    browser.execute_script("arguments[0].click()", find(".try-out__btn"))
    kinds = block.find_elements(By.CSS_SELECTOR, ".opblock-section-request-body .content-type")
    if kinds and any(option.text == "image/png" for option in Select(kinds[0]).options):
        Select(kinds[0]).select_by_visible_text("image/png")
        find("input[type=file]").send_keys(os.path.abspath(picture))
    browser.execute_script("arguments[0].click()", find(".btn.execute"))
    status = find(".live-responses-table tbody .response-col_status").text.split()[0]
    block.find_element(By.CSS_SELECTOR, ".opblock-summary-control").click()
    return status


main()
