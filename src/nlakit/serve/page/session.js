// A session: one prompt, its tokens and what was read of them. State, the steps that change it, and its document.

import { useLayoutEffect, useState } from "./vendor/preact-htm.js";

// Support looks at so many tokens on each side, so a reading holds only where these have not changed either.
export const NEIGHBOURS = 2;

export const emptySession = () => ({
  mode: "chat",
  text: "",
  messages: [],
  title: "",
  example: null,
  pair: null, // the pair that wrote readings which came with a shared session
  tokens: [],
  readings: {}, // position -> Reading
  norms: [], // of the vectors of all tokens, once the server has told them
  partial: {}, // position -> { sample: text so far }
  live: [], // readings and failures that came while an answer was written
  truth: {}, // position -> { slot: value }
  selected: [],
  anchor: 0,
  cursor: 0,
  busy: null, // what a stream is running for
  said: "", // what happened last, for the status line
  error: "",
});

export function reduce(state, action) {
  switch (action.type) {
    case "input": // { mode, text, messages }
      return { ...state, error: "", truth: {}, example: null, title: "", ...action.input };
    case "opened": // a whole session
      return { ...emptySession(), ...action.session };
    case "tokens":
      return withTokens(state, action.tokens);
    case "select":
      return { ...state, selected: action.selected, cursor: action.cursor, anchor: action.anchor };
    case "message": // the last message grows
      return { ...state, messages: grown(state.messages, action.piece) };
    case "live":
      return { ...state, live: [...state.live, action.found].sort((a, b) => placeOf(a) - placeOf(b)) };
    case "partial": {
      const samples = { ...state.partial[action.position], [action.sample]: action.text };
      return { ...state, partial: { ...state.partial, [action.position]: samples } };
    }
    case "reading": {
      const { [action.reading.position]: _, ...partial } = state.partial;
      return { ...state, partial, readings: { ...state.readings, [action.reading.position]: action.reading } };
    }
    case "own": // readings that another pair wrote do not mix with those to come
      return { ...state, readings: {}, pair: null };
    case "norms":
      return { ...state, norms: action.norms };
    case "truth":
      return { ...state, truth: action.truth };
    case "begun":
      return { ...state, busy: action.busy, said: "", error: "" };
    case "ended":
      return { ...state, busy: null, partial: {}, said: action.said ?? state.said, error: action.error ?? state.error };
    case "said":
      return { ...state, said: action.said };
    case "failed":
      return { ...state, error: action.error };
    default:
      throw new Error(`no step is called ${action.type}`);
  }
}

/** The input as the server takes it, or null where there is nothing to read. */
export function promptOf(state) {
  if (state.mode === "text") return state.text ? { text: state.text } : null;
  if (!state.messages.length) return null;
  return { messages: state.messages, add_generation_prompt: state.messages.at(-1).role !== "assistant" };
}

/**
 * The prompt after which a steered target goes on, and how: a chat that ends with an answer is answered anew where the token
 * stands before the answer, and gone on with where it stands in it; otherwise nothing could follow.
 */
export function goingOn(state, position) {
  const { messages } = state;
  if (state.mode === "text" || messages.at(-1).role !== "assistant") {
    return { prompt: promptOf(state), how: state.mode === "text" ? "goes on after the end of the text" : "answers the chat" };
  }
  const { message_index: index, section } = state.tokens[position];
  const inAnswer = messages.length === 1 || (index === messages.length - 1 && section !== "header");
  if (inAnswer) return { prompt: { messages, add_generation_prompt: false, continue_final_message: true }, how: "goes on with its answer" };
  return { prompt: { messages: messages.slice(0, -1), add_generation_prompt: true }, how: "answers the chat anew, without the answer that is there" };
}

/** Positions from one to another, both included, in either direction. */
export function range(from, to) {
  const [low, high] = from <= to ? [from, to] : [to, from];
  return Array.from({ length: high - low + 1 }, (_, index) => low + index);
}

