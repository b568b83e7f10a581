// Steering: the words of a reading are changed, and the target goes on from a vector that says so.

import { html, useRef, useState } from "./vendor/preact-htm.js";
import { post } from "./api.js";
import { goingOn } from "./session.js";

const KINDS = [
  ["unsteered", "Unsteered", "as it is"],
  ["steered", "Steered", "with the changed words"],
  ["random", "Random push", "of the same size: what any push does"],
];

export function Steer({ state, position, original, seed }) {
  const [edited, setEdited] = useState(original);
  const [strength, setStrength] = useState(1);
  const [tokens, setTokens] = useState(32);
  const [found, setFound] = useState({});
  const running = useRef(null);
  const { prompt, how } = goingOn(state, position);
  const push = async (event) => {
    event.preventDefault();
    running.current?.abort();
    const control = (running.current = new AbortController());
    setFound({ busy: true });
    const body = { ...prompt, position, original, edited, strength, seed, completion_tokens: Math.max(1, Math.min(512, tokens || 32)) };
    try {
      const answer = await post("v1/steer", body, { signal: control.signal });
      setFound({ answer });
    } catch (error) {
      if (running.current === control) setFound(control.signal.aborted ? {} : { error: error.message });
    }
  };
  return html`<details><summary>Steer</summary>
    <form onSubmit=${push}>
      <label class="field">What the vector is to say instead
        <textarea rows="3" value=${edited} onInput=${(event) => setEdited(event.target.value)}></textarea></label>
      <div class="row">
        <label>Strength${" "}<input type="range" min="-4" max="4" step="0.25" value=${strength} aria-valuetext=${String(strength)}
          onInput=${(event) => setStrength(Number(event.target.value))} />${" "}<output>${strength.toFixed(2)}</output></label>
        <label>Tokens${" "}<input type="number" min="1" max="512" value=${tokens} onInput=${(event) => setTokens(Number.parseInt(event.target.value, 10))} /></label>
        <button type="submit" class="main" disabled=${found.busy || edited === original}>Steer</button>
        ${found.busy && html`<button type="button" onClick=${() => running.current.abort()}>Stop</button>`}
      </div>
    </form>
    <p class="hint">${edited === original && "Change a word first. "}The target ${how}.</p>
    ${found.busy && html`<p role="status" class="hint">The target writes three times…</p>`}
    ${found.error && html`<p role="alert" class="error">${found.error}</p>`}
    ${found.answer && html`<p class="hint">A push of norm ${found.answer.added.toFixed(2)} was added to a vector of norm ${found.answer.norm.toFixed(2)}.</p>
      <dl class="three">${KINDS.map(([key, name, about]) => html`<div key=${key}><dt>${name} <span class="hint">${about}</span></dt><dd>${found.answer[key] || "(nothing)"}</dd></div>`)}</dl>`}
  </details>`;
}
