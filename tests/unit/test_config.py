"""Tests of nlakit.config."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nlakit.config import PromptConfig, Recipe, SplitConfig, derive_seed, fingerprint, plain, recipe_fields
from nlakit.errors import ConfigError, NotFoundError
from nlakit.recipe import list_recipes, load_recipe, recipe_from
from nlakit.validation import override_settings

MINIMAL = 'name = "mine"\ndescription = "One of my own."\n'


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL + "[train]\nsteps = 7\n")
    return path


def test_a_seed_is_the_same_in_every_process() -> None:
    """Neither hash randomisation nor the platform changes a derived seed."""
    code = "from nlakit.config import derive_seed; print(derive_seed(3, 'positions', 'doc-7', 1.5, None, True))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert derive_seed(3, "positions", "doc-7", 1.5, None, True) == int(other)


@given(st.lists(st.text() | st.integers() | st.booleans(), max_size=4), st.lists(st.text() | st.integers(), max_size=4))
def test_different_labels_give_different_seeds(first: list[object], second: list[object]) -> None:
    """No two lists of labels share a seed, however they would concatenate."""
    same_seed = derive_seed(0, *first) == derive_seed(0, *second)

    assert same_seed == (repr(first) == repr(second))


@given(st.integers(), st.text())
def test_a_seed_fits_every_generator(seed: int, label: str) -> None:
    """A derived seed is accepted by torch, numpy and random alike: 63 bits, not negative."""
    assert 0 <= derive_seed(seed, label) < 2**63


def test_labels_do_not_run_together() -> None:
    """("ab", "c") and ("a", "bc") are different labels."""
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")


def test_a_fingerprint_ignores_the_order_of_keys_and_sees_every_value() -> None:
    """Two settings have the same fingerprint exactly when they are equal."""
    recipe = Recipe(name="a", description="b")

    assert fingerprint({"x": 1, "y": (2, 3)}) == fingerprint({"y": [2, 3], "x": 1})
    assert fingerprint(recipe) == fingerprint(plain(recipe))
    assert fingerprint(recipe) != fingerprint(override_settings(recipe, ["train.kl_coefficient=0.9"], "test"))


def test_the_installed_recipes_load_and_have_their_file_names() -> None:
    """Every recipe in the package is valid and is run by its file's name."""
    assert {"terrarium-full", "terrarium-quick"} <= set(list_recipes())
    for name, description in list_recipes().items():
        assert (name, description) == (load_recipe(name).name, load_recipe(name).description)


def test_a_recipe_is_read_from_a_file(recipe_file: Path) -> None:
    """What a file does not set has its default."""
    recipe = load_recipe(recipe_file)

    assert ("mine", 7, 8) == (recipe.name, recipe.train.steps, recipe.train.group_size)


def test_overrides_win_over_the_file_and_take_toml_values_and_bare_words(recipe_file: Path) -> None:
    """The same key can be given as a number, a boolean, an array of words or a word without quotes."""
    recipe = load_recipe(
        recipe_file,
        [
            "train.steps=9",
            "target.model=some/model",
            "corpus.options.shout=true",
            "train.kl_coefficient = 0.5",
            "name='x'",
        ],
    )

    assert (9, "some/model", 0.5, "x") == (
        recipe.train.steps,
        recipe.target.model,
        recipe.train.kl_coefficient,
        recipe.name,
    )
    assert {"shout": True} == recipe.corpus.options


def test_all_problems_of_a_recipe_are_listed_with_the_nearest_keys(tmp_path: Path) -> None:
    """One message names the file and each wrong key or value, with what was probably meant."""
    path = tmp_path / "wrong.toml"
    path.write_text('nam = "mine"\ndescription = "x"\n[trian]\nsteps = 1\n[train]\nstep = 3\ngroup_size = 1\n')

    with pytest.raises(ConfigError) as caught:
        load_recipe(path)

    message = str(caught.value)
    assert f"{path} has 5 problems:" in message
    assert "nam: there is no such key. Did you mean 'name'?" in message
    assert "name: is missing" in message
    assert "trian: there is no such key. Did you mean 'train'?" in message
    assert "train.step: there is no such key. Did you mean 'steps'?" in message
    assert "train.group_size: Input should be greater than or equal to 2, got 1." in message


