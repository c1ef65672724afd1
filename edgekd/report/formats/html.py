"""The report as one HTML page: self-contained, without network access, readable on a phone.

It carries the ``result.json`` it was made from, for download.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgekd.bench.previews import load_previews
from edgekd.core.numerics import FENCE_IQR
from edgekd.core.previews import Previews
from edgekd.report.conditions import UNAVAILABLE, observations
from edgekd.report.lineage import ORIGINS, Link, chains, manifests_beside
from edgekd.report.nodes import node_section
from edgekd.report.page_data import CONFIDENCE_PERCENT, data, embedded, escaped
from edgekd.report.page_words import setup, tiles
from edgekd.report.pictures import Pictures
from edgekd.report.summary import sentences
from edgekd.report.tables import (
    Table,
    candidate_table,
    caveats,
    end_to_end_table,
    engine_table,
    notes,
    spread_table,
    stage_time_table,
)
from edgekd.results.result import BenchmarkResult, CandidateResult, read_result

FILE_NAME = "report.html"

_SCRIPTS = ("page_charts.js", "page_pictures.js", "page.js")
_SHORT_DIGEST = 12  # characters: enough to tell files apart


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a result comes from.

    Attributes:
        text: Text of its ``result.json``, which the page offers for download to the byte.
        chains: Candidate → its engine and what that was made from, see ``report.lineage.chains``.
    """

    text: str
    chains: Mapping[str, tuple[Link, ...]]

    @property
    def sha256(self) -> str:
        """Digest of the ``result.json`` that the page offers for download."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def render_file(path: Path) -> str:
    """Return the page of a ``result.json``, with the previews and the manifests beside it.

    Raises:
        IntegrityError: It is not a result, or is of a schema this edgekd does not know.
        InputError: The previews beside it cannot be read.
    """
    result = read_result(path)
    return render(result, load_previews(path), Origin(_text(path, result), chains(result, manifests_beside(path))))


def render(result: BenchmarkResult, previews: Previews | None = None, origin: Origin | None = None) -> str:
    """Return the whole page as text.

    Args:
        result: What to show.
        previews: Pictures to show.
        origin: Where the result comes from; by default only what the result itself holds.
    """
    shown = Pictures.of(previews, result) if previews else Pictures({})
    origin = origin or Origin(result.to_json(), chains(result, {}))
    headline, *rest = sentences(result)
    script = "".join(map(_file, _SCRIPTS))
    values = {
        "style": _file("page.css"),
        "script": script,
        # The content security policy allows this very script and no other, and no request at all.
        "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "title": html.escape(result.title),
        "headline": html.escape(headline),
        "tiles": _tiles(result),
        "rest": "".join(f"<li>{html.escape(sentence)}</li>" for sentence in rest),
        "setup": _pairs(setup(result)),
        "confidence": str(CONFIDENCE_PERCENT),
        "fence": str(FENCE_IQR),
        "score_title": html.escape(_score_title(result)),
        "has_accuracy": _hidden_unless(any(candidate.accuracy for candidate in result.candidates)),
        "has_pictures": _hidden_unless(bool(shown.samples)),
        "candidates": _table(candidate_table(result)),
        "spreads": _table(spread_table(result), (0,)),
        "end_to_end": _end_to_end(result),
        "nodes": node_section(result),
        "engines": _engines(result),
        "stages": _stages(result),
        "provenance": _provenance(result, origin),
        "result": escaped(origin.text),
        "data": embedded({"sha256": origin.sha256, **data(result, shown, origin.chains)}),
    }
    # One pass: a value that looks like a placeholder stays text.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], _file("page.html"))


def _text(path: Path, result: BenchmarkResult) -> str:
    """Return the file's own text if the page can carry it to the byte and a browser can parse it."""
    text = path.read_bytes().decode(errors="replace")
    try:
        json.loads(text, parse_constant=float)
    except ValueError:
        return result.to_json()
    # The escapes that the page itself uses, line ends that HTML normalises, undecodable bytes, and what is not JSON.
    unsafe = re.search(r"\\u00(3c|3e|26)|[\r\ufffd]|\b(NaN|Infinity)\b", text, re.IGNORECASE)
    return result.to_json() if unsafe else text


def _file(name: str) -> str:
    return (resources.files("edgekd.report") / name).read_text(encoding="utf-8")


def _hidden_unless(shown: bool) -> str:
    return "" if shown else "hidden"


def _score_title(result: BenchmarkResult) -> str:
    if result.reference:
        return f"Agreement with {result.reference} (not accuracy) against latency and size"
    return "Accuracy against latency and size"


