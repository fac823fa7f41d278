// Builds the page into dist/: one page, one script, one style sheet and the libraries' licences, named after a hash of their content.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const licencesModule = "virtual:licences";

/** The licences of everything in `dependencies`, whose code becomes part of the page. */
function licenceTexts(): string {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: Record<string, string> };
  const texts = Object.entries(dependencies).map(([name, version]) => {
    const folder = join("node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e(\.(md|txt))?$/i.test(entry));
    if (!file) throw new Error(`${folder} holds no licence`);
    return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

/** `import address from "virtual:licences"`: the address of a file with the licences. */
const licences: Plugin = {
  name: "licences",
  apply: "build",
  resolveId: (id) => (id === licencesModule ? id : null),
  load(id) {
    if (id !== licencesModule) return null;
    const file = this.emitFile({ type: "asset", name: "licences.txt", source: licenceTexts() });
    return `export default import.meta.ROLLUP_FILE_URL_${file};`;
  },
};

/** While the page is worked on there is no such file. */
const noLicences: Plugin = {
  name: "no-licences",
  apply: "serve",
  resolveId: (id) => (id === licencesModule ? id : null),
  load: (id) => (id === licencesModule ? "export default '';" : null),
};

export default defineConfig({
  // Relative addresses, so that the page also works behind a proxy that serves it under a path.
  base: "./",
  plugins: [licences, noLicences],
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    // Browsers that need the polyfill cannot run the rest.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: { output: { inlineDynamicImports: true } },
  },
  // `npm run dev` talks to a server started by hand.
  server: { proxy: { "/v1": process.env.INFERNUM_URL ?? "http://127.0.0.1:8000" } },
});
