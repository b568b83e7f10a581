"""Mistakes in a pair, its model, or the library around them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from tests.unit.doctor.garden import Bed, Garden, Patient
from tests.unit.doctor.patients import healthy_pair, with_card
from torch import Tensor, nn

from nlakit.data import tokens as data_tokens
from nlakit.models import inject, readings, reconstructor, sampler, sites, target
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sampler import Sample
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.train import policy, rollout
from nlakit.vectors import VectorStats

BED = Bed()


# ---- parts, layer, prompts -------------------------------------------------------------------------


@BED.plant(0)
def another_model(garden: Garden) -> Patient:
    known = garden.pair.card.target
    return with_card(garden.pair, target=known.model_copy(update={"fingerprint": "0123456789abcdef"}))


@BED.plant(1)
def hidden_states_of_the_layer_before(garden: Garden) -> Patient:
    read = Site.read
    garden.patch.setattr(Site, "read", lambda site, *given: read(replace(site, layer=site.layer - 1), *given))
    return garden.pair


@BED.plant(2)
def marker_with_other_neighbours(garden: Garden) -> Patient:
    pair = garden.pair
    prompts = pair.card.prompts.model_copy(update={"left_id": pair.card.prompts.left_id + 1})
    pair.verbalizer.prompts = prompts
    return with_card(pair, prompts=prompts)


@BED.plant(2)
def marker_twice_in_the_live_prompt(garden: Garden) -> Patient:
    verbalizer = garden.pair.verbalizer
    verbalizer.prompt_ids = [*verbalizer.prompt_ids, verbalizer.prompts.marker_id]
    return garden.pair


@BED.plant(3)
def second_bos_in_chats(garden: Garden) -> Patient:
    pair = healthy_pair(bos=True)

    def always(tokenizer: Any, text: str, *, literal: bool = False) -> Any:
        return tokenizer(text, return_offsets_mapping=True, split_special_tokens=literal)

    garden.patch.setattr(target, "encode_once", always)
    return pair


@BED.plant(3)
def no_bos_for_the_reconstructor(garden: Garden) -> Patient:
    pair = healthy_pair(bos=True)

    def without(tokenizer: Any, texts: list[str]) -> list[list[int]]:
        return [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]

    garden.patch.setattr(reconstructor, "encode_many", without)
    return pair


# ---- injection -------------------------------------------------------------------------------------


@BED.plant(4)
def scale_multiplies(garden: Garden) -> Patient:
    garden.patch.setattr(inject, "scaled", lambda vectors_ND, scale: vectors_ND.float() * scale)
    return garden.pair


@BED.plant(5)
def embedding_scaled_again(garden: Garden) -> Patient:
    first = garden.pair.verbalizer.model.model.layers[0]
    first.register_forward_pre_hook(lambda _module, args: (args[0] * 32**0.5, *args[1:]))
    return garden.pair


@BED.plant(23)
def orphan_embedding(garden: Garden) -> Patient:
    model = garden.pair.verbalizer.model
    orphan = copy.deepcopy(model.get_input_embeddings())
    model.get_input_embeddings = lambda: orphan
    return garden.pair


@BED.plant(23)
def logits_that_ignore_the_vector(garden: Garden) -> Patient:
    for block in garden.pair.verbalizer.model.model.layers:
        nn.init.zeros_(block.self_attn.o_proj.weight)  # nothing moves between positions any more
    return garden.pair


# ---- sampling, scoring, KL -------------------------------------------------------------------------


@BED.plant(6)
def samples_cut_by_the_prompt(garden: Garden) -> Patient:
    finish = sampler._finish

    def cut(verbalizer: Verbalizer, raw: Any) -> list[Sample]:
        return [replace(item, ids=item.ids[len(verbalizer.prompt_ids) :]) for item in finish(verbalizer, raw)]

    garden.patch.setattr(sampler, "_finish", cut)
    return garden.pair


@BED.plant(7)
def cache_keyed_by_tokens(garden: Garden) -> Patient:
    read, seen = sampler._Decoder._read_vectors, {}

    def cached(self: Any, shared: Any, vectors_ND: Tensor, *given: int) -> Any:
        tokens = (tuple(self.verbalizer.own_ids), len(vectors_ND))
        return read(self, shared, seen.setdefault(tokens, vectors_ND), *given)

    garden.patch.setattr(sampler._Decoder, "_read_vectors", cached)
    return garden.pair


@BED.plant(10)
def kl_without_gradient(garden: Garden) -> Patient:
    garden.patch.setattr(policy, "kl_penalty", lambda log_p, log_q: log_p - log_q.detach())  # k1
    return garden.pair


@BED.plant(10)
def kl_of_constants(garden: Garden) -> Patient:
    garden.patch.setattr(policy, "kl_penalty", lambda log_p, log_q: (log_p.detach() - log_q).square() / 2)
    return garden.pair


@BED.plant(10)
def kl_logged_of_the_reference(garden: Garden) -> Patient:
    garden.patch.setattr(policy, "kl_estimate", lambda log_p, log_q: torch.zeros_like(log_p))
    return garden.pair


@BED.plant(11)
def log_probs_of_the_sharpened_distribution(garden: Garden) -> Patient:
    draw = sampler._Decoder._draw

    def sharpened(self: Any, logits_RV: Tensor, uniform_R1: Tensor, temperature: float) -> tuple[Tensor, Tensor | None]:
        tokens_R, log_probs_R = draw(self, logits_RV, uniform_R1, temperature)
        if log_probs_R is None or temperature == 0:
            return tokens_R, log_probs_R
        sharp_RV = (logits_RV.float() / temperature).log_softmax(dim=-1)
        return tokens_R, sharp_RV.gather(1, tokens_R[:, None])[:, 0]

    garden.patch.setattr(sampler._Decoder, "_draw", sharpened)
    return garden.pair


@BED.plant(16)
def logits_everywhere(garden: Garden) -> Patient:
    def whole(self: Verbalizer, vectors_ND: Tensor, completion_NT: Tensor, mask_NT: Tensor) -> Tensor:
        prompt_NT = torch.tensor(self.prompt_ids).expand(len(completion_NT), -1)
        with self.injection(vectors_ND, self.marker_position):
            logits_NTV = self.model(input_ids=torch.cat([prompt_NT, completion_NT], dim=1)).logits
        return logits_NTV[:, len(self.prompt_ids) - 1 : -1][mask_NT]

    garden.patch.setattr(Verbalizer, "_logits", whole)
    return garden.pair


@BED.plant(18)
def vector_hardly_used(garden: Garden) -> Patient:
    with torch.no_grad():
        for block in garden.pair.verbalizer.model.model.layers:
            block.self_attn.o_proj.weight.mul_(1e-3)
    return garden.pair


# ---- the reconstructor -----------------------------------------------------------------------------


@BED.plant(8)
def head_not_finite(garden: Garden) -> Patient:
    with torch.no_grad():
        garden.pair.reconstructor.value_head.weight[3, 3] = float("nan")
    return garden.pair


@BED.plant(8)
def head_in_bfloat16(garden: Garden) -> Patient:
    garden.pair.reconstructor.value_head.to(torch.bfloat16)
    return garden.pair


@BED.plant(8)
def head_that_starts_elsewhere(garden: Garden) -> Patient:
    return with_card(garden.pair, training={})


@BED.plant(9)
def last_column_under_right_padding(garden: Garden) -> Patient:
    forward = Reconstructor.forward

    def last(self: Reconstructor, tokens_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return forward(self, tokens_BT, torch.ones_like(mask_BT))

    garden.patch.setattr(Reconstructor, "forward", last)
    return garden.pair


@BED.plant(9)
def reward_is_not_the_error(garden: Garden) -> Patient:
    garden.patch.setattr(rollout, "direction_error", lambda a_ND, b_ND: (a_ND - b_ND).square().mean(dim=-1))
    return garden.pair


@BED.plant(22)
def padding_told_by_its_token(garden: Garden) -> Patient:
    inputs = sites.decoder_inputs

    def by_token(tokens_BT: Tensor, mask_BT: Tensor | None, *given: bool) -> dict[str, Tensor]:
        end = garden.pair.target.tokenizer.eos_token_id
        return inputs(tokens_BT, None if mask_BT is None else tokens_BT != end, *given)

    for module in (sites, reconstructor):
        garden.patch.setattr(module, "decoder_inputs", by_token)
    return garden.pair


@BED.plant(24)
def head_never_saved(garden: Garden) -> Patient:
    nn.init.eye_(garden.pair.reconstructor.value_head.weight)
    return garden.pair


@BED.plant(24, "warning")
def head_at_random(garden: Garden) -> Patient:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        garden.pair.reconstructor.value_head.reset_parameters()
    return garden.pair


@BED.plant(24)
def norms_out_of_range(garden: Garden) -> Patient:
    with torch.no_grad():
        garden.pair.reconstructor.value_head.weight.mul_(1e4)
    return garden.pair


@BED.plant(19)
def early_tokens_not_flagged(garden: Garden) -> Patient:
    garden.patch.setattr(readings, "EARLY_POSITIONS", 0)
    return garden.pair


@BED.plant(19)
def outliers_not_flagged(garden: Garden) -> Patient:
    garden.patch.setattr(readings, "OUTLIER_FACTOR", 1e6)
    return garden.pair


# ---- texts and rows --------------------------------------------------------------------------------


@BED.plant(14)
def documents_tokenised_whole(garden: Garden) -> Patient:
    garden.patch.setattr(data_tokens, "CHARACTERS_PER_TOKEN", 10**9)
    return garden.pair


@BED.plant(14)
def explanations_beyond_the_window(garden: Garden) -> Patient:
    return with_card(garden.pair, max_new_tokens=10_000)


@BED.plant(15)
def chats_not_escaped(garden: Garden) -> Patient:
    garden.patch.setattr(Target, "escape", lambda _target, text: text)
    return garden.pair


@BED.plant(15)
def texts_not_literal(garden: Garden) -> Patient:
    draft = data_tokens._draft
    garden.patch.setattr(data_tokens, "_draft", lambda *given: replace(draft(*given), literal=False))
    return garden.pair


@BED.plant(15)
def explanations_not_escaped(garden: Garden) -> Patient:
    garden.pair.verbalizer.controls = None
    return garden.pair


@BED.plant(13)
def variance_around_a_mean_of_norm_1(garden: Garden) -> Patient:
    mean_D = garden.pair.card.stats.mean_D
    norm = float(mean_D.norm())
    return with_card(garden.pair, stats=VectorStats(mean_D / norm, 2 - 2 * norm))


@BED.plant(25)
def results_of_training_rows(garden: Garden) -> Patient:
    measures = garden.pair.card.results
    return with_card(garden.pair, results={**measures, "fve": measures["fve"].model_copy(update={"split": "rl"})})


@BED.plant(21, "warning")
def words_only_the_second_reconstructor_reads(garden: Garden) -> Patient:
    frozen = garden.pair.card.results["fve_frozen_reconstructor"].model_copy(
        update={"value": 0.31, "low": 0.29, "high": 0.33}
    )
    return with_card(garden.pair, results={**garden.pair.card.results, "fve_frozen_reconstructor": frozen})
