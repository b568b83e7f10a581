// Sharing and exporting a session: a link on this server, JSON, or one HTML file that needs no server.

import { html, useState } from "./vendor/preact-htm.js";
import { get, post, postForBlob } from "./api.js";
import { fromDocument, toDocument } from "./session.js";

/** The session that the address of this page names, or null where it names none. */
export async function sharedSession() {
  const id = new URLSearchParams(location.search).get("share");
  return id ? fromDocument(await get(`v1/shares/${encodeURIComponent(id)}`)) : null;
}

export function Share({ store, state, pair, name }) {
  const [link, setLink] = useState("");
  const [copied, setCopied] = useState(false);
  const attempt = async (work) => {
    try {
      await work();
    } catch (error) {
      store.dispatch({ type: "failed", error: error.message });
    }
  };
  const current = () => toDocument(store.state, pair.name);
  const share = () => attempt(async () => {
    const { id } = await post("v1/shares", current());
    setCopied(false);
    setLink(new URL(`?share=${id}`, location.href).href);
  });
  const json = () => save(new Blob([`${JSON.stringify(current(), null, 1)}\n`], { type: "application/json" }), "session.json");
  const page = () => attempt(async () => save(await postForBlob("v1/export", current()), "session.html"));
  const open = (event) => attempt(async () => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    store.stop();
    store.dispatch({ type: "opened", session: fromDocument(parsed(await file.text())) });
  });
  const copy = () => attempt(async () => {
    await navigator.clipboard.writeText(link);
    setCopied(true);
  });
  const ready = pair && state.tokens.length > 0;
  return html`<section class="room" aria-label=${`Share and export${name}`}>
    <div class="row"><h3>Share and export</h3>
      <button type="button" disabled=${!ready} onClick=${share}>Link</button>
      <button type="button" disabled=${!ready} onClick=${json}>JSON</button>
      <button type="button" disabled=${!ready} onClick=${page}>HTML</button>
      <label class="file">Open JSON <input type="file" accept=".json,application/json" onChange=${open} /></label></div>
    ${link && html`<div class="row"><label class="field">Whoever can reach this server can open
      <input type="text" readonly value=${link} onFocus=${(event) => event.target.select()} /></label>
      <button type="button" onClick=${copy}>${copied ? "Copied" : "Copy"}</button></div>`}
  </section>`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("This file is no JSON.");
  }
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
