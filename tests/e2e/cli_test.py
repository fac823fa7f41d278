"""The commands of the program: what they print where, their exit codes, their flags and environment variables, the chat in a terminal."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess

import program
from program import DATA, SOURCE, STORYTELLER, Folder, run

GOLDEN = json.loads((DATA / "storyteller/golden.json").read_text())["rows"][0]
COMMANDS = ["run", "bench", "perplexity", "inspect", "verify", "quantize", "convert", "tokenize", "template", "serve"]
GREEDY = ["--raw", "--temperature", "0"]


def bfloat16(value):
    """Rounded to the nearest, ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


class OneShot(Folder):
    def test_greedy_equals_reference(self):
        out = self.good("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", len(GOLDEN["greedy_ids"]))
        self.assertEqual(out, GOLDEN["prompt"] + GOLDEN["greedy_text"] + "\n")

    def test_prompt_from_standard_input_and_both(self):
        want = self.good("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", 8)
        self.assertEqual(self.good("run", STORYTELLER, *GREEDY, "--max-tokens", 8, stdin=GOLDEN["prompt"]), want)
        self.assertEqual(self.good("run", STORYTELLER, "Once upon", *GREEDY, "--max-tokens", 8, stdin=" a time"), want)

    def test_bundled_model(self):
        want = self.good("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", 8)
        self.assertEqual(self.good("run", GOLDEN["prompt"], *GREEDY, "--max-tokens", 8, cwd="/"), want)
        self.assertEqual(self.good("run", "", GOLDEN["prompt"], *GREEDY, "--max-tokens", 8), want)

    def test_seed(self):
        def story(*flags, env=None):
            return self.good("run", STORYTELLER, "Once upon a time", "--raw", "--max-tokens", 24, *flags, env=env)

        seven = story("--seed", 7)
        self.assertEqual(seven, story("--seed", 7))
        self.assertNotEqual(seven, story("--seed", 8))
        self.assertEqual(seven, story(env={"INFERNUM_SEED": "7"}))
        self.assertEqual(seven, story("--seed", 7, env={"INFERNUM_SEED": "8"}), "the flag wins")
        self.assertNotEqual(story(), story(), "without a seed every story is another")

    def test_defaults_of_the_model_hold_one_by_one(self):
        # generation_config.json: temperature 0.8, top_p 0.95. Naming one of them keeps the other.
        def story(*flags):
            return self.good("run", STORYTELLER, "Once upon a time", "--raw", "--seed", 5, "--max-tokens", 32, *flags)

        self.assertEqual(story(), story("--temperature", "0.8", "--top-p", "0.95"))
        self.assertEqual(story("--temperature", "0.8"), story())
        self.assertNotEqual(story("--temperature", "3"), story())

    def test_stop_and_length(self):
        text = self.good("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", 64, "--stop", "daughter", "--stop", "king")
        self.assertEqual(text, "Once upon a time there was a widow who had a \n")
        self.assertEqual(text, self.good("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", 64, env={"INFERNUM_STOP": "daughter"}))
        one = self.good("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", 1)
        self.assertEqual(one, "Once upon a time there\n")

    def test_stats_and_binary_multiples(self):
        code, out, err = run("run", STORYTELLER, GOLDEN["prompt"], *GREEDY, "--max-tokens", 3, "--stats", "--max-model-len", "1k")
        self.assertEqual((code, out), (0, "Once upon a time there was a\n"))
        for word in ("tokens/s", "first token", "memory", "MiB"):
            self.assertIn(word, err)
        self.bad(1, ["context", "1024"], "run", STORYTELLER, "word " * 1100, "--raw", "--max-model-len", "1K")

    def test_template_is_used(self):
        out = self.good("run", STORYTELLER, "Tell me of a fox.", "--temperature", 0, "--max-tokens", 8)
        self.assertNotIn("Tell me", out)
        self.assertNotIn("<|im", out)
        file = self.folder / "plain.jinja"
        file.write_text("{{ messages[0].content }}")
        out = self.good("run", STORYTELLER, GOLDEN["prompt"], "--temperature", 0, "--max-tokens", 3, "--chat-template", file)
        self.assertEqual(out.strip(), "there was a")

    def test_interrupt_ends_with_130(self):
        with subprocess.Popen([program.Program.path, "run", STORYTELLER, "Once", "--raw", "--seed", "1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=program.environment()) as child:
            self.assertTrue(child.stdout.read(6))
            child.send_signal(signal.SIGINT)
            child.stdout.read()
            self.assertEqual(child.wait(20 * program.SLOWDOWN), 130)

    def test_full_disk_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program.Program.path, "run", STORYTELLER, "Once", "--raw", "--max-tokens", "2"], stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, env=program.environment(), timeout=60 * program.SLOWDOWN)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)


