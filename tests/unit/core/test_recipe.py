"""Recipes: reading, overriding and finding them, and keys that were renamed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekd.core.config import PairConfig, Recipe
from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.recipe import (
    RENAMED_KEYS,
    find_recipe,
    has_weights,
    load_recipe,
    pair_names,
    pairs_root,
    recipe_from,
    runnable_recipe,
)

PAIR = "edsr_from_edsr"


@pytest.mark.parametrize("pair", pair_names())
def test_every_shipped_recipe_parses(pair: str) -> None:
    recipe = load_recipe(find_recipe(pair))
    assert isinstance(recipe.pair, PairConfig)
    assert recipe.pair.summary
    assert (pairs_root() / pair / "model.py").is_file()


def test_an_empty_recipe_is_all_defaults() -> None:
    assert recipe_from({}) == Recipe()


def test_overrides_are_toml_or_bare_words_and_leave_the_table_alone() -> None:
    table = {"bench": {"block_ms": 20.0}, "export": {"shape": [1, 3, 8, 8]}}
    recipe = recipe_from(
        table,
        ["bench.scenario=offline", "bench.block_ms = 99.5", "export.shape=['n', 3, 8, 8]", "export.ranges.n=[1,2,4]",
         "simplify.enabled=false", "distill.student.options.alpha=0.5", "build.target=a=b"],
    )  # fmt: skip
    assert (recipe.bench.scenario, recipe.bench.block_ms) == ("offline", 99.5)
    assert recipe.export.shape == ("n", 3, 8, 8)
    assert recipe.export.ranges == {"n": (1, 2, 4)}
    assert recipe.simplify.enabled is False
    assert recipe.distill.student.options == {"alpha": 0.5}
    assert recipe.build.target == "a=b"
    assert table == {"bench": {"block_ms": 20.0}, "export": {"shape": [1, 3, 8, 8]}}


def test_the_last_override_wins() -> None:
    assert recipe_from({}, ["bench.min_rounds=3", "bench.min_rounds=5"]).bench.min_rounds == 5


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("bench.processes", "is not KEY=VALUE with a dotted key"),
        ("processes=15", "is not KEY=VALUE with a dotted key"),
        (".processes=15", "is not KEY=VALUE with a dotted key"),
        ("", "is not KEY=VALUE with a dotted key"),
        ("quantise.schemes=int8", "unknown key recipe.quantise (did you mean 'quantize'?)"),
        ("bench.min_ruonds=6", "unknown key recipe.bench.min_ruonds (did you mean 'min_rounds'?)"),
        ("bench.min_rounds=many", "recipe.bench.min_rounds = 'many' (str); an integer was expected"),
        ("export.opset.deep=1", "'opset' is 13, not a table"),
        ("bench.min_rounds=" + "[" * 5000, "recipe.bench.min_rounds"),
    ],
)
def test_a_wrong_override_is_named(override: str, says: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(says)):
        recipe_from({"export": {"opset": 13}}, [override])


@pytest.mark.parametrize("text", ["[pair", "x = [" * 5000, "a = 1\na = 2", "\x00", "pair: yaml"])
def test_what_is_not_toml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(path)


def test_a_recipe_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_recipe(tmp_path / "recipe.toml")
    with pytest.raises(InputError, match="cannot read"):
        load_recipe(tmp_path)


def test_a_pair_is_found_by_folder_file_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    own = tmp_path / "mine" / "recipe.toml"
    own.write_text("")
    assert find_recipe(str(own)) == find_recipe(str(own.parent)) == own
    shipped = pairs_root() / PAIR / "recipe.toml"
    assert find_recipe(str(shipped.parent)).resolve() == shipped.resolve()
    # In a folder without models/: what the README says must also work from an installed wheel.
    monkeypatch.chdir(tmp_path)
    for source in (PAIR, f"models/{PAIR}", f"models/{PAIR}/"):
        assert find_recipe(source) == shipped


def test_an_unknown_pair_lists_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for source in ("edsr_from_edrs", f"elsewhere/{PAIR}", f"/models/{PAIR}"):
        with pytest.raises(UnknownName, match=rf"unknown pair '{source}'.*{PAIR}"):
            find_recipe(source)


def _pair(folder: Path) -> Path:
    """Write a pair's two recipes, without any weights."""
    (folder / "weights").mkdir(parents=True)
    (folder / "recipe.toml").write_text('[pair]\ntask = "super_resolution"\n')
    small = 'teacher = "weights/small_teacher.safetensors"\nstudent = "weights/small_student.safetensors"\n'
    (folder / "small.toml").write_text(f'[pair]\ntask = "super_resolution"\n{small}')
    return folder


