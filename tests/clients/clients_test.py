"""Runs the tests of the clients with Node, of which npm installs the packages that package-lock.json names.

usage: clients_test.py PROGRAM [NAME...]

Where there is no Node, or no way to the packages, it says "not run" and passes; with INFERNUM_REQUIRE_CLIENTS=1 it fails.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
OLDEST = (18, 20)


def not_run(why):
    print("clients: not run: " + why)
    sys.exit(1 if os.environ.get("INFERNUM_REQUIRE_CLIENTS") == "1" else 0)


def installed():
    """Are node_modules those of package-lock.json?"""
    hidden = HERE / "node_modules/.package-lock.json"
    if not hidden.exists():
        return False

    def versions(path):
        packages = json.loads(path.read_text())["packages"]
        return {name: entry["version"] for name, entry in packages.items() if name and not entry.get("optional")}

    want, have = versions(HERE / "package-lock.json"), versions(hidden)
    return all(have.get(name) == version for name, version in want.items())


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: %s PROGRAM [NAME...]" % sys.argv[0])
    node = shutil.which("node") or shutil.which("nodejs")
    if not node or not shutil.which("curl"):
        not_run("no node or no curl on this machine")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        not_run("node is %s, the oldest that will do %d.%d" % (version, *OLDEST))
    if not installed():
        npm = shutil.which("npm")
        if not npm:
            not_run("no npm to install the clients with")
        done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=HERE)
        if done.returncode:
            not_run("npm ci failed")
    sys.exit(subprocess.run([node, HERE / "run.mjs", *sys.argv[1:]]).returncode)


if __name__ == "__main__":
    main()
