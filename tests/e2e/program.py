"""Runs the infernum program as a user would: its output, its exit code, its limits. Shared by the tests here."""
import json
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
STORYTELLER = SOURCE / "models/storyteller"
DATA = SOURCE / "tests/data"


SLOWDOWN = float(os.environ.get("INFERNUM_TEST_SLOWDOWN", "1"))  # of a build with a sanitizer, which also reserves terabytes of address space


class Program:
    """The binary under test; set by main()."""

    path = None


def environment(extra=None):
    """The caller's environment without the program's own variables; one thread, since tests share the machine."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("INFERNUM_")}
    env["INFERNUM_THREADS"] = "1"
    env.update(extra or {})
    return env


def run(*args, stdin=None, env=None, memory=None, timeout=60, cwd=SOURCE):
    """Text in, (code, stdout, stderr) as text out. `memory`: most address space in bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory and SLOWDOWN == 1:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    data = stdin.encode() if isinstance(stdin, str) else stdin
    feed = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    done = subprocess.run([Program.path, *map(str, args)], capture_output=True, env=environment(env), timeout=timeout * SLOWDOWN, cwd=cwd, preexec_fn=limit, **feed)
    return done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    raw = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    return {n: (e["dtype"], e["shape"], raw[8 + size + e["data_offsets"][0] : 8 + size + e["data_offsets"][1]]) for n, e in header.items()}


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def unpacked(self, name):
        """A model of tests/data/models.tar.xz, unpacked into the build folder."""
        folder = pathlib.Path(Program.path).parents[2] / "data/models" / name
        self.assertTrue(folder.is_dir(), folder)
        return folder

    def good(self, *args, **options):
        code, out, err = run(*args, **options)
        self.assertEqual(code, 0, err)
        return out

    def bad(self, code, words, *args, **options):
        """Ends with this code and a message that holds all the words."""
        got, out, err = run(*args, **options)
        self.assertEqual(got, code, out + err)
        self.assertEqual(out, "")
        for word in words:
            self.assertIn(word, err)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: %s PROGRAM [unittest arguments]" % sys.argv[0])
    Program.path = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__")
