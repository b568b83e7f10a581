"""One step of reinforcement learning: sample, score, and move both halves.

Axes: P prompts of a step, G samples per prompt, N = P * G, B samples of a micro-batch, T tokens, D vector width.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlakit.claims.exchange import ClaimReader
from nlakit.config import MemoryConfig, OptimizerName, TrainConfig, derive_seed
from nlakit.explanations import Outcome
from nlakit.models.compute import Compute
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.verbalizer import Verbalizer
from nlakit.train.agreement import agreement_rewards
from nlakit.train.memory import rows_that_fit
from nlakit.train.optimise import make_optimizer, optimizer_step, warmup_cosine
from nlakit.train.policy import group_advantages, policy_loss, rewards
from nlakit.train.rewording import Reworder
from nlakit.train.rollout import Rollout, rollout, score
from nlakit.vectors import fve

LABEL = "train"
"""Names the draws of rollouts."""


@dataclass(frozen=True)
class Learnt:
    """What one step sampled and found."""

    rolled: Rollout
    errors_N: Tensor
    rewards_N: Tensor
    line: dict[str, Any]
    """The step's line of ``metrics.jsonl``."""


@dataclass(frozen=True)
class Learner:
    """Both halves as they learn, their optimizers, and the warm start that the verbalizer is held to."""

    verbalizer: Verbalizer
    reconstructor: Reconstructor
    reference: Verbalizer
    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    variance: float
    reworder: Reworder
    """Says a share of the explanations in other words before the reconstructor reads them."""
    reader: ClaimReader | None
    """Finds the claims whose agreement is rewarded; None where it is not."""

    @classmethod
    def of(
        cls, pair: Pair, verbalizer_optimizer: OptimizerName, reworder: Reworder, reader: ClaimReader | None = None
    ) -> Learner:
        """Make everything of both halves trainable."""
        reference = pair.verbalizer.frozen_copy()
        modules: dict[str, nn.Module] = {"verbalizer": pair.verbalizer.model, "reconstructor": pair.reconstructor}
        for module in modules.values():
            module.requires_grad_(True)
            module.eval()  # dropout would make the sampled and the trained distribution differ
        optimizers = {
            "verbalizer": make_optimizer(pair.verbalizer.model, kind=verbalizer_optimizer),
            "reconstructor": make_optimizer(pair.reconstructor),
        }
        variance = pair.card.require_stats().variance
        return cls(pair.verbalizer, pair.reconstructor, reference, modules, optimizers, variance, reworder, reader)

    def compute(self, settings: MemoryConfig, dtype: str) -> None:
        """Choose how both halves run while they learn; ``dtype`` is what the target computes in."""
        self.verbalizer.compute = Compute.of(settings, self.verbalizer.model, dtype)
        self.reference.compute = self.verbalizer.compute
        self.reconstructor.compute = Compute.of(settings, self.reconstructor.backbone, dtype)

    def fitting(self, config: TrainConfig, fill: float) -> int:
        """How many samples a backward pass of either half may have, judged by explanations of the full length."""
        told = [self.verbalizer.end_id] * config.max_new_tokens
        heard = [*self.reconstructor.token_ids([""])[0], *told]

        def tell(rows: int) -> None:
            log_probs_BT, _ = self.verbalizer.log_probs(torch.ones(rows, self.verbalizer.width), [told] * rows)
            log_probs_BT.sum().backward()

        def hear(rows: int) -> None:
            self.reconstructor(*self.reconstructor.pad([heard] * rows)).sum().backward()

        most = rows_that_fit(tell, [self.verbalizer.model], most=config.micro_batch, fill=fill)
        return rows_that_fit(hear, [self.reconstructor], most=most, fill=fill)

    def step(self, vectors_PD: Tensor, config: TrainConfig, *, step: int, seed: int) -> Learnt:
        """Take one step of each half on fresh samples; DivergedError where a number is not finite."""
        started = time.perf_counter()
        what = f"train: step {step}"
        # 1. Sample a group of explanations for each vector from the verbalizer as it is now.
        rolled = rollout(
            self.verbalizer,
            vectors_PD,
            group_size=config.group_size,
            max_new_tokens=config.max_new_tokens,
            seed=derive_seed(seed, LABEL, "rollout", step),
        )
        # 2. Score them by the reconstructor as it is now, some in other words; its gradients wait for 4.
        texts = [sample.text for sample in rolled.samples]
        heard = self.reworder.some(texts, range(len(texts)), derive_seed(seed, LABEL, "heard", step))
        errors_N = score(self.reconstructor, rolled, heard, micro_batch=config.micro_batch, what=what)
        agreement_N = agreement_rewards(rolled, self.reader)
        rewards_N = rewards(
            errors_N,
            rolled.lengths_N,
            rolled.failed_N,
            length_penalty=config.length_penalty,
            failed_reward=config.failed_reward,
            bonuses_N=config.agreement * agreement_N,
        )
        advantages_PG = group_advantages(rewards_N.view(-1, config.group_size))
        # 3. One step of the verbalizer, towards the samples that beat their group.
        factor = warmup_cosine(
            step - 1, steps=config.steps, warmup=config.warmup_steps, floor=config.final_learning_rate
        )
        sums = self._policy_gradients(rolled, advantages_PG.flatten(), config)
        verbalizer_norm = optimizer_step(
            self.optimizers["verbalizer"],
            learning_rate=config.verbalizer_learning_rate * factor,
            max_grad_norm=config.max_grad_norm,
            what=f"{what}: verbalizer",
        )
        # 4. One step of the reconstructor on the same explanations, failed ones excluded.
        reconstructor_norm = 0.0
        if not bool(rolled.failed_N.all()):
            reconstructor_norm = optimizer_step(
                self.optimizers["reconstructor"],
                learning_rate=config.reconstructor_learning_rate * factor,
                max_grad_norm=config.max_grad_norm,
                what=f"{what}: reconstructor",
            )
        seconds = time.perf_counter() - started
        line = {
            **rollout_metrics(rolled, errors_N, rewards_N, advantages_PG, self.variance),
            **({} if self.reader is None else {"agreement": float(agreement_N.mean())}),
            "kl": sums["kl"] / rolled.tokens,
            "entropy": sums["surprise"] / rolled.tokens,
            "rollout_gap": sums["gap"],
            "verbalizer_grad_norm": verbalizer_norm,
            "reconstructor_grad_norm": reconstructor_norm,
            "head_finite": float(torch.isfinite(self.reconstructor.value_head.weight).all()),
            "max_new_tokens": config.max_new_tokens,
            "seconds": seconds,
            "tokens_per_second": rolled.tokens / seconds,
        }
        return Learnt(rolled, errors_N, rewards_N, line)

    def _policy_gradients(self, rolled: Rollout, advantages_N: Tensor, config: TrainConfig) -> dict[str, float]:
        """Leave the gradient of the policy loss on the verbalizer; return sums over tokens, and the largest gap."""
        sums = {"kl": 0.0, "surprise": 0.0, "gap": 0.0}
        for batch in rolled.micro_batches(config.micro_batch):
            ids = [rolled.samples[row].ids for row in batch]
            with torch.no_grad():
                reference_BT, _ = self.reference.log_probs(rolled.vectors_ND[batch], ids)
            log_probs_BT, mask_BT = self.verbalizer.log_probs(rolled.vectors_ND[batch], ids)
            loss = policy_loss(
                log_probs_BT,
                mask_BT,
                advantages_N[batch].to(log_probs_BT.device),
                reference_BT,
                kl_coefficient=config.kl_coefficient,
                total_tokens=rolled.tokens,
            )
            loss.loss.backward()
            sums["kl"] += loss.kl_sum
            sums["surprise"] += loss.surprise_sum
            sums["gap"] = max(sums["gap"], rollout_gap(rolled, batch, log_probs_BT.detach()))
        return sums


