"""The page in a browser, served with the shipped pair: what a person can do with it, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving import served

from nlakit.serve.v1.sessions import Session, SessionStore
from nlakit.testing import tiny_pair

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the page is tested with playwright, which is not installed"
)
expect, Page, Browser = sync_api.expect, sync_api.Page, sync_api.Browser

TEXT = "One morning, Mia put the key in the box. Tom felt sad. Mia went to the park."
OTHER = "On Sunday, Mia put the coin in the bag. Tom felt glad. Leo went to the park."
QUESTION = "Which tool does the card show? A mallet. * B sickle. C chisel."
Opens = Callable[..., Page]
SECRET = "a token of some length"  # noqa: S105 - it guards a test
ROWS = "[data-position]"


def write(page: Page, text: str = TEXT, column: int = 0) -> None:
    """Write a text and wait for its tokens."""
    there = page.locator(".column").nth(column)
    there.get_by_role("button", name="Text", exact=True).click()
    there.get_by_label("Text or transcript").fill(text)
    expect(there.locator(ROWS).last).to_contain_text(text[-1])


def token(page: Page, position: int, column: int = 0) -> Any:
    return page.locator(".column").nth(column).locator(f"[data-position='{position}']")


def selected(page: Page, column: int = 0) -> list[int]:
    found = page.locator(".column").nth(column).locator("[role=option][aria-selected=true]")
    return [int(place) for place in found.evaluate_all("items => items.map((item) => item.dataset.position)")]


def read(page: Page, *positions: int) -> None:
    """Select tokens, read them and wait until their support is there."""
    for number, position in enumerate(positions):
        token(page, position).click(modifiers=["Control"] if number else [])
    page.get_by_role("button", name=re.compile(r"^Read \d+ token")).first.click()
    expect(page.locator(".status").first).to_contain_text(re.compile(r"token(s)? read\.$"))


def messages(page: Page) -> list[str]:
    return page.locator(".message .words").all_text_contents()


def test_a_chat_is_answered_and_every_message_can_be_changed(page: Page) -> None:
    """An answer comes in, and one can go on from a message that was edited or deleted, the model's own included."""
    page.get_by_label("Message to the target").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("The answer is written.")
    assert messages(page)[0] == QUESTION
    assert len(messages(page)[1]) > 3
    count = page.locator(ROWS).count()

    page.get_by_label("Edit message 1").click()
    page.get_by_label("Words of the message").fill("Hello.")
    page.get_by_role("button", name="Save and answer from here").click()
    expect(page.locator(".status")).to_contain_text("The answer is written.")
    expect(page.locator(".message .words").first).to_have_text("Hello.")
    assert len(messages(page)) == 2

    page.get_by_label("Edit message 2").click()
    page.get_by_label("Words of the message").fill("The card says milk.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".message .words").last).to_have_text("The card says milk.")
    expect(page.get_by_role("listbox")).to_contain_text("milk")
    assert page.locator(ROWS).count() != count

    page.get_by_label("Delete message 2").click()
    expect(page.locator(".message")).to_have_count(1)
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".status")).to_contain_text("The answer is written.")
    assert len(messages(page)) == 2


def test_a_transcript_becomes_a_chat(page: Page) -> None:
    """Lines that begin with who speaks are offered as messages."""
    write(page, "User: Which tool?\nIs it a hammer?\nAssistant: The card says sickle.")
    page.get_by_role("button", name="Make it a chat").click()
    expect(page.locator(".message")).to_have_count(2)
    assert messages(page) == ["Which tool?\nIs it a hammer?", "The card says sickle."]
    expect(page.get_by_role("listbox")).to_contain_text("sickle")


def test_tokens_are_selected_by_mouse(page: Page) -> None:
    """A click selects one token, Shift a range, Control one more, and a drag all on its way."""
    write(page)
    token(page, 3).click()
    assert selected(page) == [3]
    token(page, 6).click(modifiers=["Shift"])
    assert selected(page) == [3, 4, 5, 6]
    token(page, 9).click(modifiers=["Control"])
    assert selected(page) == [3, 4, 5, 6, 9]
    token(page, 8).hover()
    page.mouse.down()
    token(page, 11).hover()
    page.mouse.up()
    assert selected(page) == [8, 9, 10, 11]


