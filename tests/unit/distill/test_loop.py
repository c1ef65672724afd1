"""The training loop: it learns, resumes to the bit, shares a batch over processes, and keeps the teacher out of it."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgekd.checkpoint import load_weights, network, save_weights
from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe
from edgekd.datasets.hr_patches import Samples
from edgekd.distill import _loop

MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(),
                                  nn.Conv2d(channels, 12, 3, padding=1), nn.PixelShuffle(2))
    def forward(self, x):
        return self.body(x)

def teacher():
    return Net(6)

def student():
    return Net(4)
"""
RECIPE = """
[pair]
task = "super_resolution"
[task]
scale = 2
[distill.student]
method = "logits"
steps = 6
batch_size = 4
patch = 8
warmup_steps = 2
checkpoint_every = 3
precision = "fp32"
"""


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A tiny pair with a teacher's weights, and a folder of pictures beside it."""
    folder = tmp_path / "tiny"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "recipe.toml").write_text(RECIPE)
    torch.manual_seed(0)
    save_weights(network(folder, "teacher"), folder / "weights" / "teacher.safetensors", torch.float32, {})
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        smooth = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(smooth).save(tmp_path / "pictures" / f"{index}.png")
    return folder


def _job(pair: Path, out: str, role: str = "student") -> _loop.Job:
    teacher = pair / "weights" / "teacher.safetensors"
    return _loop.Job(pair, role, teacher, [pair.parent / "pictures"], pair.parent / out, quiet=True)  # type: ignore[arg-type]


def _train(pair: Path, out: str, *overrides: str) -> Path:
    return _loop.run(_job(pair, out), load_recipe(pair / "recipe.toml", overrides))


def _losses(out: Path) -> list[list[str]]:
    with (out / "log.csv").open() as file:
        return list(csv.reader(file))


def test_training_lowers_the_loss(pair: Path) -> None:
    _train(pair, "out", "distill.student.steps=60", "distill.student.learning_rate=0.02", "distill.student.method=none")
    head, *rows = _losses(pair.parent / "out")
    assert head == ["step", "task"]
    assert float(rows[-1][1]) < 0.7 * float(rows[0][1])


def test_interrupted_training_resumes_to_the_bit(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loop, "_LOG_EVERY", 1)
    whole = _train(pair, "whole").read_bytes()
    honest: Callable[..., object] = Samples.batch

    def interrupted(self: Samples, first: int, size: int) -> object:
        if first >= 4 * size:
            raise KeyboardInterrupt
        return honest(self, first, size)

    with monkeypatch.context() as patch:
        patch.setattr(Samples, "batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(pair, "parts")
    assert not (pair.parent / "parts" / "student.safetensors").exists()
    assert _train(pair, "parts").read_bytes() == whole
    # Step 4 was logged before the interrupt and taken again from the checkpoint of step 3: it stands there once.
    assert _losses(pair.parent / "parts") == _losses(pair.parent / "whole")


def test_two_processes_give_the_loss_curve_of_one(pair: Path) -> None:
    # No batch norm statistics are shared between processes, so the comparison is of the loss, not of the weights.
    (pair / "model.py").write_text(MODEL.replace("nn.BatchNorm2d(channels)", "nn.Identity()"))
    save_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors", torch.float32, {})
    _train(pair, "one")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
        *(
            "-m",
            "edgekd",
            "distill",
            str(pair),
            "--data",
            str(pair.parent / "pictures"),
            "-o",
            str(pair.parent / "two"),
        ),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Two processes that did not know of each other would have met at the folder's lock.
    (_, *one), (_, *two) = (_losses(pair.parent / out) for out in ("one", "two"))
    assert len(one) == len(two) > 0
    np.testing.assert_allclose(np.array(two, float), np.array(one, float), rtol=1e-4)
    weights = [
        load_weights(network(pair, "student"), pair.parent / out / "student.safetensors").state_dict()
        for out in ("one", "two")
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=2e-3, rtol=0, msg=name)


def test_teacher_is_in_eval_mode_and_untouched(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.nn.Module] = []
    make = _loop._teacher

    def kept(job: _loop.Job) -> torch.nn.Module:
        seen.append(make(job))
        return seen[0]

    monkeypatch.setattr(_loop, "_teacher", kept)
    _train(pair, "out")
    fresh = load_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors").state_dict()
    assert not any(module.training for module in seen[0].modules())
    assert not any(parameter.requires_grad for parameter in seen[0].parameters())
    # Batch norm's running statistics would have moved in training mode.
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in seen[0].state_dict().items())


def test_loss_that_is_not_a_number_names_the_step(pair: Path) -> None:
    with pytest.raises(InputError, match=r"the loss is nan at step 0 \(samples 0 to 3\).*learning_rate"):
        _train(pair, "out", "distill.student.options.alpha=nan")


def test_checkpoint_of_another_seed_or_network_is_not_resumed(pair: Path) -> None:
    _train(pair, "out")
    with pytest.raises(InputError, match="seed"):
        _train(pair, "out", "distill.student.seed=1")
    (pair / "model.py").write_text(MODEL.replace("Net(4)", "Net(5)"))
    with pytest.raises(InputError, match="another network"):
        _train(pair, "out")


def test_method_that_needs_a_teacher_says_so(pair: Path) -> None:
    job = _loop.Job(pair, "student", None, [pair.parent / "pictures"], pair.parent / "out", quiet=True)
    with pytest.raises(InputError, match="--role teacher"):
        _loop.run(job, load_recipe(pair / "recipe.toml"))


def test_unknown_option_of_a_method_is_named(pair: Path) -> None:
    with pytest.raises(InputError, match=r"distill\.student\.options\.alfa"):
        _train(pair, "out", "distill.student.options.alfa=1")
