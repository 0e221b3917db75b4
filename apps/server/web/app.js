// The search page: its state is the URL, only the newest answer is drawn, and every text goes through textContent.
"use strict";

// Set before the body is drawn, so that a dark page doesn't flash white.
const wanted = localStorage.getItem("kokeshi-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.documentElement.dataset.theme = wanted;

const PAGE = 10;
const TYPING_PAUSE = 140; // ms; shorter than the gap between two words, longer than between two letters
const SNIPPET_LEAD = 240; // characters of a passage that may stand before its first match
const state = { c: "", q: "", mode: "hybrid", filter: "", all: false, doc: "" };
const page = { infos: [], hits: [], turn: 0, abort: null, typing: false, showAll: new Set() };
const $ = (id) => document.getElementById(id);
const number = (value) => Number(value).toLocaleString("en");
const fixed = (value, digits = 3) => Number(value).toFixed(digits);

/** An element: properties are set, `on` holds listeners, `aria-*` and `data-*` become attributes, children are nodes or texts. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// ---- Talking to the server -------------------------------------------------------------------------------------------

class Failure extends Error {
  constructor(status, error) {
    super(error.message || `The server answered with status ${status}.`);
    Object.assign(this, { status, hint: error.hint, param: error.param });
  }
}

const storedKey = () => sessionStorage.getItem("kokeshi-key") || localStorage.getItem("kokeshi-key");

async function api(path, options = {}, attempt = 0) {
  const headers = {};
  if (options.body) headers["content-type"] = "application/json";
  const key = storedKey();
  if (key) headers["x-api-key"] = key;
  let response;
  try {
    response = await fetch(path, {
      method: options.body ? "POST" : "GET", headers, signal: options.signal,
      body: options.body && JSON.stringify(options.body),
    });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Failure(0, { message: "The server can't be reached.", hint: "Is it still running? This page tries again with your next search." });
  }
  if (response.status === 401) {
    await askForKey(key !== null);
    return api(path, options, attempt);
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const wait = Number(response.headers.get("retry-after"));
  if ((response.status === 503 || response.status === 429) && wait > 0 && attempt < 3) {
    say(`The server is busy; trying again in ${wait} s`);
    await new Promise((done) => setTimeout(done, wait * 1000));
    if (options.signal?.aborted) throw new DOMException("a newer search", "AbortError");
    return api(path, options, attempt + 1);
  }
  throw new Failure(response.status, answer.error || {});
}

let asking = null;

/** Opens the key dialog once, however many requests were refused; resolves when a key was given. */
function askForKey(wrong) {
  $("ask-note").textContent = wrong
    ? "That key was not taken. Whoever started the server can tell you the right one."
    : "Whoever started it can tell you the key. It stays in this browser.";
  asking ||= new Promise((done) => {
    const give = (event) => {
      event.preventDefault();
      sessionStorage.setItem("kokeshi-key", $("key").value);
      localStorage.removeItem("kokeshi-key");
      if ($("remember").checked) localStorage.setItem("kokeshi-key", $("key").value);
      $("ask-form").removeEventListener("submit", give);
      $("key").value = "";
      $("ask").close();
      asking = null;
      done();
    };
    $("ask-form").addEventListener("submit", give);
    if (!$("ask").open) $("ask").showModal();
  });
  return asking;
}

const collectionPath = (rest) => `collections/${encodeURIComponent(state.c)}${rest}`;
const documentPath = (id, rest = "") => collectionPath(`/documents/${encodeURIComponent(id)}${rest}`);
const info = () => page.infos.find((one) => one.name === state.c);

// ---- The URL ---------------------------------------------------------------------------------------------------------

function readUrl() {
  const given = new URLSearchParams(location.search);
  const names = page.infos.map((one) => one.name);
  state.c = names.includes(given.get("c")) ? given.get("c") : names[0] || "";
  state.q = given.get("q") || "";
  state.mode = ["hybrid", "dense", "lexical"].includes(given.get("mode")) ? given.get("mode") : "hybrid";
  state.filter = given.get("filter") || "";
  state.all = given.get("all") === "1";
  state.doc = given.get("doc") || "";
}

function writeUrl(replace) {
  const parameters = new URLSearchParams();
  if (page.infos.length > 1) parameters.set("c", state.c);
  if (state.q) parameters.set("q", state.q);
  if (state.mode !== "hybrid") parameters.set("mode", state.mode);
  if (state.filter) parameters.set("filter", state.filter);
  if (state.all) parameters.set("all", "1");
  if (state.doc) parameters.set("doc", state.doc);
  const url = parameters.size ? `?${parameters}` : location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  document.title = state.q ? `${state.q} · Kokeshi` : "Kokeshi";
}

/** Changes the state and searches. Letters typed one after the other are one step of the history. */
function change(changes, typing = false) {
  Object.assign(state, changes);
  writeUrl(typing && page.typing);
  page.typing = typing;
  showState();
  search();
}

function showState() {
  if ($("query").value !== state.q) $("query").value = state.q;
  if ($("filter").value !== state.filter) $("filter").value = state.filter;
  $("collection").value = state.c;
  for (const radio of document.querySelectorAll("input[name=mode]")) radio.checked = radio.value === state.mode;
  const clauses = parseFilter(state.filter);
  const count = clauses.chosen.size + clauses.rest.length;
  $("filter-count").textContent = count ? ` · ${count}` : "";
  $("clear").hidden = !state.filter;
}

// ---- Filters: text is the truth; the controls read it and write it ---------------------------------------------------

/** The parts of a filter between top-level ANDs; a filter with a top-level OR is one part. */
function splitFilter(text) {
  const parts = [];
  let depth = 0, quoted = false, start = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (letter === "\\") at++;
    else if (letter === '"') quoted = !quoted;
    else if (quoted) continue;
    else if ("([{".includes(letter)) depth++;
    else if (")]}".includes(letter)) depth--;
    else if (depth === 0 && text.startsWith(" OR ", at)) return [`(${text.trim()})`];
    else if (depth === 0 && text.startsWith(" AND ", at)) {
      parts.push(text.slice(start, at).trim());
      start = at + 5;
      at += 4;
    }
  }
  parts.push(text.slice(start).trim());
  return parts.filter((part) => part);
}

