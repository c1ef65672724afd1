"""Write a measured result into README.md, between the two comments that name the pair.

usage: python benchmarks/readme.py runs/edsr_from_edsr/result.json [--date YYYY-MM-DD]

The result itself is kept as ``benchmarks/baselines/<target>/<pair>.json``, raw samples and all: what README says can be
worked out again from there.
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
from pathlib import Path

from edgekd.report.figures import candidate_table, conditions_line, engine_table, notices
from edgekd.report.formats.markdown import escape, table
from edgekd.report.summary import verdict
from edgekd.results.result import BenchmarkResult, read_result

ROOT = Path(__file__).resolve().parent.parent


def block(result: BenchmarkResult, date: str, kept: Path) -> str:
    """Return the Markdown that stands between the comments."""
    engines = [row for row in result.engines if row.notice]
    parts = [escape(verdict(result)), table(candidate_table(result), text_columns=(1,))]
    if engines:
        parts += [table(engine_table(engines), text_columns=(1, 4))]
        parts += [f"> {escape(notice)}." for notice in notices(engines)]
    parts.append(f"<sub>{escape(conditions_line(result))}; measured {date}; raw samples in [{kept}]({kept}).</sub>")
    return "\n\n".join(parts)


def main() -> None:
    """Keep the result as a baseline and rewrite the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--date", default=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat())
    args = parser.parse_args()
    result = read_result(args.result)
    kept = Path("benchmarks") / "baselines" / result.conditions.target / f"{result.title}.json"
    (ROOT / kept).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(args.result, ROOT / kept)
    readme = ROOT / "README.md"
    head, tail = f"<!-- results: {result.title} -->", "<!-- /results -->"
    text, count = re.subn(
        f"{re.escape(head)}.*?{re.escape(tail)}",
        lambda _: f"{head}\n{block(result, args.date, kept)}\n{tail}",
        readme.read_text(),
        flags=re.DOTALL,
    )
    if count != 1:
        parser.error(f"README.md has {count} blocks {head} … {tail}; one was expected")
    readme.write_text(text)


if __name__ == "__main__":
    main()
