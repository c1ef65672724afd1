"""The training loop: it learns, resumes to the bit, shares a batch over processes, and leaves an artifact."""

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

from edgekd.core.artifact import locked, read_artifact, sha256_of
from edgekd.core.errors import InputError, UnknownName
from edgekd.core.recipe import load_recipe
from edgekd.core.reporter import QuietReporter
from edgekd.datasets.layouts.hr_patches import Training
from edgekd.distill import log, step, train
from edgekd.distill.data import open_data
from edgekd.distill.features import FeatureExtractor
from edgekd.networks.checkpoint import load_weights, network, read_tensors
from tests.unit.distill.tiny_pair import FEATURE_LAYER, MODEL, job_of, read_log, renew_teacher, run_training


@pytest.fixture
def pair_with_feature(pair: Path) -> Path:
    """The pair, with a feature layer in its recipe."""
    with (pair / "recipe.toml").open("a") as file:
        file.write(FEATURE_LAYER)
    return pair


def _train_interrupted(pair: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Train into "parts" until the fifth step asks for its data."""
    original: Callable[..., object] = Training.__getitem__

    def interrupted(self: Training, index: int) -> object:
        if index >= 16:
            raise KeyboardInterrupt
        return original(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "__getitem__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_training(pair, "parts", *overrides)


def test_training_lowers_the_loss(pair: Path) -> None:
    longer = ("distill.student.steps=60", "distill.student.learning_rate=0.02", "distill.student.method=none")
    run_training(pair, "out", *longer)
    header, *rows = read_log(pair.parent / "out")
    assert header == ["step", "task", "learning_rate"]
    assert float(rows[-1][1]) < 0.7 * float(rows[0][1])


def test_interrupted_training_resumes_to_the_bit(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_EVERY", 1)
    whole = run_training(pair, "whole").read_bytes()
    _train_interrupted(pair, monkeypatch)
    assert not (pair.parent / "parts" / "student.safetensors").exists()
    assert run_training(pair, "parts").read_bytes() == whole
    # Step 4 was logged before the interrupt and taken again from the checkpoint of step 3: its row is there once.
    assert read_log(pair.parent / "parts") == read_log(pair.parent / "whole")


@pytest.mark.parametrize(
    "overrides",
    [
        # Random masks, adaptors, an average of the weights, SGD's momentum, multipliers of the learning rate.
        (
            "distill.student.method=mipkd",
            "distill.student.ema=0.9",
            "distill.student.optimizer=sgd",
            "distill.student.schedule=poly",
            "distill.student.lr_multipliers={adaptors=10.0}",
        ),
        # A critic with an optimizer of its own.
        (
            "distill.student.method=dpte",
            "distill.student.options.perceptual=none",
            "distill.student.options.transmission_aware=false",
            "distill.student.options.hint=0.0",
            "distill.student.options.critic_width=2",
        ),
    ],
)
def test_every_part_of_the_state_resumes_to_the_bit(
    pair_with_feature: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    run_training(pair_with_feature, "whole", *overrides)
    _train_interrupted(pair_with_feature, monkeypatch, *overrides)
    run_training(pair_with_feature, "parts", *overrides)
    for name in ("student.safetensors", "last.safetensors"):
        whole, parts = (pair_with_feature.parent / out / name for out in ("whole", "parts"))
        assert parts.read_bytes() == whole.read_bytes(), name


def test_two_processes_give_the_loss_curve_of_one(pair: Path) -> None:
    # Processes do not share batch norm's statistics, so the comparison is of the loss, not of the weights.
    (pair / "model.py").write_text(MODEL.replace("nn.BatchNorm2d(channels)", "nn.Identity()"))
    renew_teacher(pair)
    run_training(pair, "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "edgekd", "distill", str(pair), "--data", str(pair.parent / "pictures")]
    command += ["-o", str(pair.parent / "two")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Two processes that did not know of each other would have met at the folder's lock.
    assert done.returncode == 0, done.stderr
    (_, *one), (_, *two) = (read_log(pair.parent / out) for out in ("one", "two"))
    assert len(one) == len(two) > 0
    np.testing.assert_allclose(np.array(two, float), np.array(one, float), rtol=1e-4)
    weights = [
        load_weights(network(pair, "student"), pair.parent / out / "student.safetensors").state_dict()
        for out in ("one", "two")
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=2e-3, rtol=0, msg=name)


def test_teacher_is_in_eval_mode_and_unchanged(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teachers: list[torch.nn.Module] = []
    build = step._build_teacher

    def recorded(*given: object) -> torch.nn.Module:
        teachers.append(build(*given))  # type: ignore[arg-type]
        return teachers[0]

    monkeypatch.setattr(step, "_build_teacher", recorded)
    run_training(pair, "out")
    fresh = load_weights(network(pair, "teacher"), pair / "weights" / "teacher.safetensors").state_dict()
    assert not any(module.training for module in teachers[0].modules())
    assert not any(parameter.requires_grad for parameter in teachers[0].parameters())
    # Batch norm's running statistics would have moved in training mode.
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in teachers[0].state_dict().items())


def test_teacher_may_run_in_another_precision(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dtypes: dict[str, set[torch.dtype]] = {"student": set(), "teacher": set()}
    extract = FeatureExtractor.__call__

    def recorded(self: FeatureExtractor, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features: dict[str, torch.Tensor] = extract(self, x)
        if torch.is_autocast_enabled("cpu") or self.network.training:  # not the run that learns the shapes
            dtypes[self.role].add(features["output"].dtype)
        return features

    monkeypatch.setattr(FeatureExtractor, "__call__", recorded)
    run_training(pair, "out", "distill.student.teacher_precision=bf16")
    assert dtypes == {"student": {torch.float32}, "teacher": {torch.bfloat16}}


def test_adaptors_and_the_teacher_are_no_part_of_the_result(pair_with_feature: Path) -> None:
    weights, _ = read_tensors(run_training(pair_with_feature, "out", "distill.student.method=fitnet"))
    assert weights.keys() == network(pair_with_feature, "student").state_dict().keys()
    resumable, _ = read_tensors(pair_with_feature.parent / "out" / "last.safetensors")
    assert any(name.startswith("loss.") for name in resumable)


def test_moving_average_of_the_weights_is_the_result(pair: Path) -> None:
    plain, averaged = (
        load_weights(network(pair, "student"), run_training(pair, name, *overrides)).state_dict()
        for name, overrides in (("plain", ()), ("averaged", ("distill.student.ema=0.999",)))
    )
    first = {name: tensor for name, tensor in plain.items() if name.endswith("0.weight")}
    assert any(not torch.equal(tensor, averaged[name]) for name, tensor in first.items())


def test_best_weights_are_the_result_where_the_recipe_says_so(pair: Path) -> None:
    overrides = ("checkpoint_selection=best", "validate_every=2", "learning_rate=0.5")
    run_training(pair, "out", *(f"distill.student.{override}" for override in overrides))
    out = pair.parent / "out"
    with (out / "validation.csv").open() as file:
        scores = {int(row["step"]): float(row["psnr_y_db"]) for row in csv.DictReader(file)}
    assert list(scores) == [2, 4, 6]
    found = json.loads((out / "metrics.json").read_text())["metrics"]["psnr_y_db"]
    assert found == pytest.approx(max(scores.values()), abs=0.02)  # the file's weights are float16


def test_result_is_an_artifact_with_its_parents_and_scores(pair: Path) -> None:
    weights = run_training(pair, "out")
    artifact = read_artifact(weights)
    assert (artifact.kind, artifact.made_by.stage) == ("checkpoint", "distill")
    assert artifact.made_by.parents_sha256 == (sha256_of(pair / "weights" / "teacher.safetensors"),)
    assert artifact.network is not None
    assert (artifact.network.role, artifact.network.task) == ("student", "super_resolution")
    assert artifact.facts == json.loads((weights.parent / "metrics.json").read_text())
    assert artifact.facts["metrics"]["psnr_y_db"] > 0
    again = read_artifact(run_training(pair, "again"))
    assert (again.sha256, again.made_by) == (artifact.sha256, artifact.made_by)
    other = read_artifact(run_training(pair, "other", "distill.student.seed=1"))
    assert other.made_by.config_sha256 != artifact.made_by.config_sha256


def test_teacher_is_no_parent_where_the_method_has_none(pair: Path) -> None:
    assert read_artifact(run_training(pair, "out", "distill.student.method=none")).made_by.parents_sha256 == ()


def test_reporter_hears_of_the_resume(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []

    class Recording(QuietReporter):
        def message(self, text: str) -> None:
            messages.append(text)

    _train_interrupted(pair, monkeypatch)
    job = dataclasses.replace(job_of(pair, "parts"), reporter=Recording())
    train.run(job, load_recipe(pair / "recipe.toml"))
    assert "step 3 of 6" in messages[0]


def test_student_adapts_to_unlabelled_pictures(pair: Path) -> None:
    start = run_training(pair, "first")
    overrides = ["distill.adapt.steps=60", "distill.adapt.learning_rate=0.01", "distill.adapt.data={crop=[12, 12]}"]
    overrides.append("distill.student.options={task=1.0, alpha=0.0}")
    job = dataclasses.replace(job_of(pair, "adapted"), start=start, adapt=True)
    weights = train.run(job, load_recipe(pair / "recipe.toml", overrides))
    losses = [float(row[1]) for row in read_log(pair.parent / "adapted")[1:]]
    # The only targets are the teacher's outputs: the task's term is the distance to them.
    assert losses[-1] < 0.7 * losses[0]
    assert read_artifact(weights).made_by.parents_sha256[1] == sha256_of(start)


def test_loss_that_is_not_finite_is_reported_with_its_step(pair: Path) -> None:
    with pytest.raises(InputError, match=r"the loss is nan at step 0 \(samples 0 to 3\).*learning_rate"):
        run_training(pair, "out", "distill.student.options.alpha=nan")


def test_checkpoint_of_anything_else_is_not_resumed(pair: Path) -> None:
    pictures = pair.parent / "pictures"
    run_training(pair, "out")
    with pytest.raises(InputError, match="another seed, another configuration"):
        run_training(pair, "out", "distill.student.seed=1")
    with pytest.raises(InputError, match="another recipe"):
        run_training(pair, "out", "data.options.patch=12")
    (pictures / "runs").mkdir()
    (pictures / "runs" / "last.safetensors").touch()
    run_training(pair, "out")  # another run's files below the data are no data
    (pictures / "2.png").rename(pictures / "another.png")
    with pytest.raises(InputError, match="another data"):
        run_training(pair, "out")
    (pictures / "another.png").rename(pictures / "2.png")
    renew_teacher(pair)
    with pytest.raises(InputError, match="another teacher"):
        run_training(pair, "out")


def test_checkpoint_of_another_network_is_not_resumed(pair: Path) -> None:
    run_training(pair, "out")
    (pair / "model.py").write_text(MODEL.replace("Net(4)", "Net(5)"))
    with pytest.raises(InputError, match="another network"):
        run_training(pair, "out")


def test_folder_of_another_run_is_refused(pair: Path) -> None:
    job = job_of(pair, "out")
    with locked(job.out), pytest.raises(InputError, match="another edgekd run"):
        train.run(job, load_recipe(pair / "recipe.toml"))


def test_missing_teacher_is_reported_with_the_method(pair: Path) -> None:
    job = dataclasses.replace(job_of(pair, "out"), teacher=None)
    with pytest.raises(InputError, match=r"'logits'.*--role teacher"):
        train.run(job, load_recipe(pair / "recipe.toml"))


def test_method_without_a_teacher_cannot_adapt(pair: Path) -> None:
    job = dataclasses.replace(job_of(pair, "out"), adapt=True)
    with pytest.raises(InputError, match="'none' has no teacher"):
        train.run(job, load_recipe(pair / "recipe.toml", ["distill.student.method=none"]))


def test_best_weights_need_validation_pictures(pair: Path) -> None:
    job = dataclasses.replace(job_of(pair, "out"), adapt=True)
    recipe = load_recipe(pair / "recipe.toml")
    config = dataclasses.replace(recipe.distill.student, checkpoint_selection="best")
    with pytest.raises(InputError, match=r'checkpoint_selection = "best".*pictures'):
        train._check_validation(open_data(job.data, recipe, config, "unlabelled"), config, job)


def test_unknown_option_of_a_method_is_named(pair: Path) -> None:
    with pytest.raises(InputError, match=r"distill\.student\.options\.alfa"):
        run_training(pair, "out", "distill.student.options.alfa=1")


def test_networks_that_do_not_match_are_reported_with_both_shapes(pair: Path) -> None:
    (pair / "model.py").write_text(MODEL.replace("return Net(6)", "return nn.Sequential(Net(6), nn.AvgPool2d(2))"))
    renew_teacher(pair)
    with pytest.raises(InputError, match=r"teacher's output is \[4, 3, 8, 8\], the student's \[4, 3, 16, 16\]"):
        run_training(pair, "out")
    with pytest.raises(InputError, match=r"student's output is \[4, 3, 16, 16\], the target \[4, 3, 24, 24\]"):
        run_training(pair, "out", "task.scale=3", "distill.student.method=none")


def test_network_that_does_not_take_the_data_is_reported_with_the_shape(pair: Path) -> None:
    (pair / "model.py").write_text(MODEL.replace("nn.Conv2d(3, channels", "nn.Conv2d(5, channels"))
    renew_teacher(pair)
    with pytest.raises(InputError, match=r"student does not run .*\[1, 3, 8, 8\]"):
        run_training(pair, "out")


def test_unknown_feature_layer_is_reported_with_the_nearest(pair: Path) -> None:
    with (pair / "recipe.toml").open("a") as file:
        file.write(FEATURE_LAYER.replace('student = "body.0"', 'student = "body.9"'))
    with pytest.raises(UnknownName, match=r"student.*body\.9.*body\.[0-4]"):
        run_training(pair, "out", "distill.student.method=fitnet")
