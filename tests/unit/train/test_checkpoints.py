import json
from pathlib import Path

import pytest
import torch
from torch import nn

from nlakit.errors import DivergedError, InternalError, RunError
from nlakit.train import checkpoints as module_under_test
from nlakit.train.checkpoints import Checkpoints, State
from nlakit.train.optimise import make_optimizer, optimizer_step


class Tied(nn.Module):
    """A module with a tied weight, a frozen one, a persistent buffer and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("table", torch.ones(4), persistent=False)


def _train(module: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer_step(optimizer, learning_rate=0.1, max_grad_norm=1.0, what="x")


def _fresh(folder: Path) -> tuple[Tied, torch.optim.Optimizer, Checkpoints]:
    torch.manual_seed(0)
    module = Tied()
    optimizer = make_optimizer(module, weight_decay=0.1)
    return module, optimizer, Checkpoints(folder, {"m": module}, {"m": optimizer})


def test_a_resumed_loop_equals_the_unbroken_one_bit_for_bit(tmp_path: Path) -> None:
    """Three steps, a checkpoint, a new process and three more steps give the weights of six steps in one go."""
    unbroken, optimizer, _ = _fresh(tmp_path / "none")
    _train(unbroken, optimizer, range(6))
    first, optimizer, checkpoints = _fresh(tmp_path)
    _train(first, optimizer, range(3))
    checkpoints.save(State(3, numbers={"note": [1, 2]}))
    second, optimizer, checkpoints = _fresh(tmp_path)
    assert checkpoints.resume() == State(3, numbers={"note": [1, 2]})
    _train(second, optimizer, range(3, 6))
    assert torch.equal(unbroken.embedding.weight, second.embedding.weight)
    assert second.head.weight is second.embedding.weight


def test_a_loop_with_muon_resumes_bit_for_bit(tmp_path: Path) -> None:
    """The two optimizers behind ``muon`` are saved and loaded as one: resumed and unbroken weights are equal."""

    def fresh(folder: Path) -> tuple[nn.Module, torch.optim.Optimizer, Checkpoints]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Embedding(5, 4), nn.ModuleList([nn.Linear(4, 4)]))
        optimizer = make_optimizer(module, weight_decay=0.1, kind="muon")
        return module, optimizer, Checkpoints(folder, {"m": module}, {"m": optimizer})

    unbroken, optimizer, _ = fresh(tmp_path / "none")
    _train(unbroken, optimizer, range(6))
    first, optimizer, checkpoints = fresh(tmp_path)
    _train(first, optimizer, range(3))
    checkpoints.save(State(3))
    second, optimizer, checkpoints = fresh(tmp_path)
    checkpoints.resume()
    _train(second, optimizer, range(3, 6))

    for ours, theirs in zip(unbroken.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_nothing_to_resume_is_none(tmp_path: Path) -> None:
    """A loop that never saved starts from the beginning."""
    assert _fresh(tmp_path / "absent")[2].resume() is None


def test_newest_and_best_are_kept_and_the_best_without_its_optimizer(tmp_path: Path) -> None:
    """Of steps 1 to 4 with the best at 2, folders 2 and 4 stay, and only 4 can be resumed from."""
    _, _, checkpoints = _fresh(tmp_path)
    for step in (1, 2, 3, 4):
        checkpoints.save(State(step, best_step=min(step, 2), best_value=0.5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000004"]
    assert not list((tmp_path / "step-00000002").glob("*.optimizer.safetensors"))
    assert list((tmp_path / "step-00000004").glob("*.optimizer.safetensors"))


def test_best_weights_load_without_touching_the_optimizer(tmp_path: Path) -> None:
    """The weights of an earlier checkpoint come back in place."""
    module, optimizer, checkpoints = _fresh(tmp_path)
    best = module.embedding.weight.detach().clone()
    checkpoints.save(State(1, best_step=1, best_value=0.5))
    _train(module, optimizer, range(2))
    checkpoints.save(State(2, best_step=1, best_value=0.5))
    assert not torch.equal(best, module.embedding.weight)
    checkpoints.load_weights(1)
    assert torch.equal(best, module.embedding.weight)


def test_a_half_written_checkpoint_is_not_seen(tmp_path: Path) -> None:
    """What a kill leaves beside its place is ignored, and the last whole checkpoint is resumed."""
    _, _, checkpoints = _fresh(tmp_path)
    checkpoints.save(State(1))
    (tmp_path / ".step-00000002.tmp-99").mkdir()
    state = checkpoints.resume()
    assert state is not None
    assert state.step == 1


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    """Other shapes are said by name with both shapes, and nothing is loaded."""
    checkpoints = _fresh(tmp_path)[2]
    checkpoints.save(State(1))
    other = Tied()
    other.seen = torch.zeros(2)
    with pytest.raises(RunError, match=r"'seen' \(\(1,\) in the file, \(2,\) in the model\)"):
        Checkpoints(tmp_path, {"m": other}, {}).resume()


def test_a_damaged_state_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    """An unreadable state.json names the file and what to remove."""
    checkpoints = _fresh(tmp_path)[2]
    checkpoints.save(State(1))
    (tmp_path / "step-00000001" / "state.json").write_text("{")
    with pytest.raises(RunError, match=r"Remove .* to start this stage again"):
        checkpoints.resume()


@pytest.mark.parametrize("name", ["m.safetensors", "m.optimizer.safetensors"])
def test_a_damaged_file_is_an_error_with_the_way_out(tmp_path: Path, name: str) -> None:
    """Tensors that cannot be read name the file and what to remove."""
    checkpoints = _fresh(tmp_path)[2]
    checkpoints.save(State(1))
    (tmp_path / "step-00000001" / name).write_bytes(b"x")
    with pytest.raises(RunError, match=rf"{name}: cannot be read.*Remove {tmp_path} to start this stage again"):
        checkpoints.resume()


def test_files_hold_what_training_changes_and_no_pickle(tmp_path: Path) -> None:
    """Safetensors and JSON only; tied weights once, frozen weights and derived buffers not at all."""
    from safetensors.torch import load_file

    _, _, checkpoints = _fresh(tmp_path)
    folder = checkpoints.save(State(1))
    assert sorted(path.name for path in folder.iterdir()) == ["m.optimizer.safetensors", "m.safetensors", "state.json"]
    assert sorted(load_file(folder / "m.safetensors")) == ["embedding.weight", "seen"]
    assert json.loads((folder / "state.json").read_text())["step"] == 1


def test_optimizers_need_a_module_of_their_name(tmp_path: Path) -> None:
    """A misspelt name is our own mistake, caught when the loop starts."""
    module = nn.Linear(1, 1)
    with pytest.raises(InternalError, match="'n'"):
        Checkpoints(tmp_path, {"m": module}, {"n": make_optimizer(module)})


@pytest.mark.parametrize(("value", "error"), [(float("nan"), DivergedError), (0.5, RunError)])
def test_a_checkpoint_is_read_back_before_the_one_before_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, error: type[Exception]
) -> None:
    """Weights that are not finite, or that the disk did not keep, are an error, and the older checkpoint stays."""
    module, _, checkpoints = _fresh(tmp_path)
    checkpoints.save(State(1))
    real = module_under_test.save_file

    def changed(tensors: dict[str, torch.Tensor], path: Path) -> None:
        real({name: torch.full_like(tensor, value) for name, tensor in tensors.items()}, path)

    monkeypatch.setattr(module_under_test, "save_file", changed)
    with pytest.raises(error, match=r"step-00000002: m: .* the checkpoint before is kept"):
        checkpoints.save(State(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert torch.isfinite(module.embedding.weight).all()
