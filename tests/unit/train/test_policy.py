import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlakit.errors import InputError
from nlakit.train.policy import group_advantages, kl_estimate, kl_penalty, policy_loss, rewards


def test_reward_is_minus_error_minus_price_per_token() -> None:
    """A good sample with error 0.5 and 10 tokens at 0.01 each is worth -0.6; a failed one gets the fixed reward."""
    got = rewards(
        torch.tensor([0.5, 0.1]),
        torch.tensor([10, 20]),
        torch.tensor([False, True]),
        length_penalty=0.01,
        failed_reward=-2.0,
    )
    assert got.tolist() == pytest.approx([-0.6, -2.0])


def test_a_group_that_failed_throughout_teaches_nothing() -> None:
    """Failed outputs of different lengths have one reward, so none of them is raised above the others."""
    failed_N = torch.ones(4, dtype=torch.bool)
    got = rewards(torch.zeros(4), torch.tensor([2, 9, 40, 96]), failed_N, length_penalty=0.001, failed_reward=-2.0)
    assert group_advantages(got.view(1, 4)).tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_error_of_a_failed_sample_is_never_read() -> None:
    """A failed sample's error may be NaN: its reward is the fixed one."""
    got = rewards(torch.tensor([math.nan]), torch.tensor([3]), torch.tensor([True]), length_penalty=0, failed_reward=-2)
    assert got.tolist() == [-2.0]


def test_rewards_refuses_shapes_that_do_not_belong_together() -> None:
    """Errors, lengths and flags of different counts are a mistake of the caller, said with the shapes."""
    with pytest.raises(InputError, match=r"\(2,\), \(3,\) and \(2,\)"):
        rewards(torch.zeros(2), torch.zeros(3), torch.zeros(2), length_penalty=0, failed_reward=-2)


def test_advantages_by_hand() -> None:
    """Rewards 1, 2, 3 have mean 2 and standard deviation sqrt(2/3), so the advantages are -1.2247, 0, 1.2247."""
    got = group_advantages(torch.tensor([[1.0, 2.0, 3.0]]), eps=0.0)
    assert got.tolist()[0] == pytest.approx([-math.sqrt(1.5), 0.0, math.sqrt(1.5)], abs=1e-6)


def test_groups_do_not_see_each_other() -> None:
    """Adding a constant to one group's rewards changes no advantage anywhere."""
    rewards_PG = torch.tensor([[1.0, 2.0, 4.0], [0.0, 3.0, 3.0]])
    shifted_PG = rewards_PG + torch.tensor([[100.0], [0.0]])
    assert torch.allclose(group_advantages(rewards_PG), group_advantages(shifted_PG), atol=1e-5)


def test_equal_rewards_give_zero_advantages() -> None:
    """A group whose rewards differ by rounding alone has nothing to say, instead of advantages of order one."""
    nearly = torch.tensor([[-0.3, -0.3 + 1e-9, -0.3]], dtype=torch.float64)
    assert group_advantages(nearly).tolist() == [[0.0, 0.0, 0.0]]
    assert group_advantages(torch.full((1, 4), -2.0)).tolist() == [[0.0, 0.0, 0.0, 0.0]]


@given(st.lists(st.floats(-4, 0), min_size=2, max_size=8))
def test_advantages_sum_to_zero_and_stay_bounded(group: list[float]) -> None:
    """Whatever the rewards, a group's advantages sum to zero and none exceeds sqrt(G), even for tiny spreads."""
    got = group_advantages(torch.tensor([group], dtype=torch.float64))[0]
    assert float(got.sum()) == pytest.approx(0.0, abs=1e-3)
    assert float(got.abs().max()) <= math.sqrt(len(group)) + 1e-6


def test_advantages_refuse_single_samples_and_nan() -> None:
    """One sample per group cannot be compared, and a reward that is not finite is caught before it spreads."""
    with pytest.raises(InputError, match="at least 2 samples"):
        group_advantages(torch.zeros(4, 1))
    with pytest.raises(InputError, match="not finite"):
        group_advantages(torch.tensor([[math.nan, 1.0]]))


def _enumerated() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits_V = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    log_p_V = logits_V.log_softmax(0)
    log_q_V = torch.tensor([1.0, 0.0, -0.5], dtype=torch.float64).log_softmax(0)
    return logits_V, log_p_V, log_q_V


def test_kl_penalty_has_the_gradient_of_the_divergence() -> None:
    """Over all tokens of a small vocabulary, the penalty's expected gradient is that of KL(p || q), exactly."""
    logits_V, log_p_V, log_q_V = _enumerated()
    (exact_V,) = torch.autograd.grad((log_p_V.exp() * (log_p_V - log_q_V)).sum(), logits_V, retain_graph=True)
    expected = (log_p_V.exp().detach() * kl_penalty(log_p_V[None], log_q_V[None])[0]).sum()
    (ours_V,) = torch.autograd.grad(expected, logits_V)
    assert float(exact_V.norm()) > 0.1
    assert torch.allclose(ours_V, exact_V, atol=1e-12)


