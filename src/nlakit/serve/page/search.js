// All readings of a session, and the ones in which a word stands.

import { html } from "./vendor/preact-htm.js";
import { Claims } from "./reading.js";
import { readingsOf } from "./session.js";

/** Whether a text has the searched words, whatever their case. */
export function mentions(text, word) {
  return text.toLowerCase().includes(word.trim().toLowerCase());
}

export function Search({ state, word, setWord, go, name }) {
  const readings = readingsOf(state);
  const wanted = word.trim();
  const hits = wanted ? readings.filter(({ explanations }) => explanations.some(({ text }) => mentions(text, wanted))) : readings;
  return html`<section class="room" aria-label=${`All readings${name}`}>
    <div class="row"><h3>${wanted ? `${hits.length} of ${readings.length} readings` : `All readings (${readings.length})`}</h3>
      <label class="search">Search${" "}<input type="search" value=${word} onInput=${(event) => setWord(event.target.value)} /></label></div>
    ${!readings.length && html`<p class="hint">Nothing has been read yet.</p>`}
    <ol class="hits">
      ${hits.map((reading) => html`<li key=${reading.position} class=${reading.position === state.cursor ? "here" : ""}>
        <button type="button" class="link" onClick=${() => go(reading.position)}>${reading.position} <q>${shown(reading.token)}</q></button>
        ${wanted ? html`<span><${Found} explanations=${reading.explanations} word=${wanted} /></span>` : html`<span><${Claims} item=${reading.explanations[0]} flags=${reading.flags} /></span>`}
      </li>`)}
    </ol>
  </section>`;
}

/** A token as it can be seen: spaces and line ends have signs where there is nothing else. */
export function shown(token) {
  return token.trim() ? token.trim() : token.replaceAll("\n", "⏎").replaceAll(" ", "␣") || "∅";
}

function Found({ explanations, word }) {
  const { text } = explanations.find((item) => mentions(item.text, word));
  const at = text.toLowerCase().indexOf(word.toLowerCase());
  return html`${text.slice(0, at)}<mark>${text.slice(at, at + word.length)}</mark>${text.slice(at + word.length)}`;
}
