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

SECONDS = float(os.environ.get("INFERNUM_TEST_SECONDS", "2"))  # of CPU time, so that a busy machine does not matter
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
        self.replace("tokenizer.json", None)
        self.story(["tokenizer.json"])

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
                             ("hole", lambda h: h.pop(LAYER))]:
            with self.subTest(name):
                self.header(change)
                self.story(["safetensors"])

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

    # What the user types

    def test_prompts(self):
        self.story(["prompt", "context", "1024"], prompt="word " * 2000)
        self.story(["prompt is empty"], prompt="")
        self.refused(["prompt is empty"], "run", STORYTELLER, stdin="")
        code, out, err = run("run", STORYTELLER, "--raw", "--temperature", "0", "--max-tokens", "2", stdin=b"a\xff\xfeb")
        self.assertEqual(code, 0, err)
        self.assertTrue(out.startswith("a\ufffd\ufffdb"), out)

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
        for text in ("[", "3", '[{"content": "x"}]', "[1]"):
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
