#!/usr/bin/env python3
"""Tests of the scripts in tools/: each rule is broken once on purpose, in a tree of its own.

usage: tools_test.py [--compiler=g++] [unittest arguments]
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_layers
import compile_fail

COMPILER = "c++"
HERE = pathlib.Path(__file__).parent
HEADER = "// A header with a subject.\n#pragma once\n"


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)


class CheckLayers(Tree):
    def setUp(self):
        super().setUp()
        folders = ["core", "ops", "models", "text", "runtime"]
        self.write("CMakeLists.txt", "# the house\n" + "".join(f"infernum_library({folder} LIBS fmt::fmt)\n" for folder in folders))

    def expect(self, *parts):
        """Exactly one violation, and it has all these parts; none where no part is named."""
        found = check_layers.violations(self.root)
        self.assertEqual(len(found), 1 if parts else 0, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_includes_upward_and_beside_pass(self):
        self.write("src/core/check.h", HEADER)
        self.write("src/ops/add.h", HEADER + '#include "core/check.h"\n#include <vector>\n')
        self.write("src/ops/cpu/add.cpp", '#include "ops/add.h"\n')
        self.write("src/ops/add_test.cpp", '#include "ops/add.h"\n#include "support/random.h"\n')
        self.write("tests/support/random.h", HEADER)
        self.write("apps/infernum/run.h", HEADER)
        self.write("apps/infernum/run.cpp", '#include "run.h"\n#include "ops/add.h"\n')
        self.expect()

    def test_include_against_the_order(self):
        self.write("src/core/check.h", HEADER + '#include "ops/add.h"\n')
        self.write("src/ops/add.h", HEADER)
        self.expect("src/core/check.h:3:", 'core may not include "ops/add.h"')

    def test_text_may_not_include_runtime(self):
        self.write("src/text/bpe.cpp", '// Byte pair encoding.\n  #  include "runtime/engine.h"\n')
        self.write("src/runtime/engine.h", HEADER)
        self.expect("src/text/bpe.cpp:2:", "runtime comes after it")

    def test_include_of_a_missing_file(self):
        self.write("src/core/check.cpp", '#include "check.h"\n')
        self.write("src/core/check.h", HEADER)
        self.expect("src/core/check.cpp:1:", "write the path from src/")

    def test_source_may_not_include_test_support(self):
        self.write("src/ops/add.cpp", '// Adds numbers.\n#include "support/random.h"\n')
        self.write("tests/support/random.h", HEADER)
        self.expect("src/ops/add.cpp:2:", "support/random.h")

    def test_unknown_folder(self):
        self.write("src/misc/thing.h", HEADER)
        self.expect("folder src/misc has no infernum_library() line")

    def test_length(self):
        self.write("src/ops/long.cpp", "// Long enough.\n" * 401)
        self.write("src/ops/cuda/long.cu", "// Long but within 500.\n" * 500)
        self.expect("src/ops/long.cpp:401: 401 lines, the limit is 400")

    def test_length_of_models(self):
        self.write("src/models/llama.cpp", "// The Llama family.\n" * 251)
        self.write("src/models/llama_test.cpp", "// The Llama family tested.\n" * 400)
        self.expect("src/models/llama.cpp:251: 251 lines, the limit is 250")

    def test_opening_sentence(self):
        self.write("src/core/a.h", "#pragma once\n")
        self.expect("src/core/a.h:1: the first line must be a comment")

    def test_opening_sentence_of_a_source(self):
        self.write("src/core/a.cpp", "#include <vector>\n")
        self.expect("src/core/a.cpp:1: the first line must be a comment")

    def test_pragma_once(self):
        self.write("src/core/a.h", "// A header.\n#ifndef A\n#define A\n#endif\n")
        self.expect("src/core/a.h:1: a header needs #pragma once")

    def test_heavy_headers_stay_in_their_folder(self):
        for heavy in ["nlohmann/json.hpp", "nlohmann/ordered_map.hpp", "simdjson.h", "spdlog/spdlog.h", "CLI/CLI.hpp"]:
            with self.subTest(heavy):
                self.write("src/core/json.h", HEADER + f"#include <{heavy}>\n")
                self.write("src/core/reader.h", HEADER + '#include "core/json.h"\n')
                self.write("src/ops/add.cpp", '// Adds numbers.\n#include "core/reader.h"\n')
                self.expect("src/ops/add.cpp:2:", "core/reader.h", f"brings <{heavy}> along")
        self.write("src/core/json.h", HEADER + "#include <nlohmann/json_fwd.hpp>\n")
        self.expect()

    def test_programs_may_not_include_heavy_headers_either(self):
        self.write("src/core/json.h", HEADER + "#include <simdjson.h>\n")
        self.write("apps/infernum/run.cpp", '// Runs a model.\n#include "core/json.h"\n')
        self.expect("apps/infernum/run.cpp:2:", "core/json.h")


class CheckHeaders(Tree):
    def run_check(self):
        command = [sys.executable, HERE / "check_headers.py", "--compiler", COMPILER, "--suffix-flags", "_wide=-DWIDE,-DWIDTH=8", self.root]
        return subprocess.run(command, text=True, capture_output=True)

    def test_complete_headers_pass(self):
        self.write("src/core/a.h", HEADER + "#include <string>\nstd::string name();\n")
        self.write("src/core/a_wide.h", HEADER + '#include "core/a.h"\nstatic_assert(WIDTH == 8);\n')
        done = self.run_check()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("2 headers, 0 compiled by the build, 0 of the rest fail", done.stdout)

    def test_first_includes_are_left_to_the_build(self):
        self.write("src/core/a.h", HEADER + "std::string name();\n")
        self.write("src/core/a.cpp", '// A source.\n#include "core/a.h"\n')
        done = self.run_check()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("1 headers, 1 compiled by the build", done.stdout)
        self.write("src/core/a.cpp", '// A source.\n#include <string>\n#include "core/a.h"\n')
        self.assertEqual(self.run_check().returncode, 1)

    def test_a_missing_include_fails(self):
        self.write("src/core/a.h", HEADER + "std::string name();\n")
        done = self.run_check()
        self.assertEqual(done.returncode, 1)
        self.assertIn("core/a.h:3", done.stdout)

    def test_a_missing_guard_fails(self):
        self.write("src/core/a.h", "// No guard.\nstruct A {};\n")
        self.assertEqual(self.run_check().returncode, 1)

    def test_no_header_is_an_error(self):
        self.assertEqual(self.run_check().returncode, 1)


class CompileFail(Tree):
    CASE = "int good();\n#ifndef INFERNUM_COMPILES\nint bad = nowhere;\n#endif\n"

    def complaint(self, text, *expected):
        self.write("case.cpp", text)
        return compile_fail.complaint(COMPILER, [], str(self.root / "case.cpp"), list(expected))

    def test_expected_failure(self):
        self.assertEqual(self.complaint(self.CASE, "nowhere", "error"), "")

    def test_other_words(self):
        self.assertIn("lack ['somewhere']", self.complaint(self.CASE, "nowhere", "somewhere"))

    def test_file_that_compiles(self):
        self.assertIn("compiles, and must not", self.complaint("int good();\n", "error"))

    def test_failure_of_the_rest(self):
        self.assertIn("proves nothing", self.complaint('#include "missing.h"\n', "missing"))


if __name__ == "__main__":
    rest = [sys.argv[0]]
    for argument in sys.argv[1:]:
        if argument.startswith("--compiler="):
            COMPILER = argument.removeprefix("--compiler=")
        else:
            rest.append(argument)
    unittest.main(argv=rest)