const unquote = (text) => text.replace(/\\(.)/g, "$1");
const quote = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;

/** What the controls understand (`chosen`: values or a range by field) and what they leave alone (`rest`). */
function parseFilter(text) {
  const chosen = new Map(), rest = [];
  for (const part of splitFilter(text)) {
    const [, name, condition] = /^([A-Za-z][\w-]*):\s*(.+)$/s.exec(part) || [];
    const one = /^"((?:[^"\\]|\\.)*)"$/.exec(condition), flag = /^(true|false)$/.exec(condition);
    const many = /^IN \[((?:\s*"(?:[^"\\]|\\.)*")+)\s*\]$/.exec(condition), range = /^\[(\S+) TO (\S+)\]$/.exec(condition);
    if (!name || chosen.has(name) || !(one || flag || many || range)) rest.push(part);
    else if (range) chosen.set(name, { from: range[1], to: range[2] });
    else if (many) chosen.set(name, { values: [...many[1].matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => unquote(match[1])) });
    else chosen.set(name, { values: [flag ? flag[1] : unquote(one[1])] });
  }
  return { chosen, rest };
}

function composeFilter({ chosen, rest }) {
  const parts = [...rest];
  for (const [name, { values, from, to }] of chosen) {
    const kind = info()?.schema.fields.find((field) => field.name === name)?.kind;
    if (!values) parts.push(`${name}:[${from} TO ${to}]`);
    else if (kind === "bool") values.length === 1 && parts.push(`${name}:${values[0]}`);
    else if (values.length === 1) parts.push(`${name}:${quote(values[0])}`);
    else if (values.length) parts.push(`${name}: IN [${values.map(quote).join(" ")}]`);
  }
  return parts.join(" AND ");
}

function choose(name, update) {
  const clauses = parseFilter(state.filter);
  const now = update(clauses.chosen.get(name) || {});
  if (now) clauses.chosen.set(name, now);
  else clauses.chosen.delete(name);
  change({ filter: composeFilter(clauses), all: false });
}

