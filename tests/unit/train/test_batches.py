from collections import Counter

import pytest

from nlakit.errors import InputError
from nlakit.train.batches import EpochBatches, length_batches, prompts_at, validation_rows

LENGTHS = [(7 * row) % 23 + 1 for row in range(101)]


def test_every_row_comes_once_an_epoch() -> None:
    """An epoch of any stream holds every row exactly once."""
    batches = EpochBatches(LENGTHS, batch_size=8, seed=3, label="x")
    for epoch in range(2):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        assert Counter(row for step in steps for row in batches.at(step)) == Counter(range(101))


def test_a_resumed_stream_equals_the_unbroken_one() -> None:
    """Asking for step 20 first gives the batch that comes there after steps 0 to 19."""
    unbroken = EpochBatches(LENGTHS, batch_size=8, seed=3, label="x")
    walked = [unbroken.at(step) for step in range(30)]
    assert walked[20] == EpochBatches(LENGTHS, batch_size=8, seed=3, label="x").at(20)


def test_rows_meet_other_rows_in_every_epoch() -> None:
    """An epoch cuts its own batches and does not only reorder those of the one before."""
    batches = EpochBatches([5] * 64, batch_size=8, seed=3, label="x")
    first, second = ({frozenset(batches.at(epoch * 8 + step)) for step in range(8)} for epoch in (0, 1))
    assert len(first & second) < 2


def test_epochs_seeds_and_labels_differ() -> None:
    """Another epoch, seed or label gives another order."""
    one = EpochBatches(LENGTHS, batch_size=8, seed=3, label="x")
    assert one.at(0) != one.at(one.per_epoch)
    assert one.at(0) != EpochBatches(LENGTHS, batch_size=8, seed=4, label="x").at(0)
    assert one.at(0) != EpochBatches(LENGTHS, batch_size=8, seed=3, label="y").at(0)


def test_batches_hold_similar_lengths() -> None:
    """Bucketing wastes under a tenth of the tokens on padding where random batches waste a third or more."""

    def padded(groups: list[list[int]]) -> int:
        return sum(len(group) * max(LENGTHS[row] for row in group) for group in groups)

    batches = EpochBatches(LENGTHS, batch_size=8, seed=0, label="x")
    bucketed = [batches.at(step) for step in range(batches.per_epoch)]
    shuffled = [list(range(101))[start : start + 8] for start in range(0, 101, 8)]
    assert padded(bucketed) < 1.1 * sum(LENGTHS) < padded(shuffled) / 1.2


def test_long_batches_are_not_all_at_one_end() -> None:
    """The order of batches within an epoch is shuffled: no curriculum by length."""
    batches = EpochBatches(LENGTHS, batch_size=8, seed=0, label="x")
    longest = [max(LENGTHS[row] for row in batches.at(step)) for step in range(batches.per_epoch)]
    assert longest != sorted(longest)


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0.5, 7), (1, 13), (1.01, 14), (2, 26)])
def test_fractions_of_an_epoch_round_up(epochs: float, steps: int) -> None:
    """101 rows in batches of 8 are 13 steps an epoch; a fraction of an epoch is rounded up to whole steps."""
    assert EpochBatches(LENGTHS, batch_size=8, seed=0, label="x").steps(epochs) == steps


def test_no_rows_is_said_with_the_stream_name() -> None:
    """A stream without rows names itself instead of dividing by zero."""
    with pytest.raises(InputError, match="verbalizer: got 0 rows"):
        EpochBatches([], batch_size=8, seed=0, label="verbalizer")


def test_length_batches_by_hand() -> None:
    """Rows 3, 1, 2 of lengths 9, 5, 9 sort to 1, 3, 2: by length, ties in the order given."""
    assert length_batches([3, 1, 2], [0, 5, 9, 9], 2) == [[1, 3], [2]]


def test_prompts_run_through_all_rows_before_repeating() -> None:
    """Steps of 3 prompts over 7 rows: 7 steps draw every row exactly 3 times, and each step is full."""
    steps = [prompts_at(step, count=7, size=3, seed=1) for step in range(7)]
    assert all(len(rows) == 3 for rows in steps)
    assert Counter(row for rows in steps for row in rows) == dict.fromkeys(range(7), 3)


def test_prompts_of_an_empty_split_are_refused() -> None:
    """Nothing to train on is an error that says where rows come from."""
    with pytest.raises(InputError, match=r"extract\.split\.rl"):
        prompts_at(0, count=0, size=3, seed=1)


def test_validation_shares_no_document_with_training() -> None:
    """Documents are on one side or the other, and the rows asked for are found."""
    documents = [f"d{row % 30}" for row in range(150)]
    training, validation = validation_rows(documents, 12, 0, "x")
    assert len(validation) == 12
    assert not {documents[row] for row in training} & {documents[row] for row in validation}
    assert not set(training) & set(validation)


def test_validation_does_not_depend_on_the_order_of_rows() -> None:
    """The same documents are set aside whatever order the rows come in."""
    documents = [f"d{row % 30}" for row in range(150)]
    first = validation_rows(documents, 10, 0)[1]
    second = validation_rows(documents[::-1], 10, 0)[1]
    assert {documents[row] for row in first} == {documents[::-1][row] for row in second}


def test_validation_takes_at_most_a_fifth_of_the_documents() -> None:
    """A small split keeps four fifths of its documents for training, however many rows were asked for."""
    documents = [f"d{row // 4}" for row in range(40)]
    training, validation = validation_rows(documents, 1000, 0)
    assert len(validation) == 8
    assert len(training) == 32


def test_validation_needs_two_documents() -> None:
    """One document cannot be on both sides."""
    with pytest.raises(InputError, match="1 document"):
        validation_rows(["d", "d"], 1, 0)


def test_a_product_that_is_hardly_above_a_whole_number_is_that_number() -> None:
    """1.1 epochs of 100 batches are 110 steps, though the machine's product is a little more."""
    assert EpochBatches([1] * 100, batch_size=1, seed=0, label="rows").steps(1.1) == 110
