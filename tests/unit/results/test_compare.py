"""Ratios with intervals, inside a result and across results, and what may not be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekd.core.errors import InputError, NotComparable
from edgekd.results.compare import BLOCKS_MIN, compare, interval, ratio
from edgekd.results.energy import Energy, EnergyWindow
from tests.unit.report.example_result import CONDITIONS, candidate, example


def test_candidates_are_compared_with_the_first_in_pairs():
    comparison = compare([example()])
    assert [row.candidate for row in comparison.rows] == [c.name for c in example().candidates[1:]]
    assert {row.against for row in comparison.rows} == {"teacher/fp32"}
    row = comparison.row("student/fp32")
    assert row.paired
    assert row.speedup.value == pytest.approx(5, rel=0.02)
    assert row.speedup.is_clear
    assert (row.speedup.blocks, row.speedup.processes) == (12, 1)


def _in_processes(shifts, *, role="student", ms=12.0):
    """Make a candidate in one process per shift; a shift of 0.1 makes a process a tenth slower."""
    made = [candidate(role, "fp32", ms * (1 + shift), 37.0, seed=seed) for seed, shift in enumerate(shifts)]
    return replace(made[0], runs=tuple(run for one in made for run in one.runs))


def test_scatter_between_processes_is_in_the_interval():
    """Blocks of one process agree within a hundredth; processes differ by five."""
    shifts = [0.0, 0.1, -0.1, 0.05, -0.05]
    first = _in_processes([0.0] * 5, role="teacher")
    alone, several = (
        compare([example(candidates=(first, _in_processes(given)))]).rows[0].speedup for given in ([0.0] * 5, shifts)
    )
    assert several.processes == 5
    assert several.high - several.low > 5 * (alone.high - alone.low)
    assert several.low < 1 < several.high


def test_a_paired_ratio_is_free_of_what_processes_share():
    shifts = [0.0, 0.1, -0.1, 0.05, -0.05]
    candidates = (_in_processes(shifts, role="teacher", ms=24.0), _in_processes(shifts))
    row = compare([example(candidates=candidates)]).rows[0]
    assert row.paired
    assert 1.98 < row.speedup.low < 2 < row.speedup.high < 2.02
    assert 1.98 < row.throughput.low < 2 < row.throughput.high < 2.02


def test_sizes_and_accuracy_are_this_over_the_other():
    row = compare([example()]).row("student/int8")
    assert row.ratios["onnx_bytes"] == pytest.approx(199 / 1370 / 4, rel=1e-4)
    assert row.ratios["parameters"] == row.ratios["macs"] == pytest.approx(199 / 1370)
    assert row.ratios["peak_memory_bytes"] == 1.0
    assert row.differences["psnr_y_db"] == pytest.approx(-1.0)
    assert row.throughput.value == pytest.approx(10, rel=0.05)


def _scored(metric, *means):
    """Make candidates whose scores per image differ by a constant, up to noise of 0.01."""
    noise = np.random.default_rng(0).normal(0, 0.01, (len(means), 12))
    base = np.random.default_rng(1).uniform(0, 10, 12)
    return tuple(
        replace(c, accuracy={metric: float(np.mean(values))}, accuracy_per_sample={metric: tuple(values)})
        for c, values in zip(example().candidates, base + np.array(means)[:, None] + noise, strict=True)
    )


def test_a_mean_over_images_has_an_interval_of_paired_differences():
    candidates = _scored("psnr_y_db", 0, -1, -2, -2, -3)
    row = compare([example(candidates=candidates)]).row("student/fp32")
    low, high = row.difference_intervals["psnr_y_db"]
    assert low < row.differences["psnr_y_db"] < high
    assert high - low < 0.05  # images differ by far more than that: they are paired


def test_a_metric_of_the_whole_set_or_of_few_images_has_no_interval():
    candidates = _scored("miou", 0, -1, -2, -2, -3)
    assert (
        compare([example(candidates=candidates, set_metrics=("miou",))]).row("student/fp32").difference_intervals == {}
    )
    assert compare([example()]).row("student/fp32").difference_intervals == {}  # two images


def test_unknown_sizes_and_scores_have_no_ratio():
    teacher, student = (replace(c, peak_memory_bytes=None, cost={}) for c in example().candidates[::2][:2])
    row = compare([example(candidates=(teacher, replace(student, accuracy={})))]).rows[0]
    assert set(row.ratios) == {"onnx_bytes", "engine_bytes"}
    assert row.differences == {}


def test_candidates_may_be_compared_with_another_one():
    comparison = compare([example()], relative_to="student/fp32")
    assert comparison.row("teacher/fp32").speedup.value == pytest.approx(0.2, rel=0.05)
    with pytest.raises(NotComparable, match="no candidate 'student/fp8'"):
        compare([example()], relative_to="student/fp8")


def test_a_tie_is_not_clear():
    row = compare([example()], relative_to="student/fp32").row("student/fp16")
    assert row.speedup.low <= 1 <= row.speedup.high
    assert not row.speedup.is_clear
    assert str(row.speedup).endswith("~")


def test_too_few_blocks_are_never_clear():
    slow, fast = (candidate("teacher", "fp32", ms, 30.0, blocks=BLOCKS_MIN - 1) for ms in (60.0, 6.0))
    few = compare([example(candidates=(slow, replace(fast, name="fast")))]).rows[0].speedup
    assert few.low > 1
    assert not few.is_clear
    slow, fast = (candidate("teacher", "fp32", ms, 30.0, blocks=BLOCKS_MIN) for ms in (60.0, 6.0))
    assert compare([example(candidates=(slow, replace(fast, name="fast")))]).rows[0].speedup.is_clear


def test_unlike_rounds_are_not_paired():
    short = candidate("student", "fp32", 12.0, 37.0, blocks=7)
    row = compare([example(candidates=(example().candidates[0], short))]).rows[0]
    assert not row.paired
    assert row.speedup.blocks == 7
    assert row.speedup.value == pytest.approx(5, rel=0.02)


def test_across_results_same_names_are_compared_unpaired():
    before = example(candidates=(candidate("student", "fp32", 12.0, 37.2),))
    after = example(title="after", candidates=(candidate("student", "fp32", 6.0, 37.5, seed=1),))
    row = compare([before, after]).rows[0]
    assert (row.title, row.against_title, row.paired) == ("after", "edsr_from_edsr", False)
    assert row.speedup.value == pytest.approx(2, rel=0.02)
    assert row.speedup.is_clear
    assert row.differences["psnr_y_db"] == pytest.approx(0.3)


@pytest.mark.parametrize(("ms", "pace"), [(10.0, 1.0), (10.8, 1.08), (10.8, 1.0), (10.0, 1.08), (10.0, 0.9)])
def test_across_results_the_interval_covers_the_machine_s_change(ms, pace):
    """Without a reference workload, a slower machine looks like a slower network."""
    results = [
        example(
            title=title, candidates=(net,), reference_workload=candidate("yard", "fp32", yard_ms, 0.0, seed=seed).runs
        )
        for title, net, yard_ms, seed in [
            ("before", candidate("student", "fp32", 10.0, 37.0, seed=2), 2.0, 3),
            ("after", candidate("student", "fp32", ms, 37.0, seed=1), 2.0 * pace, 4),
        ]
    ]
    row = compare(results).rows[0]
    alone = compare([replace(result, reference_workload=()) for result in results]).rows[0]
    for found, bare in ((row.speedup, alone.speedup), (row.throughput, alone.throughput)):
        assert found.value == bare.value == pytest.approx(10.0 / ms, rel=0.01)
        assert found.low <= min(bare.low, pace * 10.0 / ms * 1.01)
        assert found.high >= max(bare.high, pace * 10.0 / ms * 0.99)
        # Clear only if both ratios point one way.
        assert found.is_clear == (ms != 10.0 and pace == 1.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"processor": "Other"}, "processor: Some CPU against Other"),
        ({"libraries": {"onnxruntime": "1.30"}}, "libraries: onnxruntime 1.31.1 against onnxruntime 1.30"),
        ({"governor": "powersave"}, "governor: unknown against powersave"),
        ({"threads": 1, "cores": 4}, "threads: 2 against 1; cores: 2 against 4"),
    ],
)
def test_unlike_conditions_are_refused_by_name_and_value(changes, says):
    with pytest.raises(NotComparable) as caught:
        compare([example(), example(title="other", conditions=replace(CONDITIONS, **changes))])
    assert says in str(caught.value)
    assert caught.value.exit_code == 5


def test_unlike_inputs_are_refused():
    other = replace(example().candidates[0], inputs={"input": (1, 3, 32, 32)})
    with pytest.raises(NotComparable, match="inputs of teacher/fp32: input 1x3x64x64 against input 1x3x32x32"):
        compare([example(), example(candidates=(other,))])


def test_results_without_a_shared_candidate_are_refused():
    stranger = replace(example().candidates[0], name="model/fp32")
    with pytest.raises(NotComparable, match="share no candidate"):
        compare([example(), example(candidates=(stranger,))])


def test_nothing_to_compare():
    with pytest.raises(InputError, match="no result"):
        compare([])
    alone = compare([example(candidates=example().candidates[:1])])
    assert alone.rows == ()
    with pytest.raises(NotComparable, match="no row for 'x'"):
        alone.row("x")


def test_the_unpaired_interval_covers_the_true_ratio_in_95_of_100_cases():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        a, b = ([generator.lognormal(mean, 0.1, 8) for _ in range(5)] for mean in (np.log(2.0), 0.0))
        value, low, high = ratio(a, b, paired=False)
        assert low <= value <= high
        covered += low <= 2.0 <= high
    assert covered >= 51  # 95 % of 60 is 57; three standard deviations below is 52


def test_a_ratio_and_its_inverse_agree():
    generator = np.random.default_rng(1)
    a, b = ([generator.lognormal(0, 0.1, 8) for _ in range(5)] for _ in range(2))
    for paired in (True, False):
        forth, back = ratio(a, b, paired=paired), ratio(b, a, paired=paired)
        assert forth[0] == pytest.approx(1 / back[0])
        assert forth[1] == pytest.approx(1 / back[2], rel=0.02)


def test_a_median_lies_in_its_interval_and_one_block_has_none():
    low, high = interval([np.array([3.0, 1.0, 2.0, 10.0, 4.0])])
    assert low < 3.0 < high
    assert interval([np.array([3.0])]) == pytest.approx((3.0, 3.0))
    assert ratio([np.array([3.0])], [np.array([2.0])], paired=True) == pytest.approx((1.5, 1.5, 1.5))


def _energetic(role, precision, mj, *, sensor="ina3221", scatter=0.002, windows=7, error_j=0.0):
    """Make a candidate whose windows of 100 inferences scatter around ``mj``; idle power is 2 W."""
    noise = np.random.default_rng([int(abs(mj)), windows]).normal(1, scatter, windows)
    given = tuple(
        EnergyWindow(100, 1.0, 0.5, {"VDD_IN": mj * n / 10}, {"VDD_IN": 2.0}, 100, error_j, 0.0) for n in noise
    )
    return replace(candidate(role, precision, 10.0, 37.0), energy=Energy(sensor, "the module", ("VDD_IN",), given))


def test_energy_is_a_ratio_with_an_interval():
    row = compare(
        [example(candidates=(_energetic("teacher", "fp32", 80.0), _energetic("student", "fp32", 20.0)))]
    ).rows[0]
    assert row.energy.value == pytest.approx(0.25, rel=0.005)
    assert row.energy.low < 0.25 < row.energy.high
    assert row.energy.is_clear
    assert row.energy.processes == 7


def test_the_sensor_s_error_widens_the_interval():
    exact, coarse = (
        compare(
            [example(candidates=(_energetic("teacher", "fp32", 80.0), _energetic("student", "fp32", 20.0, error_j=e)))]
        )
        .rows[0]
        .energy
        for e in (0.0, 0.2)
    )
    assert coarse.value == exact.value
    # 0.2 J of 2 J are a tenth; 95 % of it is a factor of 1.2 either way.
    assert coarse.high / coarse.value == pytest.approx(
        np.exp(np.hypot(0.196, np.log(exact.high / exact.value))), rel=0.01
    )


def test_energy_of_unlike_sensors_is_not_compared():
    pairs = [
        (_energetic("teacher", "fp32", 80.0), _energetic("student", "fp32", 20.0, sensor="rapl")),
        (_energetic("teacher", "fp32", 80.0), candidate("student", "fp32", 10.0, 37.0)),
        (_energetic("teacher", "fp32", 80.0), _energetic("student", "fp32", -1.0)),
    ]
    assert [compare([example(candidates=pair)]).rows[0].energy for pair in pairs] == [None, None, None]


def test_no_ratio_uses_refused_rounds():
    """Half of both candidates' rounds are slow and refused: they are left out in pairs."""
    spoilt = []
    for one in example().candidates[:3:2]:
        (run,) = one.runs
        blocks = tuple(tuple(9 * ns for ns in block) if i % 2 else block for i, block in enumerate(run.blocks_ns))
        rules = tuple("background load 2.0 cores above 1.0" if i % 2 else "" for i in range(len(blocks)))
        spoilt.append(replace(one, runs=(replace(run, blocks_ns=blocks, refused=rules),)))
    row = compare([example(candidates=tuple(spoilt))]).rows[0]
    assert row.paired
    assert row.speedup.blocks == 6
    assert row.speedup.value == pytest.approx(5, rel=0.02)