class Usage(Folder):
    def test_version_and_help(self):
        self.assertRegex(self.good("--version"), r"^infernum \d+\.\d+\.\d+\n$")
        general = self.good("--help")
        for command in COMMANDS:
            self.assertIn(command, general)
            text = self.good(command, "--help")
            flags = re.findall(r"^ +(?:-\w,)?--([a-z-]+)", text, re.M)
            for flag in set(flags) - {"help"}:
                self.assertIn("INFERNUM_" + flag.upper().replace("-", "_"), text, command)

    def test_unknown_names(self):
        self.bad(2, ["unknown flag --sed;", "--seed?"], "run", "--sed", "5")
        self.bad(2, ["--temprature", "--temperature?"], "run", "--temprature=1", "x")
        self.bad(2, ["unknown command rum;", "run?"], "rum")
        self.bad(2, ["--verion", "--version?"], "--verion")
        self.bad(2, ["--help"])
        self.bad(2, ["golden"], "verify", STORYTELLER)

    def test_values(self):
        for flag, value, words in [("--temperature", "-1", ["0 to 100"]), ("--temperature", "nan", ["0 to 100"]), ("--temperature", "hot", ["0 to 100"]),
                                   ("--top-p", "2", ["above 0 up to 1"]), ("--top-p", "0", ["above 0"]), ("--min-p", "1.5", ["0 to 1"]), ("--top-k", "-3", ["0 to"]),
                                   ("--threads", "-1", ["0 to 1024"]), ("--threads", "4096", ["0 to 1024"]), ("--dtype", "x", ["f32, bf16 or f16"]),
                                   ("--kv-cache-dtype", "q9", ["auto"]), ("--fusion", "maybe", ["on, off or check"]), ("--cpu-isa", "sse", ["portable"]),
                                   ("--max-tokens", "-5", ["0 to"]), ("--max-tokens", "8x", ["8k"]), ("--seed", "-1", ["0 or more"]),
                                   ("--tensor-parallel-size", "0", ["1 to 64"]), ("--repetition-penalty", "0", ["above 0"]), ("--presence-penalty", "3", ["-2 to 2"])]:
            with self.subTest(flag=flag, value=value):
                self.bad(2, [flag, value, *words], "run", flag + "=" + value, STORYTELLER, "Once")
        self.bad(2, ["--seed", "abc"], "run", STORYTELLER, "Once", env={"INFERNUM_SEED": "abc"})
        self.bad(2, ["--context", "4 to"], "perplexity", STORYTELLER, "x", "--context", "1")
        self.bad(2, ["q3_x", "Q4_K"], "quantize", STORYTELLER, "x", "q3_x")
        self.bad(2, ["llama-3.2-1b"], "bench", "--shape", "llama-9")
        self.bad(1, ["ranks", "2", "3"], "run", STORYTELLER, "Once", "--tensor-parallel-size", "3")


