// What a session does with the server. Each function changes a store; errors end up in it as sentences.

import { frames, post } from "./api.js";
import { promptOf } from "./session.js";

const TYPING_MS = 350;
const asked = new WeakMap(); // store -> number of the last question for tokens, so that a late answer is passed over
const typing = new WeakMap();

/** Change the input and cut it into tokens. */
export function setInput(store, input) {
  store.stop();
  const fresh = { live: [], ...input };
  store.dispatch({ type: "input", input: fresh });
  return tokenize(store);
}

/** As setInput, once nothing has been typed for a moment. */
export function typeText(store, text) {
  store.stop();
  store.dispatch({ type: "input", input: { text, live: [] } });
  clearTimeout(typing.get(store));
  typing.set(store, setTimeout(() => tokenize(store), TYPING_MS));
}

/** Open an example with what is so at its tokens. */
export async function openExample(store, example) {
  const input = example.messages ? { mode: "chat", messages: example.messages } : { mode: "text", text: example.text };
  store.stop();
  store.dispatch({ type: "opened", session: { ...input, title: example.title, example: example.id } });
  await tokenize(store);
  try {
    const { truth } = await post("v1/truth", { id: example.id });
    if (store.state.example !== example.id) return;
    store.dispatch({ type: "truth", truth: Object.fromEntries(truth.map(({ position, facts }) => [position, facts])) });
  } catch (error) {
    store.dispatch({ type: "failed", error: error.message });
  }
}

/** Ask for the tokens of the prompt as it is. */
export async function tokenize(store) {
  const number = (asked.get(store) ?? 0) + 1;
  asked.set(store, number);
  const prompt = promptOf(store.state);
  let tokens = [];
  try {
    if (prompt) ({ tokens } = await post("tokenize", prompt));
  } catch (error) {
    if (asked.get(store) === number) store.dispatch({ type: "failed", error: error.message });
  }
  if (asked.get(store) === number) store.dispatch({ type: "tokens", tokens });
}

/** Let the target answer the chat; `where` says which tokens are read meanwhile, or is null. */
export async function answer(store, settings, where) {
  store.dispatch({ type: "input", input: { live: [], messages: [...store.state.messages, { role: "assistant", content: "" }] } });
  const body = {
    messages: store.state.messages.slice(0, -1),
    temperature: settings.answerTemperature,
    max_tokens: settings.answerTokens,
    seed: settings.seed,
    stream: true,
  };
  if (where) body.nlakit = where;
  await run(store, "answering", async (signal) => {
    for await (const frame of frames("v1/chat/completions", body, { signal })) {
      if (frame.nlakit) store.dispatch({ type: "live", found: frame.nlakit });
      const piece = frame.choices[0]?.delta.content;
      if (piece) store.dispatch({ type: "message", piece });
    }
    return "The answer is written.";
  });
  const last = store.state.messages.at(-1);
  if (last?.role === "assistant" && !last.content) {
    store.dispatch({ type: "input", input: { messages: store.state.messages.slice(0, -1), error: store.state.error } });
    if (!store.state.error) store.dispatch({ type: "said", said: "The target wrote no word." });
  }
  await tokenize(store);
}

/** Read tokens of the prompt: texts as they grow, then explanations, then the support of their claims. */
export async function read(store, positions, settings, pair) {
  const wanted = [...new Set(positions)].filter((position) => position < store.state.tokens.length);
  const together = Math.max(1, Math.floor((settings.mostPositions ?? wanted.length) / settings.samples));
  const prompt = promptOf(store.state);
  if (!prompt || !wanted.length) return;
  if (store.state.pair && store.state.pair !== pair?.name) store.dispatch({ type: "own" });
  const body = {
    ...prompt,
    samples: settings.samples,
    temperature: settings.temperature,
    seed: settings.seed,
    support: pair?.variance != null, // support needs what the pair's card knows of its vectors
    stream: true,
  };
  await run(store, `reading ${counted(wanted.length, "token")}`, async (signal) => {
    for (let start = 0; start < wanted.length; start += together) {
      const some = wanted.slice(start, start + together);
      for await (const frame of frames("v1/readings", { ...body, positions: some }, { signal })) {
        if (frame.type === "partial" || frame.type === "norms") store.dispatch(frame);
        else if (frame.type === "prompt") store.dispatch({ type: "tokens", tokens: frame.tokens }); // the text may be newer than the tokens
        else if (frame.type === "reading" || frame.type === "support") store.dispatch({ type: "reading", reading: frame.reading });
      }
    }
    return `${counted(wanted.length, "token")} read.`;
  });
}

/** "1 token", "2 tokens". */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

async function run(store, busy, work) {
  store.stop();
  const control = new AbortController();
  store.control = control;
  store.dispatch({ type: "begun", busy });
  const ending = { type: "ended" };
  try {
    ending.said = await work(control.signal);
  } catch (error) {
    if (control.signal.aborted) ending.said = "Stopped.";
    else ending.error = error.message;
  }
  if (store.control === control) {
    store.control = null;
    store.dispatch(ending);
  }
}
