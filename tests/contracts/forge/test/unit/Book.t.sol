// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Opening, ScoreVote, SealedVote, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title ScoreBook: commit, batches, signatures, reveal, and their windows
contract BookTest is World {
    address private ann = person(0);
    address private bob = person(1);
    address private cat = person(2);
    address private key = person(50);
    uint256 private id;
    uint40 private opened;
    SealedVote private v_; // read before an expected revert

    function setUp() public {
        deploy();
        create(defaults());
        join(ann, 30 * UNIT);
        join(bob, 13 * UNIT + 1);
        join(cat, 7 * UNIT);
        travel(5);
        id = open(ann, only(0));
        opened = uint40(time());
    }

    function _no(bytes memory why, address sender, address voter, bytes32 commitment) private {
        SealedVote memory v = _of(id, commitment);
        vm.expectRevert(why);
        vm.prank(sender);
        book.commit(voter, v);
    }

    /// @dev A commitment on what the id's author submitted.
    function _of(uint256 which, bytes32 commitment) private view returns (SealedVote memory) {
        return SealedVote(which, which < registry.count() ? recordHash(which) : bytes32(0), commitment);
    }

    // ------------------------------------------------------------------------------------------------------ commit

    function test_commit_freezes_weight_and_rate_and_locks_the_bond() public {
        bytes32 c = seal(vote(bob, id, 4));
        vm.assertEq(book.hashVote(vote(bob, id, 4)), c);
        vm.expectEmit(address(vault));
        emit IStakeVault.VoteBonded(bob, id, 13 * UNIT / 10);
        vm.expectEmit(address(book));
        emit IScoreBook.Committed(id, bob, c, 13, 1 << 23);
        commit(bob, id, 4);
        holds(bob, 13 * UNIT + 1 - 1.3e18, 1.3e18, 0, 0);
        vm.assertEq(vault.weightNow(bob), 13);
        IScoreBook.Vote memory v = book.voteOf(id, bob);
        vm.assertEq(bytes32(v.commitment), bytes32(bytes24(c)));
        vm.assertEq(v.weight, 13);
        vm.assertEq(v.rate, 1 << 23);
        vm.assertEq(v.improvement, 0);
        vm.assertFalse(v.revealed);
        _no(abi.encodeWithSelector(IScoreBook.BookAlreadyCommitted.selector, id, bob), bob, bob, c);
    }

    function test_commit_refuses() public {
        bytes32 c = bytes32(uint256(1) << 64);
        _no(abi.encodeWithSelector(IScoreBook.BookZeroCommitment.selector), bob, bob, 0);
        _no(abi.encodeWithSelector(IScoreBook.BookZeroCommitment.selector), bob, bob, bytes32(uint256(1) << 63));
        _no(abi.encodeWithSelector(IScoreBook.BookAuthorCannotVote.selector, id, ann), ann, ann, c);
        _no(abi.encodeWithSelector(IStakeVault.VaultNotVoter.selector, bob, key), key, bob, c);
        _no(abi.encodeWithSelector(IStakeVault.VaultNotValidator.selector, stranger), stranger, stranger, c);
        address late = person(3);
        join(late, 50 * UNIT); // after the reservation
        _no(abi.encodeWithSelector(IScoreBook.BookNoWeight.selector, id, late), late, late, c);
        uint256 known = id;
        id = 7;
        _no(abi.encodeWithSelector(IModelRegistry.RegistryUnknownId.selector, 7), bob, bob, c);
        id = 0;
        _no(abi.encodeWithSelector(IScoreBook.BookNotOpen.selector, 0), bob, bob, c);
        id = reserve(ann);
        _no(abi.encodeWithSelector(IScoreBook.BookNotOpen.selector, id), bob, bob, c);
        id = known;
        v_ = _of(id, c);
        vm.prank(bob);
        book.commit(bob, v_);
    }

    function test_commit_window_ends_to_the_second() public {
        uint40 end = opened + 1_000;
        vm.warp(end);
        bytes32 c = seal(vote(bob, id, 1));
        _no(abi.encodeWithSelector(IScoreBook.BookCommitOver.selector, id, end, end), bob, bob, c);
        vm.warp(end + 1);
        _no(abi.encodeWithSelector(IScoreBook.BookCommitOver.selector, id, end, end + 1), bob, bob, c);
        vm.warp(end - 1);
        commit(bob, id, 1);
    }

    function test_weight_is_the_least_of_then_and_now() public {
        token.mint(cat, 5 * UNIT);
        vm.startPrank(cat);
        vault.deposit(5 * UNIT);
        vm.stopPrank();
        vm.prank(bob);
        vault.requestUnstake(4 * UNIT); // 9 left
        commit(bob, id, 1);
        commit(cat, id, 1);
        vm.assertEq(book.voteOf(id, bob).weight, 9);
        vm.assertEq(book.voteOf(id, cat).weight, 7);
        holds(bob, 9 * UNIT + 1 - 0.9e18, 0.9e18, 4 * UNIT, 0);
        holds(cat, 12 * UNIT - 0.7e18, 0.7e18, 0, 0);
    }

    function test_a_bond_must_be_free() public {
        // cat's weight of 7 needs 0.7; leave it with 0.7 - 1 free and the rest locked in submissions
        vm.startPrank(cat);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
        uint256 free = 2 * UNIT - 7;
        vault.requestUnstake(free - 0.4e18 + 1); // weight now is whole: 2.4 -> 2, bond 0.2
        vm.stopPrank();
        commit(cat, id, 1);
        vm.assertEq(book.voteOf(id, cat).weight, 2);
        holds(cat, 0.2e18 - 1, 2.2e18, free - 0.4e18 + 1, 0);
        uint256 second = open(ann, only(0));
        id = second; // weight 2 again, bond 0.2, one unit short
        _no(
            abi.encodeWithSelector(IStakeVault.VaultInsufficientStake.selector, cat, 0.2e18 - 1, 0.2e18),
            cat,
            cat,
            bytes32(uint256(1) << 200)
        );
    }

    /// @dev 33 basis points of thirteen times 10^18 + 1 are no whole number.
    function test_a_bond_is_rounded_up() public {
        TaskParams memory p = defaults();
        (p.minStake, p.voteBondBps) = (uint128(UNIT + 1), 33);
        create(p);
        join(ann, 30 * UNIT);
        join(bob, 13 * UNIT + 13);
        travel(5);
        id = open(ann, only(0));
        commit(bob, id, 1);
        vm.assertEq(book.voteOf(id, bob).weight, 13);
        holds(bob, 13 * UNIT + 13 - 0.0429e18 - 1, 0.0429e18 + 1, 0, 0);
    }

    function test_the_voting_key_votes_for_its_node() public {
        vm.prank(bob);
        vault.setVotingKey(key);
        bytes32 c = seal(vote(bob, id, 4));
        v_ = _of(id, c);
        vm.prank(key);
        book.commit(bob, v_);
        vm.assertEq(book.voteOf(id, bob).weight, 13);
    }

    /// @dev Not by a call of the key, nor in a batch.
    function test_an_author_does_not_vote_through_its_key() public {
        vm.prank(ann);
        vault.setVotingKey(key);
        bytes32 c = bytes32(uint256(1) << 64);
        _no(abi.encodeWithSelector(IScoreBook.BookAuthorCannotVote.selector, id, ann), key, ann, c);
        SealedVote[] memory list = new SealedVote[](1);
        list[0] = _of(id, c);
        vm.expectEmit(address(book));
        emit IScoreBook.CommitSkipped(id, ann, IScoreBook.BookAuthorCannotVote.selector);
        vm.prank(key);
        book.commitMany(ann, list);
    }

    /// @dev All 24 bytes of a commitment are compared, and no more are kept.
    function test_the_last_bit_of_a_commitment_counts() public {
        bytes32 c = seal(vote(bob, id, 4));
        v_ = _of(id, c ^ bytes32(uint256(1) << 64));
        vm.prank(bob);
        book.commit(bob, v_);
        v_ = _of(id, seal(vote(cat, id, 4)) ^ bytes32(uint256(1) << 63));
        vm.prank(cat);
        book.commit(cat, v_);
        toReveal(id);
        bytes24 kept = bytes24(c ^ bytes32(uint256(1) << 64));
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookCommitmentMismatch.selector, id, bob, kept, c));
        reveal(bob, id, 4);
        reveal(cat, id, 4);
    }

    // ----------------------------------------------------------------------------------------------------- batches

    function test_commit_many_skips_a_bad_entry() public {
        uint256 second = open(ann, only(0));
        SealedVote[] memory list = new SealedVote[](5);
        uint256[5] memory ids = [id, id, 9, second, second];
        for (uint256 i; i < 5; ++i) {
            list[i] = _of(ids[i], seal(vote(bob, ids[i], 2)));
        }
        list[3].recordHash = recordHash(id); // of another model
        vm.expectEmit(address(book));
        emit IScoreBook.CommitSkipped(id, bob, IScoreBook.BookAlreadyCommitted.selector);
        vm.expectEmit(address(book));
        emit IScoreBook.CommitSkipped(9, bob, IModelRegistry.RegistryUnknownId.selector);
        vm.expectEmit(address(book));
        emit IScoreBook.CommitSkipped(second, bob, IScoreBook.BookRecordMismatch.selector);
        vm.prank(bob);
        book.commitMany(bob, list);
        vm.assertEq(book.voteOf(id, bob).weight, 13);
        vm.assertEq(book.voteOf(second, bob).weight, 13);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookUnauthorized.selector, bob));
        vm.prank(bob);
        book.commitFrom(bob, bob, list[0]);
    }

    function test_commit_many_asks_for_whom_the_caller_votes() public {
        SealedVote[] memory list = new SealedVote[](1);
        list[0] = _of(id, seal(vote(bob, id, 2)));
        vm.expectEmit(address(book));
        emit IScoreBook.CommitSkipped(id, bob, IStakeVault.VaultNotVoter.selector);
        vm.prank(cat);
        book.commitMany(bob, list);
        vm.assertEq(book.voteOf(id, bob).weight, 0);
    }

    function test_reveal_many_skips_a_bad_entry() public {
        commit(bob, id, 4);
        commit(cat, id, -3);
        toReveal(id);
        Opening[] memory votes = new Opening[](4);
        (votes[0], votes[1]) = (opening(bob, id, 4), opening(bob, id, 4));
        (votes[2], votes[3]) = (opening(ann, id, 4), opening(cat, id, -3));
        vm.expectEmit(address(book));
        emit IScoreBook.RevealSkipped(id, bob, IScoreBook.BookAlreadyRevealed.selector);
        vm.expectEmit(address(book));
        emit IScoreBook.RevealSkipped(id, ann, IScoreBook.BookNoCommitment.selector);
        book.revealMany(votes);
        IScoreBook.Tally memory t = book.tally(id);
        vm.assertEq(t.revealedWeight, 20);
        vm.assertEq(t.yesWeight, 13);
        vm.assertEq(t.reveals, 2);
    }

    // -------------------------------------------------------------------------------------------------- signatures

    function _sign(uint256 signer, address voter, bytes32 c, uint40 deadline) private view returns (bytes memory) {
        bytes32 kind = keccak256(
            "Commit(address voter,uint256 submissionId,bytes32 recordHash,bytes32 commitment,uint256 deadline)"
        );
        bytes32 d = typed(keccak256(abi.encode(kind, voter, id, recordHash(id), c, deadline)));
        vm.assertEq(book.hashCommit(voter, _of(id, c), deadline), d);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signer, d);
        return abi.encodePacked(r, s, v);
    }

    function test_a_signed_commit_of_the_node_or_its_key() public {
        uint40 deadline = opened + 1_000; // may equal the end of the window
        bytes32 c = seal(vote(bob, id, 4));
        bytes memory bad = _sign(keyOf(9), bob, c, deadline);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, bob));
        book.commitBySig(bob, v_, deadline, bad);
        bytes memory good = _sign(keyOf(1), bob, c, deadline);
        v_ = _of(id, bytes32(uint256(c) ^ 1));
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, bob));
        book.commitBySig(bob, v_, deadline, good);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, bob));
        book.commitBySig(bob, v_, deadline - 1, good);
        book.commitBySig(bob, _of(id, c), deadline, good);
        vm.assertEq(book.voteOf(id, bob).weight, 13);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookAlreadyCommitted.selector, id, bob));
        book.commitBySig(bob, v_, deadline, good);

        c = seal(vote(cat, id, 4));
        bytes memory byKey = _sign(keyOf(50), cat, c, deadline);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, cat));
        book.commitBySig(cat, v_, deadline, byKey);
        vm.prank(cat);
        vault.setVotingKey(key);
        book.commitBySig(cat, _of(id, c), deadline, byKey);
        vm.assertEq(book.voteOf(id, cat).weight, 7);
    }

    function test_a_voting_key_does_not_make_its_node_vote_for_others() public {
        bytes32 c = seal(vote(bob, id, 4));
        bytes memory s = _sign(keyOf(2), bob, c, opened + 10); // by cat
        vm.prank(cat);
        vault.setVotingKey(bob);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, bob));
        book.commitBySig(bob, v_, opened + 10, s);
    }

    function test_deadlines_of_signed_commits() public {
        bytes32 c = seal(vote(bob, id, 4));
        uint40 end = opened + 1_000;
        bytes memory s = _sign(keyOf(1), bob, c, end + 1);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookDeadlineTooLate.selector, end + 1, end));
        book.commitBySig(bob, v_, end + 1, s);
        s = _sign(keyOf(1), bob, c, opened + 10);
        vm.warp(opened + 11);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookSignatureExpired.selector, opened + 10, opened + 11));
        book.commitBySig(bob, v_, opened + 10, s);
        vm.warp(opened + 10);
        book.commitBySig(bob, _of(id, c), opened + 10, s);
        c = seal(vote(cat, id, 4));
        s = _sign(keyOf(2), cat, c, end);
        vm.warp(end); // the deadline has not passed, the window has
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookCommitOver.selector, id, end, end));
        book.commitBySig(cat, v_, end, s);
    }

    function test_signatures_belong_to_one_chain_and_book() public {
        bytes32 c = seal(vote(bob, id, 4));
        bytes memory s = _sign(keyOf(1), bob, c, opened + 10);
        vm.chainId(block.chainid + 1);
        v_ = _of(id, c);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, bob));
        book.commitBySig(bob, v_, opened + 10, s);
        (, string memory name, string memory version, uint256 chain, address where,,) = book.eip712Domain();
        vm.assertEq(name, "PDFed");
        vm.assertEq(version, "1");
        vm.assertEq(chain, block.chainid);
        vm.assertEq(where, address(book));
    }

    /// @dev An account with code answers for itself, be it the node's or its key's: what it says counts, and its plain key
    ///      no longer does.
    function test_an_account_with_code_answers_for_itself() public {
        bytes memory yes = hex"7f1626ba7e000000000000000000000000000000000000000000000000000000005f5260205ff3";
        bytes memory nothing = hex"5f5ff3";
        bytes32 c = seal(vote(bob, id, 4));
        uint40 end = opened + 1_000;
        v_ = _of(id, c);
        bytes memory ofNode = _sign(keyOf(1), bob, c, end);
        bytes memory ofKey = _sign(keyOf(50), bob, c, end);
        bytes memory ofNobody = _sign(keyOf(51), bob, c, end);
        bytes memory no = abi.encodeWithSelector(IScoreBook.BookBadSignature.selector, bob);
        vm.prank(bob);
        vault.setVotingKey(key);
        uint256 state = vm.snapshotState();

        vm.etch(bob, nothing);
        vm.expectRevert(no);
        book.commitBySig(bob, v_, end, ofNode);
        vm.etch(bob, yes);
        book.commitBySig(bob, v_, end, ofNobody);
        vm.assertEq(book.voteOf(id, bob).weight, 13);

        vm.assertTrue(vm.revertToState(state));
        vm.etch(key, nothing);
        vm.expectRevert(no);
        book.commitBySig(bob, v_, end, ofKey);
        vm.etch(key, yes);
        book.commitBySig(bob, v_, end, ofNobody);
        vm.assertEq(book.voteOf(id, bob).weight, 13);
    }

    // ------------------------------------------------------------------------------------------------------ reveal

    function _open(ScoreVote memory v) private pure returns (Opening memory) {
        return Opening(v.voter, v.submissionId, v.improvement, v.evidenceRoot, v.salt);
    }

    function _noReveal(ScoreVote memory v, bytes memory why) private {
        vm.expectRevert(why);
        book.reveal(_open(v));
    }

    function test_reveal_counts_a_vote() public {
        commit(bob, id, 23);
        commit(cat, id, -8);
        toReveal(id);
        ScoreVote memory v = vote(bob, id, 23);
        vm.expectEmit(address(book));
        emit IScoreBook.Revealed(id, bob, 23, v.evidenceRoot);
        vm.prank(stranger);
        book.reveal(_open(v));
        reveal(cat, id, -8);
        IScoreBook.Vote memory kept = book.voteOf(id, bob);
        vm.assertEq(kept.improvement, 23);
        vm.assertTrue(kept.revealed);
        kept = book.voteOf(id, cat);
        vm.assertEq(kept.improvement, -8);
        vm.assertTrue(kept.revealed);
        uint32[32] memory h = book.histogram(id);
        vm.assertEq(h[31], 13);
        vm.assertEq(h[0], 7);
        for (uint256 i = 1; i < 31; ++i) {
            vm.assertEq(h[i], 0);
        }
        _noReveal(v, abi.encodeWithSelector(IScoreBook.BookAlreadyRevealed.selector, id, bob));
    }

    function _history(address who, uint256 yes, uint256 seen) private view {
        (uint32 y, uint32 n) = book.history(who);
        vm.assertEq(y, yes, "votes above tau");
        vm.assertEq(n, seen, "votes");
    }

    /// @dev Against the threshold that the id froze, when it is settled, and only votes that measured something.
    function test_history_counts_votes_above_tau_when_they_are_settled() public {
        address dan = person(3);
        address eve = person(4);
        join(dan, 5 * UNIT);
        join(eve, 5 * UNIT);
        travel(5);
        id = open(ann, only(0));
        commit(bob, id, 0); // not above tau = 0
        commit(cat, id, 1);
        commit(dan, id, -7); // bytes missing
        commit(eve, id, -8);
        toReveal(id);
        reveal(bob, id, 0);
        reveal(cat, id, 1);
        reveal(dan, id, -7);
        reveal(eve, id, -8);
        vm.assertEq(book.tally(id).yesWeight, 7);
        _history(cat, 0, 0);
        toEnd(id);
        book.finalizeMany(9);
        vm.assertEq(registry.trend().tau, 0); // the median is 0
        address[4] memory all = [bob, cat, dan, eve];
        for (uint256 i; i < 4; ++i) {
            settle(id, all[i]);
            vm.assertEq(book.voteOf(id, all[i]).weight, 0); // deleted
        }
        _history(bob, 0, 1);
        _history(cat, 1, 1);
        _history(dan, 0, 0);
        _history(eve, 0, 0);
        uint256 next = open(ann, only(0));
        commit(bob, next, 1);
        commit(cat, next, 1);
        uint256 q = registry.submission(next).terms.q;
        vm.assertEq(book.voteOf(next, bob).rate, 4 * q / 5);
        vm.assertEq(book.voteOf(next, cat).rate, ((1 << 24) + 4 * q) / 5);
    }

    /// @notice Attack: a reorganisation swaps two reservations under a commit.
    function test_a_commit_for_another_record_is_refused() public {
        uint256 second = open(ann, only(0));
        SealedVote memory v = _of(id, seal(vote(bob, id, 4)));
        v.submissionId = second; // what a reorganisation does
        vm.expectRevert(
            abi.encodeWithSelector(IScoreBook.BookRecordMismatch.selector, second, recordHash(id), recordHash(second))
        );
        vm.prank(bob);
        book.commit(bob, v);
        commit(bob, second, 4); // nothing is bound; it can vote again
    }

    function test_only_validators_vote() public {
        address trainer = person(5);
        give(trainer, 9 * UNIT);
        vm.startPrank(trainer);
        vault.register(1, address(0), bytes32(0));
        vault.deposit(9 * UNIT);
        vm.stopPrank();
        travel(5);
        vm.assertEq(vault.weightNow(trainer), 0);
        uint256 before = vault.totalWeightAt(uint40(time() - 1));
        vm.assertEq(before, 46); // ann after her fee, bob and cat alone
        id = open(ann, only(0));
        _no(
            abi.encodeWithSelector(IStakeVault.VaultNotValidator.selector, trainer),
            trainer,
            trainer,
            bytes32(uint256(1) << 200)
        );
    }

    function test_reveal_window_is_exact() public {
        commit(bob, id, 4);
        uint40 start = opened + 1_010;
        uint40 end = start + 500;
        ScoreVote memory v = vote(bob, id, 4);
        uint40[4] memory outside = [opened + 1_000, start - 1, end, end + 1];
        for (uint256 i; i < 4; ++i) {
            vm.warp(outside[i]);
            _noReveal(v, abi.encodeWithSelector(IScoreBook.BookNotRevealTime.selector, id, start, end, outside[i]));
        }
        uint256 here = vm.snapshotState();
        vm.warp(start);
        book.reveal(_open(v));
        vm.revertToState(here);
        vm.warp(end - 1);
        book.reveal(_open(v));
    }

    function test_an_opening_must_match_in_every_field() public {
        commit(bob, id, 4);
        toReveal(id);
        bytes24 kept = bytes24(seal(vote(bob, id, 4)));
        ScoreVote memory v = vote(bob, id, 5);
        _noReveal(v, _mismatch(kept, v));
        v = vote(bob, id, 4);
        v.salt = bytes32(uint256(v.salt) ^ 1);
        _noReveal(v, _mismatch(kept, v));
        v = vote(bob, id, 4);
        v.evidenceRoot = bytes32(uint256(1));
        _noReveal(v, _mismatch(kept, v));
        v = vote(bob, id, 24);
        _noReveal(v, abi.encodeWithSelector(IScoreBook.BookImprovementOutOfRange.selector, int8(24)));
        v = vote(bob, id, -9);
        _noReveal(v, abi.encodeWithSelector(IScoreBook.BookImprovementOutOfRange.selector, int8(-9)));
        v = vote(bob, id, 4);
        v.evidenceRoot = 0;
        _noReveal(v, abi.encodeWithSelector(IScoreBook.BookZeroEvidence.selector));
        v = vote(cat, id, 4);
        _noReveal(v, abi.encodeWithSelector(IScoreBook.BookNoCommitment.selector, id, cat));
        reveal(bob, id, 4);
    }

    function _mismatch(bytes24 kept, ScoreVote memory v) private view returns (bytes memory) {
        return
            abi.encodeWithSelector(IScoreBook.BookCommitmentMismatch.selector, v.submissionId, v.voter, kept, seal(v));
    }

    function test_a_vote_for_other_weights_cannot_be_opened() public {
        ScoreVote memory v = vote(bob, id, 4);
        v.weightsDigest = bytes32(uint256(1));
        bytes32 c = seal(v);
        v_ = _of(id, c);
        vm.prank(bob);
        book.commit(bob, v_);
        toReveal(id);
        vm.expectRevert(
            abi.encodeWithSelector(
                IScoreBook.BookCommitmentMismatch.selector, id, bob, bytes24(c), seal(vote(bob, id, 4))
            )
        );
        book.reveal(_open(v));
    }

    function test_equal_commitments_of_two_voters() public {
        bytes32 c = seal(vote(bob, id, 4));
        v_ = _of(id, c);
        vm.prank(cat);
        book.commit(cat, v_);
        commit(bob, id, 4);
        toReveal(id);
        ScoreVote memory stolen = vote(bob, id, 4);
        stolen.voter = cat;
        _noReveal(stolen, _mismatch(bytes24(c), stolen));
        reveal(bob, id, 4);
    }
}
