#!/usr/bin/env python3
"""`infernum bench serve` as its users run it, against a server of known delays.

usage: load_tool_test.py PROGRAM [unittest arguments]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import replicas as r


class LoadTool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = r.free_port()
        cls.replica = r.Replica(cls.port)
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.replica.stop()
        cls.folder.cleanup()

    def bench(self, *arguments, port=None):
        """(code, stdout, stderr)"""
        env = {k: v for k, v in os.environ.items() if not k.startswith("INFERNUM_")}
        url = [] if "--url" in arguments else ["--url", "http://127.0.0.1:%d" % (port or self.port)]
        command = [r.Program.path, "bench", "serve", *url, "--endpoint", "completions", "--ignore-eos", "--pause", "0", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_closed_loop_measures_the_known_delays(self):
        code, out, error = self.bench("--concurrency", "1,4", "--num-prompts", 12, "--input-len", "8", "--output-len", 6, "--json", "-")
        self.assertEqual((code, error), (0, ""))
        points = json.loads(out)["points"]
        self.assertEqual([p["concurrency"] for p in points], [1, 4])
        for p in points:
            self.assertEqual((p["completed"], p["failures"]), (12, {}))
            self.assertGreaterEqual(p["ttft_ms"]["p50"], r.FIRST * 1000)
            self.assertLess(p["ttft_ms"]["p50"], r.FIRST * 1000 + 60)
            self.assertAlmostEqual(p["itl_ms"]["mean"], r.GAP * 1000, delta=10)
            self.assertGreaterEqual(p["e2e_ms"]["p50"], (r.FIRST + 5 * r.GAP) * 990)
            self.assertEqual(p["output_tokens"], 72)
        self.assertGreater(points[1]["requests_per_second"], 2.5 * points[0]["requests_per_second"])

    def test_open_loop_by_duration(self):
        code, out, error = self.bench("--request-rate", "20,60", "--duration", 0.5, "--output-len", 2, "--json", "-")
        self.assertEqual((code, error), (0, ""))
        self.assertEqual([p["completed"] for p in json.loads(out)["points"]], [10, 30])
        for wrong in (["--concurrency", 2], ["--request-rate", 20, "--num-prompts", 5]):
            self.assertEqual(self.bench("--duration", 1, *wrong)[0], 2)

    def test_open_loop_sweep_with_slo_and_plots(self):
        for kind in ("svg", "html"):
            code, out, error = self.bench("--request-rate", "10,40", "--num-prompts", 20, "--output-len", "2-6", "--seed", 3, "--slo", "ttft:1s,e2e:1ms",
                                          "--plot", self.path("plot." + kind), "--json", self.path("figures.json"))
            self.assertEqual((code, error), (0, ""))
            self.assertIn("10 req/s", out)
            self.assertIn("good req/s", out)
        figures = json.loads(pathlib.Path(self.path("figures.json")).read_text())
        self.assertEqual([p["request_rate"] for p in figures["points"]], [10, 40])
        self.assertEqual([p["goodput_share"] for p in figures["points"]], [0, 0], "no answer comes within 1 ms")
        tree = xml.etree.ElementTree.parse(self.path("plot.svg"))
        self.assertEqual(len([e for e in tree.iter() if e.tag.endswith("circle")]), 2 * (3 + 3 + 3 + 2 + 1 + 1))
        page = pathlib.Path(self.path("plot.html")).read_text()
        self.assertIn("<table>", page)
        self.assertNotRegex(page, r'(?:src|href)="?http', "a page that needs nothing else")

    def test_prompts_of_a_file(self):
        pathlib.Path(self.path("prompts.txt")).write_text("first\nsecond\n")
        code, out, _ = self.bench("--prompts", self.path("prompts.txt"), "--num-prompts", 4, "--output-len", 2, "--no-stream")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"1 at once +4 +0 ")

    def test_nobody_listens(self):
        code, _, error = self.bench(port=r.free_port())
        self.assertEqual(code, 1)
        self.assertIn("cannot connect", error)

    def test_what_fails_is_named(self):
        code, out, error = self.bench("--url", "http://127.0.0.1:%d/nowhere" % self.port, "--num-prompts", 3, "--warm-up", 0)
        self.assertEqual(code, 1)
        self.assertIn("3 failed: http 404 (", out)
        self.assertIn("no request was answered", error)

    def test_wrong_use(self):
        for arguments, words in ((["--slo", "ttft:soon"], "SLO"), (["--input-len", "0"], "lengths"), (["--url", "https://x"], "plain http"),
                                 (["--request-rate", "1", "--concurrency", "2"], "excludes"), (["--concurency", "2"], "did you mean --concurrency"),
                                 (["--request-rate", "nan"], "request-rate")):
            code, _, error = self.bench(*arguments)
            self.assertEqual(code, 2, error)
            self.assertIn(words, error)
            self.assertIn("see: infernum bench serve --help", error)
        for arguments, words in ((["--prompts", "/nowhere"], "/nowhere"), (["--plot", "x.png"], ".svg or .html"), (["--json", "/nowhere/x"], "/nowhere/x"),
                                 (["--extra-body", "[1]"], "JSON object")):
            code, _, error = self.bench(*arguments)
            self.assertEqual(code, 1, error)
            self.assertIn(words, error)


class Throughput(unittest.TestCase):
    def test_offline(self):
        command = [r.Program.path, "bench", "throughput", "--num-prompts", "4", "--concurrency", "2", "--input-len", "20", "--output-len", "8", "--json", "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=r.SOURCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = json.loads(done.stdout)
        self.assertEqual((figures["requests"], figures["prompt_tokens"], figures["generated_tokens"]), (4, 80, 32))
        self.assertGreater(figures["generated_tokens_per_second"], 0)


def main():
    r.Program.path = os.path.abspath(sys.argv.pop(1))
    unittest.main()


if __name__ == "__main__":
    main()
