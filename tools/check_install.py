#!/usr/bin/env python3
"""Checks that an installed infernum may be moved: installs a build, moves the tree, and tells a story from it.

usage: check_install.py BUILD_FOLDER
"""
import pathlib
import subprocess
import sys
import tempfile


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        first, second = pathlib.Path(folder, "first"), pathlib.Path(folder, "second place")
        subprocess.run(["cmake", "--install", build, "--prefix", first], check=True, stdout=subprocess.DEVNULL)
        first.rename(second)
        # Without a model argument the bundled model is used; the working directory is not the source tree, where another copy lies.
        command = [second / "bin/infernum", "run", "--raw", "--temperature", "0", "--max-tokens", "8", "Once upon a time"]
        done = subprocess.run(command, cwd=folder, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
        sources = str(pathlib.Path(__file__).resolve().parent.parent)
        files = [file for file in second.rglob("*") if file.is_file()]
        leaks = [str(file) for file in files if file.suffix != ".safetensors" and sources.encode() in file.read_bytes()]
    if done.returncode != 0 or not done.stdout.strip():
        print(f"{command} exited with {done.returncode}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        return 1
    print(f"installed, moved, and told: {done.stdout.strip()}")
    if leaks:
        print("holds the path of its sources:", *leaks)
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