def rollout_metrics(
    rolled: Rollout, errors_N: Tensor, rewards_N: Tensor, advantages_PG: Tensor, variance: float
) -> dict[str, float | None]:
    """Return what a rollout says about the step: quality, length and how its outputs ended.

    ``fve_batch`` counts failed outputs with error 2, as every FVE does; ``error`` is the mean over usable ones alone.
    """
    usable_N = ~rolled.failed_N
    return {
        "fve_batch": fve(errors_N, variance),
        "reward": float(rewards_N.mean()),
        "error": float(errors_N[usable_N].mean()) if bool(usable_N.any()) else None,
        "length": rolled.tokens / len(rolled.samples),
        "parse_rate": rolled.rate(Outcome.OK),
        "cap_rate": rolled.rate(Outcome.CUT_OFF),
        "distinct": rolled.distinct,
        "flat_groups": float((advantages_PG == 0).all(dim=1).float().mean()),
    }


def rollout_gap(rolled: Rollout, batch: list[int], log_probs_BT: Tensor) -> float:
    """Return the largest difference, nats, between a token's log-probability when it was sampled and when trained on."""
    gap = 0.0
    for place, row in enumerate(batch):
        sampled_T = rolled.samples[row].log_probs
        if sampled_T is not None:
            trained_T = log_probs_BT[place, : len(sampled_T)].cpu()
            gap = max(gap, float((trained_T - sampled_T.cpu()).abs().max()))
    return gap