function toggleValue(name, value, on) {
  choose(name, ({ values = [] }) => {
    const others = values.filter((other) => other !== value);
    const now = on ? [...others, value] : others;
    return now.length ? { values: now } : null;
  });
}

const faceted = () => (info()?.schema.fields || []).filter((field) => field.kind !== "text");

function drawFacets(facets) {
  const { chosen } = parseFilter(state.filter);
  const focused = document.activeElement?.dataset?.facet;
  $("facets").replaceChildren(...faceted().map((field) => {
    const facet = facets[field.name] || { values: [] };
    const ranged = ["integer", "float", "date"].includes(field.kind);
    const content = ranged ? rangeControl(field, facet, chosen.get(field.name)) : checkList(field, facet, chosen.get(field.name));
    return content && h("section", { className: "facet", "data-field": field.name }, h("h3", {}, field.name), content);
  }).filter(Boolean));
  if (focused) document.querySelector(`[data-facet="${CSS.escape(focused)}"]`)?.focus();
}

function checkList(field, facet, { values: on = [] } = {}) {
  const found = facet.values.map(([value, count]) => [String(value), count]);
  const known = new Set(found.map(([value]) => value));
  const all = [...on.filter((value) => !known.has(value)).map((value) => [value, 0]), ...found];
  if (!all.length) return null;
  const open = page.showAll.has(field.name) || all.length <= 8;
  const shown = open ? all : all.slice(0, 7).concat(all.slice(7).filter(([value]) => on.includes(value)));
  const list = h("ul", {}, shown.map(([value, count]) => h("li", {}, h("label", {},
    h("input", { type: "checkbox", checked: on.includes(value), "data-facet": `${field.name}=${value}`,
      on: { change: (event) => toggleValue(field.name, value, event.target.checked) } }),
    h("span", { className: "value" }, value), h("span", { className: "count" }, number(count))))));
  if (open) return list;
  const more = h("button", { className: "plain", type: "button",
    on: { click: () => { page.showAll.add(field.name); drawFacets(page.facets); } } }, `${all.length - shown.length} more`);
  return h("div", {}, list, more);
}

function rangeControl(field, facet, { from = "*", to = "*" } = {}) {
  const [least, most] = (facet.range || ["", ""]).map((value) => (field.kind === "date" ? String(value).slice(0, 10) : value));
  if (least === "" && from === "*" && to === "*") return null;
  const input = (label, value, placeholder, set) => h("input", {
    type: field.kind === "date" ? "date" : "number", step: field.kind === "float" ? "any" : "1", value: value === "*" ? "" : value,
    placeholder, min: field.kind === "date" ? least : "", max: field.kind === "date" ? most : "", "aria-label": `${field.name}, ${label}`,
    "data-facet": `${field.name} ${label}`,
    on: { change: (event) => choose(field.name, ({ from: a = "*", to: b = "*" }) => {
      const now = set(event.target.value || "*", a, b);
      return now.from === "*" && now.to === "*" ? null : now;
    }) },
  });
  return h("div", { className: "range" },
    input("at least", from, least, (value, _, b) => ({ from: value, to: b })), "–",
    input("at most", to, most, (value, a) => ({ from: a, to: value })));
}

// ---- Searching -------------------------------------------------------------------------------------------------------

const say = (text) => { $("status").textContent = text; };

function request(extra) {
  const body = { query: state.q, mode: state.mode, k: PAGE, no_cut: state.all, explain: true };
  if (state.filter.trim()) body.filter = state.filter;
  return { ...body, ...extra };
}

