// node embed.mjs DIST OUTPUT.cpp: turns the built page into the list that src/server/web_files.h declares.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { extname, join, posix, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";

const types = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

/** A string literal of any bytes; octal escapes have three digits, so that a digit may follow. */
function literal(bytes) {
  const escaped = Array.from(bytes, (byte) => {
    const plain = byte >= 32 && byte < 127 && byte !== 34 && byte !== 92 && byte !== 63;
    return plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`;
  });
  const lines = [];
  for (let at = 0; at < escaped.length; at += 4096) lines.push(`"${escaped.slice(at, at + 4096).join("")}"`);
  return lines.length > 0 ? lines.join("\n") : '""';
}

function fileEntry(dist, file) {
  const name = relative(dist, file).split(sep).join(posix.sep);
  const type = types[extname(name)];
  if (!type) throw new Error(`${name}: no content type is known for this kind of file (embed.mjs lists them)`);
  const bytes = readFileSync(file);
  const packed = gzipSync(bytes, { level: 9 });
  const gzip = packed.length < bytes.length ? packed : Buffer.alloc(0);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  const path = name === "index.html" ? "/" : `/${name}`;
  return { path, type, bytes, gzip, etag: `W/\\"${hash}\\"`, immutable: name.startsWith("assets/") };
}

const view = (bytes) => `{${literal(bytes)}, ${bytes.length}}`;

const [dist, output] = process.argv.slice(2);
const entries = [...filesBelow(dist)].map((file) => fileEntry(dist, file)).sort((a, b) => (a.path < b.path ? -1 : 1));
const rows = entries.map(
  ({ path, type, bytes, gzip, etag, immutable }) => `    {"${path}", "${type}", ${view(bytes)}, ${view(gzip)}, "${etag}", ${immutable}},`,
);
writeFileSync(
  output,
  `// Written by src/server/web/embed.mjs from the built page.
#include "server/web_files.h"

namespace infernum {
namespace {

constexpr WebFile kFiles[] = {
${rows.join("\n")}
};

}  // namespace

std::span<const WebFile> web_files() { return kFiles; }

}  // namespace infernum
`,
);
