"""The invariant *replay*: events alone rebuild state and money, and every event matters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pdfed_sdk.audit import AuditReport, SubmissionRecord, audit
from pdfed_sdk.audit.rules import quantile
from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.errors import AuditFailed, PackageInvalid
from pdfed_sdk.types import Status
from tests.support.federation import UNIT, Federation, digests, word

IDLE = (
    event_types.MetadataChanged,
    event_types.SettleSkipped,
    event_types.PourSkipped,
    event_types.Initialized,
    event_types.TaskCreated,
)


@pytest.fixture
def history(federation: Federation) -> Federation:
    """Two good models, one the child of the other, one void, one never submitted; a silent voter; pours and claims."""
    first = federation.open_submission(federation.client(1), 1)
    silent = federation.client(5)
    silent.commit_score(first, 2, b"\x01" * 32)
    federation.vote(first, {2: 4, 3: 3, 4: 6})
    closer = federation.client(3)
    closer.finalize_due()

    second = federation.open_submission(federation.client(2), 2, (first, 6_000), (0, 4_000))
    federation.vote(second, {1: 5, 3: 5, 4: 2})
    lonely = federation.open_submission(federation.client(4), 3, (second, 10_000))
    federation.client(1).commit_score(lonely, 1, b"\x02" * 32)
    federation.client(5).reserve(digests(4).package_digest, word(4, 9))
    federation.to_end(lonely + 1)
    closer.finalize_due()
    for submission_id in (first, second, lonely):
        closer.settle(submission_id)
        closer.settle(submission_id, [federation.signers[1].address])  # skipped or late, never fatal
    while closer.pour():
        pass
    federation.client(1).claim()
    federation.client(5).request_unstake(10 * UNIT)
    federation.client(0).close()
    return federation


def failed(report: AuditReport) -> list[str]:
    assert report.ok == all(check.ok for check in report.checks)
    return [check.name for check in report.checks if not check.ok]


def test_events_alone_rebuild_state_and_money(history: Federation) -> None:
    client = history.reader()
    report = audit(client)
    assert failed(report) == []
    statuses = [view.submission.status for view in client.submissions()]
    assert statuses == [Status.FINAL, Status.FINAL, Status.FINAL, Status.VOID, Status.VOID]
    kinds = {type(event) for event in client.events.replay()}
    assert kinds >= {
        event_types.LineageShared,
        event_types.RewardShared,
        event_types.Poured,
        event_types.Rewarded,
        event_types.SettleSkipped,
        event_types.SubmissionSettled,
    }


def test_books_still_balance_after_everyone_left(history: Federation) -> None:
    sponsor = history.client(0)
    history.to(sponsor.now() + sponsor.params().grace + 1)
    sponsor.reclaim()
    nodes = [history.client(index) for index in range(1, 6)]
    for node in nodes:
        if node.account().credit:
            node.claim()
    for _ in range(2):  # node 5 has one request running already
        for node in nodes:
            account = node.account()
            if account.stake and not account.unbonding:
                node.request_unstake(account.stake)
        history.to(sponsor.now() + sponsor.params().unbonding + 1)
        for node in nodes:
            if node.account().unbonding:
                node.withdraw()
    assert failed(audit(history.reader())) == []
    assert sponsor.token_balance(sponsor.task.vault) == 0


class Doctored:
    """A client whose event stream leaves one event out."""

    def __init__(self, client: PdfedClient, events: list[event_types.Event]) -> None:
        self._client = client
        self._events = events
        self.events = self

    def replay(self, from_block: int = 0) -> Iterator[event_types.Event]:
        return iter(self._events)

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


def holds(client: Doctored) -> bool:
    try:
        return audit(client).ok  # type: ignore[arg-type]
    except AuditFailed:
        return False


def test_no_event_can_be_left_out_unnoticed(history: Federation) -> None:
    client = history.reader()
    events = list(client.events.replay())
    for index, event in enumerate(events):
        if isinstance(event, IDLE):
            continue
        assert not holds(Doctored(client, events[:index] + events[index + 1 :])), event


def test_packages_are_checked_by_the_caller(history: Federation) -> None:
    seen: list[SubmissionRecord] = []

    def verify(known: SubmissionRecord) -> None:
        seen.append(known)
        if known.id == 2:
            raise PackageInvalid("the package has a flipped byte")

    report = audit(history.reader(), fetch_and_verify=verify)
    assert [known.id for known in seen] == [0, 1, 2, 3]
    assert failed(report) == ["package of submission 2"]
    assert seen[1].author == history.signers[1].address


def test_quantiles_are_the_lower_ones() -> None:
    votes = [(-8, 1), (3, 1), (5, 1)]
    assert quantile(votes, 3_333) == -8
    assert quantile(votes, 3_334) == 3
    assert quantile(votes, 5_000) == 3
    assert quantile([], 5_000) == -8
