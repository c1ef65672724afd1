"""The page: it carries its result, asks nobody for anything, and lets no text run."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from edgekd.core.samples import Samples
from edgekd.report.formats import html
from edgekd.results.result import NodeTime, read_result
from tests.unit.report.example_result import agreeing, bare, example, pictures

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{data}}\"'&"


class Page(HTMLParser):
    """Collects what a browser would see."""

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


def evil():
    result = example()
    candidates = tuple(replace(c, name=f"{EVIL}{i}", role=f"{EVIL}{c.role}") for i, c in enumerate(result.candidates))
    engines = tuple(replace(e, candidate=EVIL, summary=EVIL, notice=EVIL) for e in result.engines)
    conditions = replace(result.conditions, processor=EVIL)
    return replace(
        result, title=EVIL, candidates=candidates, engines=engines, conditions=conditions, steps=(EVIL,), notes=(EVIL,)
    )


def test_the_page_carries_the_result_it_was_drawn_from(tmp_path):
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
    text = html.render(example(), pictures())
    assert not re.search(r"""(src|href|action)\s*=\s*["']?(https?:)?//""", text)
    assert "@import" not in text
    policy = next(a["content"] for t, a in Page(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_no_text_of_a_result_becomes_markup():
    plain, hostile = Page(html.render(example())), Page(html.render(evil()))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)
    assert embedded(html.render(evil()))["result"]["title"] == EVIL
    assert EVIL in "".join(hostile.text)


def test_pictures_are_whole_and_captioned():
    samples = embedded(html.render(example(), pictures()))["samples"]
    assert [sample["name"] for sample in samples] == ["cat", "cup"]
    shots = samples[1]["shots"]
    assert [shot["label"] for shot in shots][0::4] == ["bicubic", "original"]
    assert shots[0]["caption"] == "34.10 dB PSNR on Y"
    assert shots[1]["caption"] == "38.90 dB PSNR on Y"
    assert shots[-1]["caption"] == ""
    data = base64.b64decode(shots[-1]["url"].removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), pictures().truth[1])
    assert all(0 <= share <= 1 for share in samples[1]["look"])


def test_the_first_crop_is_where_the_pictures_differ():
    given = pictures()
    truth = np.zeros((1, 128, 128, 3), np.uint8)
    changed = truth.copy()
    changed[0, 96:128, 32:64] = 255
    archive = replace(given, inputs={"bicubic": changed}, names=("one",), truth=truth)
    assert embedded(html.render(example(), archive))["samples"][0]["look"] == [48 / 128, 112 / 128]


def test_sections_without_content_are_hidden():
    text = html.render(bare())
    assert text.count('<section class="drawn" hidden>') == 2
    assert "Engines" not in text
    assert html.render(example(), pictures()).count(" hidden>") == 0


def test_agreement_is_named_wherever_it_stands():
    given = pictures()
    shown = Samples(
        {"input": given.truth, **{k: v for k, v in given.inputs.items() if k != "bicubic"}}, ("a", "b"), "t"
    )
    text = html.render(agreeing(), shown)
    page, data = "".join(Page(text).text), embedded(text)
    assert "Agreement with teacher/fp32, not accuracy, against latency and size" in page
    assert "Accuracy against latency" not in page
    assert "agreement, mIoU %" in page
    assert data["metric"]["words"] == "mIoU agreement with teacher/fp32"
    assert data["metric"]["scale"] == 100
    sample = data["samples"][0]
    assert sample["whole"] == 0  # the picture, not anybody's labels
    captions = {shot["label"]: shot["caption"] for shot in sample["shots"]}
    assert captions["input"] == captions["teacher/fp32"] == ""
    assert captions["student/fp32"] == "84.00 % mIoU agreement with teacher/fp32 of this picture"


def test_answers_in_words_stand_beside_the_picture():
    seen = pictures().truth
    said = {"teacher/fp32": (EVIL, "leaf 90 %"), "truth": ("leaf", "leaf")}
    archive = Samples({"input": seen}, ("a", "b"), "t", texts=said)
    text = html.render(replace(example(), primary_metric="top1"), archive)
    first, second = embedded(text)["samples"]
    assert [shot["label"] for shot in first["shots"]] == ["input"]
    assert first["answers"] == [["teacher/fp32", EVIL], ["truth", "leaf"]]
    assert second["answers"][0] == ["teacher/fp32", "leaf 90 %"]
    assert "<img" not in text.partition('id="data"')[2]


def test_the_colours_have_a_legend():
    archive = replace(pictures(), legend=((EVIL, (255, 0, 64)),))
    assert embedded(html.render(example(), archive))["legend"] == [{"name": EVIL, "colour": "rgb(255, 0, 64)"}]
    assert embedded(html.render(example(), pictures()))["legend"] == []


def test_time_per_node_stands_without_any_script():
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
