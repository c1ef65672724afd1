"""Jobs: how a source is read, what it is called, and what a graph depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.core.errors import InputError, UnknownName
from edgekd.pipeline.job import NetworkSource, job_from

SMALL = """[pair]
task = "super_resolution"
teacher = "weights/small_teacher.safetensors"
student = "weights/small_student.safetensors"
[network.teacher]
width = 8
"""


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A pair with two recipes, and weights for the small one."""
    folder = tmp_path / "mine"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.py").write_text("")
    (folder / "recipe.toml").write_text('[pair]\ntask = "super_resolution"\n')
    (folder / "small.toml").write_text(SMALL)
    for role in ("teacher", "student"):
        (folder / "weights" / f"small_{role}.safetensors").write_bytes(b"")
    return folder


def test_small_takes_the_pairs_name_until_the_paper_sized_weights_are_there(pair: Path) -> None:
    job = job_from(str(pair), None)
    assert (job.title, job.out) == ("mine", Path("runs/mine"))
    assert "small.toml" in job.caveat
    assert job.sources["teacher"].sizes == {"width": 8}
    assert job_from(f"{pair}/small", None).title == "mine"
    for role in ("teacher", "student"):
        (pair / "weights" / f"{role}.safetensors").write_bytes(b"")
    job = job_from(str(pair), None)
    assert (job.title, job.caveat) == ("mine", "")
    assert job.sources["teacher"].path.name == "teacher.safetensors"
    assert job_from(f"{pair}/small", None).out == Path("runs/mine-small")


def test_missing_weights_name_what_trains_them(pair: Path) -> None:
    (pair / "weights" / "small_student.safetensors").unlink()
    with pytest.raises(InputError, match=r"teacher\.safetensors does not exist; .*distill \S*mine --role .*small"):
        job_from(str(pair), None)
    with pytest.raises(InputError, match=r"small_student\.safetensors does not exist; .*small\.toml --role student"):
        job_from(f"{pair}/small", None)


def test_a_layout_is_checked_by_name(pair: Path) -> None:
    with pytest.raises(UnknownName, match=r"data layout 'hr_patch' \(did you mean 'hr_patches'"):
        job_from(str(pair), None, ["data.layout=hr_patch"])


def test_other_code_or_another_size_is_another_graph(pair: Path) -> None:
    source = NetworkSource(pair / "w", pair, sizes={"width": 8})
    assert replace(source, sizes={"width": 16}).architecture != source.architecture
    assert replace(source, sizes={"width": 8}).architecture == (before := source.architecture)
    (pair / "model.py").write_text("# another")
    assert source.architecture != before
    assert NetworkSource(pair / "w", model="a.b:c").architecture == "a.b:c"
