"""The page in a browser: every figure on it is in its JSON, it requests nothing, and it fits a phone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.report.formats import html
from edgekd.results.result import read_result
from tests.pipeline import chromium
from tests.pipeline.page_figures import Shown, misfits
from tests.unit.report.example_result import agreeing, bare, previews, timed_stages
from tests.unit.report.hostile_result import HOSTILE, hostile

BASELINE = Path("benchmarks/baselines/workstation/edsr_from_edsr.json")
PHONE, DESKTOP = 390, 1100
# Every text on the page, with the paths of its figures where the page names them; details are opened before.
COLLECT = """(() => {
  document.querySelectorAll("details").forEach((box) => (box.open = true));
  const found = [], walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement, section = parent.closest("section");
    if (!node.data.trim() || parent.closest("noscript") || (section && section.hidden)) continue;
    const row = parent.closest("tbody tr"), marked = parent.closest("[data-figure]");
    found.push({
      text: node.data, paths: marked ? marked.dataset.figure.split(" ") : [], drawn: !!parent.closest("svg"),
      section: section ? section.querySelector("h2").textContent : "", row: row ? row.cells[0].textContent : "",
      column: row ? row.closest("table").tHead.rows[0].cells[parent.closest("td").cellIndex].textContent : "",
    });
  }
  return { shown: found, data: JSON.stringify(data) };
})()"""

needs_chromium = pytest.mark.skipif(
    chromium.found() is None, reason=f"no Chromium here (looked for {', '.join(chromium.NAMES)}): apt install chromium"
)
pytestmark = [needs_chromium, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    opened = chromium.Tab(str(chromium.found()), tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def recorded(root):
    """The page of the result that the README shows, of seven processes, with made-up pictures."""
    return html.render(read_result(root / BASELINE), previews())


def show(tab, text, folder, width=DESKTOP):
    page = folder / "report.html"
    page.write_text(text, encoding="utf-8")
    tab.size(width)
    tab.open(page.as_uri())
    tab.size(width)


def complaints(tab):
    """Return the console's messages, and every request beside the page itself."""
    found = []
    for method, params in tab.events:
        if method == "Runtime.exceptionThrown":
            found.append(str(params["exceptionDetails"]["exception"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            found.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            found.append(f"console: {params['type']}")
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(
            ("file:", "data:", "blob:")
        ):
            found.append(f"request for {params['request']['url']}")
    return found


def too_wide(tab):
    return tab.run("document.documentElement.scrollWidth - innerWidth") > 0


def unknown(tab):
    """Return the figures on the page that its JSON does not hold."""
    found = tab.run(COLLECT)
    shown = [Shown(**one) for one in found["shown"]]
    assert len(shown) > 50, "the page is empty"
    return misfits(shown, found["data"])


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_every_figure_is_in_the_json_and_nothing_is_requested(tab, recorded, tmp_path, width):
    show(tab, recorded, tmp_path, width)
    assert unknown(tab) == []
    assert not too_wide(tab)
    for share in ("p90", "p99"):
        tab.run(f"[...document.querySelectorAll('#shares button')].find((b) => b.textContent === '{share}').click()")
        assert unknown(tab) == []
        assert tab.run("document.querySelectorAll('#ecdf .figures b').length") == 6
    assert complaints(tab) == []


def unscored():
    """Make a result with one score that is infinite, as of equal pictures, and one that is NaN."""
    candidates = list(agreeing().candidates)
    for at, score in ((0, float("inf")), (2, float("nan"))):
        candidates[at] = replace(candidates[at], accuracy={**candidates[at].accuracy, "agreement_miou": score})
    return replace(agreeing(), candidates=tuple(candidates))


@pytest.mark.parametrize("make", [bare, hostile, unscored, timed_stages])
def test_odd_results_are_drawn_too(tab, tmp_path, make):
    result = make()
    show(tab, html.render(result), tmp_path, PHONE)
    assert complaints(tab) == []
    assert not too_wide(tab)
    assert unknown(tab) == []
    assert tab.run("document.querySelectorAll('#latency svg .name').length") == len(result.candidates)
    assert tab.run("document.querySelectorAll('main img').length") == 0


MUTATIONS = {
    "a cell of the table": (r"(<td>)1\d\d(</td>)", r"\g<1>987\2"),
    "a percentile in the JSON": (r'("p50_ms":)\d+\.\d+', r"\g<1>77.7"),
    "a sentence": (r"is \d+\.\d+x \(", "is 8.88x ("),
    "a tile": (r"(<dd>\d+ → )[\d.]+ ms", r"\g<1>31.3 ms"),
    "a condition": (r"(\d) of \d cores", r"\1 of 64 cores"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_figure_that_is_not_in_the_json_is_found(tab, recorded, tmp_path, name):
    pattern, new = MUTATIONS[name]
    text, count = re.subn(pattern, new, recorded, count=1)
    assert count == 1, "the page no longer holds what is to be changed"
    show(tab, text, tmp_path)
    assert unknown(tab) != []


def test_a_script_that_writes_other_figures_is_found(tab, root, tmp_path, monkeypatch):
    real = html._file
    monkeypatch.setattr(html, "_file", lambda name: real(name).replace("value.toFixed(", "(value * 1.2).toFixed("))
    show(tab, html.render(read_result(root / BASELINE)), tmp_path)
    assert any("figures.0.p50_ms" in line for line in unknown(tab))


def test_a_request_an_error_and_an_overflow_are_found(tab, recorded, tmp_path):
    fetched = '<img src="https://example.org/x.png"><div style="width: 2000px">wide</div></main>'
    show(tab, recorded.replace("</main>", fetched), tmp_path, PHONE)
    assert too_wide(tab)
    assert any("example.org" in line for line in complaints(tab))
    show(tab, recorded.replace('id="strips"', 'id="strip"'), tmp_path)
    assert any("TypeError" in line for line in complaints(tab))


def test_the_download_is_the_embedded_result_and_edgekd_reads_it(tab, root, tmp_path):
    """The file holds everything that must be escaped, and is downloaded to the byte."""
    path = tmp_path / "result.json"
    given = read_result(root / BASELINE)
    path.write_text(replace(given, title=f"{HOSTILE}\\u003c \\ → é", notes=("\\\\<&>",)).to_json(), encoding="utf-8")
    show(tab, html.render_file(path), tmp_path)
    folder = tmp_path / "downloads"
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
    tab.run("document.getElementById('download').click()")
    tab.wait("Browser.downloadProgress", lambda params: params["state"] == "completed")
    (file,) = folder.iterdir()
    assert file.name == "result.json"
    assert file.read_bytes() == path.read_bytes()
    assert read_result(file) == read_result(path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest in tab.run("document.querySelector('.provenance code').textContent")
    assert complaints(tab) == []


def test_the_slider_is_moved_by_key_and_by_pointer(tab, recorded, tmp_path):
    show(tab, recorded, tmp_path, PHONE)
    divider = "document.querySelector('.stage').style.getPropertyValue('--divider')"
    label = "document.querySelector('.slider input').getAttribute('aria-valuetext')"
    assert (tab.run(divider), tab.run(label)) == ("50%", "bicubic covers 50 % of the picture")
    tab.run("document.querySelector('.slider input').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    assert (tab.run(divider), tab.run(label)) == ("51%", "bicubic covers 51 % of the picture")
    x, y = tab.run(
        "(() => { const stage = document.querySelector('.stage'); stage.scrollIntoView();"
        " const box = stage.getBoundingClientRect(); return [box.left + box.width / 4, box.top + box.height / 2]; })()"
    )
    tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert tab.run(divider) == "25%"
    tab.run(
        "(() => { const right = document.querySelectorAll('.choices select')[1]; right.value = '1';"
        " right.dispatchEvent(new Event('change')); })()"
    )
    assert tab.run("document.querySelector('.tag.right').textContent") == "teacher/fp32"
    assert complaints(tab) == []


def test_a_tap_on_the_chart_reads_another_percentile(tab, recorded, tmp_path):
    show(tab, recorded, tmp_path)
    x, y = tab.run(
        "(() => { const svg = document.querySelector('#ecdf svg'); svg.scrollIntoView({ block: 'center' });"
        " const box = svg.getBoundingClientRect(); return [box.left + box.width / 2, box.top + 14]; })()"
    )
    tab.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    assert tab.run("document.querySelector('#shares [aria-pressed=true]').textContent") == "p99"
    assert "p99_ms" in tab.run("document.querySelector('#ecdf .figures b').dataset.figure")


def test_without_scripts_the_sentences_the_tables_and_the_provenance_are_there(tab, recorded, tmp_path):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page = tmp_path / "report.html"
        page.write_text(recorded, encoding="utf-8")
        tab.open(page.as_uri())
        text = tab.run("document.querySelector('main').innerText")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    for words in (
        "faster than the teacher",
        "All measurements",
        "CPU governor",
        "Provenance",
        "need JavaScript",
    ):
        assert words in text
    assert "Pictures" not in text
    assert "Against latency" not in text
    assert "Download" not in text


def test_light_and_dark_and_paper_have_their_own_colours(tab, recorded, tmp_path):
    show(tab, recorded, tmp_path)
    background = "getComputedStyle(document.body).backgroundColor"
    light = tab.run(background)
    tab.size(DESKTOP, is_dark=True)
    assert tab.run(background) != light
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=scheme)
    printed, button = tab.run(background), tab.run("document.getElementById('download').offsetParent === null")
    tab.call("Emulation.setEmulatedMedia", media="", features=[])
    assert printed == "rgb(255, 255, 255)"
    assert button
