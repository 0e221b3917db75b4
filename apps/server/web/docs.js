// The page to try the API: every operation of /openapi.json as a form that sends the request and shows the curl command.
"use strict";

document.documentElement.dataset.theme =
  localStorage.getItem("kokeshi-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

const $ = (id) => document.getElementById(id);
const first = {}; // What is known about this server, to fill the forms with.

function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children.flat());
  return element;
}

const key = () => $("key").value || sessionStorage.getItem("kokeshi-key") || localStorage.getItem("kokeshi-key") || "";

/** The request that a form describes: method, URL, headers, body. */
function build(method, path, form) {
  const query = new URLSearchParams();
  let url = path;
  for (const input of form.querySelectorAll("input[data-in]")) {
    if (input.dataset.in === "path") url = url.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(input.name, input.value);
  }
  const body = form.querySelector("textarea")?.value;
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (key()) headers["x-api-key"] = key();
  return { method, url: `.${url}${query.size ? `?${query}` : ""}`, headers, body };
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl({ method, url, headers, body }) {
  const parts = ["curl", method === "GET" ? "" : `-X ${method}`, shell(new URL(url, location.href).href)];
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${shell(`${name}: ${name === "x-api-key" ? "$KEY" : value}`)}`);
  if (body !== undefined) parts.push(`-d ${shell(body)}`);
  return parts.filter(Boolean).join(" ");
}

async function send(request, output) {
  output.hidden = false;
  output.textContent = `${curl(request)}\n\n…`;
  try {
    const start = performance.now();
    const response = await fetch(request.url, request);
    const text = await response.text();
    const took = (performance.now() - start).toFixed(1);
    let shown = text;
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // Not JSON: /metrics is text.
    }
    output.textContent = `${curl(request)}\n\n${response.status} ${response.statusText} in ${took} ms\n${shown.slice(0, 20000)}`;
  } catch (problem) {
    output.textContent = `${curl(request)}\n\nThe server can't be reached: ${problem.message}`;
  }
}

function operation(path, method, about) {
  const inputs = (about.parameters || []).map((parameter) => h("label", {}, parameter.name,
    Object.assign(h("input", { name: parameter.name, required: parameter.in === "path",
      value: parameter.in === "path" ? first[parameter.name] || "" : parameter.name === "q" ? "search" : "" })),
    h("span", { className: "about" }, parameter.description || "")));
  inputs.forEach((label, at) => { label.querySelector("input").dataset.in = about.parameters[at].in; });
  const content = about.requestBody?.content?.["application/json"];
  const body = content ? [h("label", { className: "wide" }, "Body (JSON)",
    h("textarea", { rows: 6, spellcheck: false, value: JSON.stringify(content.example ?? {}, null, 2) }))] : [];
  const output = h("pre", { hidden: true, tabIndex: 0 });
  const form = h("form", {}, inputs, body, h("div", {}, h("button", { className: "solid", type: "submit" }, "Send")), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(build(method.toUpperCase(), path, form), output);
  });
  const verb = h("span", { className: `verb ${method}` }, method.toUpperCase());
  return h("details", { className: "call", id: about.operationId || "" },
    h("summary", {}, verb, h("code", {}, path), h("span", { className: "quiet" }, about.summary || "")), form);
}

async function start() {
  const headers = key() ? { "x-api-key": key() } : {};
  const [api, list] = await Promise.all([fetch("openapi.json").then((response) => response.json()),
    fetch("collections", { headers }).then((response) => (response.ok ? response.json() : { collections: [] }))]);
  first.name = list.collections[0]?.name;
  $("title").textContent = `${api.info.title} ${api.info.version}`;
  $("about").textContent = api.info.description;
  $("groups").replaceChildren(...api.tags.map((tag) => h("section", {}, h("h2", {}, tag.description || tag.name),
    Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods)
      .filter(([, about]) => about.tags?.includes(tag.name))
      .map(([method, about]) => operation(path, method, about))))));
  $("key-form").addEventListener("submit", (event) => event.preventDefault());
}

addEventListener("DOMContentLoaded", () => start().catch((problem) => {
  $("about").textContent = `The OpenAPI document can't be read: ${problem.message}`;
}));
