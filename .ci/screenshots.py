"""Draw docs/images: run what the pictures show and photograph the reports. Run by ``make images``, with chromium there.

A workspace given as the argument is used and kept; what it holds already is not run again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"

RUNS = {
    "embedded": ["run"],
    "lowresource": ["lowresource", "--train-on", "tiny_chain", "--eval-on", "tiny_chain,tiny_shop"],
    "matrix": ["matrix"],
}

READY = "return document.querySelector('#browser')?.dataset.state === 'ready' || !location.hash.includes('?')"

ANSWERS = (
    "#answers?benchmark=tiny_cups&prompting=cot&question=tiny_cups/test/0&compare=instruct+refine&change=wrong+to+right"
)

SHOTS = [
    ("report-accuracy", "embedded", "", 1200, 900, False),
    ("report-answers", "embedded", ANSWERS, 1200, 900, False),
    ("report-phone", "embedded", ANSWERS, 390, 844, True),
    ("report-lowresource", "lowresource", "", 1200, 760, False),
    ("report-matrix", "matrix", "#matrix", 1200, 900, False),
]
"""Name of the picture, the run, where on its page, width and height in pixels, whether dark."""


def main(workspace: Path) -> None:
    """Run what is missing in the workspace and draw every picture."""
    for name, command in RUNS.items():
        subprocess.run([sys.executable, "-m", "sitkit", *command, "--name", name, "--workspace", workspace], check=True)
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        for shot, run, anchor, width, height, dark in SHOTS:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            # Another anchor alone would not load the page anew.
            driver.get("about:blank")
            driver.get((workspace.resolve() / "runs" / run / "report.html").as_uri() + anchor)
            WebDriverWait(driver, 30).until(lambda browser: browser.execute_script(READY))
            driver.save_screenshot(str(IMAGES / f"{shot}.png"))
    finally:
        driver.quit()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
