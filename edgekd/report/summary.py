"""The result in plain words, every figure worked out from the samples."""

from __future__ import annotations

from collections import Counter

from edgekd.core import units
from edgekd.report.figures import int8_convolutions, metric_amount, metric_value, metric_words, notices, short, stages
from edgekd.results.compare import BLOCKS_MIN, Interval, Row, compare
from edgekd.results.result import BenchmarkResult, Candidate

# Share of an answer's time beside the engine that people should hear of.
_MUCH = 0.1


def verdict(result: BenchmarkResult) -> str:
    """Say in one paragraph what was won and what it cost."""
    return " ".join(sentences(result))


def sentences(result: BenchmarkResult) -> list[str]:
    """Return the verdict sentence by sentence, the most important first."""
    compared = [_alone(result)] if len(result.candidates) == 1 else [*_roles(result), *_precisions(result)]
    return [*compared, *_around(result), *_baseline(result), *_engines(result)] or [_alone(result)]


def _alone(result: BenchmarkResult) -> str:
    only = result.candidates[0]
    several = only.samples_per_query > 1
    asked, what = (f" for {only.samples_per_query} samples", "samples") if several else ("", "inferences")
    return (
        f"{only.name} takes {units.ms(only.percentile_ms(50))} ms{asked} "
        f"(p50; p99 {units.ms(only.percentile_ms(99))} ms), "
        f"{units.ms(only.throughput_per_s)} {what} per second, on {result.conditions.processor}."
    )


def _roles(result: BenchmarkResult) -> list[str]:
    """Compare each later role with the first candidate's, at the first candidate's precision."""
    first = result.candidates[0]
    others = [c for c in result.candidates if c.role != first.role and c.precision == first.precision]
    said = []
    for other in others:
        row = compare([result], first.name).row(other.name)
        said.append(
            f"The {other.role} {_speed(row.speedup, f'the {first.role} at {first.precision.upper()}')}"
            f"{_accuracy(row, result)}: {_cost(other, first)}."
        )
    return said


def _precisions(result: BenchmarkResult) -> list[str]:
    """Compare the other precisions of the last role with its first."""
    role = result.candidates[-1].role
    first, *others = [candidate for candidate in result.candidates if candidate.role == role]
    if not others:
        return []
    rows = compare([result], first.name)
    parts = []
    for other in others:
        row = rows.row(other.name)
        parts.append(
            f"{other.precision.upper()} {_speed(row.speedup, first.precision.upper())}"
            f"{_accuracy(row, result)}{_not_in_int8(result, other)}"
        )
    return [f"For the {role}, {'; '.join(parts)}."]


def _not_in_int8(result: BenchmarkResult, candidate: Candidate) -> str:
    """Say so where the library that was timed runs none of an INT8 network in INT8: the Q/DQ is there for another."""
    backend = result.conditions.backend
    row = next((r for r in result.engines if (r.candidate, r.backend) == (candidate.name, backend)), None)
    if candidate.precision != "int8" or row is None or row.facts.get("int8_convolutions") != 0:
        return ""
    return f" ({backend} runs none of its {row.facts.get('engine_convolutions')} convolutions in INT8)"


def _around(result: BenchmarkResult) -> list[str]:
    """Say so where an engine's latency is not most of what an answer takes."""
    of = {candidate.name: candidate for candidate in result.candidates}
    slow = [line for line in stages(result) if line.around > _MUCH and of[line.name].precision == "fp32"]
    if not slow:
        return []
    line = slow[-1]
    ends = f"it takes {units.ms(line.medians_ms['end_to_end'])} ms from the picture to the answer"
    if line.speedup is not None:
        ends += f" and {_speed(line.speedup, f'{stages(result)[0].name} end to end')}"
    return [f"Preprocessing and postprocessing are {line.around:.0%} of {line.name}'s time: {ends}."]


def _baseline(result: BenchmarkResult) -> list[str]:
    metric, without = result.primary_metric, result.baseline_accuracy.get(result.primary_metric)
    scored = [candidate for candidate in result.candidates if metric in candidate.accuracy]
    if without is None or not scored:
        return []
    gains = [candidate.accuracy[metric] - without for candidate in scored]
    return [
        f"Doing without a network scores {metric_value(metric, without, unit=True)} {metric_words(metric)}; "
        f"the candidates are {_span(metric, min(gains), max(gains))} it."
    ]


def _span(metric: str, low: float, high: float) -> str:
    """Say "1.20 to 3.40 dB above", "0.50 dB below", "0.10 dB below to 0.20 dB above"."""
    if low < 0 < high:
        return f"{metric_amount(metric, -low)} below to {metric_amount(metric, high)} above"
    near, far = sorted((abs(low), abs(high)))
    first, last = metric_value(metric, near), metric_amount(metric, far)
    return f"{'' if near == far else f'{first} to '}{last} {'below' if low < 0 else 'above'}"


def _engines(result: BenchmarkResult) -> list[str]:
    built = Counter(row.backend for row in result.engines if row.ok)
    asked = Counter(row.backend for row in result.engines)
    said = []
    for backend, total in asked.items():
        rows = [row for row in result.engines if row.backend == backend]
        counts = [f"{row.candidate} {int8_convolutions(row)}" for row in rows if row.facts.get("int8_convolutions")]
        tail = f", convolutions in INT8: {', '.join(counts)}" if counts else ""
        notice = "".join(f" ({text.partition(': ')[2]})" for text in notices(rows))
        said.append(f"{backend} built {built[backend]} of {total} engines{tail}{notice}.")
    return said


def _speed(speedup: Interval, than: str) -> str:
    """Say how fast, as surely as the samples allow: "is 5.1x (4.9–5.3) faster than the teacher"."""
    slower = speedup.value < 1
    low, value, high = speedup.low, speedup.value, speedup.high
    if slower:
        low, value, high = 1 / high, 1 / value, 1 / low
    word = "slower" if slower else "faster"
    if speedup.blocks < BLOCKS_MIN:
        return f"is about {units.ratio(value)} {word} than {than} (too few rounds for an interval)"
    if not speedup.is_clear:
        return f"is as fast as {than}, as far as these samples can tell ({short(speedup.low)}–{short(speedup.high)})"
    return f"is {units.ratio(value)} ({short(low)}–{short(high)}) {word} than {than}"


def _accuracy(row: Row, result: BenchmarkResult) -> str:
    """Say what it costs in the primary metric, of which more is better; agreement is never called accuracy."""
    metric, reference = result.primary_metric, result.reference
    change = row.differences.get(metric)
    if change is None:
        return ""
    words = metric_words(metric, reference)
    if reference and row.against == reference:
        value = metric_value(metric, result.candidate(row.candidate).accuracy[metric], unit=True)
        return f" and reaches {value} {words} (not accuracy: nobody knows the truth)"
    if float(metric_value(metric, abs(change))) == 0:
        return f" and keeps its {words}"
    return f" and {'loses' if change < 0 else 'gains'} {metric_amount(metric, abs(change))} {words}"


def _cost(mine: Candidate, other: Candidate) -> str:
    """Name the figures behind the ratio: latency and, where counted, parameters."""
    words = [f"{units.ms(mine.percentile_ms(50))} ms instead of {units.ms(other.percentile_ms(50))}"]
    if "parameters" in mine.cost and "parameters" in other.cost:
        counts = [units.count(candidate.cost["parameters"]) for candidate in (mine, other)]
        words.append(" parameters instead of ".join(counts))
    return ", ".join(words)
