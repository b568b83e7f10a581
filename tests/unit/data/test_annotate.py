from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nlakit.config import Recipe
from nlakit.data import annotate, extract
from nlakit.data.annotate import load_explanations
from nlakit.data.teachers import Context
from nlakit.errors import DamagedShardError, InputError, RunError, StoreError
from nlakit.explanations import Explanation, Outcome
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_recipe


class FussyTeacher:
    """Refuses every third row, writes blanks for every fourth, and remembers what it was given."""

    name = "fussy"

    def __init__(self) -> None:
        self.seen: list[Context] = []

    def fingerprint(self) -> str:
        return "fussy-1"

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        self.seen += contexts
        return [self.one(context) for context in contexts]

    def one(self, context: Context) -> Explanation:
        if context.row_id % 3 == 0:
            return Explanation("I cannot help with that", Outcome.REFUSED)
        return Explanation(" \n" if context.row_id % 4 == 0 else f"about {context.row_id}")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Recipe, RunFolder]:
    """Extract a small store of five shards."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=40, extract={"shard_rows": 24})
    folder = RunFolder(tmp_path / "run")
    extract.run(recipe, folder, Progress(silent=True))
    return recipe, folder


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> FussyTeacher:
    found = FussyTeacher()
    monkeypatch.setattr(annotate, "load_teacher", lambda config, source: found)
    return found


def run(made: tuple[Recipe, RunFolder], **changes: Any) -> Path:
    recipe = made[0].model_copy(update=changes)
    return annotate.run(recipe, made[1], Progress(silent=True))


def test_only_usable_explanations_are_loaded(made: tuple[Recipe, RunFolder], teacher: FussyTeacher) -> None:
    """Refused and blank answers keep their line and outcome, are counted, and are never given out as text."""
    folder = run(made)
    store = extract.open_store(made[1])
    outputs = json.loads((folder / "done.json").read_text())["outputs"]
    for split in ("av", "ar", "heldout"):
        rows = store.rows(split, ["row_id"])["row_id"].to_pylist()
        usable = [row for row in rows if row % 3 and row % 4]
        row_ids, texts = load_explanations(folder, split)
        assert usable == row_ids.tolist()
        assert [f"about {row}" for row in usable] == texts
        assert len(usable) == outputs[split]["ok"]
        assert sum(row % 3 == 0 for row in rows) == outputs[split].get("refused", 0)
        assert len(rows) == sum(outputs[split].values())


def test_rows_for_reinforcement_learning_cost_nothing(made: tuple[Recipe, RunFolder], teacher: FussyTeacher) -> None:
    """The teacher sees every row of the other splits once and none of ``rl``; nobody can load explanations for it."""
    folder = run(made)
    store = extract.open_store(made[1])
    rl = set(store.rows("rl", ["row_id"])["row_id"].to_pylist())
    seen = [context.row_id for context in teacher.seen]

    assert sorted(set(range(len(store))) - rl) == seen
    with pytest.raises(InputError, match="split is 'rl'"):
        load_explanations(folder, "rl")


def test_contexts_are_the_stored_rows(made: tuple[Recipe, RunFolder], teacher: FussyTeacher) -> None:
    """A teacher is given the text, token and place of the row, and truth as a mapping or nothing."""
    run(made)
    rows = extract.open_store(made[1]).rows()
    context = teacher.seen[5]
    row = rows.slice(context.row_id, 1).to_pylist()[0]

    assert Context(
        context.row_id, row["document_id"], row["position"], row["token"], row["context"], None
    ) == context  # fmt: skip
    assert {"facts": {"who": "Anna"}} == annotate._context({**row, "truth": '{"facts": {"who": "Anna"}}'}).truth


def test_written_shards_are_not_asked_for_again(made: tuple[Recipe, RunFolder], teacher: FussyTeacher) -> None:
    """After an interruption only the missing shards are annotated, with the same result."""
    folder = run(made)
    before = {path.name: path.read_bytes() for path in folder.glob("shard-*")}
    counts = json.loads((folder / "done.json").read_text())["outputs"]
    (folder / "done.json").unlink()
    (folder / "shard-00003.parquet").unlink()
    teacher.seen.clear()
    run(made)

    asked = {context.row_id // 24 for context in teacher.seen}
    assert {3} == asked
    assert before == {path.name: path.read_bytes() for path in folder.glob("shard-*")}
    assert counts == json.loads((folder / "done.json").read_text())["outputs"]


def test_finished_stage_is_not_repeated(made: tuple[Recipe, RunFolder], teacher: FussyTeacher) -> None:
    """The same teacher is not asked twice; another one is refused by name."""
    run(made)
    teacher.seen.clear()
    run(made)
    assert [] == teacher.seen

    other = made[0].annotate.model_copy(update={"options": {"words": 3}})
    with pytest.raises(RunError, match=r"teacher\.options\.words: was 2, now 3"):
        run(made, annotate=other)


def test_teacher_that_loses_count(
    made: tuple[Recipe, RunFolder], teacher: FussyTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer explanations than contexts are refused: they could not be told apart."""
    monkeypatch.setattr(teacher, "explain", lambda contexts: [Explanation("one")])

    with pytest.raises(InputError, match=r"'fussy' returned 1 explanations for \d+ contexts"):
        run(made)


