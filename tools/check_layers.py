#!/usr/bin/env python3
"""Checks the rules of the house on every tracked source: layer order of includes, light headers, file length, opening sentence.

Prints one line per violation, "file:line: rule", and exits 1 when there is one.
"""
import pathlib
import re
import sys

# Programs may include all of src/ and their own folder.
PROGRAMS = ["apps", "bench", "examples"]
SOURCES = {".h", ".cpp", ".cu", ".cuh"}
HEADERS = {".h", ".cuh"}

# Libraries whose full headers cost a second or more each time they are read: a header that brings one along stays within its folder.
HEAVY = re.compile(r"<(nlohmann/(?!json_fwd\.hpp)|simdjson\.h|spdlog/|CLI/)[^>]*>?")
QUOTED = re.compile(r'\s*#\s*include\s+"([^"]+)"')
ANGLED = re.compile(r"\s*#\s*include\s+(<[^>]+>)")
SENTENCE = re.compile(r"///? ?\S+ \S+")


def layer_order(root: pathlib.Path) -> list[str]:
    """The folders of src/ in the order of CMakeLists.txt: each may include only itself and those before it."""
    return re.findall(r"^infernum_library\((\w+)", (root / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)


def line_limit(path: pathlib.PurePath) -> int:
    if path.suffix in (".cu", ".cuh"):
        return 500
    # Model files stay short so that a family is read at one sitting; their tests follow the common limit.
    if path.parts[:2] == ("src", "models") and not path.stem.endswith("_test"):
        return 250
    return 400


def layer_violation(path: pathlib.PurePath, target: str, root: pathlib.Path, layers: list[str]) -> str:
    """Why `path` may not include "target"; empty where it may."""
    top = target.split("/")[0]
    in_src = (root / "src" / target).is_file()
    beside = (root / path.parent / target).is_file()
    if path.parts[0] in PROGRAMS:
        return "" if in_src or beside else f'includes "{target}", which is neither in src/ nor beside it'
    if path.stem.endswith(("_test", "_fuzz")) and (root / "tests" / target).is_file():
        return ""
    if not in_src:
        return f'includes "{target}", which is not a file of src/ (write the path from src/)'
    layer = path.parts[1]
    if layer in layers and top in layers and layers.index(top) > layers.index(layer):
        return f'{layer} may not include "{target}": {top} comes after it in the order {" ".join(layers)}'
    return ""


def check_file(path: pathlib.PurePath, root: pathlib.Path, layers: list[str], heavy: dict[str, str]) -> list[str]:
    lines = (root / path).read_text(encoding="utf-8").splitlines()
    found = []

    def report(line: int, rule: str) -> None:
        found.append(f"{path}:{line}: {rule}")

    if path.parts[0] == "src" and path.parts[1] not in layers:
        report(1, f"folder src/{path.parts[1]} has no infernum_library() line in CMakeLists.txt, so it has no place in the layer order")
    if len(lines) > line_limit(path):
        report(len(lines), f"{len(lines)} lines, the limit is {line_limit(path)}")
    first = lines[0] if lines else ""
    # A .cpp that begins with its header's include has its sentence there.
    if not SENTENCE.match(first) and not (path.suffix not in HEADERS and QUOTED.match(first)):
        report(1, "the first line must be a comment that says the subject of the file")
    if path.suffix in HEADERS and "#pragma once" not in lines:
        report(1, "a header needs #pragma once")
    for number, line in enumerate(lines, 1):
        quoted = QUOTED.match(line)
        if quoted and (rule := layer_violation(path, quoted[1], root, layers)):
            report(number, rule)
        if quoted and (library := heavy.get(f"src/{quoted[1]}")) and not quoted[1].startswith(f"{path.parts[1]}/"):
            report(number, f'includes "{quoted[1]}", which brings {library} along; only its own folder may')
    return found


def heavy_headers(root: pathlib.Path) -> dict[str, str]:
    """The headers of src/ that include a heavy library, directly or by another of them, and which."""
    texts = {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in (root / "src").rglob("*") if file.suffix in HEADERS}
    heavy = {}
    while True:
        before = len(heavy)
        for path, text in texts.items():
            for line in text.splitlines():
                angled, quoted = ANGLED.match(line), QUOTED.match(line)
                if angled and HEAVY.match(angled[1]):
                    heavy[path] = angled[1]
                elif quoted and f"src/{quoted[1]}" in heavy:
                    heavy.setdefault(path, heavy[f"src/{quoted[1]}"])
        if len(heavy) == before:
            return heavy


def violations(root: pathlib.Path) -> list[str]:
    found = []
    layers, heavy = layer_order(root), heavy_headers(root)
    for top in ["src", *PROGRAMS]:
        for file in sorted((root / top).rglob("*")):
            if file.suffix in SOURCES and file.is_file():
                found += check_file(file.relative_to(root), root, layers, heavy)
    return found


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found = violations(root)
    print("\n".join(found) if found else f"check_layers: no violation in {root}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