def test_tokens_are_selected_and_read_by_keyboard(page: Page) -> None:
    """Arrows move, Space and Shift select, Enter reads, Escape clears."""
    write(page)
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    last = page.locator(ROWS).count() - 1
    for key in ("ArrowLeft", "ArrowLeft", "Space", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert selected(page) == [last - 2, last - 1]
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("2 tokens read.")
    page.keyboard.press("Escape")
    assert selected(page) == []
    page.keyboard.press("Control+a")
    assert len(selected(page)) == last + 1
    page.keyboard.press("Home")
    expect(page.locator(".card .position")).to_have_text("0")
    page.keyboard.press("ArrowDown")
    assert int(page.locator(".card .position").inner_text()) > 3


def test_a_reading_grows_and_ends_with_the_support_of_its_claims(page: Page) -> None:
    """First the words come in, then each claim has a colour and a number, with the error among those of the pair."""
    write(page, "Late at night, " + TEXT)  # what was read before comes whole
    page.evaluate(
        """() => { window.grown = new Set();
        new MutationObserver(() => document.querySelectorAll(".growing").forEach((item) => window.grown.add(item.textContent)))
          .observe(document.body, { subtree: true, childList: true, characterData: true }); }"""
    )
    read(page, 12)
    card = page.get_by_role("article", name="Reading")
    whole = card.locator(".words").evaluate(
        "item => { const copy = item.cloneNode(true); copy.querySelectorAll('sub').forEach((sub) => sub.remove());"
        " return copy.textContent; }"
    )
    grown = [text for text in page.evaluate("() => [...window.grown]") if text]
    assert grown
    assert all(whole.startswith(text.strip()[:10]) for text in grown)
    for support in card.locator(".words .claim sub").all_text_contents():
        assert 0 <= float(support) <= 1
    assert card.locator(".words .claim sub").count() >= 1
    expect(card).to_contain_text(re.compile(r"Error 2\(1 − cos\) \d\.\d{3}, −?\d+ % explained \(the pair's mean"))
    expect(card).to_contain_text(re.compile(r"Greater than the error of \d+ % of the pair's readings"))
    expect(card.locator(".usual circle")).to_be_visible()


def test_nothing_with_a_flag_is_to_be_believed(page: Page) -> None:
    """Claims at an early token are leads at most, however high their support."""
    write(page, "At noon, " + TEXT)
    read(page, 1)
    card = page.get_by_role("article", name="Reading")
    expect(card.locator(".flags")).to_contain_text("early token")
    expect(card.locator(".words .claim").first).to_be_visible()
    assert card.locator("tbody .claim.green").count() == 0
    assert card.locator(".words .claim.green").count() == 0
    expect(card).to_contain_text("with a flag: check at most")


def test_a_card_has_other_samples_and_neighbours(page: Page) -> None:
    """Other samples are counted by claim, and neighbours are read when one asks."""
    page.get_by_text("Settings").click()
    page.get_by_label("Samples of a reading").fill("3")
    write(page)
    read(page, 12)
    expect(page.get_by_role("group", name="Claims")).to_contain_text(re.compile(r"[0-2] of 2"))
    page.get_by_text("2 other samples").click()
    expect(page.locator(".samples li")).to_have_count(2)
    page.get_by_text("Neighbours", exact=True).click()
    page.get_by_role("button", name="Read 4 neighbours").click()
    expect(page.locator(".near .claim").first).to_be_visible()
    expect(page.locator(".near li")).to_have_count(5)
    expect(page.locator(".near")).not_to_contain_text("not read")


def test_an_example_has_the_truth_beside_the_claims(page: Page) -> None:
    """What the world says at a token stands beside what the pair says."""
    page.get_by_label("Open an example").select_option(index=1)
    expect(page.get_by_role("listbox")).to_be_visible()
    read(page, 20)
    expect(page.get_by_role("heading", name="What is so at this token")).to_be_visible()
    expect(page.get_by_role("group", name="Claims")).to_contain_text(re.compile("✓ same|✗|says nothing of it"))


def test_tokens_are_read_while_an_answer_is_written(page: Page) -> None:
    """With a rule on, readings of the answer stand beside it."""
    page.get_by_text("Live readings off").click()
    page.get_by_label("Read tokens of the answer").check()
    page.get_by_label("Every").fill("2")
    page.get_by_label("Words to watch for").fill("says, card")
    page.get_by_label("Message to the target").fill(QUESTION)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".status")).to_contain_text("The answer is written.")
    live = page.get_by_role("list", name="Live readings").get_by_role("listitem")
    assert live.count() >= 2
    live.first.get_by_role("button").click()
    expect(page.locator(".card .words")).not_to_be_empty()


def test_readings_are_searched(page: Page) -> None:
    """A word lists the readings that have it, and a hit leads to its token."""
    write(page)
    read(page, 5, 9, 14)
    word = re.findall(r"[A-Za-z]{4,}", page.locator(".card .words").inner_text())[-1]
    page.get_by_role("searchbox", name="Search").fill(word.upper())
    expect(page.get_by_role("heading", name=re.compile(r"[1-3] of 3 readings"))).to_be_visible()
    assert page.locator(".hits mark").first.inner_text().lower() == word.lower()
    hit = page.locator(".hits button").first
    place = re.findall(r"\d+", hit.inner_text())[0]
    hit.click()
    expect(page.locator(".card .position")).to_have_text(place)
    page.get_by_role("searchbox", name="Search").fill("no such word")
    expect(page.get_by_role("heading", name="0 of 3 readings")).to_be_visible()


