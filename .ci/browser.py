"""A headless Chromium for the checks that need one. It needs Chromium and its driver (Debian: chromium-driver)."""

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"]


def start(width, height):
    """A browser with a window of this size, and patience for a machine that has other work too."""
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--window-size={width},{height}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    browser.set_script_timeout(120)
    return browser
