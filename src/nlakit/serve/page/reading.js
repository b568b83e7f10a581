// A reading card: what the pair says of one vector, how far each claim can be believed, and what it can be held against.

import { html } from "./vendor/preact-htm.js";
import { counted } from "./actions.js";
import { shown } from "./search.js";
import { NEIGHBOURS, range } from "./session.js";
import { Steer } from "./steer.js";

// The bands of nlakit.models.readings.BANDS; a test holds the two against each other.
export const BANDS = [
  [0.9, "green", "0.90 and more: believe"],
  [0.5, "yellow", "0.50 and more: check"],
  [0.0, "red", "less: a guess"],
];
const FLAGGED = "with a flag: check at most";

export function Reading({ state, pair, read, go, settings }) {
  const { cursor, tokens } = state;
  if (!tokens.length) return null;
  const reading = state.readings[cursor];
  const facts = state.truth[cursor];
  return html`<article class="card" aria-label="Reading">
    <h3><span class="position">${cursor}</span> <q>${shown(tokens[cursor].token)}</q>
      ${tokens[cursor].role && html` <span class="hint">${tokens[cursor].role}, ${tokens[cursor].section}</span>`}</h3>
    ${reading ? html`<${Card} key=${`${cursor} ${reading.explanations[0].text}`} reading=${reading} state=${state} pair=${pair} facts=${facts} read=${read} go=${go} settings=${settings} />`
      : html`<${Unread} partial=${state.partial[cursor]} position=${cursor} read=${read} facts=${facts} />`}
  </article>`;
}

function Unread({ partial, position, read, facts }) {
  return html`${partial ? html`<p class="words growing">${partial[0]}</p>`
    : html`<p class="hint">This token has not been read.</p><button type="button" onClick=${() => read([position])}>Read it</button>`}
    ${facts && html`<${Facts} facts=${facts} />`}`;
}

function Card({ reading, state, pair, facts, read, go, settings }) {
  const [first, ...others] = reading.explanations;
  return html`${reading.flags.length > 0 && html`<p class="flags">Take with caution: ${reading.flags.join(", ")}. Such tokens are not like those that the pair was trained and measured on.</p>`}
    <p class="words"><${Claims} item=${first} flags=${reading.flags} /></p>
    <div class="hint"><${Score} score=${first.score} pair=${pair} /> · norm ${reading.norm.toFixed(1)}
      ${first.score && pair?.errors?.length > 1 && html`<${Usual} error=${first.score.error} errors=${pair.errors} />`}</div>
    ${first.claims?.length > 0 && html`<${ClaimTable} first=${first} flags=${reading.flags} others=${others} facts=${facts} /><${Legend} />`}
    ${first.outcome === "ok" && !first.claims && html`<p class="hint">${state.busy ? "The support of its claims is being computed." : "Its claims have no support; read it again for that."}</p>`}
    ${first.claims?.length === 0 && html`<p class="hint">No claim was found in it.</p>`}
    ${facts && html`<${Facts} facts=${facts} />`}
    ${others.length > 0 && html`<details><summary>${counted(others.length, "other sample")}</summary>
      <ol class="samples">${others.map((item, index) => html`<li key=${index}><${Claims} item=${item} flags=${reading.flags} /></li>`)}</ol></details>`}
    <${Around} state=${state} read=${read} go=${go} />
    ${first.outcome === "ok" && html`<${Steer} state=${state} position=${reading.position} original=${first.text} seed=${settings.seed} />`}
    <p><button type="button" class="plain" onClick=${() => read([reading.position])}>Read again</button> <span class="hint">Equal settings give an equal reading; another seed draws another.</span></p>`;
}

/** An explanation whose claims are coloured by support, with the number behind each. */
export function Claims({ item, flags }) {
  if (item.outcome !== "ok") return html`<span class="failed">(${item.outcome.replaceAll("_", " ")})</span> ${item.text}`;
  const pieces = [];
  let at = 0;
  for (const claim of [...(item.claims ?? [])].sort((a, b) => a.start - b.start)) {
    if (claim.start < at) continue; // two claims in the same words; the table has both
    pieces.push(item.text.slice(at, claim.start));
    pieces.push(html`<span class=${`claim ${band(claim.support, flags)[1]}`}>${item.text.slice(claim.start, claim.end)}<sub>${number(claim.support)}</sub></span>`);
    at = claim.end;
  }
  return html`${pieces}${item.text.slice(at)}`;
}

