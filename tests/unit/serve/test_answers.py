"""What the target goes on with: the same with and without a cache, and ended where it should."""

from __future__ import annotations

import torch

from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import configured_ends
from nlakit.serve.answers import answer, answer_ends
from nlakit.testing import tiny_target


def written(*args, **settings):
    return [step.token_id for step in answer(*args, **settings)]


def test_greedy_answers_are_those_of_whole_passes():
    """Written with a cache, token by token, is what a pass over everything says each time."""
    target = tiny_target()
    ids = target.encode("The red box is").ids
    found = written(target, ids, max_new_tokens=12, temperature=0.0)

    so_far = list(ids)
    for token in found:
        with torch.inference_mode():
            assert token == int(target.model(input_ids=torch.tensor([so_far])).logits[0, -1].argmax())
        so_far.append(token)
    assert len(found) == 12 or found[-1] == target.tokenizer.eos_token_id


def test_what_is_read_on_the_way_is_what_a_pass_over_everything_reads():
    """The vectors of the prompt come with the first token, and each later one when its token has been read."""
    target, site = tiny_target(), Site("resid", 1)
    ids = target.encode("The red box is").ids
    steps = list(answer(target, ids, max_new_tokens=6, temperature=0.0, site=site))
    assert [len(step.read_TD) for step in steps] == [len(ids), *[1] * (len(steps) - 1)]
    whole = [*ids, *[step.token_id for step in steps[:-1]]]
    expected_TD = site.read(target, torch.tensor([whole]))[0].float()
    torch.testing.assert_close(torch.cat([step.read_TD for step in steps]), expected_TD, rtol=1e-4, atol=1e-4)


def test_a_change_is_made_while_the_prompt_is_read_alone():
    """What is written into the prompt changes the answer; writing what was there changes nothing."""
    target, site = tiny_target(), Site("resid", 1)
    ids = target.encode("The red box is").ids
    own_D = site.read(target, torch.tensor([ids]))[0, -1]
    settings = {"max_new_tokens": 8, "temperature": 0.0}
    plain = written(target, ids, **settings)
    last = torch.tensor([len(ids) - 1])
    assert written(target, ids, **settings, changed=site.write(target, own_D[None], last)) == plain
    assert written(target, ids, **settings, changed=site.write(target, -30 * own_D[None], last)) != plain


def test_the_seed_decides_what_is_drawn():
    """Equal seeds write alike, another seed otherwise, and the window is never overrun."""
    target = tiny_target()
    ids = target.encode("The red box is").ids
    first, again, other = (written(target, ids, max_new_tokens=20, temperature=1.0, seed=seed) for seed in (1, 1, 2))

    assert first == again != other
    long = written(target, ids, max_new_tokens=10**6, temperature=1.0, seed=3)
    assert len(ids) + len(long) <= target.max_positions


def test_an_answer_ends_with_its_turn():
    """Where a chat template closes an answer with a token of its own, writing goes no further, whatever the settings say."""
    target = Target.load("terrarium")
    chat = [{"role": "user", "content": "What is 5 plus 9? The tool says 15."}]
    ids = target.encode(target.render(chat, add_generation_prompt=True)).ids
    found = written(target, ids, max_new_tokens=60, temperature=0.0)
    assert target.tokenizer.decode(found) == "The answer is 14 instead.<|end|>"


def test_a_target_without_a_template_ends_as_its_settings_say():
    """Nothing is asked of a template that is not there, or that refuses a plain chat."""
    target = tiny_target()
    ends = {*configured_ends(target.model), target.tokenizer.eos_token_id}
    for template in (None, "{{ raise_exception('no') }}"):
        target.tokenizer.chat_template = template
        assert answer_ends(target) == ends


def test_next_to_no_temperature_is_none():
    """A temperature too small for a number takes the likeliest token, as 0 does."""
    target = tiny_target()
    ids = target.encode("The red box is").ids
    assert written(target, ids, max_new_tokens=8, temperature=1e-46) == written(
        target, ids, max_new_tokens=8, temperature=0.0
    )