def test_log_ratio_as_a_loss_would_not_limit_anything() -> None:
    """The trap: the log ratio (k1) averages to the divergence, and its expected gradient is zero."""
    logits_V, log_p_V, log_q_V = _enumerated()
    k1_V = log_p_V - log_q_V
    assert (log_p_V.exp() * k1_V).sum().item() > 0.1
    (gradient_V,) = torch.autograd.grad((log_p_V.exp().detach() * k1_V).sum(), logits_V)
    assert float(gradient_V.abs().max()) < 1e-12


def test_kl_estimate_averages_to_the_divergence_and_is_never_negative() -> None:
    """The logged value is unbiased: its mean over p is KL(p || q); and no single token is below zero."""
    _, log_p_V, log_q_V = _enumerated()
    exact = (log_p_V.exp() * (log_p_V - log_q_V)).sum().item()
    values_V = kl_estimate(log_p_V[None], log_q_V[None])[0]
    assert (log_p_V.exp() * values_V).sum().item() == pytest.approx(exact, abs=1e-12)
    assert float(values_V.min()) >= 0.0
    assert not values_V.requires_grad


def test_kl_estimate_survives_an_impossible_token() -> None:
    """A token that the reference all but forbids gives a large finite number."""
    value = kl_estimate(torch.tensor([[-500.0]]), torch.tensor([[-0.1]]))
    assert math.isfinite(float(value))


def test_policy_loss_by_hand() -> None:
    """Two samples of 2 and 1 tokens, advantages 1 and -1: (-(-1-2) + (-4)) / 3 tokens, plus 0.5 times a k2 of 0.5 / 3."""
    log_probs_NT = torch.tensor([[-1.0, -2.0], [-4.0, -99.0]])
    reference_NT = torch.tensor([[-2.0, -2.0], [-4.0, 99.0]])
    mask_NT = torch.tensor([[1, 1], [1, 0]])
    got = policy_loss(log_probs_NT, mask_NT, torch.tensor([1.0, -1.0]), reference_NT, kl_coefficient=0.5)
    assert got.loss.item() == pytest.approx((3.0 - 4.0 + 0.5 * 0.5) / 3)
    assert got.tokens == 3
    assert got.surprise_sum == pytest.approx(7.0)
    assert got.kl_sum == pytest.approx(math.exp(-1) - 1 + 1)


def test_policy_loss_raises_good_samples_and_lowers_bad_ones() -> None:
    """A step against the gradient makes the sample with the positive advantage likelier, the other less likely."""
    log_probs_NT = torch.tensor([[-1.0], [-1.0]], requires_grad=True)
    policy_loss(
        log_probs_NT, torch.ones(2, 1), torch.tensor([2.0, -1.0]), torch.full((2, 1), -1.0), kl_coefficient=0.0
    ).loss.backward()
    assert log_probs_NT.grad is not None
    assert log_probs_NT.grad.tolist() == [[-1.0], [0.5]]


def test_padding_has_no_gradient_and_may_hold_anything() -> None:
    """NaN on padding reaches neither the loss nor a gradient."""
    log_probs_NT = torch.tensor([[-1.0, math.nan]], requires_grad=True)
    got = policy_loss(
        log_probs_NT, torch.tensor([[1, 0]]), torch.tensor([1.0]), torch.tensor([[-1.5, math.nan]]), kl_coefficient=0.1
    )
    got.loss.backward()
    assert math.isfinite(got.loss.item())
    assert log_probs_NT.grad is not None
    assert log_probs_NT.grad[0, 1] == 0.0


def test_micro_batches_add_up_to_the_whole() -> None:
    """Gradients of micro-batches that divide by the rollout's tokens sum to the gradient of the whole rollout."""
    generator = torch.Generator().manual_seed(0)
    values_NT = -torch.rand(4, 3, generator=generator)
    reference_NT, advantages_N = -torch.rand(4, 3, generator=generator), torch.randn(4, generator=generator)
    mask_NT = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    whole_NT, parts_NT = values_NT.clone().requires_grad_(), values_NT.clone().requires_grad_()
    policy_loss(whole_NT, mask_NT, advantages_N, reference_NT, kl_coefficient=0.3).loss.backward()
    for rows in (slice(0, 1), slice(1, 4)):
        policy_loss(
            parts_NT[rows], mask_NT[rows], advantages_N[rows], reference_NT[rows], kl_coefficient=0.3, total_tokens=9
        ).loss.backward()
    assert whole_NT.grad is not None
    assert parts_NT.grad is not None
    assert torch.allclose(whole_NT.grad, parts_NT.grad, atol=1e-7)
