"""Draw docs/images: run what the pictures show and photograph the reports. Run by ``make images``, with chromium there.

A workspace given as the argument is used and kept; what it holds already is not run again. Names of pictures behind it
draw these alone. Those of the real student need its runs there: make real ARGS="--name real --workspace WORKSPACE", and
sitkit run --config docs/examples/7-real-gold.yaml --name gold --workspace WORKSPACE, as docs/results.md has it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"

RUNS = {
    "embedded": ["run"],
    "lowresource": ["lowresource", "--train-on", "tiny_chain", "--eval-on", "tiny_chain,tiny_shop"],
    "matrix": ["matrix"],
    "beta-0.5": ["run", "--set", "refine.beta=0.5"],
}
REAL, GOLD = "real", "gold"
"""What takes too long to be made here."""

READY = "return document.querySelector('#browser')?.dataset.state === 'ready' || !location.hash.includes('?')"

ANSWERS = (
    "#answers?benchmark=tiny_cups&prompting=cot&question=tiny_cups/test/0&compare=instruct+refine&change=wrong+to+right"
)

GAINED = "#answers?benchmark=word_problems&prompting=cot&compare=instruct+refine&change=wrong+to+right"
TURNED = "#answers?benchmark=gsm8k&prompting=direct&compare=baseline+instruct"

SHOTS = [
    ("report-accuracy", "embedded", "", 1200, 900, False),
    ("report-answers", "embedded", ANSWERS, 1200, 900, False),
    ("report-phone", "embedded", ANSWERS, 390, 844, True),
    ("report-lowresource", "lowresource", "", 1200, 760, False),
    ("report-matrix", "matrix", "#matrix", 1200, 900, False),
    ("compare", "beta-0.5/compare.html", "#answers?change=wrong+to+right", 1200, 700, False),
    ("real-accuracy", REAL, "#results", 1200, 900, False),
    ("real-answers", REAL, GAINED, 1200, 900, False),
    ("gsm8k-gained", GOLD, TURNED + "&question=gsm8k/test/77&change=wrong+to+right", 1200, 900, False),
    ("gsm8k-lost", GOLD, TURNED + "&question=gsm8k/test/106&change=right+to+wrong", 1200, 900, False),
]
"""Name of the picture, the run (or a page of it), where on it, width and height in pixels, whether dark."""


def main(workspace: Path, wanted: Sequence[str]) -> None:
    """Run what is missing in the workspace and draw every picture, or those wanted."""
    shots = [shot for shot in SHOTS if shot[0] in wanted or not wanted]
    missing = [name for name in (REAL, GOLD) if not (workspace / "runs" / name / "report.html").is_file()]
    shots = [shot for shot in shots if shot[1] not in missing]
    sitkit, place = [sys.executable, "-m", "sitkit"], ["--workspace", workspace]
    needed = {shot[1].split("/")[0] for shot in shots}
    for name, command in RUNS.items():
        if name in needed or (name == "embedded" and "beta-0.5" in needed):
            subprocess.run([*sitkit, *command, "--name", name, *place], check=True)
    if "beta-0.5" in needed:
        page = workspace / "runs" / "beta-0.5" / "compare.html"
        subprocess.run([*sitkit, "compare", "embedded", "beta-0.5", "--page", page, *place], check=True)
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        for shot, run, anchor, width, height, dark in shots:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            # Another anchor alone would not load the page anew.
            driver.get("about:blank")
            page = workspace.resolve() / "runs" / run
            driver.get((page if page.suffix else page / "report.html").as_uri() + anchor)
            WebDriverWait(driver, 30).until(lambda browser: browser.execute_script(READY))
            driver.save_screenshot(str(IMAGES / f"{shot}.png"))
    finally:
        driver.quit()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), sys.argv[2:])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder), ())
