"""Bad input through the command line: one clear line, the right exit code, nothing lost, never a traceback."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from PIL import Image
from safetensors.torch import save_file

from edgekd.cli import _run
from edgekd.core.artifact import locked
from tests.pipeline.tiny import pictures, tiny_onnx, tiny_pair

TABLE = {0, 1, 2, 3, 4, 5}
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def edgekd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in an empty folder; gives (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str]:
        capsys.readouterr()
        code = _run([str(argument) for argument in arguments])
        error = capsys.readouterr().err
        assert "Traceback" not in error, error
        return code, error

    return run


def _external(path: Path) -> Path:
    model = onnx.load(tiny_onnx(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../outside.bin"
    path.write_bytes(model.SerializeToString())
    (path.parent.parent / "outside.bin").write_bytes(bytes(4 * 3 * 9 * 4))
    return path


def _future(path: Path) -> Path:
    model = onnx.load(tiny_onnx(path))
    model.opset_import[0].version = 999
    path.write_bytes(model.SerializeToString())
    return path


def _bytes(data: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return write


BAD_ONNX: dict[str, Callable[[Path], Path]] = {
    "empty": _bytes(b""),
    "random": _bytes(random.Random(0).randbytes(4000)),
    "text": _bytes(b"this is not a network\n"),
    "truncated": lambda path: _bytes(tiny_onnx(path).read_bytes()[:-200])(path),
    "newer opset": _future,
    "external data outside": _external,
}


@pytest.mark.parametrize("kind", BAD_ONNX)
@pytest.mark.parametrize("verb", ["run", "simplify", "quantize", "build", "show"])
def test_bad_onnx(edgekd: Command, tmp_path: Path, kind: str, verb: str) -> None:
    (tmp_path / "in").mkdir()
    path = BAD_ONNX[kind](tmp_path / "in" / "bad.onnx")
    before = path.read_bytes()
    code, error = edgekd(verb, path, *(() if verb == "show" else ("-o", tmp_path / "out")))
    assert code == 2, error
    assert error.strip().splitlines()[-1].startswith("edgekd: ")
    assert "bad.onnx" in error
    assert path.read_bytes() == before
    assert not [p for p in (tmp_path / "out").rglob("*") if p.name != ".lock" and p.is_file()]


def test_missing_files(edgekd: Command) -> None:
    for words in (
        ("run", "no.onnx"),
        ("run", "no.pt"),
        ("show", "no.npz"),
        ("compare", "no.json"),
        ("bench", "no.engine"),
    ):
        code, error = edgekd(*words)
        assert code == 2, error
        assert words[1] in error


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("quantize.shcemes=int8", ["quantize.shcemes", "did you mean 'schemes'"]),
        ("quantize.schemes=['int3']", ["int3", "int8", "fp16"]),
        ("quantize.schemes=fp16", ["quantize.schemes", "list"]),
        ("bench.min_rounds=many", ["bench.min_rounds", "'many'", "integer"]),
        ("build.target=nintendo", ["nintendo", "orin_nano_8gb"]),
        ("build.backends=['tensorrt_rxt']", ["tensorrt_rxt", "did you mean 'tensorrt_rtx'"]),
        ("bench.backend=null", ["null", "build.backends"]),
        ("distill.student.method=magic", ["magic", "logits"]),
        ("pair.task=cooking", ["cooking", "super_resolution"]),
        ("nonsense", ["nonsense", "KEY=VALUE"]),
        ("bench.min_rounds=0", ["bench.min_rounds = 0", "1 or more"]),
        ("quantize.options.int9={}", ["int9", "int8"]),
        ("quantize.percentile=99", ["quantize.percentile", "quantize.options.int8.percentile"]),
        ("export.shape=[1,3,0,4]", ["export.shape", "1 or more"]),
        ("task.scale=two", ["task.scale = 'two'", "2 to 8"]),
        ("task.scale=0", ["task.scale = 0", "2 to 8"]),
        ("export.ranges={h=[9,1,2]}", ["9", "min <= opt <= max"]),
    ],
)
def test_bad_recipe_key(edgekd: Command, tmp_path: Path, override: str, words: list[str]) -> None:
    code, error = edgekd("run", tiny_pair(tmp_path / "pair"), "-o", tmp_path / "out", "--set", override)
    assert code == 2, error
    for word in words:
        assert word in error
    assert not list(tmp_path.glob("out/*/*"))


def test_unknown_pair_lists_the_pairs(edgekd: Command) -> None:
    code, error = edgekd("run", "edsr_from_esdr")
    assert code == 2
    assert "did you mean 'edsr_from_edsr'" in error


def test_checkpoint_that_needs_unpickling_is_refused_and_not_run(edgekd: Command, tmp_path: Path) -> None:
    pair, trap = tiny_pair(tmp_path / "pair"), tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {trap}",)

    path = tmp_path / "evil.pt"
    torch.save({"model": Trap()}, path, pickle_module=pickle)
    code, error = edgekd("run", pair, "-o", tmp_path / "out", "--set", f"pair.student={path}")
    assert code == 2
    assert "never unpickles" in error
    assert not trap.exists()


def test_checkpoint_of_another_architecture_names_the_keys(edgekd: Command, tmp_path: Path) -> None:
    pair = tiny_pair(tmp_path / "pair")
    save_file(
        {"0.weight": torch.zeros(12, 3, 3, 3), "1.scale": torch.zeros(1)}, pair / "weights" / "teacher.safetensors"
    )
    code, error = edgekd("run", pair, "-o", tmp_path / "out")
    assert code == 2
    assert "missing 0.bias" in error
    assert "unexpected 1.scale" in error


def test_lone_checkpoint_needs_its_model(edgekd: Command, tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    code, error = edgekd("run", tmp_path / "w.safetensors")
    assert code == 2
    assert "--model" in error
    code, error = edgekd("run", tmp_path / "w.safetensors", "--model", "no.such:thing")
    assert code == 2
    assert "no.such" in error


def _with_text(folder: Path) -> None:
    (folder / "a.txt").write_text("hello")


def _with_16_bit(folder: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(folder / "deep.png")


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _cut_short(folder: Path) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_with_text, "a.txt"),
        (_with_16_bit, "16 bits"),
        (_emptied, "empty"),
        (_cut_short, "0.png"),
        (shutil.rmtree, "pictures"),
    ],
)
def test_bad_pictures(edgekd: Command, tmp_path: Path, spoil: Callable[[Path], None], word: str) -> None:
    folder = pictures(tmp_path / "pictures")
    spoil(folder)
    code, error = edgekd(
        "run", tiny_onnx(tmp_path / "net.onnx"), "--calibration-images", folder, "-o", tmp_path / "out"
    )
    assert code == 2, error
    assert word in error


def test_output_that_cannot_be_written(edgekd: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, error = edgekd("run", tiny_onnx(tmp_path / "net.onnx"), "-o", tmp_path / "file" / "out")
    assert code == 2
    assert "cannot write" in error
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "distill.student.batch_size=0"), "distill.student.batch_size = 0; 1 or more"),
        (("--set", "distill.student.steps=-1"), "distill.student.steps = -1; 1 or more"),
        (("--set", "distill.student.learning_rate=nan"), "distill.student.learning_rate = nan"),
        (("--role", "pupil"), "role 'pupil' is neither teacher nor student"),
        (("-o", "file"), "cannot write"),
    ],
)
def test_distill_with_wrong_settings(edgekd: Command, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "file").write_text("in the way")
    pair = tiny_pair(tmp_path / "pair")
    code, error = edgekd("distill", pair, "--data", pair / "pictures", "--set", "distill.student.steps=1", "-q", *words)
    assert code == 2, error
    assert says in error


def test_adaptation_refuses_settings_that_it_would_put_aside(edgekd: Command, tmp_path: Path) -> None:
    pair = tiny_pair(tmp_path / "pair")
    adapt = ("distill", pair, "--unlabeled-images", pair / "pictures", "-q", "--set")
    code, error = edgekd(*adapt, "distill.student.steps=1")
    assert code == 2, error
    assert "set distill.adapt.steps" in error


def test_bench_says_before_measuring_that_it_cannot_write(edgekd: Command, tmp_path: Path) -> None:
    assert edgekd("build", tiny_onnx(tmp_path / "net.onnx"), "-o", tmp_path / "net.engine")[0] == 0
    (tmp_path / "file").write_text("in the way")
    code, error = edgekd("bench", tmp_path / "net.engine", "-o", tmp_path / "file" / "result.json")
    assert code == 2
    assert "timing" not in error
    assert "cannot write" in error


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.geteuid() != 0, reason="needs root, to mount a small tmpfs")
def test_full_disk_keeps_what_was_there(edgekd: Command, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {disk} 2>/dev/null"):
        pytest.skip("this system does not let root mount a tmpfs")
    try:
        old = disk / "net.simplified.onnx"
        old.write_text("old")
        (disk / "filler").write_bytes(bytes(4096 * ((os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize) // 4096)))
        code, error = edgekd("build", tiny_onnx(tmp_path / "net.onnx"), "-o", old)
        assert code == 3, error
        assert "no space left" in error
        assert old.read_text() == "old"
        assert not list(disk.glob(".*tmp*"))
    finally:
        os.system(f"umount {disk}")


def test_two_runs_in_one_folder(edgekd: Command, tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        code, error = edgekd("run", tiny_onnx(tmp_path / "net.onnx"), "-o", tmp_path / "out")
    assert code == 2
    assert "another edgekd run" in error


@pytest.mark.parametrize("library", ["onnx", "onnxruntime", "onnxsim"])
def test_missing_library_names_the_extra(tmp_path: Path, library: str) -> None:
    path = tiny_onnx(tmp_path / "net.onnx")
    script = f"import sys; sys.modules[{library!r}] = None; from edgekd.cli import _run; sys.exit(_run(sys.argv[1:]))"
    words = [sys.executable, "-c", script, "simplify", str(path), "-o", str(tmp_path / "out.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert f"needs '{library}'" in done.stderr
    assert "pip install 'edgekd[compile]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_changed_file_is_noticed(edgekd: Command, tmp_path: Path) -> None:
    assert edgekd("build", tiny_onnx(tmp_path / "net.onnx"), "-o", tmp_path / "net.engine")[0] == 0
    with (tmp_path / "net.engine").open("ab") as file:
        file.write(b"x")
    code, error = edgekd("bench", tmp_path / "net.engine")
    assert code == 2
    assert "changed" in error


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, drop or repeat a few pieces of a file."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(changed) or 1), rng.randint(1, 16)
        match rng.randrange(4):
            case 0:
                changed[at : at + size] = rng.randbytes(size)
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = changed[at : at + size] * 3
            case _:
                changed[at : at + 1] = bytes([changed[at] ^ (1 << rng.randrange(8))]) if changed else b"\0"
    return bytes(changed)


def test_mutated_onnx(edgekd: Command, tmp_path: Path) -> None:
    data, rng = tiny_onnx(tmp_path / "net.onnx").read_bytes(), random.Random(1)
    kept = tmp_path / "kept.engine"
    kept.write_text("precious")
    refused = 0
    for _ in range(150):
        (tmp_path / "bad.onnx").write_bytes(_mutated(data, rng))
        code, error = edgekd("build", tmp_path / "bad.onnx", "-o", tmp_path / "out" / "bad.engine", "--backend", "null")
        assert code in TABLE, error
        refused += code != 0
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert refused > 50  # or the mutations would prove nothing
    assert kept.read_text() == "precious"


def test_mutated_recipe(edgekd: Command, tmp_path: Path, root: Path) -> None:
    data, rng = (root / "models/edsr_from_edsr/recipe.toml").read_bytes(), random.Random(2)
    pair = tiny_pair(tmp_path / "pair")
    refused = 0
    for _ in range(150):
        (pair / "recipe.toml").write_bytes(_mutated(data, rng))
        code, error = edgekd("show", pair / "recipe.toml")
        assert code in TABLE, error
        refused += code != 0
    assert refused > 50


def test_changed_manifest_is_noticed_by_every_verb_that_reads_it(edgekd: Command, tmp_path: Path) -> None:
    assert edgekd("build", tiny_onnx(tmp_path / "net.onnx"), "-o", tmp_path / "net.engine")[0] == 0
    manifest = tmp_path / "net.engine.json"
    manifest.write_text(manifest.read_text().replace('"network": {', '"network": 3, "was": {'))
    for verb in ("show", "bench"):
        code, error = edgekd(verb, tmp_path / "net.engine")
        assert code == 2, error
        assert "was changed" in error


def test_mutated_manifest(edgekd: Command, tmp_path: Path) -> None:
    assert edgekd("build", tiny_onnx(tmp_path / "net.onnx"), "-o", tmp_path / "net.engine")[0] == 0
    manifest, rng = tmp_path / "net.engine.json", random.Random(3)
    data, engine = manifest.read_bytes(), (tmp_path / "net.engine").read_bytes()
    refused = 0
    for _ in range(150):
        manifest.write_bytes(_mutated(data, rng))
        code, error = edgekd("show", tmp_path / "net.engine", "--json")
        assert code in TABLE, error
        refused += code != 0
    assert refused > 50
    assert (tmp_path / "net.engine").read_bytes() == engine
