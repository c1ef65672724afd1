"""A result in sentences, each worked out from the samples."""

from __future__ import annotations

from collections import Counter

from edgekd.core import units
from edgekd.report.figures import end_to_end
from edgekd.report.metrics import metric_difference, metric_value, metric_words
from edgekd.report.tables import bare_ratio, caveats, int8_convolutions
from edgekd.results.compare import BLOCKS_MIN, Interval, Row, compare
from edgekd.results.result import BenchmarkResult, CandidateResult

# Preprocessing and postprocessing are mentioned from this share of the end-to-end time on.
_OUTSIDE_SHARE_MIN = 0.1


def summary(result: BenchmarkResult) -> str:
    """Return one paragraph: what was gained in speed and size, and lost in accuracy."""
    return " ".join(sentences(result))


def sentences(result: BenchmarkResult) -> list[str]:
    """Return the summary sentence by sentence, the most important first."""
    if len(result.candidates) == 1:
        compared = [_single(result)]
    else:
        compared = [*_roles(result), *_precisions(result)] or [_single(result)]
    return [*compared, *_end_to_end(result), *_baseline(result), *_engines(result)]


def _single(result: BenchmarkResult) -> str:
    only = result.candidates[0]
    several = only.samples_per_query > 1
    query, what = (f" for {only.samples_per_query} samples", "samples") if several else ("", "inferences")
    return (
        f"{only.name} takes {units.ms(only.percentile_ms(50))} ms{query} "
        f"(p50; p99 {units.ms(only.percentile_ms(99))} ms), "
        f"{units.ms(only.throughput_per_s)} {what} per second, on {result.conditions.processor}."
    )


def _roles(result: BenchmarkResult) -> list[str]:
    """Compare each later role with the first candidate, at the first candidate's precision."""
    first = result.candidates[0]
    # At one precision, so that the sentence compares networks and not number formats.
    others = [c for c in result.candidates if c.role != first.role and c.precision == first.precision]
    reference = f"the {first.role} at {first.precision.upper()}"
    found = []
    for other in others:
        row = compare([result], first.name).row(other.name)
        change = f"{_speed(row.speedup, reference)}{_accuracy(row, result)}"
        found.append(f"The {other.role} {change}: {_cost(other, first)}.")
    return found


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
        change = f"{_speed(row.speedup, first.precision.upper())}{_accuracy(row, result)}"
        parts.append(f"{other.precision.upper()} {change}{_no_int8(result, other)}")
    return [f"For the {role}, {'; '.join(parts)}."]


def _no_int8(result: BenchmarkResult, candidate: CandidateResult) -> str:
    """Return a remark where the measured backend runs an INT8 network without any INT8 convolution.

    Its Q/DQ nodes are then placed for another engine library.
    """
    backend = result.conditions.backend
    row = next((r for r in result.engines if (r.candidate, r.backend) == (candidate.name, backend)), None)
    if candidate.precision != "int8" or row is None or row.facts.get("int8_convolutions") != 0:
        return ""
    return f" ({backend} runs none of its {row.facts.get('engine_convolutions')} convolutions in INT8)"


def _end_to_end(result: BenchmarkResult) -> list[str]:
    """Name the end-to-end time where much of it is spent outside the engine."""
    precisions = {candidate.name: candidate.precision for candidate in result.candidates}
    times = end_to_end(result)
    # At FP32 alone: one sentence is enough.
    found = [t for t in times if t.outside_share > _OUTSIDE_SHARE_MIN and precisions[t.name] == "fp32"]
    if not found:
        return []
    last = found[-1]
    whole = f"{units.ms(last.medians_ms['end_to_end'])} ms end-to-end latency"
    reference = f"{times[0].name}'s"
    speed = f", which {_speed(last.speedup, reference)}" if last.speedup is not None else ""
    share = f"{100 * last.outside_share:.0f} %"
    return [f"Preprocessing and postprocessing take {share} of {last.name}'s {whole}{speed}."]


