// The page: one prompt with its readings, or two beside each other.

import { html, render, useEffect, useState } from "./vendor/preact-htm.js";
import { read } from "./actions.js";
import { get, useToken } from "./api.js";
import { Input } from "./chat.js";
import { Compare, mirrored } from "./compare.js";
import { HeatChoice, HeatStrip, heatOf } from "./heat.js";
import { Reading } from "./reading.js";
import { Search } from "./search.js";
import { Store, useStore } from "./session.js";
import { Share, sharedSession } from "./share.js";
import { Settings, Tokens } from "./tokens.js";

const stores = [new Store(), new Store()];

function App() {
  const [pair, setPair] = useState(null);
  const [examples, setExamples] = useState([]);
  const [failure, setFailure] = useState(null);
  const [comparing, setComparing] = useState(false);
  const [settings, setSettings] = useState({ samples: 1, temperature: 1, answerTemperature: 0.7, answerTokens: 128, seed: 0 });
  const states = stores.map(useStore);

  const start = async () => {
    try {
      setFailure(null);
      setPair(await get("v1/pair"));
      const { limits } = await get("");
      setSettings((before) => ({ ...before, mostPositions: limits.max_positions_per_request }));
      setExamples((await get("v1/examples?count=12")).data);
      const session = await sharedSession();
      if (session) stores[0].dispatch({ type: "opened", session });
    } catch (error) {
      setFailure(error);
    }
  };
  useEffect(() => void start(), []);

  // Both prompts go together while they are compared: `change` is done to one, and to the other at the same distance from the end.
  const together = (index, positions, change) => {
    change(stores[index], positions);
    const other = 1 - index;
    if (comparing && states[other].tokens.length) change(stores[other], mirrored(positions, states[index], states[other]));
  };
  const column = (index) => {
    const select = (selected, cursor, anchor) => {
      stores[index].dispatch({ type: "select", selected, cursor, anchor });
      const other = 1 - index;
      if (!comparing || !states[other].tokens.length) return;
      const [there = 0] = mirrored([cursor], states[index], states[other]);
      stores[other].dispatch({ type: "select", selected: mirrored(selected, states[index], states[other]), cursor: there, anchor: there });
    };
    const readThem = (positions) => together(index, positions, (store, some) => read(store, some, settings, pair));
    return html`<${Column} key=${index} id=${`tokens-${index}`} name=${comparing ? [" of the first prompt", " of the second prompt"][index] : ""} store=${stores[index]}
      state=${states[index]} pair=${pair} examples=${examples} settings=${settings} setSettings=${setSettings} select=${select} readThem=${readThem} />`;
  };

  return html`<header class="top"><h1>nlakit</h1><p class="pair">${pair && about(pair)}</p>
      <button type="button" aria-pressed=${comparing} onClick=${() => setComparing(!comparing)}>Compare two prompts</button></header>
    <main class=${comparing ? "two" : "one"}>
      ${failure && html`<${Failure} error=${failure} start=${start} />`}
      ${column(0)}
      ${comparing && column(1)}
      ${comparing && html`<${Compare} states=${states} />`}
    </main>`;
}

function Column({ store, state, pair, examples, settings, setSettings, select, readThem, name, id }) {
  const [measure, setMeasure] = useState("none");
  const [word, setWord] = useState("");
  const heat = heatOf(state, measure, word);
  const go = (position) => select([position], position, position);
  return html`<div class="column">
    <div class="left">
      <${Input} store=${store} state=${state} examples=${examples} settings=${settings} name=${name} />
      <section class="room" aria-label=${`Prompt${name}`}>
        <div class="row"><h2>Prompt${state.tokens.length > 0 && html` <span class="hint">${state.tokens.length} tokens</span>`}</h2>
          <${HeatChoice} measure=${measure} setMeasure=${setMeasure} /></div>
        <${HeatStrip} tokens=${state.tokens} heat=${heat} measure=${measure} cursor=${state.cursor} go=${go} />
        <${Tokens} id=${id} name=${name} state=${state} heat=${heat} measure=${measure} select=${select} read=${readThem} />
        <${Settings} settings=${settings} setSettings=${setSettings} />
      </section>
    </div>
    <div class="right">
      <div class="status"><p role="status">${state.busy ? `${state.busy}…` : state.said}</p>
        ${state.busy && html`<button type="button" onClick=${() => store.stop()}>Stop</button>`}</div>
      ${state.error && html`<p role="alert" class="error">${state.error}</p>`}
      ${state.pair && pair && state.pair !== pair.name && html`<p class="flags">The pair ${state.pair} wrote these readings; this server reads with ${pair.name}.</p>`}
      <section aria-label=${`Reading${name}`}><h2>Reading</h2>
        ${!state.tokens.length && html`<p class="hint">Write a message or a text, or open an example. Then select a token and read what the model holds there.</p>`}
        <${Reading} state=${state} pair=${pair} read=${readThem} go=${go} settings=${settings} /></section>
      <${Search} state=${state} word=${word} setWord=${setWord} go=${go} name=${name} />
      <${Share} store=${store} state=${state} pair=${pair} name=${name} />
    </div>
  </div>`;
}

function Failure({ error, start }) {
  const enter = (event) => {
    event.preventDefault();
    useToken(event.target.elements.token.value);
    start();
  };
  return html`<div role="alert" class="error failure"><p>${error.message}</p>
    ${error.status === 401 ? html`<form class="row" onSubmit=${enter}><label>Token${" "}<input type="password" name="token" autocomplete="off" /></label>
      <button type="submit" class="main">Go on</button></form>` : html`<button type="button" onClick=${start}>Try again</button>`}</div>`;
}

function about({ name, target, site, fve }) {
  const whole = `The pair ${name} reads ${target} at ${site}.`;
  if (!fve) return `${whole} How much it explains was not measured.`;
  const [value, low, high] = [fve.value, fve.low, fve.high].map((share) => Math.round(100 * share));
  return `${whole} Its words explain ${value} % of what held-out vectors vary by (${low} to ${high} %). Fluent words can be false: see the support of each claim.`;
}

render(html`<${App} />`, document.getElementById("app"));
