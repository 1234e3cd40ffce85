// The daemon, by its REST interface.

/** What the daemon refused, with what would help. */
export class Problem extends Error {
  constructor(document, status) {
    super(document.detail ?? document.title ?? `status ${status}`);
    Object.assign(this, { status, code: document.code, remedy: document.remedy, request: document.request_id });
  }
}

/** A target of `/v1`: segments are encoded, a query is given as pairs. */
export function target(segments, query = []) {
  const path = `/v1/${segments.map(encodeURIComponent).join("/")}`;
  const pairs = query.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs)}`;
}

/** Whether the daemon answers; `change` is told when that turns. */
export const link = Object.assign(new EventTarget(), { isUp: undefined, why: undefined });

function tell(isUp, why) {
  const turned = link.isUp !== isUp;
  Object.assign(link, { isUp, why });
  if (turned) link.dispatchEvent(new Event("change"));
}

/** How the ids of requests begin by which a page like this one looks, so that such are not taken for work. */
export const LOOK = "dashboard-look-";
const page = crypto.getRandomValues(new Uint32Array(1))[0].toString(16);
let looks = 0;

async function send(method, where, { body, type, signal } = {}) {
  const headers = type ? { "Content-Type": type } : {};
  if (method === "GET") headers["x-request-id"] = `${LOOK}${page}-${looks += 1}`;
  let answer;
  try {
    answer = await fetch(where, { method, body, headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const away = new Problem({
      code: "unreachable", detail: "nothing answers any more",
      remedy: "see whether `mica dashboard` and the daemon still run; the page goes on by itself",
    }, 0);
    tell(false, away);
    throw away;
  }
  if (answer.ok) {
    tell(true);
    return answer;
  }
  const document = await answer.json().catch(() => ({}));
  const problem = new Problem(document, answer.status);
  const isAway = problem.code === "unreachable" || answer.status === 401;
  tell(!isAway, isAway ? problem : undefined);
  throw problem;
}

/** Asks for a document. */
export async function get(where, signal) {
  return (await send("GET", where, { signal })).json();
}

/** Asks for a text. */
export async function getText(where) {
  return (await send("GET", where)).text();
}

/** Changes something; the document that is answered, if there is one. */
export async function change(method, where, options) {
  const answer = await send(method, where, options);
  const text = await answer.text();
  return text === "" ? null : JSON.parse(text);
}

/** Whether this daemon has an operation, which its description tells: the page leaves out what a daemon cannot do. */
let description;
export async function offers(method, path) {
  description ??= get(target(["openapi.json"])).catch((problem) => {
    description = undefined;
    throw problem;
  });
  return Boolean((await description).paths[path]?.[method]);
}

/** Hands on all pages of a list as they come. */
export async function pages(segments, member, each, signal) {
  let after;
  do {
    const page = await get(target(segments, [["after", after], ["limit", 1000]]), signal);
    after = page.next ?? undefined;
    each(page[member], after === undefined);
  } while (after !== undefined);
}

/** Events that are kept here. */
const KEPT = 500;
/** Milliseconds after which a daemon that is away is asked again. */
const PAUSE = 1500;

/** What happens: `list` has the last events, the newest first; `news` brings those that came, `again` says that some may have been missed. */
export const events = Object.assign(new EventTarget(), { list: [], total: 0 });

function take(news) {
  if (news.length === 0) return;
  events.total += news.length;
  events.list = [...news.slice(-KEPT).reverse(), ...events.list].slice(0, KEPT);
}

/** Takes a stream of events apart; `each` gets the events of a piece, and the id of the last. */
async function read(answer, each) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    const told = blocks.map((block) => {
      const field = (key) => block.split("\n").find((line) => line.startsWith(`${key}:`))?.slice(key.length + 1).trim();
      const data = field("data");
      return data === undefined ? null : { id: field("id"), event: JSON.parse(data) };
    }).filter(Boolean);
    if (told.length > 0) each(told.map(({ event }) => event), told.at(-1).id);
  }
}

/** Follows the daemon's events for as long as the page is there. */
export async function follow() {
  let since = "0";
  let isFirst = true;
  for (;;) {
    try {
      if (isFirst) {
        await read(await send("GET", target(["events"], [["since", since], ["follow", "false"]])), (news, id) => {
          since = id;
          take(news);
        });
      }
      isFirst = false;
      events.dispatchEvent(new Event("again"));
      await read(await send("GET", target(["events"], [["since", since]])), (news, id) => {
        since = id;
        take(news);
        events.dispatchEvent(new CustomEvent("news", { detail: news }));
      });
    } catch {
      // `send` has told of it.
    }
    // A stream ends when the daemon does, or the command that leads to it.
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    await getText("/healthz").catch(() => null);
  }
}