def test_heat_shows_one_number_of_every_read_token(page: Page) -> None:
    """Each choice draws a bar for each token that was read, with a legend and the number in words."""
    write(page)
    read(page, 5, 9, 14)
    page.get_by_role("searchbox", name="Search").fill("a")
    every = page.locator(ROWS).count()
    for choice, said, count in (
        ("error", "error", 3),
        ("support", "lowest support", 3),
        ("norm", "norm", every),  # known of all tokens, read or not
        ("search", "match", 3),
    ):
        page.get_by_label("Bars under tokens").select_option(choice)
        expect(page.locator(".heat .bar")).to_have_count(count)
        expect(page.locator(".heat figcaption")).to_contain_text(f"at {count} of")
        assert said in (token(page, 9).get_attribute("aria-label") or "")
    page.locator(".heat svg").click(position={"x": 2, "y": 5})
    expect(page.locator(".card .position")).to_have_text("0")


def test_steering_shows_three_continuations(page: Page) -> None:
    """Changed words, pushed with the slider, are shown beside no push and a random one."""
    write(page)
    read(page, 14)
    page.get_by_role("article").get_by_text("Steer", exact=True).first.click()
    expect(page.get_by_role("button", name="Steer")).to_be_disabled()
    page.get_by_label("What the vector is to say instead").fill("Part of a quiz. Ends on park.")
    slider = page.get_by_role("slider", name="Strength")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("-4", "4")
    slider.fill("3")
    page.get_by_role("button", name="Steer").click()
    expect(page.locator(".three dt")).to_have_count(3)
    expect(page.locator(".card")).to_contain_text("A push of norm")


def test_a_chat_is_steered_where_something_can_follow(page: Page) -> None:
    """In a chat that ends with an answer, a push before it has the target answer anew, and one inside it go on."""
    page.get_by_label("Message to the target").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("The answer is written.")
    for position, how in ((14, "answers the chat anew"), (24, "goes on with its answer")):
        read(page, position)
        page.get_by_role("article").get_by_text("Steer", exact=True).first.click()
        expect(page.get_by_role("article")).to_contain_text(f"The target {how}")
        page.get_by_label("What the vector is to say instead").fill("Part of a story.")
        with page.expect_response("**/v1/steer") as answered:
            page.get_by_role("button", name="Steer").click()
        assert answered.value.ok


def test_two_prompts_are_compared_from_the_end(page: Page) -> None:
    """What is selected and read in one prompt is so in the other at the same distance from the end."""
    page.get_by_role("button", name="Compare two prompts").click()
    write(page, TEXT, 0)
    write(page, OTHER, 1)
    counts = [page.locator(".column").nth(column).locator(ROWS).count() for column in (0, 1)]
    token(page, counts[0] - 3).click()
    assert selected(page, 1) == [counts[1] - 3]
    page.get_by_role("button", name="Read 1 token").first.click()
    row = page.get_by_role("group", name="Readings side by side").get_by_role("row").nth(1)
    expect(row.get_by_role("rowheader")).to_have_text("−3")
    expect(row.locator(".claim").first).to_be_visible()
    assert row.get_by_role("cell").count() == 3


def test_a_link_opens_what_was_shared(page: Page, shown: Opens) -> None:
    """A link brings back prompt, readings and claims in another browser."""
    write(page)
    read(page, 5, 9)
    page.get_by_role("button", name="Link").click()
    link = page.get_by_label("Whoever can reach this server can open").input_value()
    other = shown(link[link.index("/page/") :], window="other")
    expect(other.get_by_label("Text or transcript")).to_have_value(TEXT)
    expect(other.get_by_role("heading", name="All readings (2)")).to_be_visible()
    expect(other.locator(".card .words")).to_have_text(page.locator(".hits li span").first.inner_text())


def test_the_page_goes_on_when_the_server_is_back(browser: Browser, tmp_path: Path) -> None:
    """While the server is away the page says so; when it is back reading goes on, and a link opens what was shared before."""
    pair, kept = tiny_pair(), tmp_path / "kept.sqlite"
    page = browser.new_page()
    with SessionStore(kept) as sessions, served(pair, sessions=sessions) as address:
        page.goto(f"{address}/page/")
        write(page)
        read(page, 5)
        page.get_by_role("button", name="Link").click()
        link = page.get_by_label("Whoever can reach this server can open").input_value()
    page.get_by_role("button", name=re.compile("^Read 1 token")).click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    with SessionStore(kept) as sessions, served(pair, sessions=sessions, port=int(address.rpartition(":")[2])):
        read(page, 9)
        page.goto(link)
        page.reload()
        expect(page.get_by_label("Text or transcript")).to_have_value(TEXT)
        expect(page.get_by_role("heading", name="All readings (1)")).to_be_visible()
    page.close()


