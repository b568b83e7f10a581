"""Pushing a pair: what goes, what may not go, one commit, and the refusals of a Hub in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants
from tests.hub import BAD_TOKEN, TOKEN, Answer, Fault, Hub

from nlakit.card import Card
from nlakit.config import AdapterConfig
from nlakit.errors import InputError, PairError, PublishError, StorageFullError, UnreachableError
from nlakit.models.pair import Pair
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.publish.push import Publication, Upload, push_pair
from nlakit.testing import tiny_pair, tiny_pair_folder, tiny_target_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny pair with its weights from before, and files that are nobody's business."""
    folder = tiny_pair_folder(tmp_path_factory.mktemp("made"))
    for half in ("verbalizer", "reconstructor"):
        shutil.copytree(folder / half, folder / "warm-start" / half)
    for name in ("notes.txt", "verbalizer/optimizer.pt", "reconstructor/train.py", "answers/key.json", "README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def ready(hub: Hub, made: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A Hub that has the target, and a token that may write as ``me``."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("nlakit.models.hub.time.sleep", lambda _: None)
    hub.put("me/base", made.parent / "target").files["README.md"] = b"---\nlicense: apache-2.0\n---\n"
    return hub


def copied(made: Path, folder: Path) -> Path:
    return Path(shutil.copytree(made, folder / "pair"))


def test_a_pushed_pair_is_read_by_name_as_it_was(ready: Hub, made: Path) -> None:
    """The weights arrive bit for bit, and whoever loads it from the Hub, target included, reads what its maker reads."""
    url = push_pair(made, "me/tiny", target="me/base")

    repo = ready.repos["me/tiny"]
    assert f"{ready.url}/me/tiny/commit/{repo.branches['main']}" == url
    for name, content in repo.files.items():
        if name.endswith(".safetensors"):
            assert (made / name).read_bytes() == content
    here, there = Pair.from_pretrained(made), Pair.from_pretrained("me/tiny")
    assert "me/base" == there.card.target.model
    assert here.read("The cat sat on the mat.", seed=3) == there.read("The cat sat on the mat.", seed=3)
    for ours, theirs in zip(here.verbalizer.model.parameters(), there.verbalizer.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    before = Pair.from_pretrained("me/tiny", part="warm-start", load_target=False)
    assert torch.equal(here.reconstruct(["a cat"]), before.reconstruct(["a cat"]))


def test_only_the_files_of_a_pair_go_and_no_path_of_the_machine(ready: Hub, made: Path) -> None:
    """A new private repository, one commit, a card without this machine in it, and a model card with the base's licence."""
    push_pair(made, "me/tiny", target="me/base", message="First light")

    repo = ready.repos["me/tiny"]
    assert repo.private
    assert ["initial commit", "First light"] == repo.messages
    halves = {f"{part}{half}" for part in ("", "warm-start/") for half in ("verbalizer", "reconstructor")}
    tops = {".gitattributes", "README.md", "card.yaml", "stats.safetensors"}
    assert {name for name in repo.files if "/" not in name} == tops
    assert {name.rpartition("/")[0] for name in repo.files} - {""} == halves
    assert {".safetensors", ".json", ".jinja", ".yaml", ".md", ""} >= {Path(name).suffix for name in repo.files}
    text = b"".join(content for name, content in repo.files.items() if not name.endswith(".safetensors"))
    assert str(made.parent).encode() not in text
    assert b"/tmp" not in text
    assert TOKEN.encode() not in text
    assert b"license: apache-2.0" in repo.files["README.md"]
    assert b"--pair me/tiny" in repo.files["README.md"]
    assert "me/base" == yaml.safe_load(repo.files["card.yaml"])["target"]["model"]


def test_the_token_goes_to_the_hub_alone_and_nowhere_else(
    ready: Hub, made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is in the headers of requests, and in nothing that is written or printed."""
    publication = Publication.of(made, "me/tiny", target="me/base")
    publication.write(tmp_path / "dry")
    print(Upload.prepare(publication).plan())  # noqa: T201
    push_pair(made, "me/tiny", target="me/base")

    assert all(TOKEN in asked.headers.get("authorization", "") for asked in ready.asked if "/api/" in asked.path)
    assert not [asked for asked in ready.asked if TOKEN.encode() in asked.data]
    out, err = capfd.readouterr()
    assert TOKEN not in out + err
    assert not [
        path for path in (tmp_path / "dry").rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]


def test_a_second_push_replaces_what_was_there_in_one_commit(ready: Hub, made: Path, tmp_path: Path) -> None:
    """Files of the earlier pair that the new one lacks go, and what people added stays."""
    push_pair(made, "me/tiny", target="me/base")
    repo = ready.repos["me/tiny"]
    stale = "verbalizer/model-00001-of-00002.safetensors"
    repo.commit("main", {**repo.files, stale: b"old", "LICENSE": b"text"}, "by hand")
    changed = copied(made, tmp_path)
    card = Card.load(changed)
    card.model_copy(update={"name": "newer"}).save(changed)

    url = push_pair(changed, "me/tiny", target="me/base")

    assert repo.branches["main"] == url.rpartition("/")[2]
    assert stale not in repo.files
    assert b"text" == repo.files["LICENSE"]
    assert "newer" == Pair.from_pretrained("me/tiny", load_target=False).card.name
    count = len(repo.messages)
    assert url == push_pair(changed, "me/tiny", target="me/base")
    assert count == len(repo.messages)


def test_a_branch_of_its_own_leaves_the_main_one_alone(ready: Hub, made: Path) -> None:
    """``revision`` makes the branch if it is not there, and pairs are read from it by name."""
    push_pair(made, "me/tiny", target="me/base")
    main = ready.repos["me/tiny"].branches["main"]

    for message in ("one", "two"):
        push_pair(made, "me/tiny", target="me/base@main", revision="next", message=message)

    repo = ready.repos["me/tiny"]
    assert main == repo.branches["main"]
    assert "main" == Pair.from_pretrained("me/tiny@next", load_target=False).card.target.revision


def test_a_pair_in_hand_is_pushed_by_its_own_method(ready: Hub, made: Path) -> None:
    """``Pair.push_to_hub`` writes it for the way only, public where that is said."""
    pair = Pair.from_pretrained(made)

    pair.push_to_hub("me/tiny", private=False, target="me/base", licence="mit", dtype="bfloat16", warm_start=made)

    assert not ready.repos["me/tiny"].private
    assert b"license: mit" in ready.repos["me/tiny"].files["README.md"]
    again = Pair.from_pretrained("me/tiny")
    assert torch.allclose(pair.reconstruct(["a cat"]), again.reconstruct(["a cat"]), rtol=0.1, atol=0.1)
    assert "warm-start/verbalizer/model.safetensors" in ready.repos["me/tiny"].files


@pytest.mark.parametrize("warm_start", [True, False])
def test_the_weights_that_support_asks_go_along_unless_that_is_refused(
    ready: Hub, made: Path, warm_start: bool
) -> None:
    """A pair that was loaded with its warm start is published with it, from Python as by the command."""
    Pair.from_pretrained(made).push_to_hub("me/tiny", target="me/base", licence="mit", warm_start=warm_start)
    weights = "warm-start/verbalizer/model.safetensors"
    assert (weights in ready.repos["me/tiny"].files) == warm_start
    Pair.from_pretrained("me/tiny").push_to_hub("me/again", target="me/base", licence="mit", warm_start=warm_start)
    assert (weights in ready.repos["me/again"].files) == warm_start


def test_a_dry_run_writes_what_would_be_pushed(ready: Hub, made: Path, tmp_path: Path) -> None:
    """The same files with the same bytes, a folder that can be read; nothing that was there is replaced."""
    publication = Publication.of(made, "me/tiny", target="me/base", warm_start=False)

    folder = publication.write(tmp_path / "dry")

    assert "me/tiny" not in ready.repos
    Upload.prepare(publication).run()
    pushed = {name: content for name, content in ready.repos["me/tiny"].files.items() if name != ".gitattributes"}
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert pushed == written
    assert not [name for name in written if name.startswith("warm-start")]
    assert "me/base" == Pair.from_pretrained(folder).card.target.model
    with pytest.raises(InputError, match="dry exists already"):
        publication.write(folder)


def test_a_dry_run_without_room_leaves_nothing(
    ready: Hub, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is found before the first file."""
    publication = Publication.of(made, "me/tiny", target="me/base")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())

    with pytest.raises(StorageFullError, match="choose another folder"):
        publication.write(tmp_path / "out" / "dry")
    assert not (tmp_path / "out").exists()


def test_the_plan_says_what_goes_where_and_who_can_see_it(ready: Hub, made: Path) -> None:
    """Files with their sizes, visibility, what stays here, and that it cannot be taken back."""
    publication = Publication.of(made, "me/tiny", target="me/base")
    private, public = (Upload.prepare(publication, private=private).plan() for private in (True, False))

    assert f"me/tiny (private), a new repository: {len(publication.contents)} files, 0.67 MB" in private
    assert "PUBLIC: everybody can see it" in public
    assert "MB  verbalizer/model.safetensors" in private
    for name in ("notes.txt", "verbalizer/optimizer.pt", "reconstructor/train.py", "answers/key.json"):
        assert f"not published: {name}" in private
    assert "cannot be taken back" in private
    assert "checked when it is loaded" in private
    push_pair(made, "me/tiny", target="me/base")
    assert (
        "a commit to the repository that is there, on the branch v1"
        in Upload.prepare(publication, revision="v1").plan()
    )


def damaged(folder: Path) -> None:
    path = folder / "reconstructor" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def with_key(folder: Path) -> None:
    card = Card.load(folder)
    data = {"annotate": {"teacher": "mine", "options": {"key": "sk-" + "a" * 40}}}
    card.model_copy(update={"data": data}).save(folder)


def with_path(folder: Path) -> None:
    path = folder / "verbalizer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cache_dir": str(folder)}))