class Inspect(Folder):
    def test_storyteller(self):
        text = self.good("inspect", STORYTELLER)
        for word in ("llama, 8 layers, hidden 256", "7", "BF16", "prefill", "decode", "none"):
            self.assertIn(word, text)
        data = json.loads(self.good("inspect", STORYTELLER, "--json"))
        self.assertEqual((data["layers"], data["vocab_size"], data["context"]), (8, 4096, 1024))
        self.assertIn("model.layers.7.mlp.down_proj.weight", self.good("inspect", STORYTELLER, "--tensors"))

    def test_keys_that_nothing_reads(self):
        """Named once however often the config is read; the dtype is known and without effect, whatever it says."""
        for file in STORYTELLER.iterdir():
            (self.folder / file.name).symlink_to(file)
        config = json.loads((STORYTELLER / "config.json").read_text())
        config.update({"torch_dtype": "float17", "dtype": "int3", "a_new_key": 1})
        (self.folder / "config.json").unlink()
        (self.folder / "config.json").write_text(json.dumps(config))
        code, _, err = run("run", "--raw", "--max-tokens", 1, self.folder, "Once")
        self.assertEqual(code, 0, err)
        self.assertEqual([line.split(": ", 1)[1] for line in err.splitlines() if "key" in line], ["config.json: unknown key ignored: a_new_key"])
        self.assertEqual(json.loads(self.good("inspect", self.folder, "--json"))["ignored_keys"], ["a_new_key"])
        self.assertRegex(self.good("inspect", self.folder), r"ignored +unknown key of config.json: a_new_key\n")

    def test_ranks_and_graph_from_config_alone(self):
        shutil.copy(STORYTELLER / "config.json", self.folder)
        data = json.loads(self.good("inspect", self.folder, "--ranks", 2, "--json"))
        self.assertRegex(data["decode"]["collectives"], r"^1[67] x all_reduce")  # two per layer, one after a split embedding
        golden = self.unpacked("llama-gqa")
        layers = json.loads((golden / "config.json").read_text())["num_hidden_layers"]
        text = json.loads(self.good("inspect", golden, "--ranks", 2, "--json"))["decode"]["collectives"]
        self.assertIn(int(text.split(" x")[0]), (2 * layers, 2 * layers + 1), text)
        self.assertEqual(data, json.loads(self.good("inspect", self.folder, "--tensor-parallel-size", 2, "--json")))
        self.bad(2, ["unknown flag --threads"], "inspect", self.folder, "--threads", 2)
        self.bad(2, ["unknown flag --cpu-isa"], "inspect", self.folder, "--cpu-isa", "avx2")
        shapes = {w["name"]: w["shape"] for w in data["weights"]}
        self.assertEqual(shapes["model.layers.0.mlp.down_proj.weight"], "(256, 384)")
        graph = self.folder / "x.json"
        self.good("inspect", self.folder, "--graph", graph)
        self.assertTrue(json.loads(graph.read_text()))
        graph = self.folder / "x.dot"
        self.good("inspect", self.folder, "--graph", graph)
        self.assertRegex(graph.read_text(), r"(?s)^digraph.*->.*}\s*$")
        self.bad(1, ["graph", "/no/where"], "inspect", self.folder, "--graph", "/no/where/x.dot")


