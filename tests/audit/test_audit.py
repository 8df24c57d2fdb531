"""The invariant *replay*: events alone rebuild state and money, and every event matters."""

from __future__ import annotations

from collections.abc import Iterator

from pdfed_sdk.audit import AuditReport, SubmissionRecord, audit
from pdfed_sdk.audit.rules import quantile, upper_median
from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.errors import AuditFailed, PackageInvalid
from pdfed_sdk.types import Status
from tests.support.federation import Federation

IDLE = (
    event_types.MetadataChanged,
    event_types.SettleSkipped,
    event_types.PourSkipped,
    event_types.Initialized,
    event_types.TaskCreated,
)


def failed(report: AuditReport) -> list[str]:
    assert report.ok == all(check.ok for check in report.checks)
    return [check.name for check in report.checks if not check.ok]


def test_events_alone_rebuild_state_and_money(history: Federation) -> None:
    client = history.reader()
    report = audit(client)
    assert failed(report) == []
    statuses = [view.submission.status for view in client.submissions()]
    assert statuses == [Status.FINAL, Status.FINAL, Status.FINAL, Status.FINAL, Status.VOID, Status.VOID]
    kinds = {type(event) for event in client.events.replay()}
    assert kinds >= {
        event_types.Shared,
        event_types.ShareGiven,
        event_types.Poured,
        event_types.Rewarded,
        event_types.SettleSkipped,
        event_types.Settled,
    }


def test_books_still_balance_after_everyone_left(history: Federation) -> None:
    sponsor = history.client(0)
    history.to(sponsor.now() + sponsor.params().grace + 1)
    sponsor.reclaim()
    before = sponsor.balances()
    for _ in range(2):  # what lineage leaves at genesis is divided again
        for number in (1, 2, 3):
            sponsor.divide_commons(number)
        while sponsor.pour():
            pass
    assert sponsor.divide_commons(4) is None, "it never became best"
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
    left = sponsor.balances()
    assert sponsor.token_balance(sponsor.task.vault) == left.commons < before.commons / 2
    assert (left.unreleased, left.allowance, left.committed) == (0, 0, 0)


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
    assert [known.id for known in seen] == [0, 1, 2, 3, 4]
    assert failed(report) == ["package of submission 2"]
    assert seen[1].author == history.signers[1].address


def test_quantiles_are_the_lower_ones() -> None:
    votes = [(-8, 1), (3, 1), (5, 1)]
    assert quantile(votes, 3_333) == -8
    assert quantile(votes, 3_334) == 3
    assert quantile(votes, 5_000) == 3
    assert quantile([], 5_000) == -8


def test_half_of_the_weight_does_not_press_the_median() -> None:
    assert upper_median([(-8, 2), (5, 1), (6, 1)]) == 5
    assert upper_median([(-8, 3), (5, 1), (6, 1)]) == -8
