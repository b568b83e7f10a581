// Two prompts side by side: the same positions, counted from the end, and what was read there.

import { html } from "./vendor/preact-htm.js";
import { Claims } from "./reading.js";
import { shown } from "./search.js";

/** Positions of one session as those of another, counted from the end; the ones before its beginning are left out. */
export function mirrored(positions, from, to) {
  return positions.map((position) => position - from.tokens.length + to.tokens.length).filter((position) => position >= 0);
}

export function Compare({ states }) {
  const [first, second] = states;
  const places = new Set(states.flatMap((state) => Object.keys(state.readings).map((position) => Number(position) - state.tokens.length)));
  const both = [...places].filter((place) => states.every((state) => at(state, place))).sort((a, b) => a - b);
  return html`<section class="room" aria-label="Comparison">
    <h2>Side by side</h2>
    <p class="hint">What is selected or read in one prompt is selected or read in the other at the same distance from the end.</p>
    ${both.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Readings side by side"><table class="pairs">
      <thead><tr><th scope="col">From the end</th><th scope="col">First prompt</th><th scope="col">Second prompt</th><th scope="col">Words</th></tr></thead>
      <tbody>${both.map((place) => html`<tr key=${place}><th scope="row">−${-place}</th>
        <${Side} state=${first} place=${place} /><${Side} state=${second} place=${place} /><td>${wordsAt(first, place) === wordsAt(second, place) ? "same" : "differ"}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}

function Side({ state, place }) {
  const reading = at(state, place);
  return html`<td><q>${shown(reading.token)}</q> <${Claims} item=${reading.explanations[0]} flags=${reading.flags} /></td>`;
}

function at(state, place) {
  return state.readings[state.tokens.length + place];
}

function wordsAt(state, place) {
  return at(state, place).explanations[0].text;
}