def _baseline(result: BenchmarkResult) -> list[str]:
    metric = result.primary_metric
    baseline = result.baseline_accuracy.get(metric)
    gains = [c.accuracy[metric] - baseline for c in result.candidates if metric in c.accuracy and baseline is not None]
    if baseline is None or not gains:
        return []
    return [
        f"No-network baseline: {metric_value(metric, baseline, unit=True)} {metric_words(metric)}; "
        f"the candidates are {_span(metric, min(gains), max(gains))} it."
    ]


def _span(metric: str, low: float, high: float) -> str:
    """Return "1.20 to 3.40 dB above", "0.50 dB below", "0.10 dB below to 0.20 dB above"."""
    if low < 0 < high:
        return f"{metric_difference(metric, -low)} below to {metric_difference(metric, high)} above"
    near, far = sorted((abs(low), abs(high)))
    first, last = metric_value(metric, near), metric_difference(metric, far)
    return f"{'' if near == far else f'{first} to '}{last} {'below' if low < 0 else 'above'}"


def _engines(result: BenchmarkResult) -> list[str]:
    """Count for each backend the engines it built, with its caveat."""
    built = Counter(row.backend for row in result.engines if row.ok)
    total = Counter(row.backend for row in result.engines)
    found = []
    for backend, count in total.items():
        rows = [row for row in result.engines if row.backend == backend]
        int8 = [f"{row.candidate} {int8_convolutions(row)}" for row in rows if row.facts.get("int8_convolutions")]
        tail = f", convolutions in INT8: {', '.join(int8)}" if int8 else ""
        # caveats() puts the backend's name first, which the sentence begins with.
        caveat = "".join(f" ({text.partition(': ')[2]})" for text in caveats(rows))
        found.append(f"{backend} built {built[backend]} of {count} engines{tail}{caveat}.")
    return found


def _speed(speedup: Interval, reference: str) -> str:
    """Return how fast, as surely as the samples allow: "is 5.1x (4.9–5.3) faster than the teacher"."""
    low, value, high = speedup.low, speedup.value, speedup.high
    word = "faster"
    if value < 1:
        # "4x slower", not "0.25x faster": the interval is inverted with it.
        low, value, high = 1 / high, 1 / value, 1 / low
        word = "slower"
    if speedup.blocks < BLOCKS_MIN:
        return f"is about {units.ratio(value)} {word} than {reference} (too few rounds for an interval)"
    if not speedup.is_clear:
        interval = f"{bare_ratio(speedup.low)}–{bare_ratio(speedup.high)}x"
        return f"shows no measurable difference in speed from {reference} ({interval})"
    return f"is {units.ratio(value)} ({bare_ratio(low)}–{bare_ratio(high)}) {word} than {reference}"


def _accuracy(row: Row, result: BenchmarkResult) -> str:
    """Return the change of the primary metric, of which more is better; agreement is never called accuracy."""
    metric, reference = result.primary_metric, result.reference
    change = row.differences.get(metric)
    if change is None:
        return ""
    words = metric_words(metric, reference)
    # The reference agrees with itself to 100 %, so a difference from it would say nothing.
    if reference and row.against == reference:
        value = metric_value(metric, result.candidate(row.candidate).accuracy[metric], unit=True)
        return f" and reaches {value} {words} (not accuracy: there is no ground truth)"
    # A change that rounds to 0 must not be shown as a loss of "0.00 dB".
    if float(metric_value(metric, abs(change))) == 0:
        return f" and keeps its {words}"
    return f" and {'loses' if change < 0 else 'gains'} {metric_difference(metric, abs(change))} {words}"


def _cost(candidate: CandidateResult, reference: CandidateResult) -> str:
    """Return the figures behind the ratio: latency and, where counted, parameters."""
    parts = [f"{units.ms(candidate.percentile_ms(50))} ms instead of {units.ms(reference.percentile_ms(50))}"]
    if "parameters" in candidate.cost and "parameters" in reference.cost:
        counts = [units.count(side.cost["parameters"]) for side in (candidate, reference)]
        parts.append(" parameters instead of ".join(counts))
    return ", ".join(parts)