def without_half(folder: Path) -> None:
    shutil.rmtree(folder / "reconstructor")


def unreadable(folder: Path) -> None:
    (folder / "verbalizer" / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "expected", "message"),
    [
        (damaged, PublishError, "reconstructor/model.safetensors is damaged and not published"),
        (with_key, PublishError, "card.yaml, data.annotate.options.key holds what looks like a key"),
        (with_path, PublishError, "verbalizer/config.json, cache_dir holds a path of this machine"),
        (without_half, PairError, "is no pair: it has no folder reconstructor"),
        (unreadable, PublishError, "verbalizer/config.json is damaged"),
    ],
)
def test_what_may_not_go_is_refused_before_anything_is_asked(
    ready: Hub, made: Path, tmp_path: Path, spoil, expected, message
) -> None:
    """Damaged weights, a key, a path, half a pair: one sentence, nothing on the Hub, and the key is not shown."""
    folder = copied(made, tmp_path)
    spoil(folder)

    with pytest.raises(expected, match=message) as caught:
        push_pair(folder, "me/tiny", target="me/base")
    assert "\n" not in str(caught.value)
    assert "aaaaaa" not in str(caught.value)
    assert ["me/base"] == list(ready.repos)


def test_a_target_that_only_this_machine_has_is_refused(ready: Hub, made: Path) -> None:
    """The cure is to publish it first, and to say where."""
    with pytest.raises(PublishError, match="which only this machine has.*--target OWNER/NAME"):
        push_pair(made, "me/tiny")
    with pytest.raises(PublishError, match="'tiny' is no name of a repository; give it as OWNER/NAME"):
        push_pair(made, "tiny", target="me/base")


