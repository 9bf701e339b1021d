"""The page in a real browser: what a reader can do with it, and what a text of a model cannot."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sitkit.report.page import write_page
from sitkit.report.tables import ReportSection, Table
from sitkit.report.write import write_report
from sitkit.results.files import load_results
from sitkit.results.model import sealed
from sitkit.types import Question
from sitkit.workspace.compare import Run, compare_runs
from sitkit.workspace.compare_report import write_comparison
from tests.example_runs import example_registry, make_run
from tests.report.synthetic import invented, question_set, say_by_turns, write_workspace

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not both installed"),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,900",
)  # fmt: skip

HOSTILE = (
    "</script><script>window.broken = 1</script>",
    '<img src="x" onerror="window.broken = 2">',
    "<!--<script>",
    '"><a href="javascript:window.broken=3">click</a>',
    "abc\u202egnp.exe\u2066\u200b",
    "nul\x00 and a line\u2028separator",
    "\ud800 alone \udc00",
    "${window.broken = 4} `x` \\u003cb\\u003e &lt;b&gt; &amp;",
    "]]>'\"<style>*{display:none}</style>",
)


class Page:
    """A page in the browser, and what a test asks of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, anchor: str = "#answers?") -> None:
        # Another anchor alone would not load the page anew.
        self.driver.get("about:blank")
        self.driver.get(path.as_uri() + anchor)
        self.wait("return document.querySelector('#browser')?.dataset.state === 'ready'")

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 30, poll_frequency=0.05).until(lambda _: self.run(script))

    def size(self, width: int, height: int = 900) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def search(self, text: str) -> None:
        self.run(
            "const box = document.querySelector('input[type=search]'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('input'))",
            text,
        )

    @property
    def status(self) -> str:
        return str(self.run("return document.querySelector('[role=status]').textContent"))

    def shows(self, status: str) -> None:
        self.wait(f"return document.querySelector('[role=status]').textContent === {json.dumps(status)}")

    @property
    def rows(self) -> int:
        return int(self.run("return document.querySelectorAll('.list > li').length"))

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Page(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("small")
    asked = question_set("tiny_chain")
    trained = question_set("tiny_chain", "train").questions[:6]
    folder, results, stored = write_workspace(workspace, asked.questions[:40], asked=asked, trained=trained)
    return write_page(folder, results, stored)


def test_it_loads_without_a_complaint_and_a_number_leads_to_its_answers(browser: Page, small: Path) -> None:
    browser.size(1400)
    browser.open(small)
    assert browser.complaints() == []
    browser.click("td.n a[href*='phase=refine']")
    browser.wait("return location.hash.includes('phase=refine')")
    browser.shows("40 of 40 questions")
    assert browser.run("return document.querySelector('nav a[href=\"#answers\"]') !== null")


def test_the_filter_filters(browser: Page, small: Path) -> None:
    browser.open(small)
    browser.shows("40 of 40 questions")
    # By turns: instruct is right on places 0 and 1, refine on 0 and 2, and says nothing readable on 3.
    for change, place in (("wrong to right", 2), ("right to wrong", 1), ("stayed right", 0), ("unread", 3)):
        browser.click(f"button[data-change='{change}']")
        browser.shows("10 of 40 questions")
        browser.click(".list button.row")
        browser.wait("return document.querySelector('.question dd') !== null")
        said = str(browser.run("return document.querySelector('.question').textContent"))
        assert int(said.partition("link")[0].rpartition("/")[2]) % 4 == place
    browser.click("button[data-value='direct']")
    browser.shows("10 of 40 questions")
    assert "change=unread" in str(browser.run("return location.hash"))


def test_the_search_finds_in_questions_and_answers(browser: Page, small: Path) -> None:
    browser.open(small)
    wanted = question_set("tiny_chain").questions[7]
    browser.search(wanted.question[-40:].upper())
    browser.wait("return document.querySelectorAll('.list > li').length < 40")
    assert browser.run("return document.querySelector('.list button.row').textContent").find(wanted.question[:30]) >= 0
    browser.search("I cannot say")
    browser.shows("10 of 40 questions")
    browser.search("no such text anywhere")
    browser.shows("No question fits.")
    assert browser.rows == 0


def test_a_training_question_shows_what_was_chosen(browser: Page, small: Path) -> None:
    browser.open(small, "#answers?split=train")
    browser.shows("6 of 6 questions")
    browser.click("button[data-change='left out']")
    browser.shows("1 of 6 questions")
    browser.click("button[data-change='from student']")
    browser.shows("5 of 6 questions")
    browser.click(".list button.row")
    badges = browser.run(
        "return [...document.querySelectorAll('.said .badge')].map(one => [one.textContent, one.closest('div')"
        ".querySelector('.text').textContent])"
    )
    assert badges[0][0] == "chosen, right"
    assert badges[0][1].startswith("Own steps to")
    assert badges[1] == ["rejected, wrong", "It is 0."]


def test_a_run_that_only_instructs_has_neither_columns_nor_filters_of_pairs(browser: Page, tmp_path: Path) -> None:
    def texts(selector: str) -> Any:
        return browser.run("return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)

    for method, columns in (("instruct", ["demonstration"]), ("both", ["demonstration", "chosen", "rejected"])):
        with example_registry() as registry:
            folder, _ = make_run(registry, tmp_path, method, methods=(method,))
            write_report(folder, load_results(folder), registry)
        browser.open(folder / "report.html", "#answers?split=train")
        browser.wait("return document.querySelector('.list .row') !== null")
        assert texts(".row.labels span") == ["question", *columns]
        filters = [text.rpartition(" ")[0] for text in texts(".chips button")]
        assert {"all", "demonstration wrong", "demonstration cut off"} <= set(filters)
        assert ("left out" in filters) is (len(columns) == 3)
        assert len(texts(".list > li:first-child .row > span")) == len(columns) + 1
        assert any("chosen and rejected" in note for note in texts("#answers .note")) is (len(columns) == 3)
    assert browser.complaints() == []


def test_a_text_of_a_model_stays_text(browser: Page, tmp_path: Path) -> None:
    questions = [
        Question(f"h/{at}", "invented", "choice", text, text, (text, "b"), "A") for at, text in enumerate(HOSTILE)
    ]

    def say(phase: str, prompting: str, question: Question) -> tuple[str, str | None, bool]:
        return question.question, question.question[:9], False

    hostile = "</script><img src=x onerror=window.broken=5>\u202e$x$"
    folder, results, stored = write_workspace(tmp_path, questions, say=say, trained=questions, student=hostile)
    results.recipe["student"] = hostile
    table = Table(HOSTILE[0], HOSTILE, (HOSTILE,), HOSTILE[1])
    sections = [ReportSection("hostile", HOSTILE[1], (table,), HOSTILE[0])]
    path = write_page(folder, results, stored, warnings=HOSTILE, ratings=[table], sections=sections)
    for anchor, count in (("#answers?", len(questions)), ("#answers?split=train", len(questions))):
        browser.open(path, anchor)
        assert browser.rows == count
        browser.run("document.querySelectorAll('.list button.row').forEach(one => one.click())")
        texts = "\n".join(
            browser.run("return [...document.querySelectorAll('.inside .text')].map(one => one.textContent)")
        )
        assert "</script><script>window.broken = 1</script>" in texts
        assert "${window.broken = 4} `x` \\u003cb\\u003e &lt;b&gt; &amp;" in texts
        assert "abcU+202Egnp.exeU+2066U+200B" in texts
        assert "U+D800 alone U+DC00" in texts
        assert "nulU+0000 and a lineU+2028separator" in texts
        assert browser.run("return window.broken") is None
        assert (
            browser.run("return document.querySelectorAll('main img, main a[href^=javascript], main style').length")
            == 0
        )
        assert browser.run("return document.querySelectorAll('script:not([type])').length") == 1
        assert browser.complaints() == []
    notices = browser.run("return [...document.querySelectorAll('.warnings li')].map(one => one.textContent)")
    assert HOSTILE[0] in notices
    assert "‹U+D800› alone ‹U+DC00›" in notices


def test_nothing_reaches_out_of_a_narrow_window(browser: Page, small: Path) -> None:
    for width in (390, 320, 1400):
        browser.size(width)
        browser.open(small)
        browser.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        browser.run("document.querySelector('.list button.row').click()")
        assert browser.run("return document.documentElement.scrollWidth") <= width
        outside = browser.run(
            "return [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right"
            " > innerWidth + 1 && !one.closest('.scroll, svg, nav')).map(one => one.outerHTML.slice(0, 80))"
        )
        assert outside == []
    browser.size(1400)


def test_the_refined_column_is_seen_on_a_phone_without_scrolling(browser: Page, tmp_path: Path) -> None:
    folder, results, stored = write_workspace(tmp_path, invented(40, "invented_tasks"), seeds=(0, 1))
    browser.size(390)
    browser.open(write_page(folder, results, stored))
    right = browser.run(
        "return [...document.querySelectorAll('.headline td strong')].map(one => one.getBoundingClientRect().right)"
    )
    assert right
    assert max(right) <= 390
    browser.size(1400)


def test_a_link_leads_to_its_question_after_the_page_was_written_anew(browser: Page, tmp_path: Path) -> None:
    questions = invented(120)
    folder, results, stored = write_workspace(tmp_path / "before", questions)
    browser.open(write_page(folder, results, stored))
    browser.click(".pager button:last-child")
    browser.click(".list > li:nth-child(30) button.row")
    browser.wait("return document.querySelector('.question a') !== null")
    link = str(browser.run("return document.querySelector('.question a').getAttribute('href')"))
    assert "invented%2F79" in link
    # Another order, more seeds and another arm before it.
    folder, results, stored = write_workspace(tmp_path / "after", questions[::-1], seeds=(3, 0))
    other = replace(results.arms[0], fraction=0.5)
    path = write_page(folder, sealed(replace(results, arms=(other, *results.arms))), stored)
    browser.open(path, link)
    browser.wait("return document.querySelector('.question dd') !== null")
    assert "invented/79" in str(browser.run("return document.querySelector('.question').textContent"))
    assert browser.run("return document.querySelector('.tools select').selectedOptions[0].textContent").endswith(
        "seed 0"
    )
    assert "does not have" not in browser.status
    browser.open(path, "#answers?arm=00000000&benchmark=invented")
    assert "does not have" in browser.status


def test_ten_thousand_questions_are_shown_a_page_at_a_time(browser: Page, tmp_path: Path) -> None:
    def say(phase: str, prompting: str, question: Question) -> tuple[str, str | None, bool]:
        text, read, right = say_by_turns(phase, prompting, question)
        return f"{'A step of reasoning that takes its time. ' * 6}{text}", read, right

    folder, results, stored = write_workspace(tmp_path, invented(10_000), say=say)
    path = write_page(folder, results, stored)
    assert path.stat().st_size < 3_000_000
    browser.driver.get(path.as_uri())
    # Whether the answers are unpacked yet depends on how near the window's end is, what is drawn of them does not.
    assert browser.run("return document.getElementsByTagName('*').length") < 3000
    browser.open(path)
    browser.shows("10,000 of 10,000 questions")
    assert browser.rows == 50
    browser.click(".pager button:last-child")
    browser.wait("return document.querySelector('.pager span').textContent === '51–100'")
    assert browser.rows == 50
    browser.search("invented/9999")
    browser.shows("1 of 10,000 questions")
    browser.click("button[data-change='unread']")
    browser.shows("1 of 10,000 questions")


def test_it_can_be_used_by_keyboard_and_heard(browser: Page, small: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.open(small)
    browser.run("document.querySelector('.list button.row').focus()")
    focused = browser.driver.switch_to.active_element
    focused.send_keys(Keys.ENTER)
    assert focused.get_attribute("aria-expanded") == "true"
    focused.send_keys(Keys.ARROW_DOWN)
    second = browser.driver.find_elements(By.CSS_SELECTOR, ".list button.row")[1]
    assert browser.driver.switch_to.active_element == second
    assert "baseline: wrong" in str(second.get_attribute("textContent"))
    nameless = browser.run(
        "return [...document.querySelectorAll('main select, main input')].filter(one => !one.labels.length).length"
    )
    assert nameless == 0
    assert browser.run("return document.querySelectorAll('th:not([scope])').length") == 0
    levels = browser.run("return [...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_two_runs_are_read_side_by_side(browser: Page, tmp_path: Path) -> None:
    with example_registry() as registry:
        for name, given in (("whole", {}), ("less", {"limit": 3})):
            make_run(registry, tmp_path / "w", name, **given)
        folders = [tmp_path / "w" / "runs" / name for name in ("whole", "less")]
        ours, theirs = (Run.load(folder, registry) for folder in folders)
        path = tmp_path / "comparison.html"
        found = compare_runs(ours, theirs)
        write_comparison(path, (ours, theirs), found, ("whole", "less"), registry)
    browser.open(path)
    texts = browser.run("return [...document.querySelectorAll('.labels > *')].map(one => one.textContent)")
    assert texts == ["question", "target", "whole", "less"]
    refined = next(cell for cell in found.cells if (cell.first.phase, cell.first.prompting) == ("refine", "cot"))
    assert refined.paired is not None
    for kind, count in (("wrong to right", refined.paired.gained), ("right to wrong", refined.paired.lost)):
        chip = browser.run(f"return document.querySelector('[data-change=\"{kind}\"] small').textContent")
        assert int(chip) == count
    assert refined.paired.lost > 0
    assert browser.run("return document.querySelectorAll('.gone').length") == 0
