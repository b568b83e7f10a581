// The tokens of the prompt: selected by mouse, by touch or by keyboard, and read.

import { Component, html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { counted } from "./actions.js";
import { heatWords } from "./heat.js";
import { shown } from "./search.js";
import { range } from "./session.js";

export function Tokens({ state, name, heat, measure, select, read, id }) {
  const list = useRef(null);
  const drag = useRef(false);
  const touch = useRef(false); // a finger that is put down may be about to scroll, so touches count when they end as a click
  const { tokens, selected, cursor, anchor } = state;
  const chosen = new Set(selected);
  const wanted = selected.length ? selected : [cursor];

  useEffect(() => {
    const item = list.current?.querySelector(".cursor");
    if (!item) return;
    const [box, place] = [list.current.getBoundingClientRect(), item.getBoundingClientRect()];
    if (place.top < box.top || place.bottom > box.bottom) list.current.scrollTop += place.top - box.top - box.height / 2;
  }, [cursor, tokens]);

  const at = (event) => {
    const item = event.target.closest?.("[data-position]");
    return item && list.current.contains(item) ? Number(item.dataset.position) : null;
  };
  const toggle = (position) => (chosen.has(position) ? selected.filter((other) => other !== position) : [...selected, position]);
  const down = (event) => {
    const position = at(event);
    touch.current = event.pointerType === "touch";
    if (position === null || event.button !== 0 || touch.current) return;
    if (event.shiftKey) select(range(anchor, position), position, anchor);
    else if (event.ctrlKey || event.metaKey) select(toggle(position), position, position);
    else select([position], position, position);
    drag.current = !(event.ctrlKey || event.metaKey);
    if (event.shiftKey) event.preventDefault(); // no text is marked on the way
  };
  const over = (event) => {
    const position = at(event);
    if (drag.current && event.buttons === 1 && position !== null && position !== cursor) select(range(anchor, position), position, anchor);
  };
  const tap = (event) => {
    const position = at(event);
    if (touch.current && position !== null) select(toggle(position), position, position);
  };
  const key = (event) => {
    const to = target(event, list.current, cursor, tokens.length);
    if (to !== null) {
      if (event.shiftKey) select(range(anchor, to), to, anchor);
      else select(selected, to, to);
    } else if (event.key === " ") select(toggle(cursor), cursor, cursor);
    else if (event.key === "Enter") read(wanted);
    else if (event.key === "Escape") select([], cursor, cursor);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) select(range(0, tokens.length - 1), cursor, 0);
    else return;
    event.preventDefault();
  };

  if (!tokens.length) return html`<p class="hint">The tokens of what you write stand here, to be selected and read.</p>`;
  return html`<div class=${`tokens ${measure === "none" ? "" : "measured"}`} ref=${list} role="listbox" tabindex="0" aria-multiselectable="true" aria-label=${`Tokens${name}`}
      aria-activedescendant=${`${id}-${cursor}`} aria-describedby=${`${id}-help`} onKeyDown=${key}
      onPointerDown=${down} onPointerOver=${over} onPointerUp=${() => (drag.current = false)} onClick=${tap}>
      ${tokens.map((row) => html`<${Token} key=${row.position} id=${`${id}-${row.position}`} row=${row} here=${row.position === cursor}
        chosen=${chosen.has(row.position)} read=${row.position in state.readings} reading=${row.position in state.partial}
        heat=${heat.get(row.position)} measure=${measure} />`)}
    </div>
    <p class="hint" id=${`${id}-help`}>Click, drag or Shift-click to select; or arrow keys, Space and Shift + arrows. Enter reads, Escape clears.</p>
    <${Actions} state=${state} read=${read} wanted=${wanted} />`;
}

function Actions({ state, read, wanted }) {
  const unread = state.tokens.map(({ position }) => position).filter((position) => !(position in state.readings));
  return html`<div class="row">
    <button type="button" class="main" onClick=${() => read(wanted)}>Read ${state.selected.length ? counted(wanted.length, "token") : `token ${state.cursor}`}</button>
    ${unread.length > 0 && html`<button type="button" onClick=${() => read(unread)}>Read all ${unread.length} unread</button>`}
  </div>`;
}

class Token extends Component {
  // A prompt has thousands of these, and most stay as they are from one moment to the next.
  shouldComponentUpdate(next) {
    const { heat, ...rest } = this.props;
    return heat?.share !== next.heat?.share || Object.keys(rest).some((name) => rest[name] !== next[name]);
  }

  render({ id, row, here, chosen, read, reading, heat, measure }) {
    const kinds = ["token", here && "cursor", read && "read", reading && "reading", row.section && row.section !== "content" && "frame"];
    const about = [`${row.position} ${shown(row.token)}`, read && "read", heat && heatWords(measure, heat.value)].filter(Boolean).join(", ");
    return html`<span id=${id} class=${kinds.filter(Boolean).join(" ")} role="option" aria-selected=${chosen ? "true" : "false"}
      aria-label=${about} title=${about} data-position=${row.position} style=${{ "--heat": heat?.share ?? 0 }}>${face(row.token)}</span>`;
  }
}

/** Read settings: how many samples, how warm, and what the draw begins with. */
export function Settings({ settings, setSettings }) {
  const number = (key, label, attributes) => html`<label>${label}
    <${NumberField} value=${settings[key]} set=${(value) => setSettings({ ...settings, [key]: value })} ...${attributes} /></label>`;
  return html`<details class="settings"><summary>Settings</summary><div class="grid">
    ${number("samples", "Samples of a reading", { min: 1, max: 16, step: 1 })}
    ${number("temperature", "Temperature of readings", { min: 0, max: 5, step: 0.1 })}
    ${number("answerTemperature", "Temperature of answers", { min: 0, max: 5, step: 0.1 })}
    ${number("answerTokens", "Tokens of an answer", { min: 1, max: 4096, step: 1 })}
    ${number("seed", "Seed", { min: 0, max: 2 ** 31, step: 1 })}
  </div></details>`;
}

function NumberField({ value, set, min, max, step }) {
  const [text, setText] = useState(String(value));
  const input = (event) => {
    setText(event.target.value);
    const found = Number(event.target.value);
    if (event.target.value && found >= min && found <= max && (step !== 1 || Number.isInteger(found))) set(found);
  };
  return html`<input type="number" min=${min} max=${max} step=${step} value=${text} onInput=${input} onBlur=${() => setText(String(value))} />`;
}

/** Where a key moves to, or null; up and down go to the nearest token of the line before or after. */
function target({ key }, list, cursor, count) {
  const within = (position) => Math.min(count - 1, Math.max(0, position));
  switch (key) {
    case "ArrowLeft":
      return within(cursor - 1);
    case "ArrowRight":
      return within(cursor + 1);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    case "ArrowUp":
    case "ArrowDown":
      return beside(list, cursor, key === "ArrowUp" ? -1 : 1);
    default:
      return null;
  }
}

function beside(list, cursor, step) {
  const items = list.children;
  const from = items[cursor].getBoundingClientRect();
  let best = cursor;
  let distance = Infinity;
  let line = null;
  for (let position = cursor + step; position >= 0 && position < items.length; position += step) {
    const place = items[position].getClientRects()[0];
    if (!place || Math.abs(place.top - from.top) < from.height / 2) continue;
    line ??= place.top;
    if (Math.abs(place.top - line) > from.height / 2) break;
    const away = Math.abs(place.left - from.left);
    if (away < distance) [best, distance] = [position, away];
  }
  return best;
}

function face(token) {
  if (token.includes("\n")) return token.replaceAll("\n", "⏎\n");
  return token.trim() ? token : shown(token);
}
