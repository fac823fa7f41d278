// Answers that attack: nothing in them may run, load, navigate, restyle the page or hold it up.
import assert from "node:assert/strict";

const evil = "https://evil.example";
const attacks = [
  "<script>alert(1)</script>",
  `<script src="${evil}/x.js"></script>`,
  `<img src=x onerror="alert(2)"><img src="${evil}/pixel.png">`,
  `![a picture](${evil}/picture.png "t") ![x](data:image/svg+xml,<svg onload=alert(3)>) ![](javascript:alert(4))`,
  `<iframe src="${evil}"></iframe><object data="${evil}/o"></object><embed src="${evil}/e">`,
  "<svg onload=alert(5)><animate onbegin=alert(6) attributeName=x dur=1s></svg>",
  `<style>@import "${evil}/s.css"; body { display: none }</style><link rel=stylesheet href="${evil}/l.css">`,
  `<p style="background:url(${evil}/b.png); position:fixed; inset:0">cover</p>`,
  `<base href="${evil}/"><meta http-equiv=refresh content="0;url=${evil}">`,
  `<form action="${evil}"><input name=q autofocus onfocus=alert(7)><button>send</button></form>`,
  "[js](javascript:alert(8)) [data](data:text/html,<script>alert(9)</script>) [vb](vbscript:x) [tab](java\tscript:alert(1)) [ok](https://example.org) [file](file:///etc/passwd) [rel](/v1/models)",
  '<a href="javascript:alert(10)" onclick=alert(11)>click</a> <details open ontoggle=alert(12)><summary>s</summary></details>',
  "`<img src=x onerror=alert(13)>` and &lt;script&gt;alert(14)&lt;/script&gt;",
  '```"><img/src=x/onerror=alert(15)>\n</code></pre><script>alert(16)</script>\n```',
  "```html\n<script>alert(17)</script>\n```",
  "| a | <img src=x onerror=alert(18)> |\n|---|---|\n| <script>alert(19)</script> | b |",
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(20)&gt;">',
  '<noscript><p title="</noscript><img src=x onerror=alert(21)>"></noscript><template><script>alert(22)</script></template>',
  `[ref]: javascript:alert(23)\n\n[ref] <div id="app" class="composer">clobber</div><a id=documentElement name=body>x</a>`,
  "<br onload=alert(24)> H<sub>2</sub>O <b onmouseover=alert(25)>bold</b> <custom-element>z</custom-element>",
];

