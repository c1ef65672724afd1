"""The report as one page: no network, no library, readable on a phone; it carries the result it was drawn from."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgekd.bench.scoring import pictures
from edgekd.core.numerics import FENCE_IQR
from edgekd.core.samples import Samples
from edgekd.report.conditions import lines
from edgekd.report.figures import Table, candidate_table, engine_table, notices, spread_table, stage_table
from edgekd.report.lineage import ORIGINS, Link, beside, chains
from edgekd.report.nodes import node_section
from edgekd.report.page_data import CONFIDENCE, data, embedded, escaped
from edgekd.report.page_words import glance, setup
from edgekd.report.pictures import Pictures
from edgekd.report.summary import sentences
from edgekd.results.result import BenchmarkResult, Candidate, read_result

FILE_NAME = "report.html"

_SCRIPTS = ("page_charts.js", "page_pictures.js", "page.js")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a result is from.

    Attributes:
        text: Of its ``result.json``, which the page hands out again to the byte.
        chains: Candidate → its engine and what that was made of, see ``_lineage.chains``.
    """

    text: str
    chains: Mapping[str, tuple[Link, ...]]

    @property
    def sha256(self) -> str:
        """Digest of the ``result.json`` that the page hands out."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def render_file(path: Path) -> str:
    """Return the page of a ``result.json``, with the pictures and the provenance that lie beside it."""
    result = read_result(path)
    return render(result, pictures(path), Origin(_text(path, result), chains(result, beside(path))))


def render(result: BenchmarkResult, pictures: Samples | None = None, origin: Origin | None = None) -> str:
    """Return the whole page as text.

    Args:
        result: What to show.
        pictures: What to look at.
        origin: Where the result is from; default: what the result itself holds.
    """
    shown = Pictures.of(pictures, result) if pictures else Pictures({})
    origin = origin or Origin(result.to_json(), chains(result, {}))
    headline, *rest = sentences(result)
    style, script = _file("page.css"), "".join(map(_file, _SCRIPTS))
    # Only this very script may run, so that no text from a result ever can; and nothing may be fetched.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shows = {"has_accuracy": any(c.accuracy for c in result.candidates), "has_pictures": bool(shown.samples)}
    values = {
        "digest": digest,
        "style": style,
        "script": script,
        "title": html.escape(result.title),
        "headline": html.escape(headline),
        "glance": _glance(result),
        "rest": "".join(f"<li>{html.escape(sentence)}</li>" for sentence in rest),
        "setup": _dl(setup(result)),
        "confidence": str(CONFIDENCE),
        "fence": str(FENCE_IQR),
        "score_title": html.escape(_score_title(result)),
        "candidates": _table(candidate_table(result)),
        "spreads": _table(spread_table(result), (0,)),
        "stages": _stages(result),
        "nodes": node_section(result),
        "engines": _engines(result),
        "provenance": _provenance(result, origin),
        "result": escaped(origin.text),
        "data": embedded({"sha256": origin.sha256, **data(result, shown, origin.chains)}),
        **{name: "" if holds else "hidden" for name, holds in shows.items()},
    }
    # One pass: a value that looks like a placeholder stays text.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], _file("page.html"))


def _text(path: Path, result: BenchmarkResult) -> str:
    """Return the file's own text, where a page can carry it to the byte and a browser can read it."""
    text = path.read_bytes().decode(errors="replace")
    try:
        json.loads(text, parse_constant=float)
    except ValueError:
        return result.to_json()
    kept = not re.search(r"\\u00(3c|3e|26)|[\r\ufffd]|\b(NaN|Infinity)\b", text, re.IGNORECASE)
    return text if kept else result.to_json()


def _file(name: str) -> str:
    return (resources.files("edgekd.report") / name).read_text(encoding="utf-8")


def _score_title(result: BenchmarkResult) -> str:
    if result.reference:
        return f"Agreement with {result.reference}, not accuracy, against latency and size"
    return "Accuracy against latency and size"


