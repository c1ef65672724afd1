"""The training loop: it learns, resumes to the bit, shares a batch over processes, and keeps the teacher out of it."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgekd.core.errors import InputError, UnknownName
from edgekd.core.recipe import load_recipe
from edgekd.datasets.layouts.hr_patches import Training
from edgekd.distill import log, train
from edgekd.distill.features import Tapped
from edgekd.networks.checkpoint import load_weights, network, read_tensors, save_weights

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
[data]
options = { patch = 8 }
[distill.student]
method = "logits"
steps = 6
batch_size = 4
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


def _job(pair: Path, out: str, role: str = "student") -> train.Job:
    teacher = pair / "weights" / "teacher.safetensors"
    return train.Job(pair, role, teacher, [pair.parent / "pictures"], pair.parent / out, quiet=True)  # type: ignore[arg-type]


def _train(pair: Path, out: str, *overrides: str) -> Path:
    return train.run(_job(pair, out), load_recipe(pair / "recipe.toml", overrides))


def _train_interrupted(pair: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Train into "parts" until the fifth step asks for its data."""
    honest: Callable[..., object] = Training.__getitem__

    def interrupted(self: Training, index: int) -> object:
        if index >= 16:
            raise KeyboardInterrupt
        return honest(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "__getitem__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(pair, "parts", *overrides)


def _losses(out: Path) -> list[list[str]]:
    with (out / "log.csv").open() as file:
        return list(csv.reader(file))


def test_training_lowers_the_loss(pair: Path) -> None:
    _train(pair, "out", "distill.student.steps=60", "distill.student.learning_rate=0.02", "distill.student.method=none")
    head, *rows = _losses(pair.parent / "out")
    assert head == ["step", "task", "learning_rate"]
    assert float(rows[-1][1]) < 0.7 * float(rows[0][1])


def test_interrupted_training_resumes_to_the_bit(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_EVERY", 1)
    whole = _train(pair, "whole").read_bytes()
    _train_interrupted(pair, monkeypatch)
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
    make = train._teacher

    def kept(*given: object) -> torch.nn.Module:
        seen.append(make(*given))  # type: ignore[arg-type]
        return seen[0]

    monkeypatch.setattr(train, "_teacher", kept)
    _train(pair, "out")
    fresh = load_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors").state_dict()
    assert not any(module.training for module in seen[0].modules())
    assert not any(parameter.requires_grad for parameter in seen[0].parameters())
    # Batch norm's running statistics would have moved in training mode.
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in seen[0].state_dict().items())


def test_the_teacher_may_run_in_a_precision_of_its_own(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[torch.dtype]] = {"student": set(), "teacher": set()}
    tapped = Tapped.__call__

    def noted(self: Tapped, x: torch.Tensor) -> dict[str, torch.Tensor]:
        taps: dict[str, torch.Tensor] = tapped(self, x)
        if torch.is_autocast_enabled("cpu") or self.network.training:
            seen[self.role].add(taps["output"].dtype)
        return taps

    monkeypatch.setattr(Tapped, "__call__", noted)
    _train(pair, "out", "distill.student.teacher_precision=bf16")
    assert seen == {"student": {torch.float32}, "teacher": {torch.bfloat16}}


def test_loss_that_is_not_a_number_names_the_step(pair: Path) -> None:
    with pytest.raises(InputError, match=r"the loss is nan at step 0 \(samples 0 to 3\).*learning_rate"):
        _train(pair, "out", "distill.student.options.alpha=nan")


def test_checkpoint_made_from_anything_else_is_not_resumed(pair: Path) -> None:
    _train(pair, "out")
    with pytest.raises(InputError, match="another seed, another configuration; choose another -o"):
        _train(pair, "out", "distill.student.seed=1")
    with pytest.raises(InputError, match="another recipe; choose"):
        _train(pair, "out", "data.options.patch=12")
    (pair.parent / "pictures" / "runs").mkdir()
    (pair.parent / "pictures" / "runs" / "last.safetensors").touch()
    _train(pair, "out")  # another run's files below the data are no data
    (pair.parent / "pictures" / "2.png").rename(pair.parent / "pictures" / "another.png")
    with pytest.raises(InputError, match="another data; choose"):
        _train(pair, "out")
    (pair.parent / "pictures" / "another.png").rename(pair.parent / "pictures" / "2.png")
    save_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors", torch.float32, {})
    with pytest.raises(InputError, match="another teacher; choose"):
        _train(pair, "out")


def test_checkpoint_of_another_network_is_not_resumed(pair: Path) -> None:
    _train(pair, "out")
    (pair / "model.py").write_text(MODEL.replace("Net(4)", "Net(5)"))
    with pytest.raises(InputError, match="another network"):
        _train(pair, "out")


def test_method_that_needs_a_teacher_says_so(pair: Path) -> None:
    job = train.Job(pair, "student", None, [pair.parent / "pictures"], pair.parent / "out", quiet=True)
    with pytest.raises(InputError, match="--role teacher"):
        train.run(job, load_recipe(pair / "recipe.toml"))


def test_unknown_option_of_a_method_is_named(pair: Path) -> None:
    with pytest.raises(InputError, match=r"distill\.student\.options\.alfa"):
        _train(pair, "out", "distill.student.options.alfa=1")


def test_a_loop_with_everything_on_resumes_to_the_bit(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Random masks, adaptors, an average of the weights, SGD's momentum, factors on rates.
    with (pair / "recipe.toml").open("a") as file:
        file.write('[distill.student.taps]\nfirst = { student = "body.0", teacher = "body.0" }\n')
    everything = (
        "distill.student.method=mipkd",
        "distill.student.ema=0.9",
        "distill.student.optimizer=sgd",
        "distill.student.schedule=poly",
        "distill.student.rates={adaptors=10.0}",
    )
    whole = _train(pair, "whole", *everything).read_bytes()
    _train_interrupted(pair, monkeypatch, *everything)
    assert _train(pair, "parts", *everything).read_bytes() == whole


def test_adaptors_and_what_the_teacher_is_stay_out_of_the_result(pair: Path) -> None:
    with (pair / "recipe.toml").open("a") as file:
        file.write('[distill.student.taps]\nfirst = { student = "body.0", teacher = "body.0" }\n')
    made = _train(pair, "out", "distill.student.method=fitnet")
    kept, _ = read_tensors(made)
    assert kept.keys() == network(pair, "student").state_dict().keys()
    resumable, _ = read_tensors(pair.parent / "out" / "last.safetensors")
    assert any(name.startswith("loss.") for name in resumable)


def test_average_of_the_weights_is_the_result(pair: Path) -> None:
    plain, averaged = (
        load_weights(network(pair, "student"), _train(pair, name, *sets)).state_dict()
        for name, sets in (("plain", ()), ("averaged", ("distill.student.ema=0.999",)))
    )
    first = {name: tensor for name, tensor in plain.items() if name.endswith("0.weight")}
    assert any(not torch.equal(tensor, averaged[name]) for name, tensor in first.items())


def test_best_weights_are_kept_when_asked_for(pair: Path) -> None:
    out = pair.parent / "out"
    sets = ("distill.student.keep=best", "distill.student.validate_every=2", "distill.student.learning_rate=0.5")
    _train(pair, "out", *sets)
    with (out / "validation.csv").open() as file:
        scores = {int(row["step"]): float(row["psnr_y_db"]) for row in csv.DictReader(file)}
    assert list(scores) == [2, 4, 6]
    found = json.loads((out / "metrics.json").read_text())["metrics"]["psnr_y_db"]
    assert found == pytest.approx(max(scores.values()), abs=0.02)  # the file's weights are float16
    assert list((out / "tensorboard").iterdir())


def test_student_adapts_to_unlabelled_pictures_by_the_teachers_answers(pair: Path) -> None:
    start = _train(pair, "first")
    sets = (
        *("distill.adapt.steps=60", "distill.adapt.learning_rate=0.01", "distill.adapt.data={crop=[12, 12]}"),
        "distill.student.options={task=1.0, alpha=0.0}",
    )
    job = dataclasses.replace(_job(pair, "adapted"), start=start, adapt=True)
    train.run(job, load_recipe(pair / "recipe.toml", sets))
    rows = [float(row[1]) for row in _losses(pair.parent / "adapted")[1:]]
    # The only truth there is are the teacher's answers: the task's term is the distance to them.
    assert rows[-1] < 0.7 * rows[0]


def test_networks_that_do_not_fit_each_other_are_named(pair: Path) -> None:
    (pair / "model.py").write_text(MODEL.replace("return Net(6)", "return nn.Sequential(Net(6), nn.AvgPool2d(2))"))
    save_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors", torch.float32, {})
    with pytest.raises(InputError, match=r"teacher's output is \[1, 3, 8, 8\], the student's \[1, 3, 16, 16\]"):
        _train(pair, "out")
    with pytest.raises(InputError, match=r"student's output is \[1, 3, 16, 16\], the target \[1, 3, 24, 24\]"):
        _train(pair, "out", "task.scale=3", "distill.student.method=none")


def test_tap_that_does_not_exist_is_named_with_the_nearest(pair: Path) -> None:
    with (pair / "recipe.toml").open("a") as file:
        file.write('[distill.student.taps]\nfirst = { student = "body.9", teacher = "body.0" }\n')
    with pytest.raises(UnknownName, match=r"tap of the student.*body\.9.*body\.[0-4]"):
        _train(pair, "out", "distill.student.method=fitnet")
