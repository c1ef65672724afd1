"""Recipes: reading, overriding, and finding them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekd.core.config import PairConfig, Recipe
from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.recipe import (
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
    table = {"quantize": {"percentile": 99.0}, "export": {"shape": [1, 3, 8, 8]}}
    recipe = recipe_from(
        table,
        ["quantize.scheme=int4", "quantize.percentile = 99.9", "export.shape=['n', 3, 8, 8]", "export.ranges.n=[1,2,4]",
         "simplify.enabled=false", "distill.student.options.alpha=0.5", "build.target=a=b"],
    )  # fmt: skip
    assert (recipe.quantize.scheme, recipe.quantize.percentile) == ("int4", 99.9)
    assert recipe.export.shape == ("n", 3, 8, 8)
    assert recipe.export.ranges == {"n": (1, 2, 4)}
    assert recipe.simplify.enabled is False
    assert recipe.distill.student.options == {"alpha": 0.5}
    assert recipe.build.target == "a=b"
    assert table == {"quantize": {"percentile": 99.0}, "export": {"shape": [1, 3, 8, 8]}}


def test_the_last_override_wins() -> None:
    assert recipe_from({}, ["bench.blocks=3", "bench.blocks=5"]).bench.blocks == 5


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("quantize.scheme", "is not KEY=VALUE with a dotted key"),
        ("scheme=int8", "is not KEY=VALUE with a dotted key"),
        (".scheme=int8", "is not KEY=VALUE with a dotted key"),
        ("", "is not KEY=VALUE with a dotted key"),
        ("quantise.scheme=int8", "unknown key recipe.quantise (did you mean 'quantize'?)"),
        ("quantize.shceme=int8", "unknown key recipe.quantize.shceme (did you mean 'scheme'?)"),
        ("bench.blocks=many", "recipe.bench.blocks = 'many' (str); an integer was expected"),
        ("export.opset.deep=1", "'opset' is 13, not a table"),
        ("bench.blocks=" + "[" * 5000, "recipe.bench.blocks"),
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
    # From a folder where there is no models/: what the README says must work from an installed wheel too.
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
    assert runnable_recipe(str(pair)) == (pair / "recipe.toml", "")  # it says what is missing
    _weights(pair, "small_")
    assert not has_weights(pair / "recipe.toml")
    path, said = runnable_recipe(str(pair))
    assert path == pair / "small.toml"
    assert said == "mine: no weights for recipe.toml, so small.toml and its weights are used"
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