def _table(table: Table, text_columns: Sequence[int] = (0, 1)) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="text"' if i in text_columns else "" for i in range(len(cells)))
        inner = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(row(cells, "td") for cells in table.rows)
    table_ = f"<table><thead>{row(table.heads, 'th')}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table, scrolls sideways">{table_}</div>'


def _glance(result: BenchmarkResult) -> str:
    tiles = (
        f"<div><dt>{html.escape(tile.label)}</dt><dd>{html.escape(tile.figure)}</dd>"
        f"<dd class=than>{html.escape(tile.change)}</dd></div>"
        for tile in glance(result)
    )
    return f'<dl class="glance">{inner}</dl>' if (inner := "".join(tiles)) else ""


def _stages(result: BenchmarkResult) -> str:
    if (table := stage_table(result)) is None:
        return ""
    return (
        f"<section><h2>From picture to answer</h2>{_table(table, (0,))}"
        '<p class="key">Median of each stage on one picture, after the latencies, in the same processes: what the '
        "engine's latency leaves out. “vs first” is of the whole way.</p></section>"
    )


def _engines(result: BenchmarkResult) -> str:
    if not result.engines:
        return ""
    said = "".join(f'<p class="notice">{html.escape(notice)}</p>' for notice in notices(result.engines))
    table = _table(engine_table(result.engines), (0, 1, 2, 4))
    return f'<section class="engines"><h2>Engines: what each library accepted</h2>{said}{table}</section>'


def _provenance(result: BenchmarkResult, origin: Origin) -> str:
    notes = [*result.notes, *(f"{c.name}: {note}" for c in result.candidates for note in c.notes)]
    parts = [_chains(origin), _list("Notes", notes), _list("While it was measured", lines(result))]
    parts.append(_list("Steps", result.steps))
    parts.append(_pairs("Conditions, as recorded", {k: _plain(v) for k, v in asdict(result.conditions).items()}))
    parts += [_pairs(c.name, _identity(c, origin.chains[c.name])) for c in result.candidates]
    return "".join(parts)


def _chains(origin: Origin) -> str:
    """Draw each candidate's way back to its weights, digests cut to what tells them apart."""
    rows = "".join(
        f"<li><b>{html.escape(name)}</b><span>{' ← '.join(map(_link, links))}</span></li>"
        for name, links in origin.chains.items()
    )
    whole = all(links and links[-1].what in ORIGINS.values() for links in origin.chains.values())
    short = "" if whole else "<p>The manifests of the files further back do not lie beside this result.</p>"
    return (
        f"<p>result.json, which the button above downloads, has sha256 <code>{origin.sha256}</code>. It was measured "
        f"on these engines, each made from what stands to its right; whole digests are below.</p>"
        f'<ul class="chains">{rows}</ul>{short}'
    )


def _link(link: Link) -> str:
    name = f"{html.escape(link.name)} " if link.name else ""
    return f"<span class=link>{link.what} {name}<code>{html.escape(link.sha256[:12])}</code></span>"


def _identity(candidate: Candidate, links: Sequence[Link]) -> dict[str, str]:
    blocks = [block for blocks in candidate.kept_ns for block in blocks]
    processes = f"{len(candidate.runs)} processes" if len(candidate.runs) > 1 else "one process"
    return {
        **{f"{i + 1}. {link.what}": _whole(link) for i, link in enumerate(links)},
        "fed": ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in candidate.inputs.items()),
        "samples": f"{sum(map(len, blocks))} in {len(blocks)} blocks of {processes}",
    }


def _whole(link: Link) -> str:
    made = f"{link.name}, made by {link.stage}, " if link.name else ""
    return f"{made}sha256 {link.sha256 or 'not recorded'}"


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<h3>{html.escape(title)}</h3><ul>{items}</ul>" if lines else ""


def _pairs(title: str, pairs: Mapping[str, str]) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{_dl(pairs)}</details>"


def _dl(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in pairs.items())
    return f'<dl class="pairs">{rows}</dl>'


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or "not told by this machine"
    return "not told by this machine" if value is None else str(value)
