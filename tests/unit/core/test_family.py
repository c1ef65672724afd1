"""Families: the listing is the registry, and a missing library is named with the command that installs it."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd import tasks
from edgekd.core import family
from edgekd.core.errors import MissingDependency, UnknownName


def test_names_are_the_files_without_an_underscore() -> None:
    assert {"logits", "none"} <= set(family.names("distill.methods"))
    assert not [name for name in family.names("distill.methods") if name.startswith("_")]
    assert family.names("no_such_family") == []
    assert family.names("core.errors") == []  # a module, not a folder


def test_listing_imports_no_member() -> None:
    code = (
        "import sys; from edgekd.core import family; family.names('distill.methods'); family.names('tasks')\n"
        "print([m for m in sys.modules if m.startswith(('edgekd.distill.', 'edgekd.tasks.', 'torch'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_load_gives_the_module() -> None:
    assert family.load("tasks", "super_resolution").PRIMARY == "psnr_y_db"


@pytest.mark.parametrize(
    ("folder", "says"),
    [("tasks", "unknown task 'super_resolutoin' .did you mean 'super_resolution'"), ("none", "there are: none")],
)
def test_an_unknown_member_lists_those_there_are(folder: str, says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        family.load(folder, "super_resolutoin")


@pytest.mark.parametrize("name", ["_private", "a.b", "../core", ""])
def test_a_name_that_is_no_member_is_never_imported(name: str) -> None:
    with pytest.raises(UnknownName):
        family.load("tasks", name)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_missing_library_is_named_with_the_command_that_installs_it(room: Path) -> None:
    (room / "needy_member.py").write_text("import surely_not_installed.deeper\n")
    with pytest.raises(
        MissingDependency, match=r"needs 'surely_not_installed'.*pip install surely-not-installed"
    ) as caught:
        family.load_module("needy_member")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_broken_library_passes_through(room: Path) -> None:
    (room / "broken_library.py").write_text("raise ImportError('libbroken.so.3: cannot open shared object file')\n")
    (room / "broken_member.py").write_text("import broken_library\n")
    with pytest.raises(ImportError, match=r"libbroken\.so\.3"):
        family.load_module("broken_member")


def test_a_module_of_our_own_that_is_missing_is_our_bug() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"edgekd\.nothing_here"):
        family.load_module("edgekd.nothing_here")


def test_the_extra_that_contains_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = [
        "numpy>=1",
        "torch>=2.6; extra == 'compile'",
        "tensorrt-rtx>=1.7 ; extra == 'rtx'",
        "Pillow; extra == 'compile'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requires)
    assert family.install_command("torch") == "pip install 'edgekd[compile]'"
    assert family.install_command("tensorrt_rtx") == "pip install 'edgekd[rtx]'"
    assert family.install_command("PIL") == "pip install 'edgekd[compile]'"
    assert family.install_command("numpy") == "pip install numpy"
    assert family.install_command("google") == "pip install protobuf"


def test_where_edgekd_itself_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(_: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError("edgekd")

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert family.install_command("torch") == "pip install torch"


@pytest.fixture
def schemes(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files are members of the family "quantize.schemes"."""
    package = importlib.import_module("edgekd.quantize.schemes")
    package.__path__.append(str(tmp_path))
    yield tmp_path
    package.__path__.remove(str(tmp_path))


def test_a_constant_is_read_without_importing_the_member(schemes: Path) -> None:
    (schemes / "new.py").write_text(
        "import surely_not_installed\nLIBRARIES: tuple[str, ...] = ('onnx',)\nSIZE = BYTES = -8\nDECLARED: int\n"
    )
    assert family.constant("quantize.schemes", "new", "LIBRARIES") == ("onnx",)
    assert family.constant("quantize.schemes", "new", "BYTES") == -8
    assert "edgekd.quantize.schemes.new" not in sys.modules
    with pytest.raises(AttributeError, match="assigns no DECLARED"):
        family.constant("quantize.schemes", "new", "DECLARED")


def test_a_constant_that_is_computed_or_belongs_to_nobody_is_refused(schemes: Path) -> None:
    (schemes / "new.py").write_text("LIBRARIES = tuple('ab')\n")
    with pytest.raises(AttributeError, match=r"LIBRARIES of .* is not a literal"):
        family.constant("quantize.schemes", "new", "LIBRARIES")
    with pytest.raises(UnknownName, match=r"unknown quantization scheme 'nwe' .did you mean 'new'"):
        family.constant("quantize.schemes", "nwe", "LIBRARIES")


def test_versions_come_without_importing() -> None:
    assert family.version_of("numpy") == np.__version__
    assert family.version_of("surely-not-installed") is None


def test_a_new_file_is_a_new_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the file is needed: no list of members, no import."""
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    before = family.names("tasks")
    (tmp_path / "surely_new.py").write_text('PRIMARY = "score"\n')
    (tmp_path / "_shared.py").write_text("")
    assert family.names("tasks") == sorted([*before, "surely_new"])
    assert family.load("tasks", "surely_new").PRIMARY == "score"
    monkeypatch.delitem(sys.modules, "edgekd.tasks.surely_new")


def test_require_checks_without_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    family.require("numpy", "bench")
    with pytest.raises(MissingDependency, match=r"bench needs 'surely_not_installed'"):
        family.require("surely_not_installed", "bench")
    assert "surely_not_installed" not in sys.modules


def test_every_family_with_a_name_for_messages_exists() -> None:
    for folder, singular in family.SINGULAR.items():
        assert family.names(folder), folder
        assert singular
