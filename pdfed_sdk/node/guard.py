"""What a node does about errors: it tells each once, and goes on. Only a chain that does not answer stops a look."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from pdfed_sdk.errors import ChainError, PdfedError, RpcUnavailable
from pdfed_sdk.node.doing import Doing

log = logging.getLogger("pdfed.node")


class Guard:
    """Runs parts of the loop so that a failed one never stops the others."""

    def __init__(self, doing: Doing | None = None) -> None:
        self.doing = doing or Doing()
        self.failures: Counter[str] = Counter()
        """Errors of each part so far, by its first word."""
        self._told: set[str] = set()
        self._silent = False

    def warn_once(self, text: str) -> None:
        """Log a problem once, not at every look."""
        if text not in self._told:
            self._told.add(text)
            log.warning("%s", text)

    def run(self, what: str, act: Callable[[], object]) -> None:
        """Do ``act``; an error of ours, of the disk or of memory is told. RpcUnavailable is raised: nothing else can
        work."""
        try:
            act()
        except RpcUnavailable:
            raise
        except (PdfedError, OSError) as error:
            self.failures[what.split()[0]] += 1
            self.warn_once(f"{what}: {error}")
        except MemoryError:
            self.failures[what.split()[0]] += 1
            self.warn_once(f"{what}: this machine has too little memory for it")

    def patiently(self, act: Callable[[], object]) -> bool:
        """Do ``act``; False while the chain cannot be used, which is told when it begins and when it ends."""
        try:
            act()
        except ChainError as error:
            if not self._silent:
                log.warning("%s; trying until it works, nothing is lost", error.message)
            self._silent = True
            return False
        if self._silent:
            log.info("the chain answers again")
        self._silent = False
        return True
