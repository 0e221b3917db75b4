// The web page as a person uses it, in a real Chromium: node test.mjs URL [folder for screenshots].
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { documents } from "./corpus.mjs";

const [url, shots = join(tmpdir(), "kokeshi-shots"), root = "../../../.."] = process.argv.slice(2);
mkdirSync(shots, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), "kokeshi-chromium-"));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: flags, viewport: { width: 1280, height: 860 }, colorScheme: "light" });

const posted = await fetch(`${url}/collections/repository/documents`, {
  method: "POST", headers: { "content-type": "application/x-ndjson" }, body: documents(root).map((one) => JSON.stringify(one)).join("\n") });
assert.equal(posted.status, 200, await posted.text());

const troubles = [];
let expected = /^$/; // Browsers log failed requests as errors; a step that provokes one says so here.
const page = await browser.newPage();
page.setDefaultTimeout(20_000);
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type()) && !expected.test(message.text())) troubles.push(`console: ${message.text()}`);
});
page.on("pageerror", (error) => troubles.push(`page: ${error.stack}`));
page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:")) troubles.push(`asked ${request.url()}`); });

const settled = () => page.waitForFunction(() => !document.querySelector("#hits[aria-busy]") && document.querySelector("#status").textContent !== "");
const shot = (name) => page.screenshot({ path: join(shots, `${name}.png`) });
const titles = () => page.locator(".hit h2").allInnerTexts();
const open = async (query = "") => { await page.goto(`${url}/${query}`); await settled(); };
async function type(text) {
  const answered = page.waitForResponse((response) => response.url().endsWith("/search") && response.request().postDataJSON().query === text);
  await page.fill("#query", text);
  await answered;
  await settled();
}
const action = async (run) => {
  const answered = page.waitForResponse((response) => response.url().includes("/search"));
  await run();
  await answered;
  await settled();
};
let passed = 0;
let failed = 0;
async function step(name, run) {
  try {
    await run();
    assert.deepEqual(troubles, []);
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    troubles.length = 0;
    await shot(`failed-${failed}`).catch(() => {});
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}

await step("the start page tells what is there", async () => {
  await open();
  assert.match(await page.innerText("#status"), /\d+ documents/);
  assert.equal(await page.locator(".facet").count(), 6);
  await shot("start");
});

await step("results come while typing, with the words marked at the right letters", async () => {
  await type("wooden dolls");
  assert.equal((await titles())[0], "Wooden dolls");
  const marks = await page.locator("#hit-0 .text mark").allInnerTexts();
  assert.ok(marks.includes("wooden") && marks.includes("dolls"), marks.join());
  assert.ok((await page.innerText("#hit-0 .text")).includes("🎎🎎 Kokeshi are"));
  assert.match(page.url(), /q=wooden\+dolls/);
  await shot("results");
});

await step("markup in documents is text", async () => {
  await type("lentils lemon cumin");
  assert.ok((await page.innerText("#hit-0 .text")).includes("<script>alert('no')</script> & <b>salt</b>"));
});

await step("a stale answer is dropped", async () => {
  // The answer to the first query is held back until the second one is there.
  let release;
  const held = new Promise((done) => { release = done; });
  await page.route("**/search", async (route) => {
    if (route.request().postDataJSON().query !== "lentil soup") return route.continue();
    const response = await route.fetch().catch(() => null);
    await held;
    if (response) await route.fulfill({ response }).catch(() => {});
  });
  await page.fill("#query", "lentil soup");
  await page.waitForTimeout(300);
  await type("wooden dolls");
  release();
  await page.waitForTimeout(200);
  assert.equal((await titles())[0], "Wooden dolls");
  await page.unroute("**/search");
});

await step("a facet filters, shows its text, and keeps its other counts", async () => {
  await type("vectors and files");
  const before = await page.locator('[data-field="language"] li').count();
  await action(() => page.locator('[data-field="language"] label', { hasText: "Rust" }).click());
  assert.equal(await page.inputValue("#filter"), 'language:"Rust"');
  assert.ok(await page.locator('[data-field="language"] li').count() >= before);
  assert.ok((await page.locator(".hit .chip", { hasText: "Rust" }).count()) > 0);
  await action(() => page.locator('[data-field="language"] label', { hasText: "TOML" }).click());
  assert.equal(await page.inputValue("#filter"), 'language: IN ["Rust" "TOML"]');
  await shot("facets");
});

await step("ranges of numbers and days narrow the results, the filter can be edited, the back button undoes", async () => {
  await action(async () => { await page.fill('[aria-label="lines, at least"]', "100"); await page.keyboard.press("Tab"); });
  assert.equal(await page.inputValue("#filter"), 'language: IN ["Rust" "TOML"] AND lines:[100 TO *]');
  const lines = await page.locator(".hit .chip", { hasText: /^lines / }).allInnerTexts();
  assert.ok(lines.length > 0 && lines.every((text) => Number(text.replace(/\D/g, "")) >= 100), lines.join());
  await action(async () => { await page.fill('[aria-label="day, at least"]', "2021-01-01"); await page.keyboard.press("Tab"); });
  assert.match(await page.inputValue("#filter"), /day:\[2021-01-01 TO \*\]$/);
  await action(() => page.goBack());
  assert.equal(await page.inputValue("#filter"), 'language: IN ["Rust" "TOML"] AND lines:[100 TO *]');
  await action(() => page.fill("#filter", 'language:"English" AND tested:true'));
  assert.ok(await page.isChecked('[data-facet="language=English"]') && await page.isChecked('[data-facet="tested=true"]'));
  await action(() => page.click("#clear"));
  assert.equal(await page.inputValue("#filter"), "");
});

await step("a filter that can't be read says why beside it", async () => {
  expected = /400/;
  await page.fill("#filter", "nosuch:[");
  await page.waitForSelector("#filter-problem:not(:empty)");
  await shot("bad-filter");
  await action(() => page.fill("#filter", ""));
  assert.equal(await page.innerText("#filter-problem"), "");
  expected = /^$/;
});

await step("the mode switches what is compared", async () => {
  await open("?q=wooden+dolls");
  await action(() => page.locator(".modes label", { hasText: "Words" }).click());
  assert.match(page.url(), /mode=lexical/);
  assert.equal((await titles())[0], "Wooden dolls");
  await action(() => page.locator(".modes label", { hasText: "Meaning" }).click());
  assert.match(page.url(), /mode=dense/);
  await action(() => page.locator(".modes label", { hasText: "Both" }).click());
});

await step("why: the scores of each part and the words", async () => {
  await page.locator("#hit-0 .acts button", { hasText: "Why" }).click();
  const why = await page.innerText("#why-0");
  assert.match(why, /Meaning[\s\S]*Words[\s\S]*Score/);
  assert.match(why, /wooden/);
  assert.match(await page.textContent("#after details p"), /meaning by [a-z-]+: [\d,]+ comparisons, [\d,]+ of them with vectors, [\d,]+ µs/);
  await shot("why");
});

await step("a document opens with its similar ones; its URL can be shared; back closes it", async () => {
  await page.locator("#hit-0 h2 button").click();
  await page.waitForSelector("#reader[open] .full");
  assert.match(await page.innerText("#reader .full"), /Kokeshi are wooden dolls/);
  assert.ok(await page.locator(".like li").count() > 0);
  assert.match(page.url(), /doc=doll/);
  await page.waitForTimeout(200);
  await shot("reader");
  const shared = page.url();
  await page.goBack();
  await page.waitForSelector("#reader:not([open])", { state: "attached" });
  await page.goto(shared);
  await page.waitForSelector("#reader[open] .full");
  const similar = await page.locator(".like li button").first().innerText();
  await page.locator(".like li button").first().click();
  await page.waitForFunction((title) => document.querySelector("#reader-title").textContent === title, similar);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#reader:not([open])", { state: "attached" });
  // The browser closes the dialog first and tells the page, which changes the URL, a moment later.
  await page.waitForURL((url) => !url.searchParams.has("doc"));
  assert.doesNotMatch(page.url(), /doc=/);
});

await step("an id with slashes, spaces and letters beyond ASCII opens", async () => {
  await open(`?doc=${encodeURIComponent("notes/İstanbul & Ağrı?.txt")}`);
  await page.waitForSelector("#reader[open] .full");
  assert.match(await page.innerText("#reader .full"), /bardakta/);
  await page.click("#reader-close");
});

await step("the keyboard does it all", async () => {
  await open("?q=read+a+file");
  await page.locator("body").click({ position: { x: 5, y: 500 } });
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "query");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("j");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("k");
  assert.equal(await page.evaluate(() => document.activeElement.id), "hit-1");
  await page.keyboard.press("w");
  assert.ok(await page.isVisible("#why-1"));
  await page.keyboard.press("Enter");
  await page.waitForSelector("#reader[open] .full");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#reader:not([open])", { state: "attached" });
  await page.locator("#hit-1").focus();
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.id), "query");
});

