"""Write a measured result into docs/results.md, and its short form into README.md.

usage: python benchmarks/readme.py runs/edsr_from_edsr/result.json [--date YYYY-MM-DD]

Both files have a block between two comments that name the pair. The result is kept, raw samples included, as
``benchmarks/baselines/<target>/<pair>.json``: every figure of the two blocks can be computed again from it.
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
from pathlib import Path

from edgekd.report.conditions import conditions_line
from edgekd.report.formats.markdown import escape, table
from edgekd.report.summary import summary
from edgekd.report.tables import Table, candidate_table, caveats, engine_table
from edgekd.results.result import BenchmarkResult, read_result

ROOT = Path(__file__).resolve().parent.parent
# Columns that README leaves out.
_ONLY_IN_FULL = {"precision", "params", "MACs", "p90 ms", "p95 ms", "p99 ms", "samples/s"}


def block(result: BenchmarkResult, date: str, link: str, *, short: bool) -> str:
    """Return the Markdown that stands between the comments.

    Args:
        result: What was measured.
        date: When, in ISO format.
        link: Path of the kept result, relative to the document.
        short: Only the main columns, without the table of engines.
    """
    candidates = candidate_table(result)
    parts = [escape(summary(result)), table(_main_columns(candidates)) if short else table(candidates, (1,))]
    engines = [row for row in result.engines if row.caveat]
    if engines and not short:
        parts += [table(engine_table(engines), text_columns=(1, 4))]
        parts += [f"> {escape(caveat)}." for caveat in caveats(engines)]
    kept = link.replace("../", "")
    parts.append(f"<sub>{escape(conditions_line(result))}; measured {date}; raw samples in [{kept}]({link}).</sub>")
    return "\n\n".join(parts)


def _main_columns(whole: Table) -> Table:
    shown = [index for index, head in enumerate(whole.heads) if head not in _ONLY_IN_FULL]
    rows = tuple(tuple(row[index] for index in shown) for row in whole.rows)
    return Table(tuple(whole.heads[index] for index in shown), rows)


def replace_block(document: Path, title: str, text: str) -> None:
    """Put ``text`` between the two comments of ``document`` that name ``title``.

    Raises:
        ValueError: The document does not have exactly one such block.
    """
    head, tail = f"<!-- results: {title} -->", "<!-- /results -->"
    whole = re.compile(f"{re.escape(head)}.*?{re.escape(tail)}", re.DOTALL)
    changed, count = whole.subn(lambda _: f"{head}\n{text}\n{tail}", document.read_text())
    if count != 1:
        raise ValueError(f"{document} has {count} blocks {head} … {tail}; one was expected")
    document.write_text(changed)


def main() -> None:
    """Keep the result as a baseline and rewrite both blocks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--date", default=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat())
    args = parser.parse_args()
    result = read_result(args.result)
    kept = Path("benchmarks") / "baselines" / result.conditions.target / f"{result.title}.json"
    if args.result.resolve() != ROOT / kept:
        (ROOT / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(args.result, ROOT / kept)
    replace_block(ROOT / "README.md", result.title, block(result, args.date, str(kept), short=True))
    replace_block(ROOT / "docs" / "results.md", result.title, block(result, args.date, f"../{kept}", short=False))


if __name__ == "__main__":
    main()
