// The chat page in a browser: against a mock of the server that each case scripts, or (INFERNUM_URL) the cases that hold for any server.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, test } from "node:test";
import { Browser } from "./browser.mjs";
import { anyServerCases } from "./cases_any_server.mjs";
import { errorCases } from "./cases_errors.mjs";
import { hostileCases } from "./cases_hostile.mjs";
import { viewCases } from "./cases_view.mjs";
import { chatCases } from "./cases_chat.mjs";
import { MockServer } from "./mock_server.mjs";

const realUrl = process.env.INFERNUM_URL;
const dist = resolve(process.env.INFERNUM_PAGE_DIST ?? new URL("../../src/server/web/dist", import.meta.url).pathname);
if (!realUrl && !existsSync(dist))
  throw new Error(`no built page at ${dist}: run npm ci && npm run build in src/server/web, or name it by INFERNUM_PAGE_DIST`);

const browser = new Browser();
const mock = realUrl ? null : new MockServer(dist);
before(async () => {
  await mock?.start();
  await browser.start();
});
after(async () => {
  await browser.stop();
  await mock?.stop();
});

const cases = realUrl ? anyServerCases : { ...anyServerCases, ...chatCases, ...errorCases, ...viewCases, ...hostileCases };
for (const [name, run] of Object.entries(cases)) {
  test(name, { timeout: 60_000 }, async () => {
    mock?.reset();
    const visits = [];
    const open = async (options = {}) => {
      await options.prepare?.();
      const visit = await browser.open(realUrl ?? mock.url, options);
      visits.push(visit);
      return visit;
    };
    try {
      await run({ open, mock });
      for (const visit of visits) await visit.assertClean();
    } finally {
      for (const visit of visits) await visit.page.close();
    }
  });
}