await step("more results come on request", async () => {
  await open("?filter=tested:false");
  const before = (await titles()).length;
  await action(() => page.click("#more"));
  assert.ok((await titles()).length > before);
});

await step("nothing relevant is said, and shown anyway on request", async () => {
  await open("?q=qzxv+wrbl+plfgh");
  assert.equal((await titles()).length, 0);
  assert.match(await page.innerText(".empty"), /Nothing relevant/);
  await shot("nothing");
  await action(() => page.click("#show-anyway"));
  assert.ok((await titles()).length > 0);
  assert.match(page.url(), /all=1/);
});

await step("dark by choice, kept after a reload, and by the system's preference", async () => {
  await open("?q=wooden+dolls");
  await page.click("#theme");
  await page.reload();
  await settled();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.locator("#hit-0 .acts button", { hasText: "Why" }).click();
  await shot("dark");
  await page.evaluate(() => localStorage.clear());
  await page.emulateMedia({ colorScheme: "dark" });
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.emulateMedia({ colorScheme: "light" });
});

await step("a phone: nothing wider than the screen, filters behind a button", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await open("?q=wooden+dolls");
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(await overflow() <= 0);
  await page.locator("#hit-0 .acts button", { hasText: "Why" }).click();
  await shot("phone");
  await page.locator("#hit-0 .acts button", { hasText: "Why" }).click();
  assert.ok(!(await page.isVisible("#filter")));
  await page.click("#open-filters");
  assert.ok(await page.isVisible("#filter"));
  assert.ok(await overflow() <= 0);
  await shot("phone-filters");
  await page.click("#open-filters");
  await page.locator("#hit-0 h2 button").click();
  await page.waitForSelector("#reader[open] .full");
  await page.waitForTimeout(200);
  await shot("phone-reader");
  await page.click("#reader-close");
  await page.setViewportSize({ width: 1280, height: 860 });
});