class Tools(Folder):
    def test_quantize_and_run(self):
        for kind in ("q8_0", "q4_k"):
            file = self.folder / (kind + ".gguf")
            code, out, _ = run("quantize", STORYTELLER, file, kind)
            self.assertEqual((code, out), (0, ""))
            self.assertRegex(self.good("run", file, GOLDEN["prompt"], *GREEDY, "--max-tokens", 4), r"^Once upon a time \w+")
            self.assertIn(kind.upper(), self.good("inspect", file))
        self.assertEqual(len(list(self.folder.iterdir())), 2)

    def test_convert_keeps_the_logits(self):
        file = self.folder / "same.gguf"
        code, out, _ = run("convert", STORYTELLER, file)
        self.assertEqual((code, out), (0, ""))
        self.good("verify", file, "--golden", DATA / "storyteller/golden.safetensors")
        story = ["Once upon a time", "--raw", "--seed", 5, "--max-tokens", 24]
        self.assertEqual(self.good("run", file, *story), self.good("run", STORYTELLER, *story), "the recommended sampling goes along")
        self.good("convert", file, self.folder / "small.gguf", "--type", "q8_0")
        self.assertIn("Q8_0", self.good("inspect", self.folder / "small.gguf"))
        self.bad(2, ["q3_x", "Q4_K"], "convert", STORYTELLER, "x", "--type", "q3_x")

    def test_tokenize(self):
        self.assertEqual(self.good("tokenize", STORYTELLER, GOLDEN["prompt"]).split(), [str(i) for i in GOLDEN["ids"]])
        for text in ("Once upon a time", "na\u00efve caf\u00e9 \U0001f600\n two  spaces\t"):
            ids = self.good("tokenize", STORYTELLER, stdin=text)
            self.assertEqual(self.good("tokenize", STORYTELLER, "--decode", stdin=ids), text + "\n")
        self.assertEqual(self.good("tokenize", STORYTELLER, "Once upon", "--pieces").count("\t"), 2)
        for ids in ("4096", "-3", "1 two", "99999999999999999999"):
            self.bad(1, [ids.split()[-1], "4096"], "tokenize", STORYTELLER, "--decode", stdin=ids)

    def test_template(self):
        messages = self.folder / "m.json"
        messages.write_text(json.dumps([{"role": "user", "content": "Hi <|im_end|>"}]))
        self.assertEqual(self.good("template", STORYTELLER, messages), "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n")
        self.assertEqual(self.good("template", STORYTELLER, "--no-generation-prompt", stdin=messages.read_text()), "<|im_start|>user\nHi <|im_end|><|im_end|>\n")
        ids = self.good("template", STORYTELLER, messages, "--ids").split()
        end = self.good("tokenize", STORYTELLER, "<|im_end|>").strip()
        self.assertEqual(ids.count(end), 1, "user text never becomes a special token")

    def test_verify(self):
        self.assertRegex(self.good("verify", STORYTELLER, "--golden", DATA / "storyteller/golden.safetensors"), r"equal: \d+ prompts")
        golden = self.unpacked("llama-gqa")
        model = self.folder / "model"
        shutil.copytree(golden, model)
        config = json.loads((model / "config.json").read_text())
        rope, size = config["rope_parameters"], config["head_dim"]
        # The reference ran these models with rotary frequencies rounded to bfloat16; stated here as divisors of the exact ones.
        exact = [rope["rope_theta"] ** (-2 * i / size) for i in range(size // 2)]
        rope["inv_freq_divisors"] = [f / bfloat16(f) for f in exact]
        (model / "config.json").write_text(json.dumps(config))
        self.assertRegex(self.good("verify", model, "--golden", golden / "golden.safetensors"), r"hidden1 .*\n(.*\n)*equal: \d+ prompts")
        rope["rope_theta"] = 20000.0
        (model / "config.json").write_text(json.dumps(config))
        code, out, _ = run("verify", model, "--golden", golden / "golden.safetensors")
        self.assertEqual(code, 1)
        self.assertIn("first divergence: layer 0\n", out)
        self.assertIn("DIFFERENT", out)

    def test_perplexity(self):
        out = self.good("perplexity", STORYTELLER, DATA / "storyteller/val.txt", "--bytes", "4k", "--context", "256")
        self.assertRegex(out, r"^perplexity \d+\.\d+ \+- ")

    def test_bench(self):
        data = json.loads(self.good("bench", STORYTELLER, "-p", "16", "-n", "4", "-r", "2", "--json"))
        self.assertEqual([r["test"] for r in data["results"]], ["pp16", "tg4"])
        self.assertTrue(all(r["mean"] > 0 for r in data["results"]))

    def test_bench_profile_follows_what_is_asked_for(self):
        data = json.loads(self.good("bench", STORYTELLER, "-p", "16,600", "-n", "2", "-d", "0,40", "-r", "1", "--profile", "--json"))
        self.assertEqual([p["test"] for p in data["profiles"]], ["pp16", "pp600", "tg @ 1", "tg @ 40"])
        products = {}
        for profile in data["profiles"]:
            ops = {op["op"]: op for op in profile["ops"]}
            for name in ("matmul", "attention", "swiglu", "add_rms_norm"):
                self.assertGreater(ops[name]["bytes"], 0, name)
                self.assertGreater(ops[name]["floor_seconds"], 0, name)
            self.assertLessEqual(sum(op["seconds"] for op in profile["ops"]), profile["seconds"])
            products[profile["test"]] = ops["matmul"]
        self.assertEqual(products["pp600"]["calls"], 2 * products["pp16"]["calls"], "a prompt of 600 tokens is two steps")
        self.assertEqual(products["tg @ 1"]["flops"], products["tg @ 40"]["flops"])
        text = self.good("bench", STORYTELLER, "-p", "0", "-n", "2", "-d", "40", "-r", "1", "--profile")
        self.assertIn("tg @ 40:", text)
        self.assertNotRegex(text, r"(?m)^pp")

    def test_bench_ops(self):
        data = json.loads(self.good("bench", "ops", STORYTELLER, "--tokens", "1,8", "--context", "64", "--seconds", "0", "--json"))
        self.assertGreater(data["read_bandwidth_bytes_per_second"], 0)
        results = data["results"]
        self.assertEqual({r["tokens"] for r in results}, {1, 8})
        self.assertEqual({r["context"] for r in results}, {64})
        for tokens in (1, 8):
            ops = [r for r in results if r["tokens"] == tokens]
            names = {r["op"] for r in ops}
            for name in ("embed", "rms_norm", "matmul", "rope", "cache_append", "attention", "swiglu", "add_rms_norm"):
                self.assertIn(name, names)
            self.assertNotIn("silu", names, "the fused form runs in its place")
            products = {r["weights"]: r for r in ops if r["op"] == "matmul"}
            down = products["mlp.down_proj"]
            self.assertEqual((down["calls_per_step"], down["flops"]), (8, 2 * tokens * down["arguments"][2]["shape"][0] * down["arguments"][2]["shape"][1]))
            self.assertIn("mlp.gate_proj, mlp.up_proj", products, "matrices of one shape are one row")
        for r in results:
            self.assertTrue(0 < r["quartiles"][0] <= r["seconds"] <= r["quartiles"][1], r)
            self.assertAlmostEqual(r["share_of_floor"], r["floor_seconds"] / r["seconds"])
            self.assertGreaterEqual(r["samples"], 5)
            self.assertGreaterEqual(r["floor_seconds"] * data["read_bandwidth_bytes_per_second"], 0.999 * r["bytes"])
        text = self.good("bench", "ops", STORYTELLER, "--op", "matmul", "--op", "attention", "--tokens", "2", "--seconds", "0")
        self.assertEqual({line.split()[0] for line in text.splitlines()[4:]}, {"matmul", "attention"})

    def test_bench_ops_of_shapes(self):
        """Experts, latents and recurrent layers, in blocks."""
        for shape, ops in (("qwen3-30b-a3b/1", "route,expert_matmul"), ("deepseek-v2-lite/1", "latent_append,latent_attention"),
                           ("qwen3.5-4b/1", "causal_conv,gated_delta")):
            data = json.loads(self.good("bench", "ops", "--shape", shape, "--format", "q4_0", "--op", ops, "--tokens", "1", "--seconds", "0", "--json"))
            self.assertEqual({r["op"] for r in data["results"]}, set(ops.split(",")))
            self.assertEqual(data["format"], "Q4_0")

    def test_bench_ops_names_what_is_wrong(self):
        self.bad(1, ["matmull", "did you mean matmul?", "attention"], "bench", "ops", STORYTELLER, "--op", "matmull")
        self.bad(1, ["block_matmul", "there are:"], "bench", "ops", STORYTELLER, "--op", "block_matmul")
        self.bad(2, ["unknown flag --token;", "--tokens?"], "bench", "ops", "--token", "1")
        self.bad(2, ["--tokens", "1 to", "0"], "bench", "ops", STORYTELLER, "--tokens", "0")
        self.bad(2, ["--shape", "qwen3-0.6", "did you mean qwen3-0.6b?"], "bench", "ops", "--shape", "qwen3-0.6")
        self.bad(2, ["q3_x", "Q4_K"], "bench", "ops", "--shape", "qwen3-0.6b", "--format", "q3_x")


class Page(Folder):
    def test_commands_of_the_page_work(self):
        text = (SOURCE / "docs/cli.md").read_text()
        self.assertLess(text.count("\n"), 100)
        commands = [line[2:] for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines() if line.startswith("$ ")]
        self.assertGreater(len(commands), 10)
        env = program.environment({"PATH": os.path.dirname(program.Program.path) + ":" + os.environ["PATH"], "OUT": str(self.folder)})
        for command in commands:
            done = subprocess.run(["bash", "-c", command], capture_output=True, env=env, cwd=SOURCE, stdin=subprocess.DEVNULL, timeout=120 * program.SLOWDOWN, check=False)
            self.assertEqual(done.returncode, 0, command + "\n" + done.stderr.decode())


if __name__ == "__main__":
    program.main()
