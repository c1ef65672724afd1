"""The examples of CONTRIBUTING.md are members of their families, and work."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch

from edgekd.core import family
from edgekd.core.protocols import Pictures, Tileable
from edgekd.core.samples import Samples
from edgekd.core.target import Target
from edgekd.distill.method import OUTPUT, LossContext, criterion_named
from edgekd.quantize.scheme import Context
from edgekd.results.result import read_result

Example = Callable[[str], ModuleType]
EXAMPLE = re.compile(r"^```python\n# edgekd/([\w/]+)/(\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def example(root: Path, tmp_path: Path) -> Iterator[Example]:
    """Give a family's example, written into a folder that is put on the family's path and loaded by name."""
    text = (root / "CONTRIBUTING.md").read_text()
    found = {folder.replace("/", "."): (name, code) for folder, name, code in EXAMPLE.findall(text)}
    paths: list[list[str]] = []
    loaded: list[str] = []

    def load(of: str) -> ModuleType:
        name, code = found[of]
        (tmp_path / f"{name}.py").write_text(code)
        # The list itself, which the package's spec shares: a new list would not be seen there.
        paths.append(importlib.import_module(f"edgekd.{of}").__path__)
        paths[-1].append(str(tmp_path))
        assert name in family.names(of)
        loaded.append(f"edgekd.{of}.{name}")
        return family.load(of, name)

    yield load
    for path in paths:
        path.remove(str(tmp_path))
    for module in loaded:
        sys.modules.pop(module, None)


def test_the_board(example: Example) -> None:
    target = example("targets").TARGET
    assert isinstance(target, Target)
    assert target.opset == 20  # what TensorRT 10.3 reads


def test_the_scheme_rounds_weights_to_bfloat16(example: Example, tmp_path: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.array([1, 1 + 2**-8 + 2**-9], np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [weight])
    model = onnx.helper.make_model(graph)
    before = model.SerializeToString()
    scheme = example("quantize.schemes")
    made = scheme.quantize(model, scheme.Config(), Context(tmp_path / "in.onnx", Samples((), "none")))
    (rounded,) = made.model.graph.initializer
    assert onnx.numpy_helper.to_array(rounded).tolist() == [1, 1 + 2**-7]
    assert model.SerializeToString() == before


def test_the_method_is_zero_where_student_and_teacher_agree(example: Example) -> None:
    method = example("distill.methods")
    context = LossContext(criterion_named("l1")[0], False, {OUTPUT: (1, 3, 2, 2)}, {OUTPUT: (1, 3, 2, 2)})
    loss = method.make_loss(method.Config(alpha=2.0, delta=0.5), context)
    student, teacher = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.7)
    apart = loss({OUTPUT: student}, {OUTPUT: teacher}, torch.zeros(1, 3, 2, 2), 0.0)
    assert apart["task"].item() == pytest.approx(0.5)
    assert apart["teacher"].item() == pytest.approx(2 * 0.5 * 0.2**2)  # alpha / 2 * error², below delta
    assert loss({OUTPUT: student}, {OUTPUT: student}, student, 0.0)["teacher"].item() == 0


def test_the_report_format(example: Example, root: Path) -> None:
    result = read_result(root / "benchmarks" / "gate" / "accepted.json")
    head, *lines = example("report.formats").render(result).splitlines()
    assert head.startswith("candidate,")
    assert len(lines) == len(result.candidates)


def test_the_task(example: Example) -> None:
    task = example("tasks")
    photo = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image, target = task.fit(photo, photo, (8, 10), {})
    assert image.shape == target.shape == (8, 10, 3)
    output = task.postprocess(task.preprocess(image, {}), {})
    assert task.metric(output, target, {}) == {"psnr_rgb_db": 100.0}
    assert task.metric(output * 0, target, {})["psnr_rgb_db"] < 20
    assert isinstance(task, Pictures)
    assert isinstance(task, Tileable)
