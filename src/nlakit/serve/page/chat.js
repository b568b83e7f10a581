// The input: a chat with the target, every message of which can be changed, or a text; examples to begin with.

import { html, useRef, useState } from "./vendor/preact-htm.js";
import { answer, openExample, setInput, typeText } from "./actions.js";
import { shown } from "./search.js";

const ROLES = ["user", "assistant", "system"];
const SPOKEN = { user: "user", human: "user", you: "user", assistant: "assistant", ai: "assistant", model: "assistant", system: "system" };

export function Input({ store, state, examples, settings, name }) {
  const choose = (mode) => setInput(store, { mode });
  const pick = (event) => {
    const example = examples.find(({ id }) => id === event.target.value);
    event.target.value = "";
    if (example) openExample(store, example);
  };
  return html`<section class="room" aria-label=${`Input${name}`}>
    <div class="row">
      <div class="switch" role="group" aria-label="Kind of input">
        <button type="button" aria-pressed=${state.mode === "chat"} onClick=${() => choose("chat")}>Chat</button>
        <button type="button" aria-pressed=${state.mode === "text"} onClick=${() => choose("text")}>Text</button>
      </div>
      ${examples.length > 0 && html`<select aria-label="Open an example" onChange=${pick}>
        <option value="">Examples…</option>
        ${examples.map(({ id, title }) => html`<option key=${id} value=${id}>${title}</option>`)}
      </select>`}
      ${(state.messages.length > 0 || state.text) && html`<button type="button" class="plain" onClick=${() => setInput(store, { messages: [], text: "" })}>Clear</button>`}
    </div>
    ${state.mode === "chat" ? html`<${Chat} store=${store} state=${state} settings=${settings} />` : html`<${Text} store=${store} state=${state} />`}
  </section>`;
}

function Text({ store, state }) {
  const messages = transcript(state.text);
  return html`<label class="field">Text or transcript
      <textarea rows="6" value=${state.text} onInput=${(event) => typeText(store, event.target.value)}></textarea>
    </label>
    ${messages.length > 1 && html`<p class="hint">These look like the turns of a chat.${" "}
      <button type="button" onClick=${() => setInput(store, { mode: "chat", messages })}>Make it a chat</button></p>`}`;
}

function Chat({ store, state, settings }) {
  const [draft, setDraft] = useState("");
  const [rules, setRules] = useState({ on: false, every: "", sentenceEnds: true, watch: "" });
  const [edited, setEdited] = useState(null);
  const busy = state.busy === "answering";
  const { messages } = state;
  const reply = () => answer(store, settings, rules.on ? readWhere(rules) : null);
  const say = async (event) => {
    event.preventDefault();
    const content = draft.trim();
    if (!content || busy) return;
    setDraft("");
    setInput(store, { messages: [...messages, { role: "user", content }] });
    await reply();
  };
  const change = async (index, message, goOn) => {
    setEdited(null);
    const rest = goOn ? [] : messages.slice(index + 1);
    setInput(store, { messages: [...messages.slice(0, index), message, ...rest] });
    if (goOn && message.role !== "assistant") await reply();
  };
  const sendKey = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) say(event);
  };
  const waiting = messages.length > 0 && messages.at(-1).role !== "assistant" && !state.busy;
  return html`<ol class="chat">
      ${messages.map((message, index) => html`<li key=${index} class=${`message ${message.role}`}>
        ${edited === index
          ? html`<${Editor} message=${message} save=${(changed, goOn) => change(index, changed, goOn)} cancel=${() => setEdited(null)} />`
          : html`<${Message} message=${message} number=${index + 1} busy=${busy} edit=${() => setEdited(index)}
              remove=${() => setInput(store, { messages: messages.filter((_, other) => other !== index) })} />`}
        ${index === messages.length - 1 && message.role === "assistant" && html`<${Live} store=${store} state=${state} />`}
      </li>`)}
    </ol>
    ${waiting && html`<p><button type="button" onClick=${reply}>Answer</button></p>`}
    <form onSubmit=${say}>
      <label class="field">Message to the target
        <textarea rows="2" value=${draft} onInput=${(event) => setDraft(event.target.value)} onKeyDown=${sendKey}></textarea>
      </label>
      <div class="row"><button type="submit" class="main" disabled=${busy || !draft.trim()}>Send</button>
        <span class="hint">Enter sends, Shift + Enter begins a line.</span></div>
    </form>
    <${Rules} rules=${rules} setRules=${setRules} />`;
}

