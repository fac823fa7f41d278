// Builds the page into dist/: one page, one script, one style sheet, the latter two named after a hash of their content.
import { defineConfig } from "vite";

export default defineConfig({
  // Relative addresses, so that the page also works behind a proxy that serves it under a path.
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    // The polyfill would be a second inline-like loader for browsers that cannot run the rest anyway.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: { output: { inlineDynamicImports: true } },
  },
  // `npm run dev` talks to a server started by hand.
  server: { proxy: { "/v1": process.env.INFERNUM_URL ?? "http://127.0.0.1:8000" } },
});
