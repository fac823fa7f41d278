"""Broken and hostile input: one clear message, exit code 1, quickly, in bounded memory, never a signal."""
import json
import os
import pathlib
import shutil
import struct
import tempfile
import time
import unittest

import program
from program import DATA, STORYTELLER, run

SECONDS = float(os.environ.get("INFERNUM_TEST_SECONDS", "2")) * program.SLOWDOWN  # of CPU time, so that a busy machine does not matter
MEMORY = 2 << 30
LAYER = "model.layers.3.mlp.up_proj.weight"


class WrongInput(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.model = self.folder / "model"
        self.model.mkdir()
        for file in STORYTELLER.iterdir():
            (self.model / file.name).symlink_to(file)

    def refused(self, words, *args, **options):
        before = os.times()
        code, out, err = run(*args, memory=MEMORY, **options)
        after = os.times()
        self.assertEqual(code, 1, out + err)
        self.assertEqual(out, "")
        self.assertEqual(err.count("infernum: "), 1, err)
        for word in words:
            self.assertIn(str(word), err)
        self.assertLess(len(err), 4000)
        self.assertLess(after.children_user + after.children_system - before.children_user - before.children_system, SECONDS, err)

    def story(self, words, model=None, prompt="Once"):
        self.refused(words, "run", model or self.model, prompt, "--raw", "--temperature", "0", "--max-tokens", "4")

    def replace(self, name, content):
        file = self.model / name
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def config(self, change):
        config = json.loads((STORYTELLER / "config.json").read_text())
        change(config)
        self.replace("config.json", json.dumps(config))

    # config.json

    def test_config_text(self):
        for text, words in [("{", ["not valid JSON"]), ("[]", ["object"]), ("", ["JSON"]), ("\xff\x00", ["JSON"]), ("[" * 100000, ["config.json"]),
                            ('{"a":' * 100000, ["config.json"])]:
            with self.subTest(text=text[:20]):
                self.replace("config.json", text)
                self.story(["config.json", *words])

    def test_config_values(self):
        cases = [("vocab_size", None, ["missing", "vocab_size"]), ("hidden_size", "256", ["hidden_size", "256", "integer"]),
                 ("num_hidden_layers", -1, ["num_hidden_layers", "-1"]), ("num_hidden_layers", 100000, ["4096", "100000"]),
                 ("num_attention_heads", 2.5, ["num_attention_heads", "2.5"]), ("num_key_value_heads", 3, ["4", "3"]), ("head_dim", 1 << 40, ["head_dim"]),
                 ("rms_norm_eps", -1, ["rms_norm_eps", "-1"]), ("hidden_act", "relu2", ["hidden_act", "relu2"]), ("architectures", None, ["architectures"]),
                 ("architectures", ["LlamaForCausalLN"], ["LlamaForCausalLN", "LlamaForCausalLM"]), ("architectures", 3, ["architectures", "3"]),
                 ("rope_parameters", {"rope_type": "spiral"}, ["rope_type", "spiral", "yarn"]), ("rope_parameters", {"rope_type": "linear"}, ["factor", "linear"]),
                 ("rope_parameters", 7, ["rope_parameters", "7"]), ("rope_parameters", {"rope_theta": 0}, ["rope_theta", "0"]),
                 ("rope_parameters", {"rope_theta": 1e4, "curl": 1}, ["rope", "curl"]), ("quantization_config", {"quant_method": "gptq"}, ["quantization_config"]),
                 ("attn_logit_softcapping", 30.0, ["attn_logit_softcapping", "llama"]), ("sliding_window_pattern", 6, ["sliding_window_pattern"]),
                 ("tie_word_embeddings", "yes", ["tie_word_embeddings", "yes"]), ("max_position_embeddings", 0, ["max_position_embeddings", "0"]),
                 ("vocab_size", 2**31 - 1, ["embed_tokens", "4096"]), ("intermediate_size", 2**31 - 1, ["up_proj", "768"]),
                 ("num_hidden_layers", 4096, ["missing", "and 36772 more"])]
        for key, value, words in cases:
            with self.subTest(key=key, value=value):
                self.config(lambda c, k=key, v=value: c.pop(k) if v is None else c.update({k: v}))
                self.story(words)

    def test_huge_context_is_cut_to_the_memory(self):
        self.config(lambda c: c.update(max_position_embeddings=2**31 - 1))
        code, _, err = run("run", self.model, "Once", "--raw", "--max-tokens", "2")
        self.assertEqual(code, 0, err)
        self.assertIn("2147483647", err)

    # Folders and files

    def test_files(self):
        empty = self.folder / "empty"
        empty.mkdir()
        self.story(["config.json", empty], empty)
        self.story(["no such model", "/no/where"], "/no/where")
        self.replace("model.safetensors", None)
        self.story(["model.safetensors", self.model])
        text = self.folder / "model.txt"
        text.write_text("hello")
        self.story([text, ".gguf"], text)
        self.replace("model.safetensors.index.json", json.dumps({"weight_map": {LAYER: "model-00001-of-00002.safetensors"}}))
        self.story(["model-00001-of-00002.safetensors"])
        self.replace("model.safetensors.index.json", json.dumps({"weight_map": {LAYER: "../../etc/passwd"}}))
        self.story(["../../etc/passwd"])

    def test_tokenizer(self):
        text = (STORYTELLER / "tokenizer.json").read_bytes()
        self.replace("tokenizer.json", text[: len(text) // 2])
        self.story(["tokenizer.json"])
        self.replace("tokenizer.json", "{}")
        self.story(["tokenizer"])
        for text, words in [("", ["tokenizer.json"]), ("[1]", ["an object"]), ("[" * 1000000, ["not valid JSON"]), ('{"model":' * 100000, ["not valid JSON"]),
                            (b'{"a":"\xff"}', ["UTF-8"])]:
            with self.subTest(text=text[:20]):
                self.replace("tokenizer.json", text)
                self.story(["tokenizer.json", *words])
        self.replace("tokenizer.json", None)
        self.story(["tokenizer.json"])
        (self.model / "tokenizer.json").symlink_to("/dev/zero")
        self.story(["not a regular file", "tokenizer.json"])
        self.replace("tokenizer.json", None)
        os.mkfifo(self.model / "tokenizer.json")
        self.story(["not a regular file", "tokenizer.json"])

    def test_tokenizer_parts(self):
        def split(regex):
            return lambda t: t.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"})

        cases = [("no model", lambda t: t.pop("model"), ["missing", "model"]), ("another model", lambda t: t["model"].update(type="Magic"), ["Magic"]),
                 ("another part", lambda t: t.update(pre_tokenizer={"type": "Magic"}), ["Magic", "pre_tokenizer"]), ("no regex", split("(a"), ["does not compile", "(a"]),
                 ("negative id", lambda t: t["model"]["vocab"].update(O=-1), ["range", "-1"]), ("huge id", lambda t: t["model"]["vocab"].update(O=1 << 40), [1 << 40]),
                 ("id twice", lambda t: t["model"]["vocab"].update(O=1), ["same id", "1"]), ("no tokens", lambda t: t["model"].update(vocab={}, merges=[]), ["no tokens"]),
                 ("merge of nothing", lambda t: t["model"].update(merges=[["q!", "zz"]]), ["merge 0", "q!"]),
                 ("half a merge", lambda t: t["model"].update(merges=["alone"]), ["merges[0]", "alone"])]
        for name, change, words in cases:
            with self.subTest(name):
                tokenizer = json.loads((STORYTELLER / "tokenizer.json").read_text())
                change(tokenizer)
                self.replace("tokenizer.json", json.dumps(tokenizer))
                self.story(words)
        split("(a+)+$")(tokenizer := json.loads((STORYTELLER / "tokenizer.json").read_text()))
        self.replace("tokenizer.json", json.dumps(tokenizer))
        self.story(["regex", "limit"], prompt="a" * 5000 + "b")

    def test_tokenizer_config(self):
        (self.model / "chat_template.jinja").unlink(missing_ok=True)
        for text, words in [("{", ["tokenizer_config.json"]), ("[" * 100000, ["tokenizer_config.json"]), ('{"chat_template": 3}', ["chat_template", "string", "list"]),
                            ('{"chat_template": [{"name": "x"}]}', ["name", "template"]), ('{"bos_token": 7}', ["tokenizer_config.json", "bos_token"])]:
            with self.subTest(text=text[:20]):
                self.replace("tokenizer_config.json", text)
                self.refused(words, "run", self.model, "Once", "--max-tokens", "1")
        keys = "".join('"k%d":1,' % i for i in range(1 << 18))
        self.replace("tokenizer_config.json", "{" + keys + '"chat_template":"{{ raise_exception(\'the last key\') }}"}')
        self.refused(["the last key"], "run", self.model, "Once", "--max-tokens", "1")

    def test_generation_config(self):
        good = json.loads((STORYTELLER / "generation_config.json").read_text())
        for key, value in [("temperature", "hot"), ("temperature", -1), ("temperature", 1e300), ("top_k", 1e300), ("top_k", 2.5), ("top_k", -1), ("top_p", 2),
                           ("do_sample", "no"), ("eos_token_id", "x"), ("eos_token_id", -1), ("eos_token_id", [1, "x"])]:
            with self.subTest(key=key, value=value):
                self.replace("generation_config.json", json.dumps({**good, key: value}))
                self.refused([key], "run", self.model, "Once", "--raw", "--max-tokens", "1")
        for text in ("{", "[]"):
            with self.subTest(text=text):
                self.replace("generation_config.json", text)
                self.refused(["generation_config.json"], "run", self.model, "Once", "--raw")

    # safetensors

    def header(self, change):
        """The checkpoint with a changed header."""
        raw = (STORYTELLER / "model.safetensors").read_bytes()
        size = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8 : 8 + size])
        change(header)
        text = json.dumps(header).encode()
        self.replace("model.safetensors", struct.pack("<Q", len(text)) + text + raw[8 + size :])

    def test_safetensors_headers(self):
        raw = (STORYTELLER / "model.safetensors").read_bytes()
        for name, content in [("empty", b""), ("short", raw[:5]), ("cut header", raw[:100]), ("cut data", raw[:-1000]), ("long header", struct.pack("<Q", 1 << 62) + raw[8:]),
                              ("trailing", raw + b"x" * 8), ("no JSON", struct.pack("<Q", 4) + b"ab{}")]:
            with self.subTest(name):
                self.replace("model.safetensors", content)
                self.story(["model.safetensors"])

        def offsets(begin, end):
            return lambda h: h[LAYER].update(data_offsets=[begin, end])

        first = struct.unpack("<Q", raw[:8])[0]
        begin, end = json.loads(raw[8 : 8 + first])[LAYER]["data_offsets"]
        for name, change in [("overlap", offsets(begin - 64, end - 64)), ("beyond", offsets(begin, 1 << 50)), ("backwards", offsets(end, begin)),
                             ("size", lambda h: h[LAYER].update(shape=[768, 257])), ("overflow", lambda h: h[LAYER].update(shape=[2**62, 2**62])),
                             ("dtype", lambda h: h[LAYER].update(dtype="Q9")), ("negative", lambda h: h[LAYER].update(shape=[-1, 256])),
                             ("hole", lambda h: h.pop(LAYER)), ("fraction", lambda h: h[LAYER].update(shape=[768.5, 256])),
                             ("rank", lambda h: h[LAYER].update(shape=[1] * 10000)), ("kinds", lambda h: h.update({LAYER: {"dtype": 7, "shape": "x"}}))]:
            with self.subTest(name):
                self.header(change)
                self.story(["safetensors"])
        text = raw[8 : 8 + first].rstrip()
        twice = text[:-1] + b',"%s":%s}' % (LAYER.encode(), json.dumps(json.loads(text)[LAYER]).encode())
        many = b"{%s}" % b",".join(b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(300000))
        for name, text, words in [("name twice", twice, ["duplicate", LAYER]), ("deep", b'{"a":' * 50000, ["nested"]), ("many", many, ["not covered"]),
                                  ("UTF-8", b'{"\xff":{}}', ["UTF-8"])]:
            with self.subTest(name):
                self.replace("model.safetensors", struct.pack("<Q", len(text)) + text + raw[8 + first :])
                self.story(["model.safetensors", *words])

    def test_shards(self):
        names = [name for name in program.read_safetensors(STORYTELLER / "model.safetensors")]
        raw = (STORYTELLER / "model.safetensors").read_bytes()
        self.replace("model.safetensors", None)
        self.replace("a.safetensors", raw)
        every = dict.fromkeys(names, "a.safetensors")
        for index, words in [({"weight_map": {**every, "extra": "a.safetensors"}}, ["missing from its shard", "extra"]), ({}, ["weight_map"]),
                             ({"weight_map": []}, ["weight_map"]), ({"weight_map": {LAYER: 3}}, ["weight_map", LAYER]), ({"weight_map": {LAYER: "/etc/passwd"}}, ["/etc/passwd"]),
                             ({"weight_map": {LAYER: "b.safetensors"}}, ["b.safetensors"])]:
            with self.subTest(words=words):
                self.replace("model.safetensors.index.json", json.dumps(index))
                self.story(words)

    def tensors(self, change):
        tensors = program.read_safetensors(STORYTELLER / "model.safetensors")
        change(tensors)
        self.replace("model.safetensors", None)
        program.write_safetensors(self.model / "model.safetensors", tensors)

    def test_tensors(self):
        self.tensors(lambda t: t.pop(LAYER))
        self.story(["missing", LAYER, "(768, 256)"])
        self.tensors(lambda t: t.update({LAYER: ("BF16", [256, 768], t[LAYER][2])}))
        self.story(["another shape", LAYER, "(256, 768)", "(768, 256)"])
        self.tensors(lambda t: t.update({"model.layers.3.mlp.spin.weight": ("F32", [1], b"\0\0\0\0")}))
        self.story(["unknown to this architecture", "model.layers.3.mlp.spin.weight"])
        self.tensors(lambda t: t.update({LAYER: ("I8", [768, 256], t[LAYER][2][: 768 * 256])}))
        self.story([LAYER, "I8"])
        self.tensors(lambda t: t.update({"model.norm.weight": ("F64", [256], bytes(2048))}))
        self.story(["model.norm.weight", "F64"])

    def test_values_that_are_not_finite(self):
        for name, change, place in [("infinity", {LAYER: ("BF16", [768, 256], b"\x80\x7f" * (768 * 256))}, "layer 3"),
                                    ("embedding", {"model.embed_tokens.weight": ("BF16", [4096, 256], b"\xc0\x7f" * (4096 * 256))}, "the embedding"),
                                    ("too large", {"model.norm.weight": ("F32", [256], struct.pack("<f", 3e38) * 256)}, "layer 7")]:
            with self.subTest(name):
                self.tensors(lambda t, c=change: t.update(c))
                self.story(["not finite", place])

    def test_nan_weights(self):
        self.tensors(lambda t: t.update({LAYER: ("BF16", [768, 256], b"\xc0\x7f" + t[LAYER][2][2:])}))
        code, out, err = run("run", self.model, "Once upon a time", "--raw", "--temperature", "0")
        self.assertEqual((code, out), (1, ""), err)
        for word in ("NaN", "position 4", "layer 3"):
            self.assertIn(word, err)
        self.refused(["the model returned NaN"], "perplexity", self.model, DATA / "storyteller/val.txt", "--bytes", "8k")
        self.refused(["not finite", "up_proj"], "quantize", self.model, self.folder / "x.gguf", "q8_0")
        self.assertEqual(list(self.folder.glob("x.gguf*")), [])
        code, out, _ = run("verify", self.model, "--golden", DATA / "storyteller/golden.safetensors")
        self.assertEqual(code, 1)
        self.assertIn("DIFFERENT", out)

    # GGUF

    def test_gguf(self):
        raw = (DATA / "gguf/storyteller-Q4_K_M.gguf").read_bytes()
        file = self.folder / "x.gguf"
        for name, content in [("empty", b""), ("magic", b"GGML" + raw[4:]), ("version", raw[:4] + struct.pack("<I", 9) + raw[8:]), ("short", raw[:20]),
                              ("cut metadata", raw[:5000]), ("cut data", raw[:-5000]), ("tensor count", raw[:8] + struct.pack("<Q", 1 << 60) + raw[16:]),
                              ("key count", raw[:16] + struct.pack("<Q", 1 << 60) + raw[24:]), ("key length", raw[:24] + struct.pack("<Q", 1 << 60) + raw[32:])]:
            with self.subTest(name):
                file.write_bytes(content)
                self.story(["gguf"], file)

    def test_gguf_values(self):
        raw = (DATA / "gguf/storyteller-Q4_K_M.gguf").read_bytes()
        file = self.folder / "x.gguf"

        def text(name):
            return struct.pack("<Q", len(name)) + name.encode()

        def place(name):
            return raw.index(text(name)) + 8 + len(name)

        def patched(at, *values):
            new = struct.pack("<" + values[0], *values[1:])
            return raw[:at] + new + raw[at + len(new) :]

        up, tokens, architecture = place("blk.3.ffn_up.weight"), place("tokenizer.ggml.tokens"), place("general.architecture")
        cases = [(key, patched(place(key) + 4, "I", value), [key, value]) for key, value in
                 [("llama.block_count", 0), ("llama.block_count", 4000000000), ("llama.embedding_length", 0), ("llama.attention.head_count", 0),
                  ("llama.context_length", 0), ("llama.feed_forward_length", 1 << 31)]]
        cases += [("width", patched(place("llama.embedding_length") + 4, "I", 257), ["another shape", "257"]),
                  ("heads", patched(place("llama.attention.head_count") + 4, "I", 7), ["heads", "7", "2"]),
                  ("NaN", patched(place("llama.attention.layer_norm_rms_epsilon") + 4, "f", float("nan")), ["not finite", "layer_norm_rms_epsilon"]),
                  ("architecture", raw[: architecture + 12] + b"warp9" + raw[architecture + 17 :], ["warp9", "qwen3"]),
                  ("value type", patched(architecture, "I", 99), ["general.architecture", "99"]), ("array length", patched(tokens + 8, "Q", 1 << 60), ["tokens", 1 << 60]),
                  ("arrays of arrays", patched(tokens + 4, "I", 9), ["nested", "tokens"]), ("missing key", raw.replace(text("llama.block_count"), text("llama.blocc_count"), 1), ["missing", "llama.block_count"]),
                  ("no tokenizer", raw.replace(text("tokenizer.ggml.model"), text("tokenizer.ggml.modem"), 1), ["tokenizer.ggml.model", "missing"]),
                  ("no tokens", raw.replace(text("tokenizer.ggml.tokens"), text("tokenizer.ggml.tokenz"), 1), ["tokenizer.ggml.tokens", "missing"])]
        for name, at, values, words in [("dimensions", 0, ("I", 9), ["at most 4", "9"]), ("product", 4, ("QQ", 1 << 62, 1 << 62), ["overflow"]), ("row", 4, ("Q", 255), ["blocks", "255"]),
                                        ("empty", 4, ("Q", 0), ["(768, 0)"]), ("type", 20, ("I", 99), ["99"]), ("larger type", 20, ("I", 0), ["overlap"]),
                                        ("misaligned", 24, ("Q", 3), ["aligned"]), ("beyond", 24, ("Q", 1 << 50), ["exceeds the file"]), ("overlap", 24, ("Q", 0), ["overlap"])]:
            cases.append((name, patched(up + at, *values), words + ["blk.3.ffn_up" if name != "empty" else "model.layers.3"]))
        other = raw[: up - 19] + b"blk.4.ffn_up.weight" + raw[up:]
        cases += [("name twice", other, ["duplicate", "blk.4.ffn_up.weight"]), ("NaN blocks", raw[:-300000] + b"\xff" * 1000 + raw[-299000:], ["not finite"])]
        for name, content, words in cases:
            with self.subTest(name):
                file.write_bytes(content)
                self.story(words, file)

    # What the user types

    def test_prompts(self):
        self.story(["prompt", "context", "1024"], prompt="word " * 2000)
        self.story(["prompt is empty"], prompt="")
        self.refused(["prompt is empty"], "run", STORYTELLER, stdin="")
        code, out, err = run("run", STORYTELLER, "--raw", "--temperature", "0", "--max-tokens", "2", stdin=b"a\xff\xfeb")
        self.assertEqual(code, 0, err)
        self.assertTrue(out.startswith("a\ufffd\ufffdb"), out)
        self.assertEqual(run("run", STORYTELLER, "a\udcff\udcfeb", "--raw", "--temperature", "0", "--max-tokens", "2")[1], out)

    def test_templates_and_messages(self):
        file = self.folder / "bad.jinja"
        for text, words in [("{% for x in %}", ["template"]), ("{{ nothing.at.all }}", []), ("{% for i in range(1000000000) %}x{% endfor %}", []),
                            ("{{ raise_exception('no such role') }}", ["no such role"])]:
            with self.subTest(text):
                file.write_text(text)
                self.refused(words, "run", STORYTELLER, "Once", "--chat-template", file, "--max-tokens", "1")
        self.refused([self.folder], "run", STORYTELLER, "Once", "--chat-template", self.folder)
        self.refused(["/no/where"], "run", STORYTELLER, "Once", "--chat-template", "/no/where")
        self.refused(["/dev/zero"], "run", STORYTELLER, "Once", "--chat-template", "/dev/zero")
        with open(self.folder / "huge", "wb") as huge:
            huge.truncate(1 << 40)
        self.refused(["huge", 1 << 40], "run", STORYTELLER, "Once", "--chat-template", self.folder / "huge")
        for text, words in [("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ["64 levels"]), ("{{ " + "(" * 100000 + "1" + ")" * 100000 + " }}", ["150 levels"]),
                            ("{{ messages | magic }}", ["magic"])]:
            with self.subTest(text[:40]):
                file.write_text(text)
                self.refused(words, "template", STORYTELLER, "--chat-template", file, stdin='[{"role": "user", "content": "x"}]')
        many = "[{" + "".join('"k%d":1,' % i for i in range(1 << 18)) + '"content":"x"}]'
        for text in ("[", "3", '[{"content": "x"}]', "[1]", b"\xff", '["\\ud800"]', "[" * 1000000, "[" * 1000000 + "]" * 1000000, many):
            with self.subTest(text):
                self.refused([], "template", STORYTELLER, stdin=text)
        self.replace("tokenizer_config.json", "{")
        self.refused(["tokenizer_config.json"], "run", self.model, "Once")

    def test_other_commands(self):
        self.refused(["/no/where"], "perplexity", STORYTELLER, "/no/where")
        short = self.folder / "short.txt"
        short.write_text("Once upon a time")
        self.refused(["shorter", "512"], "perplexity", STORYTELLER, short)
        self.refused(["1024", "2048"], "perplexity", STORYTELLER, short, "--context", "2k")
        self.refused(["/no/where"], "verify", STORYTELLER, "--golden", "/no/where")
        self.refused(["prompt0.ids"], "verify", STORYTELLER, "--golden", STORYTELLER / "model.safetensors")
        self.refused(["/no/where/x.gguf"], "quantize", STORYTELLER, "/no/where/x.gguf", "q8_0")
        copy = self.folder / "same.gguf"
        shutil.copy(DATA / "gguf/storyteller-Q4_K_M.gguf", copy)
        self.refused(["same file"], "quantize", copy, copy, "q8_0")
        self.assertEqual(copy.stat().st_size, (DATA / "gguf/storyteller-Q4_K_M.gguf").stat().st_size)


if __name__ == "__main__":
    program.main()
