"""Perplexity of the bundled model in every format the program can write, against the recorded values of llama.cpp."""
import json
import pathlib
import re
import tempfile
import time
import unittest

import program

GOLDEN = json.loads((program.DATA / "gguf/perplexity.json").read_text())


def perplexity(model):
    code, out, err = program.run("perplexity", model, program.DATA / "storyteller/val.txt", "--bytes", "60000", env={"INFERNUM_THREADS": "2"}, timeout=600)
    assert code == 0, err
    return float(re.match(r"perplexity ([0-9.]+) ", out).group(1))


class Perplexity(unittest.TestCase):
    def test_every_type(self):
        wrong = []
        print("%-8s %9s %9s %8s %8s" % ("type", "golden", "ours", "differs", "seconds"))
        with tempfile.TemporaryDirectory() as folder:
            for kind, golden in GOLDEN["perplexity"].items():
                start = time.monotonic()
                file = pathlib.Path(folder) / (kind + ".gguf")
                code, _, err = program.run("quantize", program.STORYTELLER, file, kind.lower())
                self.assertEqual(code, 0, err)
                ours = perplexity(file)
                file.unlink()
                print("%-8s %9.4f %9.4f %+7.2f%% %8.1f" % (kind, golden, ours, 100 * (ours / golden - 1), time.monotonic() - start), flush=True)
                # A quantiser may do better than the recorded one, never worse; where nothing is rounded but the sum both sides count.
                near = 0.001 if kind in ("F16", "BF16") else 0.01
                if ours > golden * (1 + near) or (near < 0.01 and ours < golden * (1 - near)):
                    wrong.append(kind)
        self.assertEqual(wrong, [])

    def test_given_mixture(self):
        ours = perplexity(program.DATA / "gguf/storyteller-Q4_K_M.gguf")
        golden = GOLDEN["mixed Q4_K_M (the file here)"]
        print("%-8s %9.4f %9.4f %+7.2f%%" % ("Q4_K_M", golden, ours, 100 * (ours / golden - 1)), flush=True)
        self.assertLess(abs(ours / golden - 1), 0.01)


if __name__ == "__main__":
    program.main()
