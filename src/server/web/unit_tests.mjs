// Bundles every src/**/*.test.ts with esbuild (which comes with Vite) and runs them under node:test.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const out = "unit_tests";
const tests = readdirSync("src", { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap((folder) => readdirSync(join("src", folder.name)).map((name) => join("src", folder.name, name)))
  .filter((name) => name.endsWith(".test.ts"));
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: tests,
  outdir: out,
  bundle: true,
  platform: "node",
  format: "esm",
  outExtension: { ".js": ".mjs" },
  logLevel: "warning",
});
const files = readdirSync(out, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".mjs"))
  .map((name) => join(out, name));
if (files.length !== tests.length) throw new Error(`bundled ${files.length} of ${tests.length} test files`);
process.exit(spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1);
