"""What always holds, on the bundled model: a stream is the whole answer in pieces, usage is what was delivered, batches change no text."""
import random
import threading

import server
from server import MESSAGES, ServerCase, Server

PROMPTS = ["Once upon a time", "The king", "A fox and a hen", "In the dark wood there lived", "word " * 200]


class Invariants(ServerCase):
    @classmethod
    def start(cls):
        return Server("--max-num-seqs", "8")

    def cases(self, seed, count):
        pick = random.Random(seed)
        for _ in range(count):
            fields = {"prompt": pick.choice(PROMPTS), "max_tokens": pick.choice([1, 2, 7, 40]), "seed": pick.randrange(1000),
                      "temperature": pick.choice([0, 0.7, 1.5])}
            fields.update(pick.choice([{}, {"n": 3}, {"stop": [" the", "e a"]}, {"top_k": 5}, {"presence_penalty": 1.5},
                                       {"ignore_eos": True}, {"min_p": 0.1}, {"include_stop_str_in_output": True, "stop": "a"},
                                       {"logit_bias": {"300": 10}}, {"min_tokens": 1}, {"repetition_penalty": 1.3}]))
            yield fields

    def whole(self, fields, client=None):
        reply = (client or self.client).post("/v1/completions", {"return_token_ids": True, **fields})
        self.assertEqual(reply.status, 200, reply)
        return reply.json()

    def test_a_stream_is_the_whole_in_pieces(self):
        for fields in self.cases(1, 40):
            with self.subTest(**fields):
                whole = self.whole(fields)
                texts, ends, usage, error = self.client.stream("/v1/completions", stream_options={"include_usage": True}, **fields)
                self.assertTrue(self.client.done)
                self.assertIsNone(error)
                choices = sorted(whole["choices"], key=lambda choice: choice["index"])
                self.assertEqual([texts[i] for i in range(len(choices))], [choice["text"] for choice in choices])
                self.assertEqual([ends[i] for i in range(len(choices))], [choice["finish_reason"] for choice in choices])
                for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                    self.assertEqual(usage[name], whole["usage"][name])

    def test_usage_is_what_was_delivered(self):
        before = self.server.metrics()
        completion = 0
        for fields in self.cases(2, 40):
            if "stop" in fields:
                continue  # the engine may be a token ahead when a stop string is found
            with self.subTest(**fields):
                whole = self.whole(fields)
                usage, choices = whole["usage"], whole["choices"]
                self.assertEqual(usage["completion_tokens"], sum(len(choice["token_ids"]) for choice in choices))
                self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
                self.assertEqual(usage["prompt_tokens"], len(choices[0]["prompt_token_ids"]))
                self.assertLessEqual(max(len(choice["token_ids"]) for choice in choices), fields["max_tokens"])
                completion += usage["completion_tokens"]
        after = self.server.metrics()
        self.assertEqual(after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"], completion)

    def test_every_step_is_counted_with_its_tokens(self):
        """Prompt tokens that are computed, and generated ones but each request's last, which no step reads."""
        steps, tokens = "infernum_engine_steps_total", "vllm:iteration_tokens_total"
        self.server.wait_idle()
        before = self.server.metrics()
        usage = [self.whole({"prompt": prompt, "max_tokens": 7, "ignore_eos": True})["usage"] for prompt in PROMPTS]
        self.server.wait_idle()
        after = self.server.metrics()
        grown = {name: after[name] - before[name] for name in (steps, tokens + "_count", tokens + "_sum")}
        cached = sum(u["prompt_tokens_details"]["cached_tokens"] for u in usage)
        self.assertEqual(grown[tokens + "_count"], grown[steps])
        self.assertEqual(grown[tokens + "_sum"], sum(u["prompt_tokens"] + u["completion_tokens"] - 1 for u in usage) - cached)

    def test_bad_words_never_come(self):
        fields = {"prompt": PROMPTS[0], "max_tokens": 30, "temperature": 0, "ignore_eos": True}
        text = self.whole(fields)["choices"][0]["text"]
        words = text.split()
        for banned in ([words[3]], [words[1] + " " + words[2]], [words[0], words[2] + " " + words[3] + " " + words[4]]):
            with self.subTest(banned=banned):
                other = self.whole({**fields, "bad_words": banned})["choices"][0]["text"]
                self.assertNotEqual(other, text)
                for word in banned:
                    self.assertNotIn(" " + word + " ", other)

    def test_logprobs_of_named_tokens(self):
        """The same numbers that they have among the most probable ones."""
        fields = {"messages": MESSAGES, "max_tokens": 3, "temperature": 0, "logprobs": True, "return_tokens_as_token_ids": True}
        ask = lambda **more: self.client.chat(**fields, **more).json()["choices"][0]["logprobs"]["content"]
        best = ask(top_logprobs=9)
        wanted = [int(entry["token"].split(":")[1]) for entry in best[1]["top_logprobs"][3:6]] + [0]
        for many, few in zip(best, ask(top_logprobs=2, logprob_token_ids=wanted)):
            listed = {entry["token"]: entry["logprob"] for entry in few["top_logprobs"]}
            self.assertEqual(len(listed), len(few["top_logprobs"]), "none twice")
            self.assertEqual(list(listed)[:2], [entry["token"] for entry in many["top_logprobs"][:2]])
            self.assertTrue({"token_id:%d" % i for i in wanted} <= set(listed))
            for entry in many["top_logprobs"]:
                self.assertEqual(listed.get(entry["token"], entry["logprob"]), entry["logprob"])
        legacy = self.whole({"prompt": "The", "max_tokens": 1, "logprobs": 0, "logprob_token_ids": wanted, "return_tokens_as_token_ids": True})
        self.assertGreaterEqual(len(legacy["choices"][0]["logprobs"]["top_logprobs"][0]), len(wanted))
        self.refused(self.client.chat(max_tokens=1, logprob_token_ids=[1]), param="logprob_token_ids", words=["logprobs"])

    def test_nothing_comes_behind_a_stop(self):
        for seed in range(20):
            fields = {"prompt": PROMPTS[seed % 4], "max_tokens": 60, "seed": seed, "ignore_eos": True}
            plain = self.whole(fields)["choices"][0]["text"]
            stop = plain[len(plain) // 3 : len(plain) // 3 + 5]
            cut = self.whole({**fields, "stop": stop})["choices"][0]
            self.assertEqual((cut["text"], cut["finish_reason"]), (plain[: plain.index(stop)], "stop"))
            kept = self.whole({**fields, "stop": [stop, "never said"], "include_stop_str_in_output": True})["choices"][0]
            self.assertEqual(kept["text"], plain[: plain.index(stop)] + stop)
            texts, ends, _, _ = self.client.stream("/v1/completions", **fields, stop=stop)
            self.assertEqual((texts[0], ends), (cut["text"], {0: "stop"}))

    def test_a_batch_changes_no_text(self):
        work = list(self.cases(3, 32))
        alone = [[choice["text"] for choice in sorted(self.whole(fields)["choices"], key=lambda c: c["index"])] for fields in work]
        together = [None] * len(work)

        def run(worker):
            with self.server.client() as client:
                for i in range(worker, len(work), 12):
                    together[i] = [choice["text"] for choice in sorted(self.whole(work[i], client)["choices"], key=lambda c: c["index"])]

        threads = [threading.Thread(target=run, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(together, alone)

    def test_chats_and_their_tokens(self):
        for seed in range(6):
            fields = {"messages": MESSAGES, "seed": seed, "max_tokens": 30}
            whole = self.client.post("/v1/chat/completions", {**fields, "logprobs": True, "return_token_ids": True}).json()
            choice = whole["choices"][0]
            texts, ends, usage, _ = self.client.stream(**fields, stream_options={"include_usage": True})
            self.assertEqual(texts[0], choice["message"]["content"])
            self.assertEqual(usage["completion_tokens"], len(choice["token_ids"]))
            prompt = self.client.post("/tokenize", {"messages": MESSAGES}).json()
            self.assertEqual(prompt["count"], whole["usage"]["prompt_tokens"])
            self.assertEqual(prompt["tokens"], whole["prompt_token_ids"])
            text = self.client.post("/detokenize", {"tokens": choice["token_ids"]}).json()["prompt"]
            self.assertTrue(text.startswith(choice["message"]["content"]))

    def test_timings_on_request(self):
        bill = self.client.post("/v1/completions", {"prompt": "word " * 200, "max_tokens": 8, "ignore_eos": True,
                                                    "infernum": {"timings": True}}).json()["infernum"]
        self.assertIn("timings", bill)
        self.assertNotIn("infernum", self.client.complete(max_tokens=1).json())

    def test_a_long_prompt_holds_nobody_up(self):
        """While prompts of a whole context are read, a running stream goes on."""
        done = threading.Event()

        def heavy():
            with self.server.client() as client:
                for i in range(8):
                    client.post("/v1/completions", {"prompt": [300 + (i * 97 + k) % 3000 for k in range(1000)], "max_tokens": 1})
            done.set()

        thread = threading.Thread(target=heavy)
        seen = 0
        for document in self.client.events("/v1/completions", {"prompt": "Once", "max_tokens": 600, "ignore_eos": True}):
            if seen == 5:
                thread.start()
            if thread.ident and not done.is_set():
                seen += 1
            elif not thread.ident:
                seen += 1
        thread.join()
        self.assertGreater(seen, 20, "tokens came between the chunks of the prompts")


if __name__ == "__main__":
    server.main()