def test_a_repository_that_is_not_ours_to_fill_is_left_alone(ready: Hub, made: Path) -> None:
    """Something else than a pair, and another visibility than is asked for, are refused; an empty one is filled."""
    ready.put("me/model", made / "verbalizer", private=True)
    ready.put("me/seen", None)
    ready.repos["me/seen"].commit("main", {".gitattributes": b"", "README.md": b"hello"})

    with pytest.raises(PublishError, match="'me/model' is there and holds something else than a pair"):
        push_pair(made, "me/model", target="me/base")
    with pytest.raises(
        PublishError, match="'me/seen' is there and is public, and this does not change it; give --public"
    ):
        push_pair(made, "me/seen", target="me/base")
    with pytest.raises(PublishError, match="'me/model' is there and is private.*leave --public away"):
        push_pair(made, "me/model", target="me/base", private=False)
    push_pair(made, "me/seen", target="me/base", private=False)
    assert "card.yaml" in ready.repos["me/seen"].files


@pytest.mark.parametrize(
    ("fault", "expected", "message"),
    [
        (Fault("/api/repos/create", BAD_TOKEN, 9), PublishError, "your token is not accepted; log in again"),
        (
            Fault("/preupload/", Answer(403, {"error": "no"}), 9),
            PublishError,
            "may not write there; use one that may .*'me'",
        ),
        (Fault("/commit/", Answer(412, {"error": "changed"}), 9), PublishError, "somebody else changed the repository"),
        (Fault("/commit/", Answer(500, {"error": "oops"}), 99), PublishError, "the Hub answers 500"),
        (Fault("/blobs/", Answer(400, {"error": "bad"}), 99), PublishError, "the Hub answers 400"),
        (
            Fault(
                "/validate-yaml", Answer(400, {"errors": [{"message": '"license" must be one of'}], "warnings": []}), 9
            ),
            PublishError,
            'was not published: Invalid metadata in README.md. - "license" must be one of',
        ),
    ],
)
def test_a_refusal_of_the_hub_publishes_nothing(
    ready: Hub, made: Path, fault: Fault, expected: type[Exception], message: str
) -> None:
    """Whatever step it comes at: one sentence, and no commit but the one that every repository begins with."""
    ready.faults = [fault]

    with pytest.raises(expected, match=message) as caught:
        push_pair(made, "me/tiny", target="me/base")
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "me/tiny" not in ready.repos or [".gitattributes"] == list(ready.repos["me/tiny"].files)


