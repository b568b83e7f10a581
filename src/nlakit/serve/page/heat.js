// Heat: one number of every token that has it, as a bar under it and as a strip over all of them.

import { html } from "./vendor/preact-htm.js";
import { mentions } from "./search.js";

const MEASURES = {
  none: { name: "nothing", legend: "" },
  error: { name: "error", legend: "error 2(1 − cos): no bar is 0, a full bar 1 or more", full: 1, digits: 2 },
  support: { name: "lowest support", legend: "lowest support of a claim: the longer the bar, the lower; a full bar is 0", digits: 2 },
  norm: { name: "norm", legend: "norm of the vector: a full bar is the largest", digits: 0 },
  search: { name: "matches of the search", legend: "share of a token's explanations that have the searched word" },
};

/** What of the state is shown under the tokens: position -> { value, share in [0, 1] }. */
export function heatOf(state, measure, word) {
  const values = new Map(measure === "norm" ? state.norms.entries() : []);
  for (const reading of Object.values(state.readings)) {
    const value = valueOf(reading, measure, word);
    if (value !== null) values.set(reading.position, value);
  }
  const largest = Math.max(...values.values(), Number.MIN_VALUE);
  return new Map([...values].map(([position, value]) => [position, { value, share: shareOf(value, measure, largest) }]));
}

/** The value in words, for whoever cannot see the bar. */
export function heatWords(measure, value) {
  return measure === "search" ? `${Math.round(100 * value)} % match` : `${MEASURES[measure].name} ${value.toFixed(MEASURES[measure].digits)}`;
}

export function HeatChoice({ measure, setMeasure }) {
  return html`<label>Bars under tokens${" "}
    <select value=${measure} onChange=${(event) => setMeasure(event.target.value)}>
      ${Object.entries(MEASURES).map(([key, { name }]) => html`<option key=${key} value=${key}>${name}</option>`)}
    </select></label>`;
}

export function HeatStrip({ tokens, heat, measure, cursor, go }) {
  if (measure === "none" || !tokens.length) return null;
  const values = [...heat.values()].map(({ value }) => value);
  const span = values.length
    ? `${heatWords(measure, Math.min(...values))} to ${heatWords(measure, Math.max(...values))} at ${values.length} of ${tokens.length} tokens`
    : "no token has it yet; read some";
  const click = (event) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    go(Math.min(tokens.length - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * tokens.length))));
  };
  return html`<figure class="heat">
    <svg viewBox=${`0 0 ${tokens.length} 1`} preserveAspectRatio="none" role="img" aria-label=${`Strip of all tokens: ${span}`} onClick=${click}>
      ${tokens.map(({ position }) => heat.has(position) && html`<rect key=${position} class="bar" x=${position} width="1"
        y=${1 - Math.max(0.04, heat.get(position).share)} height=${Math.max(0.04, heat.get(position).share)} />`)}
      <rect class="here" x=${cursor} width="1" y="0" height="1" />
    </svg>
    <figcaption>${MEASURES[measure].legend} · ${span}</figcaption>
  </figure>`;
}

function valueOf(reading, measure, word) {
  const ok = reading.explanations.filter(({ outcome }) => outcome === "ok");
  switch (measure) {
    case "error":
      return ok[0]?.score ? ok[0].score.error : null;
    case "support": {
      const claims = ok[0]?.claims ?? [];
      return claims.length ? Math.min(...claims.map(({ support }) => support)) : null;
    }
    case "norm":
      return reading.norm;
    case "search":
      return word.trim() ? reading.explanations.filter(({ text }) => mentions(text, word)).length / reading.explanations.length : null;
    default:
      return null;
  }
}

function shareOf(value, measure, largest) {
  if (measure === "support") return 1 - value;
  return Math.min(1, value / (MEASURES[measure].full ?? (measure === "search" ? 1 : largest)));
}