function ClaimTable({ first, flags, others, facts }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Claims"><table>
    <thead><tr><th scope="col">Claim</th><th scope="col">Support</th>${others.length > 0 && html`<th scope="col">Other samples</th>`}${facts && html`<th scope="col">World</th>`}</tr></thead>
    <tbody>${first.claims.map((claim, index) => {
      const [, colour, advice] = band(claim.support, flags);
      return html`<tr key=${index}>
        <th scope="row"><span class="hint">${claim.slot}</span> ${claim.value}</th>
        <td title=${advice}><span class=${`claim ${colour}`}>${number(claim.support)}</span></td>
        ${others.length > 0 && html`<td>${agreeing(claim, others)} of ${others.length}</td>`}
        ${facts && html`<td>${world(claim, facts)}</td>`}
      </tr>`;
    })}</tbody></table></div>`;
}

function Legend() {
  return html`<p class="hint">Support: ${BANDS.map(([, colour, advice], index) => html`${index > 0 && " · "}<span class=${`claim ${colour}`}>${advice}</span>`)} · ${FLAGGED}</p>`;
}

function Score({ score, pair }) {
  if (!score) return "No error: there is nothing to rebuild the vector from.";
  const own = pair?.fve ? ` (the pair's mean on held-out rows is ${percent(pair.fve.value)}, ${percent(pair.fve.low)} to ${percent(pair.fve.high)})` : "";
  const share = score.explained === null ? "" : `, ${percent(score.explained)} explained${own}`;
  return `Error 2(1 − cos) ${score.error.toFixed(3)}${share}`;
}

/** Where an error lies among those of the pair's held-out rows; `errors` are theirs at equal steps from the least to the greatest. */
function Usual({ error, errors }) {
  const at = (share) => errors[Math.round(share * (errors.length - 1))];
  const greatest = Math.max(error, 1.2 * at(0.95)); // the few above would leave no room for the many
  const [low, lower, middle, upper, high] = [0.05, 0.25, 0.5, 0.75, 0.95].map((share) => `${(100 * at(share)) / greatest}%`);
  const here = `${(100 * error) / greatest}%`;
  const words = `Greater than the error of ${percent(shareBelow(error, errors))} of the pair's readings of held-out rows.`;
  return html`<p>${words}</p>
    <svg class="usual" role="img" aria-label="The error among those of held-out rows: line from 5 to 95 % of them, box from 25 to 75 %, tick at the middle, ring for this reading">
      <line x1=${low} x2=${high} y1="50%" y2="50%" /><rect x=${lower} width=${`${parseFloat(upper) - parseFloat(lower)}%`} y="25%" height="50%" />
      <line x1=${middle} x2=${middle} y1="15%" y2="85%" /><circle cx=${here} cy="50%" r="5" /></svg>`;
}

/** Share of the pair's errors that are less than one, between the steps by straight lines. */
function shareBelow(error, errors) {
  const above = errors.findIndex((step) => step > error);
  if (above === 0) return 0;
  if (above < 0) return 1;
  const [low, high] = [errors[above - 1], errors[above]];
  return (above - 1 + (error - low) / (high - low)) / (errors.length - 1);
}

function Facts({ facts }) {
  const entries = Object.entries(facts);
  return html`<div class="facts"><h4>What is so at this token</h4>
    ${entries.length ? html`<dl>${entries.map(([slot, value]) => html`<dt key=${slot}>${slot}</dt><dd>${value}</dd>`)}</dl>`
      : html`<p class="hint">Nothing that the world knows of.</p>`}</div>`;
}

function Around({ state, read, go }) {
  const { cursor, tokens } = state;
  const near = range(Math.max(0, cursor - NEIGHBOURS), Math.min(tokens.length - 1, cursor + NEIGHBOURS));
  const unread = near.filter((position) => !(position in state.readings));
  return html`<details><summary>Neighbours</summary>
    ${unread.length > 0 && html`<p><button type="button" onClick=${() => read(unread)}>Read ${counted(unread.length, "neighbour")}</button></p>`}
    <ol class="near">${near.map((position) => html`<li key=${position} class=${position === cursor ? "here" : ""}>
      <button type="button" class="link" onClick=${() => go(position)}>${position} <q>${shown(tokens[position].token)}</q></button>
      <span>${state.readings[position] ? html`<${Claims} item=${state.readings[position].explanations[0]} flags=${state.readings[position].flags} />` : state.partial[position]?.[0] ?? "not read"}</span></li>`)}</ol>
  </details>`;
}

/** Of a reading with a flag nothing is to be believed: support is fitted and measured on tokens without one. */
function band(support, flags = []) {
  return BANDS.slice(flags.length > 0 ? 1 : 0).find(([low]) => support >= low);
}

/** Support with two digits, rounded down where rounding up would show the number of a better band. */
function number(support) {
  const rounded = support.toFixed(2);
  return band(Number(rounded)) === band(support) ? rounded : (Math.floor(100 * support) / 100).toFixed(2);
}

/** How many other samples make the same claim. */
function agreeing(claim, others) {
  return others.filter(({ claims }) => claims?.some(({ slot, value }) => slot === claim.slot && value === claim.value)).length;
}

function world({ slot, value }, facts) {
  if (!(slot in facts)) return html`<span class="hint">says nothing of it</span>`;
  return facts[slot] === value ? "✓ same" : `✗ ${facts[slot]}`;
}

function percent(share) {
  return `${Math.round(100 * share)} %`.replace("-", "−");
}