def _weights(pair: Path, prefix: str = "") -> None:
    for role in ("teacher", "student"):
        (pair / "weights" / f"{prefix}{role}.safetensors").write_bytes(b"")


def test_small_is_found_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = _pair(tmp_path / "mine")
    assert find_recipe(f"{pair}/small") == find_recipe(f"{pair}/small.toml") == pair / "small.toml"
    assert find_recipe(str(pair)) == pair / "recipe.toml"
    monkeypatch.chdir(tmp_path)
    shipped = pairs_root() / PAIR / "small.toml"
    for source in (f"{PAIR}/small", f"models/{PAIR}/small", f"models/{PAIR}/small.toml"):
        assert find_recipe(source) == shipped
    with pytest.raises(UnknownName, match="unknown pair 'elsewhere/small'"):
        find_recipe("elsewhere/small")


def test_a_pair_runs_from_the_weights_it_has(tmp_path: Path) -> None:
    pair = _pair(tmp_path / "mine")
    assert runnable_recipe(str(pair)) == (pair / "recipe.toml", "")  # the run names what is missing
    _weights(pair, "small_")
    assert not has_weights(pair / "recipe.toml")
    path, note = runnable_recipe(str(pair))
    assert path == pair / "small.toml"
    assert "no weights for recipe.toml" in note
    assert runnable_recipe(f"{pair}/recipe.toml") == (pair / "recipe.toml", "")
    assert find_recipe(str(pair)) == pair / "recipe.toml"  # what distill trains
    _weights(pair)
    assert runnable_recipe(str(pair)) == (pair / "recipe.toml", "")
    assert runnable_recipe(f"{pair}/small") == (pair / "small.toml", "")


def test_weights_may_be_named_by_an_override(tmp_path: Path) -> None:
    pair = _pair(tmp_path / "mine")
    _weights(pair, "my_")
    named = [f"pair.{role}=weights/my_{role}.safetensors" for role in ("teacher", "student")]
    assert runnable_recipe(str(pair), named) == (pair / "recipe.toml", "")


# Old key → what a message must tell to write, with a role for "*".
RENAMED = {old.replace("*", "student"): new.replace("*", "student") for old, new in RENAMED_KEYS.items()}


def table_of(key: str, value: object) -> dict[str, object]:
    """Return the nested tables in which a dotted key is ``value``."""
    table: dict[str, object] = {}
    *above, last = key.split(".")
    inside = table
    for part in above:
        inside[part] = inside = {}
    inside[last] = value
    return table


@pytest.mark.parametrize("key", RENAMED)
def test_an_old_key_is_refused_with_the_new_name(key: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"{key} was renamed: write {RENAMED[key]}")):
        recipe_from(table_of(key, 1))
    with pytest.raises(RecipeError, match=re.escape(f"{key} was renamed: write {RENAMED[key]}")):
        recipe_from({}, [f"{key}=1"])


def test_an_old_key_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[distill.teacher]\ntaps = {a = "b"}\n')
    with pytest.raises(RecipeError, match=r"distill\.teacher\.taps .* distill\.teacher\.feature_layers$"):
        load_recipe(path)


def test_old_names_are_free_in_tables_without_a_schema() -> None:
    """A network may have a "width", and a method an option called "keep"."""
    recipe = recipe_from(
        {
            "network": {"student": {"width": 8, "blocks": 2}},
            "distill": {"student": {"options": {"keep": 1, "taps": {"rates": 2}}}},
            "data": {"calibration": "pictures"},
        }
    )
    assert recipe.network.student == {"width": 8, "blocks": 2}
    assert recipe.distill.student.options == {"keep": 1, "taps": {"rates": 2}}


def test_every_new_name_is_accepted() -> None:
    """Of the keys whose section has a fixed schema; ``quantize.options`` belong to the schemes."""
    fixed = [new for new in RENAMED.values() if ".options." not in new]
    for new in fixed:
        *sections, name = new.split(".")
        section: object = Recipe()
        for part in sections:
            section = getattr(section, part)
        assert hasattr(section, name), new
