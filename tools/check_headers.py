#!/usr/bin/env python3
"""Compiles every header of src/ alone, twice in one file, so that each includes what it needs and guards itself.

A header that is the very first include of a source in src/ is left out: the build itself has compiled it alone.

usage: check_headers.py --compiler g++ [--jobs 2] [--suffix-flags _avx2=-mavx2,-mfma ...] [root]
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Wnon-virtual-dtor", "-Wno-psabi", "-Werror"]


def compile_alone(header: pathlib.Path, root: pathlib.Path, compiler: str, flags: list[str]) -> str:
    """The compiler's messages; empty where the header compiles."""
    source = f'#include "{header}"\n' * 2
    command = [compiler, *FLAGS, *flags, "-I", "src", "-x", "c++", "-"]
    done = subprocess.run(command, input=source, cwd=root, text=True, capture_output=True, timeout=120)
    return "" if done.returncode == 0 else done.stderr or f"{header}: {compiler} exited with {done.returncode}\n"


def first_include(source: pathlib.Path) -> str:
    """The header that the first directive of a source includes; empty where that is another directive."""
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            found = re.match(r'#include "([^"]+)"', line)
            return found[1] if found else ""
    return ""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--compiler", required=True)
    arguments.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments.add_argument("--suffix-flags", action="append", default=[], metavar="SUFFIX=FLAG,FLAG")
    arguments.add_argument("--folder-flags", action="append", default=[], metavar="FOLDER=FLAG,FLAG")
    arguments.add_argument("--without", action="append", default=[], metavar="FOLDER", help="folders of headers that this build lacks")
    arguments.add_argument("root", nargs="?", default=pathlib.Path(__file__).parent.parent, type=pathlib.Path)
    options = arguments.parse_args()
    by_suffix = {suffix: flags.split(",") for suffix, flags in (entry.split("=", 1) for entry in options.suffix_flags)}
    by_folder = {folder: flags.split(",") for folder, flags in (entry.split("=", 1) for entry in options.folder_flags)}

    source_root = options.root / "src"
    headers = [file.relative_to(source_root) for file in sorted(source_root.rglob("*.h"))]
    if not headers:
        print(f"check_headers: no header under {source_root}")
        return 1

    built = {first_include(source) for source in source_root.rglob("*.cpp")}
    alone = [header for header in headers if header.as_posix() not in built and header.parent.name not in options.without]

    def one(header: pathlib.Path) -> str:
        flags = next((flags for suffix, flags in by_suffix.items() if header.stem.endswith(suffix)), [])
        flags = flags + by_folder.get(header.parent.name, [])
        return compile_alone(header, options.root, options.compiler, flags)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as team:
        failures = [text for text in team.map(one, alone) if text]
    print("".join(failures), end="")
    print(f"check_headers: {len(headers)} headers, {len(headers) - len(alone)} compiled by the build, {len(failures)} of the rest fail alone")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