def test_a_session_is_exported_as_json_and_html(page: Page, shown: Opens, tmp_path: Path) -> None:
    """JSON is a session that the server takes and the page opens again; HTML runs no script."""
    write(page)
    read(page, 5, 9)
    for kind in ("JSON", "HTML"):
        with page.expect_download() as started:
            page.get_by_role("button", name=kind, exact=True).click()
        started.value.save_as(tmp_path / started.value.suggested_filename)
    found = json.loads((tmp_path / "session.json").read_text(encoding="utf-8"))
    assert [reading.position for reading in Session.model_validate(found).readings] == [5, 9]
    assert set(found) == {"kind", "version", "pair", "title", "input", "tokens", "readings", "truth"}
    whole = (tmp_path / "session.html").read_text(encoding="utf-8")
    assert "<script" not in whole
    assert "Mia" in whole
    other = shown(window="other")
    other.get_by_label("Open JSON").set_input_files(tmp_path / "session.json")
    expect(other.get_by_role("heading", name="All readings (2)")).to_be_visible()


def test_what_goes_wrong_is_said(page: Page, problems: list[str]) -> None:
    """An error of the server is a sentence, a busy server says to try again, and a stream can be stopped."""
    write(page)
    page.route("**/v1/readings", lambda route: route.fulfill(status=429, json={"detail": "the queue is full."}))
    page.get_by_role("button", name=re.compile("^Read token")).click()
    expect(page.get_by_role("alert")).to_have_text("The queue is full. Try again in a moment.")
    page.unroute_all()
    page.route("**/v1/readings", lambda route: None)  # never answered
    page.get_by_role("button", name=re.compile("^Read token")).click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status")).to_contain_text("Stopped.")
    page.unroute_all()
    page.get_by_label("Text or transcript").fill("word " * 7000)
    expect(page.get_by_role("alert")).to_contain_text("max_input_chars")
    assert len(problems) == 2  # the browser's own lines on the two refusals
    assert all(problem.startswith("Failed to load resource") for problem in problems)
    problems.clear()


def test_a_page_asks_for_the_token_and_shows_what_failed(browser: Browser) -> None:
    """A server that wants a token is asked with it; a reading that came to nothing is named as that."""
    with served(tiny_pair(), token=SECRET) as address:
        page = browser.new_page()
        page.goto(f"{address}/page/")
        expect(page.get_by_role("alert")).to_contain_text("wants its token")
        page.get_by_label("Token", exact=True).fill(SECRET)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator(".pair")).to_contain_text("How much it explains was not measured.")
        expect(page.get_by_role("alert")).to_have_count(0)
        write(page)
        read(page, 4)
        expect(page.locator(".card > .words .failed")).to_have_text("(cut off)")
        expect(page.locator(".card")).to_contain_text("there is nothing to rebuild the vector from")
        expect(page.locator(".card .flags")).to_contain_text("early token")
        page.close()


def furnish(page: Page) -> None:
    """Open everything that the page has: a chat, a second prompt, a reading with truth, all details, a link."""
    page.get_by_label("Open an example").select_option(index=1)
    expect(page.get_by_role("listbox")).to_be_visible()
    read(page, 2, 20)
    page.get_by_label("Bars under tokens").select_option("error")
    page.get_by_role("searchbox", name="Search").fill("a")
    page.get_by_role("button", name="Link").click()
    page.get_by_role("button", name="Compare two prompts").click()
    write(page, OTHER, 1)
    token(page, 3, 1).click()
    page.get_by_role("button", name="Read 1 token").first.click()
    expect(page.locator(".status p").nth(1)).to_contain_text("read.")
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")


def test_the_page_fits_a_phone(shown: Opens, problems: list[str]) -> None:
    """At 360 pixels nothing reaches over the side, with everything open."""
    page = shown(viewport={"width": 360, "height": 740}, has_touch=True)
    furnish(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    token(page, 4).tap()
    assert 4 in selected(page)


def test_everybody_can_use_the_page(page: Page) -> None:
    """The checks of axe find nothing, in either colour scheme, empty and with everything open."""
    reason = "the page is checked with axe-playwright-python, which is not installed"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason).Axe()
    for step in (lambda _: None, furnish):
        step(page)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            found = axe.run(page)
            assert found.violations_count == 0, found.generate_report()