async function search() {
  const turn = ++page.turn;
  page.abort?.abort();
  page.abort = new AbortController();
  const { signal } = page.abort;
  const send = (body) => api(collectionPath("/search"), { body, signal });
  const { chosen, rest } = parseFilter(state.filter);
  const names = faceted().map((field) => field.name);
  $("hits").setAttribute("aria-busy", "true");
  try {
    // The counts beside a list must not shrink by what is chosen in it, so they are counted without that choice.
    const others = names.filter((name) => chosen.has(name)).map((name) => {
      const without = composeFilter({ chosen: new Map([...chosen].filter(([other]) => other !== name)), rest });
      return send(request({ facets: [name], k: 1, explain: false, filter: without || undefined }));
    });
    const [answer, ...counted] = await Promise.all([send(request({ facets: names.filter((name) => !chosen.has(name)) })), ...others]);
    if (turn !== page.turn) return;
    page.facets = Object.assign({}, answer.facets, ...counted.map((one) => one.facets));
    page.hits = [];
    fail(null);
    drawFacets(page.facets);
    $("hits").replaceChildren();
    add(answer);
  } catch (problem) {
    if (problem.name === "AbortError" || turn !== page.turn) return;
    fail(problem);
  } finally {
    if (turn === page.turn) $("hits").removeAttribute("aria-busy");
  }
}

async function more() {
  const turn = page.turn;
  try {
    const answer = await api(collectionPath("/search"), { body: request({ offset: page.hits.length }) });
    if (turn === page.turn) add(answer);
  } catch (problem) {
    if (turn === page.turn) fail(problem);
  }
}

function fail(problem) {
  const filter = problem?.param === "filter";
  $("filter-problem").textContent = filter ? problem.message : "";
  $("filter").setAttribute("aria-invalid", String(filter));
  $("hits").classList.toggle("stale", problem !== null);
  if (!problem) return $("banner").replaceChildren();
  say("");
  $("banner").replaceChildren(h("p", {}, filter ? "The filter can't be read; these are the results before it." : problem.message),
    h("p", { className: "hint" }, problem.hint || ""));
}

function add(answer) {
  const first = page.hits.length;
  page.hits.push(...answer.hits);
  $("hits").append(...answer.hits.map((hit, at) => drawHit(hit, first + at)));
  const asked = state.q.trim() || state.filter.trim();
  const took = `${answer.took_ms < 10 ? fixed(answer.took_ms, 1) : Math.round(answer.took_ms)} ms`;
  const full = answer.hits.length === PAGE;
  const count = `${number(page.hits.length)}${full ? "+" : ""} ${page.hits.length === 1 ? "result" : "results"}`;
  say(!asked ? `${number(info().documents)} documents · ${info().model}${stored(info())}` : page.hits.length ? `${count} in ${took}` : `Nothing in ${took}`);
  $("after").replaceChildren(...(page.hits.length ? [] : [empty(answer)]),
    ...(page.hits.length && answer.note ? [h("p", { className: "note" }, answer.note)] : []),
    ...(full ? [h("button", { className: "outline", type: "button", id: "more", on: { click: more } }, "More")] : []),
    ...(page.hits.length && !full && answer.cut ? [weak(answer)] : []),
    ...(answer.explain && asked ? [explained(answer.explain)] : []));
}

const showAnyway = () => h("button", { className: "outline", type: "button", id: "show-anyway", on: { click: () => change({ all: true }) } }, "Show anyway");

function weak(answer) {
  return h("p", {}, `${number(answer.cut)} weaker ${answer.cut === 1 ? "match was" : "matches were"} left out. `, showAnyway());
}

function empty(answer) {
  const doll = document.querySelector(".doll").cloneNode(true);
  doll.setAttribute("width", "44");
  doll.setAttribute("height", "60");
  const buttons = [];
  if (!state.all && state.q) buttons.push(showAnyway());
  if (state.filter) buttons.push(h("button", { className: "outline", type: "button", on: { click: () => change({ filter: "" }) } }, "Search without filters"));
  return h("div", { className: "empty" }, doll, h("h2", {}, state.q ? "Nothing relevant here" : "No documents match"),
    h("p", { className: "quiet" }, answer.note || "Try other words, or describe what you mean in a sentence."), buttons);
}

/** How vectors are kept: ` · int8: 256 of 1,024 bytes a vector`; nothing without codes. */
function stored({ codec, dims }) {
  return codec?.code_bytes ? ` · ${codec.codec}: ${number(codec.code_bytes)} of ${number(4 * dims)} bytes a vector` : "";
}

