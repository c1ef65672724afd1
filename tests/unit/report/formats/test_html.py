"""The page: it carries its result, requests nothing, and lets no text become markup or script."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError
from edgekd.core.previews import Previews
from edgekd.report.formats import html
from edgekd.results.result import NodeTime, read_result
from tests.unit.report.example_result import agreeing, bare, example, previews, timed_stages
from tests.unit.report.hostile_result import HOSTILE, hostile


class Page(HTMLParser):
    """Collects the tags and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def embedded(text):
    found = dict(re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', text, re.DOTALL))
    assert list(found) == ["result", "data"]
    return {**json.loads(found["data"]), "result": json.loads(found["result"])}


def test_the_page_carries_the_result_it_was_made_from(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(embedded(html.render(example()))["result"]))
    assert read_result(path).to_json() == example().to_json()


def test_figures_on_the_page_are_those_of_the_result():
    data = embedded(html.render(example()))
    assert [f["p50_ms"] for f in data["figures"]] == [c.percentile_ms(50) for c in example().candidates]
    assert all(low <= high for f in data["figures"] for low, high in [f["median_ms"]])
    assert data["figures"][0]["speedup"] is None
    assert data["figures"][-1]["speedup"]["blocks"] == 12


def test_nothing_is_fetched_and_only_the_pages_own_script_may_run():
    text = html.render(example(), previews())
    assert not re.search(r"""(src|href|action)\s*=\s*["']?(https?:)?//""", text)
    assert "@import" not in text
    policy = next(a["content"] for t, a in Page(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_no_text_of_a_result_becomes_markup():
    plain, found = Page(html.render(example())), Page(html.render(hostile()))
    assert {tag for tag, _ in found.tags} == {tag for tag, _ in plain.tags}
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert embedded(html.render(hostile()))["result"]["title"] == HOSTILE
    assert HOSTILE in "".join(found.text)


def test_pictures_are_whole_and_captioned():
    samples = embedded(html.render(example(), previews()))["samples"]
    assert [sample["name"] for sample in samples] == ["cat", "cup"]
    shots = samples[1]["shots"]
    assert [shot["label"] for shot in shots][0::4] == ["bicubic", "original"]
    assert shots[0]["caption"] == "34.10 dB PSNR on Y"
    assert shots[1]["caption"] == "38.90 dB PSNR on Y"
    assert shots[-1]["caption"] == ""
    data = base64.b64decode(shots[-1]["url"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), previews().target[1])
    assert all(0 <= share <= 1 for share in samples[1]["focus"])


def test_the_first_crop_is_where_the_pictures_differ():
    target = np.zeros((1, 128, 128, 3), np.uint8)
    changed = target.copy()
    changed[0, 96:128, 32:64] = 255
    shown = replace(previews(), pictures={"bicubic": changed}, names=("one",), target=target)
    assert embedded(html.render(example(), shown))["samples"][0]["focus"] == [48 / 128, 112 / 128]


def test_sections_without_content_are_hidden():
    text = html.render(bare())
    assert text.count('<section class="drawn" hidden>') == 2
    assert "<h2>Engines" not in text
    assert "Run time" not in text
    assert html.render(example(), previews()).count(" hidden>") == 0


def test_agreement_is_named_wherever_it_stands():
    outputs = {label: array for label, array in previews().pictures.items() if label != "bicubic"}
    shown = Previews({"input": previews().target, **outputs}, ("a", "b"), "test")
    text = html.render(agreeing(), shown)
    page, data = "".join(Page(text).text), embedded(text)
    assert "Agreement with teacher/fp32 (not accuracy)" in page
    assert "Accuracy against latency" not in page
    assert "agreement, mIoU %" in page
    assert data["metric"]["words"] == "mIoU agreement with teacher/fp32"
    assert data["metric"]["scale"] == 100
    sample = data["samples"][0]
    assert sample["overview"] == 0  # the input, not labels
    captions = {shot["label"]: shot["caption"] for shot in sample["shots"]}
    assert captions["input"] == captions["teacher/fp32"] == ""
    assert captions["student/fp32"] == "84.00 % mIoU agreement with teacher/fp32 on this picture"


def test_answers_in_words_stand_beside_the_picture():
    texts = {"teacher/fp32": (HOSTILE, "leaf 90 %"), "target": ("leaf", "leaf")}
    shown = Previews({"input": previews().target}, ("a", "b"), "test", texts=texts)
    text = html.render(replace(example(), primary_metric="top1"), shown)
    first, second = embedded(text)["samples"]
    assert [shot["label"] for shot in first["shots"]] == ["input"]
    assert first["answers"] == [["teacher/fp32", HOSTILE], ["target", "leaf"]]
    assert second["answers"][0] == ["teacher/fp32", "leaf 90 %"]
    assert "<img" not in text.partition('id="data"')[2]


def test_the_colours_have_a_legend():
    shown = replace(previews(), legend=((HOSTILE, (255, 0, 64)),))
    assert embedded(html.render(example(), shown))["legend"] == [{"name": HOSTILE, "colour": "rgb(255, 0, 64)"}]
    assert embedded(html.render(example(), previews()))["legend"] == []


def test_time_per_node_needs_no_script():
    nodes = tuple(NodeTime(f"<b>node {i}", "Conv", 2.0 - i / 10, 0.01) for i in range(18))
    first, *others = example().candidates
    page = html.render(example(candidates=(replace(first, nodes=nodes), *others)))
    (section,) = re.findall(r"<section><h2>Time per node</h2>.*?</section>", page)
    assert section.count("<li") == 16  # fifteen, and the rest summed
    assert "&lt;b&gt;node 0" in section
    assert "<b>node" not in section
    assert "3 others" in section
    assert f"profiled sum {sum(node.median_ms for node in nodes):.1f} ms, measured" in section
    assert "profiling on" in section
    assert "Time per node" not in html.render(example())


def test_the_runs_time_is_a_section():
    (section,) = re.findall(r'<section class="stages">.*?</section>', html.render(timed_stages()))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", section)
    assert cells[:3] == ["distill", "90.0", "60 %"]
    assert cells[-3:] == ["total", "150.0", ""]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda text: text.replace("a busy machine", "a busy machine <&>"), True),
        (lambda text: text.replace(": ", ":  "), True),
        (lambda text: text.replace("a busy machine", "\\u003c"), False),  # the page's own escape would be undone
        (lambda text: text.replace("\n", "\r\n"), False),  # a browser makes "\n" of it
        (lambda text: text.replace("37.9", "NaN", 1), False),  # JSON.parse refuses it
    ],
    ids=["markup", "spacing", "escape", "line ends", "nan"],
)
def test_the_file_is_carried_to_the_byte_where_a_browser_can_read_it(tmp_path, change, kept):
    path = tmp_path / "result.json"
    path.write_bytes(change(example().to_json()).encode())
    (text,) = re.findall(r'id="result">(.*?)</script>', html.render_file(path), re.DOTALL)
    carried = re.sub(r"\\u00(3c|3e|26)", lambda match: bytes.fromhex(match[1]).decode(), text).encode()
    assert (carried == path.read_bytes()) is kept
    assert json.loads(text)["title"] == example().title


def test_a_result_of_several_processes_says_so():
    first = example().candidates[0]
    result = example(candidates=(replace(first, runs=first.runs * 3),))
    assert "180 in 36 blocks, 3 processes" in "".join(Page(html.render(result)).text)


def test_recorded_conditions_that_are_unknown_are_called_unavailable():
    texts = Page(html.render(example())).text
    assert texts[texts.index("governor") + 1] == "unavailable"
    assert texts[texts.index("gpu_timing") + 1] == "unavailable"


def test_the_previews_beside_a_result_are_shown(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(example().to_json())
    assert embedded(html.render_file(path))["samples"] == []
    previews().save(tmp_path / "pictures.npz")
    assert html.render_file(path).partition('id="data"')[2].count("data:image/png") == 10  # two samples, five versions


def test_broken_previews_are_refused(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(example().to_json())
    (tmp_path / "pictures.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"pictures\.npz"):
        html.render_file(path)