/** The readings that there are, in the order of the tokens. */
export function readingsOf(state) {
  return Object.values(state.readings).sort((a, b) => a.position - b.position);
}

/** The session as it is shared and exported. */
export function toDocument(state, pair) {
  return {
    kind: "nlakit-session",
    version: 1,
    pair: state.pair ?? pair,
    title: state.title || titleOf(state),
    input: promptOf(state),
    tokens: state.tokens,
    readings: readingsOf(state),
    truth: Object.entries(state.truth).map(([position, facts]) => ({ position: Number(position), facts })),
  };
}

/** The state that a document stands for; throws an Error that says why where it is none. */
export function fromDocument(found) {
  if (found?.kind !== "nlakit-session" || found.version !== 1) {
    throw new Error("This is no session of nlakit that this page can open.");
  }
  const { text, messages } = found.input;
  const input = messages ? { mode: "chat", messages: messages.map(({ role, content }) => ({ role, content })) } : { mode: "text", text };
  const readings = Object.fromEntries(found.readings.map((reading) => [reading.position, reading]));
  const first = found.readings.length ? Math.min(...found.readings.map(({ position }) => position)) : 0;
  const truth = Object.fromEntries(found.truth.map(({ position, facts }) => [position, facts]));
  return { ...input, title: found.title, pair: found.pair, tokens: found.tokens, readings, truth, cursor: first, anchor: first };
}

/** A session's state with whoever watches it. */
export class Store {
  constructor(state = emptySession()) {
    this.state = state;
    this.control = null;
    this.picture = null;
    this.listeners = new Set();
  }

  /** Take a step, and draw what changed: texts that grow with the next picture, all else at once. */
  dispatch(action) {
    this.state = reduce(this.state, action);
    if (action.type === "partial" || action.type === "message") this.picture ??= requestAnimationFrame(() => this.draw());
    else this.draw();
  }

  draw() {
    cancelAnimationFrame(this.picture);
    this.picture = null;
    for (const listener of this.listeners) listener();
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** End the stream that runs, if one does. */
  stop() {
    this.control?.abort();
  }
}

/** The state of a store, drawn anew when it changes. */
export function useStore(store) {
  const [, draw] = useState(0);
  useLayoutEffect(() => store.subscribe(() => draw((count) => count + 1)), [store]);
  return store.state;
}

// A vector depends on the tokens up to its own alone, so readings stay where the prompts begin alike.
function withTokens(state, tokens) {
  let same = 0;
  while (same < tokens.length && same < state.tokens.length && tokens[same].token_id === state.tokens[same].token_id) same++;
  const unchanged = same === tokens.length && same === state.tokens.length;
  const holds = unchanged ? same : same - NEIGHBOURS;
  const readings = Object.fromEntries(Object.entries(state.readings).filter(([position]) => position < holds));
  const written = state.live.map(({ reading }) => reading).filter(Boolean);
  for (const reading of written) {
    // The text of an answer may be cut into other tokens than those it was written in; from there on live readings stand apart.
    if (tokens[reading.position]?.token_id !== reading.token_id) break;
    readings[reading.position] ??= reading;
  }
  const last = Math.max(0, tokens.length - 1);
  const selected = state.selected.filter((position) => position <= last);
  return { ...state, tokens, readings, norms: state.norms.slice(0, same), selected, cursor: Math.min(state.cursor, last), anchor: Math.min(state.anchor, last) };
}

function grown(messages, piece) {
  const last = messages.at(-1);
  return [...messages.slice(0, -1), { ...last, content: last.content + piece }];
}

function placeOf(found) {
  return found.reading?.position ?? found.position;
}

function titleOf(state) {
  const words = (state.mode === "text" ? state.text : state.messages[0]?.content ?? "").split(/\s+/).filter(Boolean);
  return words.slice(0, 8).join(" ").slice(0, 200) + (words.length > 8 ? "…" : "");
}