function Message({ message, number, busy, edit, remove }) {
  const which = `message ${number}`;
  return html`<div class="head"><span class="role">${message.role}</span>
      <button type="button" class="plain" disabled=${busy} aria-label=${`Edit ${which}`} onClick=${edit}>Edit</button>
      <button type="button" class="plain" disabled=${busy} aria-label=${`Delete ${which}`} onClick=${remove}>Delete</button></div>
    <p class="words">${message.content || "…"}</p>`;
}

function Editor({ message, save, cancel }) {
  const [role, setRole] = useState(message.role);
  const field = useRef(null);
  const done = (goOn) => field.current.value && save({ role, content: field.current.value }, goOn);
  return html`<div class="head"><label>Role${" "}
      <select value=${role} onChange=${(event) => setRole(event.target.value)}>
        ${[...new Set([...ROLES, message.role])].map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
      </select></label></div>
    <label class="field">Words of the message
      <textarea rows="4" ref=${field} defaultValue=${message.content}></textarea></label>
    <div class="row">
      <button type="button" class="main" onClick=${() => done(false)}>Save</button>
      <button type="button" onClick=${() => done(true)}>${role === "assistant" ? "Save, drop what follows" : "Save and answer from here"}</button>
      <button type="button" class="plain" onClick=${cancel}>Cancel</button>
    </div>`;
}

function Live({ store, state }) {
  if (!state.live.length) return null;
  const go = (position) => store.dispatch({ type: "select", selected: [position], cursor: position, anchor: position });
  const apart = !state.busy && state.live.some(({ reading }) => reading && !state.readings[reading.position]);
  return html`<ul class="live" aria-label="Live readings" tabindex="0">
    ${state.live.map((found) => {
      if (!found.reading) return html`<li key=${found.position} class="hint">${found.position}: ${found.error}</li>`;
      const { position, token, explanations } = found.reading;
      const words = explanations[0].text || `(${explanations[0].outcome})`;
      const known = state.readings[position] !== undefined;
      return html`<li key=${position}>${known
        ? html`<button type="button" class="link" onClick=${() => go(position)}>${position} <q>${shown(token)}</q></button>`
        : html`<span class="hint">${position} <q>${shown(token)}</q></span>`} ${words}</li>`;
    })}
  </ul>
  ${apart && html`<p class="hint">Readings without a link are of tokens as they were written; the text of the answer is cut into others.</p>`}`;
}

function Rules({ rules, setRules }) {
  const set = (change) => setRules({ ...rules, ...change });
  return html`<details class="rules">
    <summary>Live readings ${rules.on ? "on" : "off"}</summary>
    <label class="check"><input type="checkbox" checked=${rules.on} onChange=${(event) => set({ on: event.target.checked })} />
      Read tokens of the answer while it is written</label>
    <fieldset disabled=${!rules.on}>
      <legend>Which tokens</legend>
      <label class="check"><input type="checkbox" checked=${rules.sentenceEnds} onChange=${(event) => set({ sentenceEnds: event.target.checked })} />
        Ends of sentences</label>
      <label>Every <input type="number" min="1" max="10000" value=${rules.every} onInput=${(event) => set({ every: event.target.value })} /> tokens</label>
      <label class="field">Words to watch for, with commas between them
        <input type="text" value=${rules.watch} onInput=${(event) => set({ watch: event.target.value })} /></label>
    </fieldset>
  </details>`;
}

/** The rules as the server takes them. */
function readWhere({ every, sentenceEnds, watch }) {
  const number = Number.parseInt(every, 10);
  return {
    every: number >= 1 ? number : null,
    sentence_ends: sentenceEnds,
    watch: watch.split(",").map((word) => word.trim()).filter(Boolean),
  };
}

/** The messages of a text whose lines begin with who speaks; none where it does not begin so. */
function transcript(text) {
  const messages = [];
  for (const line of text.split("\n")) {
    const [, who, words] = /^\s*(\w+):\s*(.*)$/.exec(line) ?? [];
    const role = SPOKEN[who?.toLowerCase()];
    if (role) messages.push({ role, content: words });
    else if (!messages.length && line.trim()) return [];
    else if (messages.length) messages.at(-1).content += `\n${line}`;
  }
  return messages.map(({ role, content }) => ({ role, content: content.trim() })).filter(({ content }) => content);
}