function explained(explain) {
  const total = Math.max(0.001, ...explain.stages.map(([, ms]) => ms));
  const facts = [`${number(explain.candidates[0])} candidates by words, ${number(explain.candidates[1])} by meaning`];
  if (explain.dense) {
    const { plan, distances, vectors, expected } = explain.dense;
    const inside = explain.part ? ` in the graph of ${explain.part}` : "";
    facts.push(`meaning by ${plan}${inside}: ${number(distances)} comparisons, ${number(vectors)} of them with vectors, ${number(Math.round(explain.dense_us))} µs`);
    if (expected) {
      const ways = [["walk", expected.walk], ["codes", expected.codes], ["vectors", expected.scan]].filter(([, micros]) => micros !== undefined && micros !== null);
      facts.push(`expected: ${ways.map(([way, micros]) => `${way} ${number(Math.round(micros))} µs`).join(", ")}`);
    }
  }
  if (explain.filter_matches !== undefined && explain.filter_matches !== null) facts.push(`${number(explain.filter_matches)} passages pass the filter`);
  if (explain.bar !== undefined && explain.bar !== null) facts.push(`hits below a relevance of ${fixed(explain.bar)} are cut`);
  return h("details", {}, h("summary", {}, "How this answer was made"), h("p", {}, `${facts.join("; ")}.`),
    h("div", { className: "stages" }, explain.stages.flatMap(([name, ms]) => [h("span", {}, name), bar(ms / total), h("span", {}, `${fixed(ms, 2)} ms`)])));
}

// ---- One hit ---------------------------------------------------------------------------------------------------------

/** The text as pieces `[string, marked]`. Ranges count UTF-8 bytes, JavaScript's strings count UTF-16 units. */
function pieces(text, ranges) {
  const units = new Map();
  const needed = new Set(ranges.flat());
  let bytes = 0, unit = 0;
  for (const letter of text) {
    if (needed.has(bytes)) units.set(bytes, unit);
    const code = letter.codePointAt(0);
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    unit += letter.length;
  }
  if (needed.has(bytes)) units.set(bytes, unit);
  const found = [];
  let last = 0;
  for (const [start, end] of ranges) {
    const from = units.get(start), to = units.get(end);
    if (from === undefined || to === undefined || from < last) continue;
    found.push([text.slice(last, from), false], [text.slice(from, to), true]);
    last = to;
  }
  found.push([text.slice(last), false]);
  return found.filter(([piece]) => piece);
}

const marked = (list) => list.map(([piece, on]) => (on ? h("mark", {}, piece) : piece));

/** As [`pieces`], begun shortly before the first match if that would be out of sight. */
function snippet(passage) {
  const list = pieces(passage.text, passage.highlights);
  const [[lead, on] = ["", true]] = list;
  if (on || list.length < 2 || lead.length <= SNIPPET_LEAD) return list;
  const space = lead.indexOf(" ", lead.length - SNIPPET_LEAD / 2);
  return [[`… ${lead.slice(space < 0 ? lead.length : space + 1)}`, false], ...list.slice(1)];
}

function bar(share, kind = "") {
  const inner = h("i");
  inner.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  return h("span", { className: `bar ${kind}`, "aria-hidden": "true" }, inner);
}

function chips(attributes) {
  const kinds = new Map((info()?.schema.fields || []).map((field) => [field.name, field.kind]));
  // In the schema's order, which is the user's; the answer has them by name.
  return [...kinds].flatMap(([name, kind]) => {
    const value = attributes[name];
    if (kind === "text" || value === undefined) return [];
    const values = Array.isArray(value) ? value : [value];
    const left = values.length > 4 ? [h("span", { className: "chip" }, `${values.length - 4} more`)] : [];
    return values.slice(0, 4).map((one) => {
      const text = kind === "date" ? String(one).replace(/T00:00:00(\.0+)?Z$/, "") : String(one);
      if (kind !== "keyword") return h("span", { className: "chip", title: name }, `${name} `, h("b", {}, text));
      return h("button", { className: "chip", type: "button", title: `Only ${name} ${text}`,
        on: { click: () => { closeReader(); toggleValue(name, text, true); } } }, text);
    }).concat(left);
  });
}