export const hostileCases = {
  "an answer full of HTML and script is text": async ({ open, mock }) => {
    const content = attacks.join("\n\n");
    // In pieces of three characters, so that every growing state is drawn as well.
    mock.respond = (reply) => reply.answer(content.match(/[^]{1,3}/g), { delayMs: 1, reasoning: attacks.slice(0, 5).join(" ") });
    const visit = await open();
    await visit.ask("Attack me");
    await visit.lastAnswer.locator("summary").first().click();
    const found = await visit.page.evaluate(() => {
      const answer = document.querySelector(".answer");
      const names = new Set([...answer.querySelectorAll("*")].flatMap((element) => [...element.attributes].map(({ name }) => name)));
      return {
        elements: [...answer.querySelectorAll(".markdown *")]
          .map(({ tagName }) => tagName)
          .filter(
            (name) =>
              !/^(A|B|BLOCKQUOTE|BR|BUTTON|CODE|DEL|DIV|EM|H\d|HR|I|LI|OL|P|PRE|SPAN|STRONG|SUB|SUP|TABLE|TBODY|TD|TH|THEAD|TR|U|UL)$/.test(
                name,
              ),
          ),
        attributes: [...names].filter((name) => /^on|style|src/.test(name)),
        links: [...answer.querySelectorAll("a")].map((link) => [link.getAttribute("href"), link.rel, link.target]),
        apps: document.querySelectorAll("#app").length,
        visible: getComputedStyle(document.body).display,
      };
    });
    assert.deepEqual(found.elements, []);
    assert.deepEqual(found.attributes, []);
    assert.equal(found.apps, 1);
    assert.equal(found.visible, "block");
    assert.ok(found.links.length >= 2);
    for (const [href, rel, target] of found.links) {
      assert.match(href, /^https:\/\//);
      assert.deepEqual([rel, target], ["noopener noreferrer nofollow", "_blank"]);
    }
    const text = await visit.lastAnswer.innerText();
    assert.match(text, /<script>alert\(1\)<\/script>/, "what the model wrote can be read");
    assert.match(text, /Image: a picture/);
    await visit.page.reload();
    await visit.page.waitForSelector(".answer .markdown > div");
  },

  "hostile names of models and texts of errors are text": async ({ open, mock }) => {
    mock.models = [{ id: "<img src=x onerror=alert(1)>", max_model_len: 10 }];
    mock.respond = (reply) => reply.error(400, { message: "<script>alert(2)</script>", code: "<b>" });
    const visit = await open();
    await visit.ask("<img src=x onerror=alert(3)>");
    assert.match(await visit.page.locator(".error").innerText(), /<script>alert\(2\)<\/script>/);
    assert.deepEqual(await visit.page.locator(".bubble").allInnerTexts(), ["<img src=x onerror=alert(3)>"]);
  },

  "hostile tokens in the probability view are text": async ({ open, mock }) => {
    const { token } = await import("./mock_server.mjs");
    const halves = [0xf0, 0x9f].map((byte) => ({ token: "\ufffd", logprob: -2, bytes: [byte], top_logprobs: [] }));
    mock.respond = (reply) =>
      reply.answer([token("<img src=x onerror=alert(1)>", -3, [{ token: "<script>", logprob: -1, bytes: [60] }]), ...halves, token("\n")]);
    const visit = await open();
    await visit.button("Token probabilities").click();
    await visit.ask("Go");
    assert.deepEqual(await visit.page.locator(".token").allTextContents(), ["<img src=x onerror=alert(1)>", "\\xF0", "\\x9F", "↵\n"]);
    await visit.page.locator(".token").nth(1).hover();
    assert.match(await visit.page.locator(".card").innerText(), /\\xF0[^]*bytes f0/);
  },

  "nesting without end does not break the page": async ({ open, mock }) => {
    mock.respond = (reply) =>
      reply.answer([
        ">".repeat(20_000),
        "\n\n",
        "[".repeat(5_000),
        "\n\n",
        "* ".repeat(3_000),
        "\n\n",
        "**a ".repeat(3_000),
        "\n\nstill here",
      ]);
    const visit = await open();
    await visit.ask("Nest");
    assert.match(await visit.lastAnswer.innerText(), /still here/);
  },

  "a very long answer costs linear time": async ({ open, mock }) => {
    const paragraph = "A sentence with **bold** words and `code` in it, again and again. ".repeat(4);
    const block = `${paragraph}\n\n- one\n- two\n\n\`\`\`js\n${"const x = 1;\n".repeat(20)}\`\`\`\n\n`;
    const visit = await open();
    const time = async (blocks) => {
      mock.respond = (reply) =>
        reply.answer(
          Array.from({ length: blocks }, () => block)
            .join("")
            .match(/[^]{1,40}/g),
        );
      await visit.button("New conversation").click();
      const start = performance.now();
      await visit.send("Long");
      await visit.page.waitForSelector(".answer .stats", { timeout: 40_000 });
      return performance.now() - start;
    };
    await time(20);
    const short = await time(60);
    const long = await time(480);
    assert.ok(long < 24 * Math.max(short, 150), `${Math.round(long)} ms for eight times what took ${Math.round(short)} ms`);
  },

  "one paragraph without end stays usable": async ({ open, mock }) => {
    mock.respond = (reply) => reply.answer(Array.from({ length: 6000 }, (_, i) => ` word${i} *and* more words`));
    const visit = await open();
    await visit.send("Endless");
    await visit.page.waitForSelector(".answer .stats", { timeout: 30_000 });
    assert.match(await visit.lastAnswer.innerText(), /word5999/);
  },
};
