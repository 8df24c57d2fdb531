"""A history in which every kind of money moves."""

from __future__ import annotations

from tests.support.federation import UNIT, Federation, digests, word


def make_history(federation: Federation) -> Federation:
    """A pressed model and its copy, one on top of both, one void, one never submitted; a silent voter; pours, claims.

    Two of four voters press the first model's outcome, not its median; a copy that declares it is measured against the
    old reference, becomes best, and its reward is the first author's.
    """
    first = federation.open_submission(federation.client(1), 1)
    copy = federation.open_submission(federation.client(2), 2, (first, 6_000), (0, 4_000))
    commit(federation, first, {2: 4, 3: 4, 4: 14, 5: 14})
    commit(federation, copy, {1: 15, 3: 15, 4: 15})
    federation.to_reveal(copy)
    for index in range(1, 6):
        federation.client(index).reveal_due()
    federation.to_end(copy)
    closer = federation.client(3)
    closer.finalize_due()

    second = federation.open_submission(federation.client(3), 5, (copy, 10_000))
    commit(federation, second, {5: 2})  # silent
    federation.vote(second, {1: 5, 2: 5, 4: 4})
    closer.finalize_due()
    lonely = federation.open_submission(federation.client(4), 3, (second, 10_000))
    federation.client(1).commit_score(lonely, 1, b"\x02" * 32)
    federation.client(5).reserve(digests(4).package_digest, word(4, 9))
    federation.to_end(lonely + 1)
    closer.finalize_due()
    for submission_id in (first, copy, second, lonely):
        closer.settle(submission_id)
        closer.settle(submission_id, [federation.signers[1].address])  # skipped or late, never fatal
    while closer.pour():
        pass
    federation.client(1).claim()
    federation.client(5).request_unstake(10 * UNIT)
    federation.client(0).close()
    return federation


def commit(federation: Federation, submission_id: int, votes: dict[int, int]) -> None:
    """Seal votes of nodes; they stay silent until ``reveal_due``."""
    for index, improvement in votes.items():
        federation.client(index).commit_score(submission_id, improvement, bytes([index]) * 32)