function drawHit(hit, at) {
  const why = h("div", { className: "why", hidden: true, id: `why-${at}` });
  const ask = h("button", { type: "button", "aria-expanded": "false", "aria-controls": why.id, on: { click: () => toggleWhy(at) } }, "Why");
  const place = hit.passage.of > 1 ? `passage ${hit.passage.number + 1} of ${hit.passage.of}` : "";
  return h("li", {}, h("article", { className: "hit", tabIndex: -1, id: `hit-${at}`, "aria-labelledby": `title-${at}`, on: { focus: () => { page.active = at; } } },
    h("h2", {}, h("button", { type: "button", id: `title-${at}`, on: { click: () => openDocument(hit.id) } }, hit.title || hit.id)),
    h("p", { className: "where" }, [hit.title && hit.title !== hit.id ? hit.id : "", place].filter(Boolean).join(" · ")),
    h("p", { className: "text" }, marked(snippet(hit.passage))),
    h("div", { className: "foot" }, chips(hit.attributes),
      h("span", { className: "acts" }, hit.why && state.q ? ask : null,
        h("button", { type: "button", on: { click: () => openDocument(hit.id) } }, "Open and similar"))), why));
}

function toggleWhy(at) {
  const panel = $(`why-${at}`), hit = page.hits[at];
  if (!panel || !hit?.why || !state.q) return;
  panel.hidden = !panel.hidden;
  $(`hit-${at}`).querySelector("[aria-expanded]").setAttribute("aria-expanded", String(!panel.hidden));
  if (!panel.childElementCount) panel.append(...reasons(hit));
}

function reasons({ why, score }) {
  const top = Math.max(1e-9, ...page.hits.map((hit) => hit.score));
  const part = (name, kind, found, unit) => h("div", { className: "part" }, h("span", {}, name), bar(found ? found.share / top : 0, kind),
    h("span", {}, found ? `${unit} ${fixed(found.score)}, rank ${number(found.rank)}, adds ${fixed(found.share)}` : "not among the candidates"));
  const rows = [];
  if (state.mode !== "lexical") rows.push(part("Meaning", "dense", why.dense, "cosine"));
  if (state.mode !== "dense") rows.push(part("Words", "words", why.lexical, "BM25"));
  rows.push(h("p", { className: "quiet" }, `Score ${fixed(score)}.`, chance(why.chance)));
  if (why.words.length) rows.push(h("p", { className: "words" }, h("span", { className: "quiet" }, "Words found: "), why.words.map((word) => h("mark", {}, word))));
  return rows;
}

function chance(value) {
  if (value === null || value === undefined) return "";
  if (value >= 0.01) return ` ${fixed(100 * value, 0)} of 100 random pairs in this collection are as close in meaning.`;
  return ` Only 1 in ${number(Number((1 / Math.max(value, 1e-12)).toPrecision(2)))} random pairs in this collection is as close in meaning.`;
}

// ---- The reader ------------------------------------------------------------------------------------------------------

function openDocument(id) {
  state.doc = id;
  writeUrl(false);
  page.typing = false;
  showDocument();
}

/** Closes the reader without a step of the history; its own close button and Esc make one. */
function closeReader() {
  state.doc = "";
  if ($("reader").open) $("reader").close();
}

async function showDocument() {
  const id = state.doc;
  if (!id) {
    closeReader();
    return;
  }
  const hit = page.hits.find((one) => one.id === id);
  $("reader-title").textContent = hit?.title || id;
  $("reader-body").replaceChildren(h("p", { className: "quiet" }, "Loading …"));
  if (!$("reader").open) $("reader").showModal();
  try {
    const [document_, similar] = await Promise.all([api(documentPath(id)), api(documentPath(id, "/similar?k=8"))]);
    if (state.doc !== id) return;
    $("reader-title").textContent = document_.title || id;
    $("reader-body").replaceChildren(h("p", { className: "where" }, id), h("div", { className: "foot" }, chips(document_.attributes)),
      h("div", { className: "full" }, fullText(document_.text, hit)), likes(similar.hits));
    $("reader-body").scrollTop = 0;
    if (hit?.passage.number) $("reader-body").querySelector("mark")?.scrollIntoView({ block: "center" });
  } catch (problem) {
    if (state.doc !== id) return;
    $("reader-body").replaceChildren(h("p", { role: "alert" }, problem.message), h("p", { className: "quiet" }, problem.hint || ""));
  }
}

