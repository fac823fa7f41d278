#!/usr/bin/env python3
"""Checks that a source file does not compile, and that the compiler says why in the words a reader needs.

usage: compile_fail.py [--compiler g++] [--flag=-O0 ...] FILE EXPECTED...
Every EXPECTED text must occur in the messages. A first compile with -DINFERNUM_COMPILES must succeed: FILE holds the wrong line
under #ifndef INFERNUM_COMPILES, so that the error seen is that line's and not a misspelt include's.
"""
import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ["-std=c++20", "-fsyntax-only", "-fno-diagnostics-color", "-Wall", "-Wextra", "-Wno-psabi", "-I", str(ROOT / "src")]


def compile_file(compiler: str, flags: list[str], file: str) -> subprocess.CompletedProcess:
    plain = {**os.environ, "LC_ALL": "C"}  # English messages, ASCII quotes
    return subprocess.run([compiler, *FLAGS, *flags, "-x", "c++", file], text=True, capture_output=True, timeout=300, env=plain)


def complaint(compiler: str, flags: list[str], file: str, expected: list[str]) -> str:
    """What is wrong with the case; empty where it fails to compile for the expected reasons."""
    control = compile_file(compiler, [*flags, "-DINFERNUM_COMPILES"], file)
    if control.returncode != 0:
        return f"{file}: does not compile with -DINFERNUM_COMPILES either, so its failure proves nothing\n{control.stderr}"
    done = compile_file(compiler, flags, file)
    if done.returncode == 0:
        return f"{file}: compiles, and must not"
    missing = [text for text in expected if text not in done.stderr]
    if missing:
        return f"{file}: fails to compile, but the messages lack {missing}\n{done.stderr}"
    return ""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--compiler", default="c++")
    arguments.add_argument("--flag", action="append", default=[])
    arguments.add_argument("file")
    arguments.add_argument("expected", nargs="+")
    options = arguments.parse_args()
    problem = complaint(options.compiler, options.flag, options.file, options.expected)
    print(problem or f"{options.file}: rejected as expected")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