def _table(table: Table, text_columns: Sequence[int] = (0, 1)) -> str:
    """Return a table that scrolls sideways where it is too wide; ``text_columns`` are left-aligned."""

    def row(cells: Sequence[str], tag: str) -> str:
        found = []
        for column, cell in enumerate(cells):
            kind = ' class="text"' if column in text_columns else ""
            found.append(f"<{tag}{kind}>{html.escape(cell)}</{tag}>")
        return f"<tr>{''.join(found)}</tr>"

    body = "".join(row(cells, "td") for cells in table.rows)
    drawn = f"<table><thead>{row(table.heads, 'th')}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Table, scrolls sideways">{drawn}</div>'


def _tiles(result: BenchmarkResult) -> str:
    drawn = "".join(
        f"<div><dt>{html.escape(tile.label)}</dt><dd>{html.escape(tile.figure)}</dd>"
        f"<dd class=change>{html.escape(tile.change)}</dd></div>"
        for tile in tiles(result)
    )
    return f'<dl class="tiles">{drawn}</dl>' if drawn else ""


def _end_to_end(result: BenchmarkResult) -> str:
    table = end_to_end_table(result)
    if table is None:
        return ""
    return (
        f"<section><h2>End-to-end latency</h2>{_table(table, (0,))}"
        '<p class="key">From one input image to the postprocessed output: the median of each stage, measured after the '
        "latencies in the same processes. The speed-up is that of the end-to-end time.</p></section>"
    )


def _engines(result: BenchmarkResult) -> str:
    if not result.engines:
        return ""
    warnings = "".join(f'<p class="caveat">{html.escape(caveat)}</p>' for caveat in caveats(result.engines))
    table = _table(engine_table(result.engines), (0, 1, 2, 4))
    return f'<section class="engines"><h2>Engines</h2>{warnings}{table}</section>'


def _stages(result: BenchmarkResult) -> str:
    table = stage_time_table(result)
    if table is None:
        return ""
    return f'<section class="stages"><h2>Run time by stage</h2>{_table(table, (0,))}</section>'


def _provenance(result: BenchmarkResult, origin: Origin) -> str:
    conditions = {key: _plain(value) for key, value in asdict(result.conditions).items()}
    parts = [
        _chains(origin),
        _list("Notes", notes(result)),
        _list("Observations", observations(result)),
        _list("Pipeline steps", result.steps),
        _details("Conditions, as recorded", conditions),
    ]
    parts += [_details(c.name, _identity(c, origin.chains[c.name])) for c in result.candidates]
    return "".join(parts)


def _chains(origin: Origin) -> str:
    """Draw each candidate's chain from its engine to its weights, with shortened digests."""
    rows = "".join(
        f"<li><b>{html.escape(name)}</b><span>{' ← '.join(map(_link, links))}</span></li>"
        for name, links in origin.chains.items()
    )
    # A chain is complete if it ends with what a first stage reads: a checkpoint or somebody's ONNX file.
    is_complete = all(links and links[-1].kind in ORIGINS.values() for links in origin.chains.values())
    gap = "" if is_complete else "<p>Earlier files are unknown: their manifests are not beside this result.</p>"
    return (
        f"<p>result.json (the download above) has sha256 <code>{origin.sha256}</code>. Each measured engine is listed "
        "with the files it was made from, to its right; full digests are below.</p>"
        f'<ul class="chains">{rows}</ul>{gap}'
    )


def _link(link: Link) -> str:
    name = f"{html.escape(link.name)} " if link.name else ""
    return f"<span class=link>{link.kind} {name}<code>{html.escape(link.sha256[:_SHORT_DIGEST])}</code></span>"


def _identity(candidate: CandidateResult, links: Sequence[Link]) -> dict[str, str]:
    """Return what identifies a candidate: the files behind it, its inputs, its samples."""
    blocks = [block for process in candidate.kept_ns for block in process]  # without rejected rounds
    processes = f"{len(candidate.runs)} processes" if len(candidate.runs) > 1 else "one process"
    files = {f"{i + 1}. {link.kind}": _whole(link) for i, link in enumerate(links)}
    inputs = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in candidate.inputs.items())
    samples = f"{sum(map(len, blocks))} in {len(blocks)} blocks, {processes}"
    return {**files, "inputs": inputs, "samples": samples}


def _whole(link: Link) -> str:
    made = f"{link.name}, made by {link.stage}, " if link.name else ""
    return f"{made}sha256 {link.sha256 or 'not recorded'}"


def _list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<h3>{html.escape(title)}</h3><ul>{items}</ul>" if items else ""


def _details(title: str, pairs: Mapping[str, str]) -> str:
    return f"<details><summary>{html.escape(title)}</summary>{_pairs(pairs)}</details>"


def _pairs(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in pairs.items())
    return f'<dl class="pairs">{rows}</dl>'


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items()) or UNAVAILABLE
    return UNAVAILABLE if value is None else str(value)