/** The document's text with the marks of the passage that was found in it. */
function fullText(text, hit) {
  const at = hit ? text.indexOf(hit.passage.text) : -1;
  if (at < 0) return [text];
  return [text.slice(0, at), ...marked(pieces(hit.passage.text, hit.passage.highlights)), text.slice(at + hit.passage.text.length)];
}

function likes(hits) {
  if (!hits.length) return h("p", { className: "like quiet" }, "Nothing else is similar.");
  return h("section", { className: "like", "aria-label": "Similar documents" }, h("h3", {}, "Similar documents"),
    h("ol", {}, hits.map((hit) => h("li", {}, h("button", { type: "button", on: { click: () => openDocument(hit.id) } }, hit.title || hit.id),
      h("span", { className: "count" }, fixed(hit.why?.dense?.score ?? hit.score, 2))))));
}

// ---- Keys and start --------------------------------------------------------------------------------------------------

function move(by) {
  const at = Math.min(page.hits.length - 1, (document.activeElement?.closest?.(".hit") ? page.active : -1) + by);
  if (at < 0) return $("query").focus();
  $(`hit-${at}`).focus({ preventScroll: true });
  $(`hit-${at}`).scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const field = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select");
  const onHit = event.target.classList.contains("hit");
  const keys = { j: () => move(1), k: () => move(-1), "/": () => { $("query").focus(); $("query").select(); }, w: () => toggleWhy(page.active) };
  if (onHit || event.target === document.body) Object.assign(keys, { ArrowDown: keys.j, ArrowUp: keys.k });
  if (onHit) keys.Enter = () => openDocument(page.hits[page.active].id);
  if (onHit) keys.Escape = () => $("query").focus();
  const inQuery = { ArrowDown: () => page.hits.length && move(1), Escape: () => event.target.blur() };
  const action = field ? (field.id === "query" ? inQuery : { Escape: inQuery.Escape })[event.key] : keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function listen() {
  let timer = 0;
  const soon = (run) => { clearTimeout(timer); timer = setTimeout(run, TYPING_PAUSE); };
  $("query").addEventListener("input", () => soon(() => change({ q: $("query").value, all: false }, true)));
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    if (state.q !== $("query").value) change({ q: $("query").value, all: false });
    page.typing = false;
  });
  $("filter").addEventListener("input", () => soon(() => change({ filter: $("filter").value, all: false }, true)));
  $("filter").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", () => change({ mode: radio.value, all: false }));
  $("collection").addEventListener("change", (event) => change({ c: event.target.value, filter: "", all: false, doc: "" }));
  $("clear").addEventListener("click", () => change({ filter: "", all: false }));
  $("open-filters").addEventListener("click", () => {
    const shown = $("filters").classList.toggle("shown");
    $("open-filters").setAttribute("aria-expanded", String(shown));
  });
  $("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = now;
    localStorage.setItem("kokeshi-theme", now);
  });
  $("reader-close").addEventListener("click", () => $("reader").close());
  $("reader").addEventListener("click", (event) => { if (event.target === $("reader")) $("reader").close(); });
  $("reader").addEventListener("close", () => {
    if (state.doc) { state.doc = ""; writeUrl(false); }
  });
  // Without a key there is nothing to see: closing the dialog is not a way on.
  $("ask").addEventListener("cancel", (event) => event.preventDefault());
  document.addEventListener("keydown", onKey);
  addEventListener("popstate", () => { readUrl(); showState(); search(); showDocument(); });
}

async function start() {
  listen();
  try {
    page.infos = (await api("collections")).collections;
  } catch (problem) {
    return fail(problem);
  }
  readUrl();
  $("collection").replaceChildren(...page.infos.map((one) => h("option", { value: one.name }, one.name)));
  $("picker").hidden = page.infos.length < 2;
  if (!page.infos.length) return say("This server has no collections.");
  showState();
  await search();
  if (state.doc) showDocument();
  if (!matchMedia("(pointer: coarse)").matches && !state.doc) $("query").focus();
}

addEventListener("DOMContentLoaded", start);
