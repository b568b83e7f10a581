// Talking to the server: JSON, streams of frames, and errors as sentences.

const BASE = new URL("..", import.meta.url);
const TOKEN_HEADER = "X-SECRET-KEY";
let token = "";

/** Remember the server's token for as long as the page is open; it is stored nowhere. */
export function useToken(given) {
  token = given;
}

/** What a request came to nothing for: a sentence for people, and the status (0 where no answer came). */
export class ApiError extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.name = "ApiError";
    this.status = status;
  }
}

/** Ask for JSON. */
export async function get(path, { signal } = {}) {
  return (await send("GET", path, undefined, signal)).json();
}

/** Send JSON and get JSON. */
export async function post(path, body, { signal } = {}) {
  return (await send("POST", path, body, signal)).json();
}

/** Send JSON and get a file. */
export async function postForBlob(path, body) {
  return (await send("POST", path, body)).blob();
}

/** Send JSON and yield the frames of the answer; throws an ApiError for a frame that says that something failed. */
export async function* frames(path, body, { signal } = {}) {
  const response = await send("POST", path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new ApiError("The answer was cut off before its end. Try again.", 0);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        const data = line.slice("data: ".length);
        if (data === "[DONE]") return;
        const frame = JSON.parse(data);
        if (typeof frame.error === "string" && Object.keys(frame).length === 1) throw new ApiError(frame.error, 200);
        yield frame;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // frees what the server would still write for a reader who has left
  }
}

async function send(method, path, body, signal) {
  const headers = { accept: "application/json" };
  if (token) headers[TOKEN_HEADER] = token;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(path, BASE), { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?", 0);
  }
  if (!response.ok) throw new ApiError(await sentence(response), response.status);
  return response;
}

async function sentence(response) {
  let detail;
  try {
    ({ detail } = await response.json());
  } catch {
    detail = `The server answered with the status ${response.status}.`;
  }
  const said = Array.isArray(detail) ? detail.map(problem).join("; ") : String(detail);
  const whole = said.charAt(0).toUpperCase() + said.slice(1) + (/[.!?]$/.test(said) ? "" : ".");
  return response.status === 429 ? `${whole} Try again in a moment.` : whole;
}

function problem({ loc, msg }) {
  const field = loc.filter((part) => part !== "body").join(".");
  return field ? `${field}: ${msg}` : msg;
}
