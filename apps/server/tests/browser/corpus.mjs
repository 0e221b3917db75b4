// The documents of the browser test: the repository's own texts, and three of ours for letters beyond ASCII.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";

const LANGUAGES = { ".rs": "Rust", ".md": "Markdown", ".toml": "TOML", ".sh": "Shell", ".css": "CSS", ".html": "HTML" };

/** The attributes that the collection must have. */
export const schema = {
  fields: [
    { name: "language", kind: "keyword" },
    { name: "folder", kind: "keyword", list: true },
    { name: "lines", kind: "integer" },
    { name: "kib", kind: "float" },
    { name: "day", kind: "date" },
    { name: "tested", kind: "bool" },
  ],
};

const ours = [
  { id: "doll", title: "Wooden dolls", text: "🎎🎎 Kokeshi are wooden dolls from Tōhoku — a lathe, a brush, ten centimetres of dogwood 🪵. Kokeshi have no arms.",
    attributes: { language: "English", folder: ["notes"], lines: 1, kib: 0.2, day: "2019-05-01", tested: false } },
  { id: "soup", title: "Lentil soup", text: "Simmer red lentils with onions, cumin and lemon; serve with bread. <script>alert('no')</script> & <b>salt</b>",
    attributes: { language: "English", folder: ["notes", "kitchen"], lines: 2, kib: 0.1, day: "2021-11-30", tested: true } },
  { id: "notes/İstanbul & Ağrı?.txt", title: "Çay", text: "Çay İstanbul'da ince belli bardakta içilir; şeker ayrı verilir.",
    attributes: { language: "Türkçe", folder: ["notes"], lines: 1, kib: 0.1, day: "2023-02-14", tested: false } },
];

/** Every text file under `root` that is worth reading. */
export function documents(root) {
  const found = [];
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.name.startsWith(".") || ["target", "node_modules", "data", "results"].includes(entry.name)) continue;
      if (entry.isDirectory()) walk(path);
      else if (LANGUAGES[extname(path)] && statSync(path).size < 200_000) found.push(path);
    }
  };
  walk(root);
  return found.slice(0, 250).map((path) => {
    const text = readFileSync(path, "utf8");
    const id = relative(root, path).split(sep).join("/");
    const title = text.split("\n", 1)[0].replace(/^[\s/*#!<>-]+|[\s/*<>-]+$/g, "").slice(0, 90);
    const lines = text.split("\n").length;
    return { id, title: title || id, text, attributes: {
      language: LANGUAGES[extname(path)], folder: id.split("/").slice(0, -1), lines, kib: Math.round(text.length / 10.24) / 100,
      day: `20${20 + (lines % 6)}-0${1 + (lines % 9)}-1${lines % 10}`, tested: text.includes("#[test]") } };
  }).concat(ours);
}