def test_a_key_at_the_wrong_place_without_a_near_one_lists_what_is_known(tmp_path: Path) -> None:
    """When no key is near, the message shows the ones that there are."""
    path = tmp_path / "wrong.toml"
    path.write_text(MINIMAL + "[target]\nzzzzqq = 1\n")

    with pytest.raises(ConfigError, match="Known here: model, revision, site, dtype"):
        load_recipe(path)


@pytest.mark.parametrize("override", ["train.steps", "=3", "train..steps=3", ".steps=1"])
def test_an_override_without_key_or_value_is_refused(recipe_file: Path, override: str) -> None:
    """The message shows the form that is expected."""
    with pytest.raises(ConfigError, match=r"table\.key=value"):
        load_recipe(recipe_file, [override])


def test_an_override_through_a_value_is_refused(recipe_file: Path) -> None:
    """``name.x=1`` is not silently a new table."""
    with pytest.raises(ConfigError, match="'name', which is a value and not a table"):
        load_recipe(recipe_file, ["name.x=1"])


def test_broken_toml_names_the_file_and_the_line(tmp_path: Path) -> None:
    """The message says where the file stops being TOML."""
    path = tmp_path / "broken.toml"
    path.write_text("name = \n")

    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML: .*line 1"):
        load_recipe(path)


def test_a_file_that_is_not_there_is_told_from_an_unknown_name(tmp_path: Path) -> None:
    """A path is answered with the path, a bare word with the known recipes."""
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*absent\.toml"):
        load_recipe(tmp_path / "absent.toml")
    with pytest.raises(NotFoundError, match="Did you mean 'terrarium-quick'"):
        load_recipe("terrarium-quik")


def test_splits_must_sum_to_one() -> None:
    """Fractions that leave documents over, or give them twice, are refused."""
    with pytest.raises(ValidationError, match="the fractions sum to 1.1, expected 1"):
        SplitConfig(av=0.35)


@pytest.mark.parametrize("prompts", [{"verbalizer": "no marker"}, {"reconstructor": "{explanation}{explanation}"}])
def test_a_prompt_holds_its_placeholder_once(prompts: dict[str, str]) -> None:
    """A prompt without its placeholder, or with two, is refused before any training."""
    with pytest.raises(ValidationError, match="exactly once"):
        PromptConfig(**prompts)


def test_a_recipe_cannot_be_changed() -> None:
    """What is saved is what ran: settings are frozen."""
    recipe = Recipe(name="a", description="b")

    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]


def test_a_recipe_survives_json() -> None:
    """The recipe in a run's config.json is the recipe that was run."""
    recipe = load_recipe("terrarium-quick", ["warm_start.injection_scale=3.5", "corpus.options.a=1"])

    assert recipe == recipe_from(plain(recipe), "config.json")


def test_every_setting_has_a_description() -> None:
    """The docstring under a field is its help; none is missing."""
    assert [] == [key for key, model, name in recipe_fields() if not model.model_fields[name].description]


def test_a_growth_needs_a_target_that_is_grown(recipe_file: Path) -> None:
    """Settings of a growth that would go unused are refused, and named with the target that stands in their way."""
    assert load_recipe(recipe_file, ["target.model=grown", "grow.epochs=2"]).grown
    assert not load_recipe(recipe_file).grown
    with pytest.raises(ConfigError, match=r"grow is of use only with target.model = 'grown'; it is 'terrarium'"):
        load_recipe(recipe_file, ["grow.epochs=2"])


def test_a_record_from_before_growths_is_still_a_recipe() -> None:
    """The config of an old run folder, which has no table grow, is read, and its target is not grown."""
    record = plain(load_recipe("terrarium-quick"))
    del record["grow"]

    assert recipe_from(record, "config.json") == load_recipe("terrarium-quick")
