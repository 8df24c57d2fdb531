"""Notices reach a real webhook and a real command, each once, not too many; what fails is tried again."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Address
from pdfed_sdk.watch.home import Home
from pdfed_sdk.watch.notices import HOUR, MOST, Notifier, channels, due_notices
from pdfed_sdk.watch.serving import make_watcher
from pdfed_sdk.watch.watcher import Watcher
from tests.support.federation import UNIT, Federation


@dataclass
class Hook:
    """A webhook on loopback, and what it was sent."""

    url: str
    got: list[dict[str, object]] = field(default_factory=list)
    answer: int = 204


@pytest.fixture
def hook() -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if found.answer < 300:
                found.got.append(body)
            self.send_response(found.answer)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Hook(f"http://127.0.0.1:{server.server_address[1]}/")
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def watched(federation: Federation, tmp_path: Path) -> Watcher:
    """A task in which node 2 has sealed a vote, and its home found two copies in model 1."""
    made = federation.open_submission(federation.client(1), 1)
    federation.client(2).commit_score(made, 4, b"\x02" * 32)
    note = {"improvement": 3, "pairs": [json.dumps({"sample": 1, "train": 2, "score": 0.9}).encode().hex()] * 2}
    (tmp_path / "home" / "evaluations").mkdir(parents=True)
    (tmp_path / "home" / "evaluations" / "1.json").write_text(json.dumps(note))
    home = Home(tmp_path / "home", Address(federation.signers[2].address))
    watcher = make_watcher(federation.reader(), None, home=home)
    watcher.follower.catch_up()
    return watcher


def kinds(watcher: Watcher, least: int = 0) -> list[str]:
    return [notice.kind for notice in due_notices(watcher, least)]


def test_each_of_the_four_is_told_when_it_is_due(watched: Watcher, federation: Federation) -> None:
    assert kinds(watched) == ["copy"]
    assert kinds(watched, 500 * UNIT) == ["copy"], "what is locked behind the vote is stake too"
    assert kinds(watched, 501 * UNIT) == ["stake", "copy"]
    windows = federation.reader().windows(1)
    federation.to(windows.reveal_start)
    federation.client(0).close()
    watched.follower.catch_up()
    assert kinds(watched) == ["closing", "copy"], "the window has only begun"
    federation.to((windows.reveal_start + windows.reveal_end) // 2 + 1)
    federation.anvil.mine(1)
    watched.follower.catch_up()
    assert kinds(watched) == ["closing", "window", "copy"]
    federation.client(2).reveal_due()
    watched.follower.catch_up()
    assert kinds(watched) == ["closing", "copy"], "opened in time"


def test_a_webhook_and_a_command_get_each_notice_once_over_restarts(
    watched: Watcher, hook: Hook, tmp_path: Path
) -> None:
    out = tmp_path / "told.jsonl"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
    command = shlex.join([sys.executable, "-c", script, str(out)])
    to, kept = channels(hook.url, command), tmp_path / "kept.json"
    notifier = Notifier(watched, to, 501 * UNIT, kept)
    assert [notifier.look(), notifier.look()] == [2, 0]
    assert Notifier(watched, to, 501 * UNIT, kept).look() == 0, "a new process remembers"
    assert [told["kind"] for told in hook.got] == ["stake", "copy"]
    assert [json.loads(line) for line in out.read_text().splitlines()] == hook.got
    assert hook.got[0]["task"] == watched.about.task
    assert "500, below 501" in str(hook.got[0]["text"])
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("answer", [500, 302])
def test_what_does_not_arrive_is_told_later(watched: Watcher, hook: Hook, answer: int) -> None:
    notifier = Notifier(watched, channels(hook.url, ""), 0)
    hook.answer = answer
    assert notifier.look() == 0
    assert notifier.failures == 1
    hook.answer = 204
    assert notifier.look() == 1


def test_a_command_that_fails_or_is_missing_stops_nothing(watched: Watcher) -> None:
    for command in ("/nonexistent/program", shlex.join([sys.executable, "-c", "raise SystemExit(3)"])):
        assert Notifier(watched, channels("", command), 0).look() == 0


def test_an_hour_has_so_many_notices_at_most(watched: Watcher, hook: Hook) -> None:
    assert watched.home is not None
    note = (watched.home.folder / "evaluations" / "1.json").read_text()
    for number in range(2, MOST + 8):
        (watched.home.folder / "evaluations" / f"{number}.json").write_text(note)
    now = [0.0]
    notifier = Notifier(watched, channels(hook.url, ""), 0, clock=lambda: now[0])
    assert notifier.look() == MOST
    assert notifier.look() == 0
    now[0] = HOUR
    assert notifier.look() == 7, "what was left waits for the next hour"
    assert len({told["key"] for told in hook.got}) == MOST + 7


def test_options_that_cannot_be_used_are_refused() -> None:
    for webhook, command in (("ftp://x", ""), ("", "'unfinished")):
        with pytest.raises(UsageError):
            channels(webhook, command)
