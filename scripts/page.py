"""Is the built page the one that its sources make? Writes or checks the digests in web/built.json; needs no node.

`make page` builds and calls this; `make lint` calls it with --check.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB, STATIC, KEPT = ROOT / "web", ROOT / "pdfed_sdk" / "watch" / "static", ROOT / "web" / "built.json"
SOURCES = ("src/**/*", "public/**/*", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


def digests(root: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """sha-256 of each file below a folder that one of the patterns matches, by its path."""
    paths = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is not up to date")
    found = {"sources": digests(WEB, SOURCES), "built": digests(STATIC, ("*",))}
    if not parser.parse_args().check:
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    parts = {part: kept[part].keys() | found[part].keys() for part in found}
    changed = [
        f"{part} {name}"
        for part in found
        for name in sorted(parts[part])
        if kept[part].get(name) != found[part].get(name)
    ]
    if changed:
        print(
            f"the page is not the one that was built: {', '.join(changed[:5])} changed; run: make page", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
