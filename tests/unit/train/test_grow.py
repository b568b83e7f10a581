"""Stage 0, grow: the target of a run, grown from its corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.train.cut import Cut

from nlakit.config import Recipe
from nlakit.data.corpus import load_corpus
from nlakit.data.sampling import split_of
from nlakit.errors import ConfigError, InputError, RunError, UserError
from nlakit.models.prediction import Prediction
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.recipe import load_recipe
from nlakit.runs import RunFolder, read_metrics
from nlakit.testing import tiny_text_file
from nlakit.train import grow
from nlakit.train.vocabulary import train_tokenizer
from nlakit.validation import override_settings

SILENT = Progress(silent=True)
TINY = (
    "corpus.options.characters=120", "grow.width=32", "grow.blocks=2", "grow.vocabulary=512", "grow.epochs=6",
    "grow.warmup_steps=3", "grow.checkpoint_every=10", "grow.learning_rate=1e-2",
)  # fmt: skip


def recipe_of(path: Path, *changes: str) -> Recipe:
    """The recipe real-text in its smallest form, on a text."""
    return load_recipe("real-text", [f"corpus.path={path}", *TINY, *changes])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return recipe_of(tiny_text_file(tmp_path_factory.mktemp("text") / "text.txt"))


@pytest.fixture(scope="module")
def grown(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "grown")
    grow.run(recipe, folder, SILENT)
    return folder


def test_a_grown_target_is_one(grown: RunFolder) -> None:
    """It loads, is as wide and deep as asked for, and knows how well it predicts."""
    target = Target.load(grown.path / "grow" / "target")
    found = Prediction.load(grown.path / "grow" / "target")

    assert (target.d_model, target.n_layers, len(target.tokenizer)) == (32, 2, 512)
    assert found.parameters == sum(weights.numel() for weights in target.model.parameters())
    assert 0 < found.measures["target_loss"].value < found.measures["target_loss_unigram"].value
    assert len(found.continuations) == 3


def test_a_growth_is_logged_and_leaves_no_checkpoints(grown: RunFolder) -> None:
    """Its loss is in the metrics of the run; what only resuming needs is gone."""
    assert [line["step"] for line in read_metrics(grown.path / "metrics.jsonl", "grow")] == [20]
    assert not (grown.path / "grow" / "checkpoints").exists()


def test_a_growth_that_is_done_is_not_done_again(grown: RunFolder, recipe: Recipe) -> None:
    """The second call writes nothing."""
    before = {path: path.stat().st_mtime_ns for path in grown.path.rglob("*") if path.is_file()}
    grow.run(recipe, grown, SILENT)

    assert before == {path: path.stat().st_mtime_ns for path in grown.path.rglob("*") if path.is_file()}


def test_a_growth_that_was_stopped_ends_like_an_unbroken_one(grown: RunFolder, recipe: Recipe, tmp_path: Path) -> None:
    """Stopped between two checkpoints and started again: every file of the target is the same, bit for bit."""
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        grow.run(recipe, folder, Cut(after=17))
    parts = grow.run(recipe, folder, SILENT)
    whole = grown.path / "grow" / "target"

    assert {path.name: path.read_bytes() for path in whole.iterdir()} == {
        path.name: path.read_bytes() for path in parts.iterdir()
    }


def test_a_growth_goes_on_in_the_precision_it_was_begun_with(
    grown: RunFolder, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved to a processor that would choose otherwise, the growth ends as it would have ended, and is not begun anew."""
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        grow.run(recipe, folder, Cut(after=17))
    monkeypatch.setattr(grow, "has_bfloat16", lambda: pytest.fail("asked again"))
    weights = grow.run(recipe, folder, SILENT) / "model.safetensors"

    assert weights.read_bytes() == (grown.path / "grow" / "target" / "model.safetensors").read_bytes()