await step("labels, contrast of text and order of headings", async () => {
  for (const theme of ["light", "dark"]) {
    await open("?q=wooden+dolls");
    await page.evaluate((theme) => { document.documentElement.dataset.theme = theme; }, theme);
    assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea, a")].filter((element) => {
      const label = element.labels?.length ? element.labels[0].textContent : "";
      return !(element.getAttribute("aria-label") || label || element.textContent || element.title).trim();
    }).map((element) => element.outerHTML)), []);
    const weak = await page.evaluate(() => {
      const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
      const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
          const colour = rgb(getComputedStyle(one).backgroundColor);
          if (colour.length === 3) return colour;
        }
        return [255, 255, 255];
      };
      return [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
        .map((element) => [light(rgb(getComputedStyle(element).color)), light(behind(element)), element])
        .map(([a, b, element]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), `${element.tagName}.${element.className}: ${element.textContent.slice(0, 30)}`])
        .filter(([ratio]) => ratio < 4.5);
    });
    assert.deepEqual(weak, [], theme);
  }
});

await step("a server that is busy is asked again; one that is gone is told", async () => {
  await open();
  expected = /503|Failed to load|ERR_/;
  let times = 0;
  await page.route("**/search", (route) => (times++ === 0
    ? route.fulfill({ status: 503, headers: { "retry-after": "1" }, json: { error: { message: "busy" } } }) : route.continue()));
  await page.fill("#query", "wooden dolls");
  await page.waitForSelector("#hit-0");
  await page.waitForFunction(() => document.querySelector(".hit h2")?.innerText === "Wooden dolls");
  await page.unroute("**/search");
  await page.route("**/search", (route) => route.abort());
  await page.fill("#query", "lentils");
  await page.waitForFunction(() => /can't be reached/.test(document.querySelector("#banner").innerText));
  await shot("gone");
  await page.unroute("**/search");
  await type("lentil soup");
  assert.equal(await page.innerText("#banner"), "");
  expected = /^$/;
});

await step("a server with a key asks for it once", async () => {
  expected = /401/;
  await page.route("**/collections**", (route) => (route.request().headers()["x-api-key"] === "right-key" ? route.continue()
    : route.fulfill({ status: 401, json: { error: { message: "no key" } } })));
  await page.goto(url);
  await page.waitForSelector("#ask[open]");
  await shot("key");
  await page.fill("#key", "right-key");
  await page.keyboard.press("Enter");
  await settled();
  assert.ok((await titles()).length > 0);
  await page.unroute("**/collections**");
  expected = /^$/;
});

await step("the API page sends requests", async () => {
  await page.goto(`${url}/docs`);
  await page.waitForSelector(".call");
  assert.ok(await page.locator(".call").count() >= 12);
  const search = page.locator(".call", { hasText: "Search with a JSON body" });
  await search.locator("summary").click();
  await search.locator("button").click();
  await page.waitForFunction(() => /200 OK/.test(document.querySelector(".call[open] pre")?.textContent || ""));
  await shot("docs");
});

await browser.close();
rmSync(profile, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