@pytest.mark.parametrize(
    "step", ["/api/models/me/tiny", "/api/repos/create", "/preupload/", "/objects/batch", "/blobs/", "/commit/"]
)
def test_a_fault_that_passes_is_waited_out(ready: Hub, made: Path, step: str) -> None:
    """An error 500 at any step is asked again, and there is still one commit."""
    ready.faults = [Fault(step, Answer(500, {"error": "oops"}))]

    push_pair(made, "me/tiny", target="me/base")

    assert 0 == ready.faults[0].times
    assert 2 == len(ready.repos["me/tiny"].messages)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    ready: Hub, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second attempt finds everything in place."""
    answer = ready.answer
    lost = []

    def lose(asked):
        found = answer(asked)
        if "/commit/" in asked.path and not lost:
            lost.append(found)
            return Answer(502, {"error": "gateway"})
        return found

    monkeypatch.setattr(ready, "answer", lose)

    url = push_pair(made, "me/tiny", target="me/base")

    assert lost[0].body["commitUrl"] == url
    assert 2 == len(ready.repos["me/tiny"].messages)


def test_a_name_of_somebody_else_is_refused(ready: Hub, made: Path) -> None:
    """A token writes under its own name only."""
    with pytest.raises(PublishError, match="nothing was published as 'someone/tiny': your token may not write there"):
        push_pair(made, "someone/tiny", target="me/base")
    assert ["me/base"] == list(ready.repos)


def test_nobody_logged_in_and_no_network_are_said(ready: Hub, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both before anything is sent."""
    publication = Publication.of(made, "me/tiny", target="me/base")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match="gives no answer, so nothing was published as 'me/tiny'"):
        Upload.prepare(publication)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PublishError, match="nobody is logged in .*'hf auth login', or set HF_TOKEN"):
        Upload.prepare(publication)


def test_a_network_that_goes_in_the_middle_publishes_nothing(
    ready: Hub, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question and the upload the Hub disappears."""
    upload = Upload.prepare(Publication.of(made, "me/tiny", target="me/base"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(UnreachableError, match="so nothing was published as 'me/tiny'"):
        upload.run()


def test_a_pair_of_adapters_is_pushed_and_read_with_its_target(ready: Hub, tmp_path: Path) -> None:
    """Megabytes go, the model card says that the base is needed, and it is fetched when the pair is read."""
    pytest.importorskip("peft")
    target = Target.load(tiny_target_folder(tmp_path / "target"))
    ready.put("me/base", tmp_path / "target")
    card, lora = tiny_pair(target).card, AdapterConfig(mode="lora", rank=4)
    verbalizer = Verbalizer.from_target(target, card.prompts, injection_scale=4.0, max_new_tokens=12, adapters=lora)
    halves = verbalizer, Reconstructor.from_target(target, Site.parse(card.site), card.prompts, lora)
    pair = Pair(target, *halves, card)
    with torch.no_grad():
        for weight in pair.verbalizer.model.parameters():
            weight += 0.05

    pair.push_to_hub("me/tiny", target="me/base", licence="mit")

    files = ready.repos["me/tiny"].files
    assert "verbalizer/adapter_model.safetensors" in files
    assert "verbalizer/model.safetensors" not in files
    assert b"base_model_relation: adapter" in files["README.md"]
    assert pair.read("The cat sat.", seed=2) == Pair.from_pretrained("me/tiny").read("The cat sat.", seed=2)