def test_held_out_documents_reach_neither_tokenizer_nor_target(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All documents of the other splits are learnt from, and none that the pair is tested on."""
    seed, split = recipe.seed, recipe.extract.split
    documents = list(load_corpus(recipe.corpus))
    heldout = {document.text for document in documents if split_of(seed, document.id, split) == "heldout"}
    read: set[str] = set()
    batches: list[int] = []

    def learn(texts: Sequence[str], vocabulary: int, name: str) -> object:
        read.update(texts)
        return train_tokenizer(texts, vocabulary, name)

    def pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[object, object]:
        batches.extend(sum(row) for row in rows)
        raise InputError("far enough")

    monkeypatch.setattr(grow, "train_tokenizer", learn)
    monkeypatch.setattr(grow, "pad", pad)
    with pytest.raises(InputError, match="far enough"):
        grow.run(recipe, RunFolder(tmp_path / "run"), SILENT)

    assert heldout
    assert not heldout & read
    assert {document.text for document in documents} - heldout < read
    assert batches


def test_changed_settings_are_named(grown: RunFolder, recipe: Recipe) -> None:
    """Other settings of the growth, the seed or the splits are refused, by the stage and by those that follow it."""
    for change, words in (
        ("grow.width=64", r"grow\.width: was 32, now 64"),
        ("seed=1", "seed: was 0, now 1"),
        ("corpus.options.characters=130", r"corpus\.options\.characters: was 120, now 130"),
    ):
        changed = override_settings(recipe, [change], "the test")
        with pytest.raises(RunError, match=words):
            grow.run(changed, grown, SILENT)
        with pytest.raises(RunError, match=words):
            grow.grown_target(changed, grown)


def test_only_the_held_out_share_is_the_targets(grown: RunFolder, recipe: Recipe) -> None:
    """Dividing the other documents otherwise needs no new target; holding out more of them does."""
    split = "extract.split={{av = 0.3, ar = 0.3, rl = {}, heldout = {}}}"
    other = override_settings(recipe, [split.format(0.3, 0.1)], "the test")

    assert grow.run(other, grown, SILENT) == grow.grown_target(recipe, grown)
    with pytest.raises(RunError, match=r"heldout: was 0\.1, now 0\.2"):
        grow.grown_target(override_settings(recipe, [split.format(0.2, 0.2)], "the test"), grown)


def test_a_target_that_is_not_grown_yet_is_asked_for(recipe: Recipe, tmp_path: Path) -> None:
    """A later stage that is asked for too early names the one that is missing."""
    with pytest.raises(RunError, match="no finished stage 'grow'"):
        grow.grown_target(recipe, RunFolder(tmp_path / "run"))


def test_the_text_is_needed_no_more_when_the_target_is_grown(recipe: Recipe, tmp_path: Path) -> None:
    """A grown target is found again after the text was moved away."""
    moved = tiny_text_file(tmp_path / "moved.txt")
    folder = RunFolder(tmp_path / "run")
    own = override_settings(recipe, [f"corpus.path={moved}"], "the test")
    grow.run(own, folder, SILENT)
    moved.unlink()

    assert grow.grown_target(own, folder) == folder.path / "grow" / "target"


@pytest.mark.parametrize(
    ("content", "changes", "error", "words"),
    [
        (b"", [], InputError, r"the corpus 'text' holds no text \(corpus\.path = .*text\.txt"),
        (b" \n\n \n", [], InputError, "holds no text"),
        (
            b"One line.\n\nAnd one.",
            [],
            InputError,
            r"19 characters make 1 documents \(.*\), and each split needs 4\. Give about",
        ),
        (b"caf\xe9 " * 900, [], InputError, "is not UTF-8"),
        (None, [], ConfigError, "does not exist"),
        (b"A text. " * 900, ["target.site=resid.2"], ConfigError, "the grown target has blocks 0 to 1"),
        (b"A text. " * 900, ["target.site=mlp.1"], ConfigError, "write 'resid.K'"),
    ],
)
def test_what_cannot_end_well_is_told_before_anything_grows(
    content: bytes | None, changes: list[str], error: type[UserError], words: str, tmp_path: Path
) -> None:
    """One sentence says what came and what is needed, and the run folder holds nothing."""
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=words) as raised:
        grow.run(recipe_of(path, *changes), RunFolder(tmp_path / "run"), SILENT)

    assert "\n" not in str(raised.value)
    assert [] == list((tmp_path / "run").iterdir())


def test_a_text_as_long_as_the_message_says_is_long_enough(tmp_path: Path) -> None:
    """The number of characters that is asked for gives every split its documents."""
    whole = tiny_text_file(tmp_path / "whole.txt", 400).read_text()
    short, enough = tmp_path / "short.txt", tmp_path / "enough.txt"
    short.write_text(whole[:600])
    with pytest.raises(InputError) as raised:
        grow.run(recipe_of(short), RunFolder(tmp_path / "short"), SILENT)
    asked = int(str(raised.value).split("Give about ")[1].split(" ")[0].replace(",", ""))
    enough.write_text(whole[:asked])

    assert grow.run(recipe_of(enough, "grow.epochs=0.1"), RunFolder(tmp_path / "enough"), SILENT).is_dir()


def test_prompts_that_cannot_be_are_told_before_anything_grows(recipe: Recipe, tmp_path: Path) -> None:
    """A marker that is not one token of the new tokenizer stops the stage, which then takes a better one."""
    folder = RunFolder(tmp_path / "run")
    wrong = override_settings(recipe, ["prompts.marker=unheard-of"], "the test")
    with pytest.raises(UserError, match="must be one token"):
        grow.run(wrong, folder, Cut(after=0))

    assert [] == list(folder.path.iterdir())


def test_chats_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    """A corpus of chats is not what a target is grown from."""
    path = tmp_path / "chats.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "Hello."}]}\n')
    chats = load_recipe("real-text", ["corpus.name=jsonl", f"corpus.path={path}", *TINY[1:]])
    chats = chats.model_copy(update={"corpus": chats.corpus.model_copy(update={"options": {}})})
    with pytest.raises(InputError, match="is a chat"):
        grow.run(chats, RunFolder(tmp_path / "run"), SILENT)