def test_teacher_that_refuses_everything(
    made: tuple[Recipe, RunFolder], teacher: FussyTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A split without one usable explanation stops the pipeline here, with the outcomes counted."""
    monkeypatch.setattr(teacher, "one", lambda context: Explanation("", Outcome.REFUSED))

    with pytest.raises(InputError, match=r"the split 'av' has no explanation to learn from \(\d+ refused\)"):
        run(made)
    assert not (made[1].path / "annotate" / "done.json").exists()


def test_damaged_annotations_are_found(made: tuple[Recipe, RunFolder], teacher: FussyTeacher) -> None:
    """Whichever byte of an annotation file changes: either it does not matter, or it is an error; never another text."""
    folder = run(made)
    path = folder / "shard-00001.parquet"
    data, expected = path.read_bytes(), annotate.read_annotations(path)
    found = 0
    for place in range(0, len(data), 11):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            assert expected.equals(annotate.read_annotations(path)), place
        except DamagedShardError:
            found += 1
    assert found > 20
    path.write_bytes(data[:-9])
    with pytest.raises(DamagedShardError, match=r"shard-00001\.parquet"):
        load_explanations(folder, "av")


def test_unfinished_annotations(tmp_path: Path) -> None:
    """Explanations are loaded from a finished stage only."""
    with pytest.raises(StoreError, match="holds no finished annotations"):
        load_explanations(tmp_path, "av")


def test_annotating_needs_a_store(tmp_path: Path) -> None:
    """Without a store the message names the stage to run first."""
    with pytest.raises(RunError, match="no finished stage 'extract'"):
        annotate.run(tiny_recipe(tmp_path / "inputs"), RunFolder(tmp_path / "run"), Progress(silent=True))


def test_an_error_before_the_first_shard_leaves_no_folder(
    made: tuple[Recipe, RunFolder], teacher: FussyTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that gave nothing do not stand in the way of better ones; shards that were written stay."""
    one = teacher.one

    def fail(context: Context) -> Explanation:
        if context.row_id >= limit:
            raise InputError("no")
        return one(context)

    monkeypatch.setattr(teacher, "one", fail)
    limit = 0
    with pytest.raises(InputError, match="no"):
        run(made)
    assert not (made[1].path / "annotate").exists()

    limit = 50
    with pytest.raises(InputError, match="no"):
        run(made)
    assert ["shard-00000.parquet", "shard-00001.parquet"] == sorted(
        path.name for path in (made[1].path / "annotate").glob("shard-*")
    )


def test_a_teacher_is_given_what_it_asks_for(
    made: tuple[Recipe, RunFolder], teacher: FussyTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors are those of the rows, and no more contexts come at once than a teacher wants."""
    sizes: list[int] = []
    explain = teacher.explain
    monkeypatch.setattr(teacher, "explain", lambda contexts: [sizes.append(len(contexts)), *explain(contexts)][1:])
    monkeypatch.setattr(teacher, "wants_vectors", True, raising=False)
    monkeypatch.setattr(teacher, "batch_rows", 5, raising=False)
    run(made)
    store = extract.open_store(made[1])

    assert 5 == max(sizes)
    vectors_ND = store.vectors([context.row_id for context in teacher.seen])
    assert all(vector_D.equal(c.vector) for vector_D, c in zip(vectors_ND, teacher.seen, strict=True))
