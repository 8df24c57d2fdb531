// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title Finalise: the queue, quorum, Void, levels in grains, best, threshold and majority rate
contract OutcomeTest is World {
    uint256 private constant FEE = 3 * UNIT + 7;
    uint256 private constant BOND = 2 * UNIT;
    address private ann = person(0);
    address[] private voters; // weights 10, 11, 12, 13

    function setUp() public {
        deploy();
        _task(defaults());
    }

    function _task(TaskParams memory p) private {
        create(p);
        delete voters;
        join(ann, 200 * UNIT);
        for (uint256 i = 1; i < 5; ++i) {
            voters.push(person(i));
            join(person(i), (9 + i) * UNIT);
        }
        travel(5);
    }

    function _commits(uint256 id, int8[] memory votes) private {
        for (uint256 i; i < votes.length; ++i) {
            commit(voters[i], id, votes[i]);
        }
    }

    function _reveals(uint256 id, int8[] memory votes) private {
        for (uint256 i; i < votes.length; ++i) {
            reveal(voters[i], id, votes[i]);
        }
    }

    /// @dev The first `votes.length` voters vote; finalised and settled.
    function _score(uint256 id, int8[] memory votes) private {
        _commits(id, votes);
        toReveal(id);
        _reveals(id, votes);
        toEnd(id);
        book.finalize(id);
        book.settle(id, voters);
    }

    function _votes(int8 a, int8 b, int8 c) private pure returns (int8[] memory list) {
        list = new int8[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _same(int8 value) private pure returns (int8[] memory) {
        return _votes(value, value, value);
    }

    function _is(uint256 id, Status status) private view {
        vm.assertEq(uint8(registry.submission(id).terms.status), uint8(status), "status");
    }

    // --------------------------------------------------------------------------------------------------- the queue

    function test_ids_finalise_in_order_and_in_time() public {
        uint256 a = open(ann, only(0));
        uint256 start = time();
        travel(1);
        uint256 b = open(ann, only(0));
        uint40 end = uint40(start) + 1_510;
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookNotNext.selector, b, a));
        book.finalize(b);
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookTooEarly.selector, a, end, end - 1));
        book.finalize(a);
        vm.assertEq(book.finalizeMany(5), 0); // a batch is no earlier than a single call
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookNotTerminal.selector, a));
        book.settle(a, voters);
        vm.warp(end + 1);
        uint256 state = vm.snapshotState();
        vm.assertEq(book.finalizeMany(1), 1); // no more than it is asked for, though both are due
        vm.assertEq(registry.nextToFinalize(), b);
        vm.assertTrue(vm.revertToState(state));
        vm.warp(end);
        vm.assertEq(book.finalizeMany(5), 1);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookTooEarly.selector, b, end + 1, end));
        book.finalize(b);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookNotNext.selector, a, b));
        book.finalize(a);
        vm.warp(end + 1);
        book.finalize(b);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookUnknownId.selector, 3));
        book.finalize(3);
        vm.assertEq(book.finalizeMany(5), 0);
    }

    // -------------------------------------------------------------------------------------------------- Void and fees

    function test_never_submitted_is_void_and_forfeits_the_bond() public {
        uint256 id = reserve(ann);
        toEnd(id);
        vm.expectEmit(address(vault));
        emit IStakeVault.Settled(ann, id, 0, BOND, FEE, 0);
        book.finalize(id);
        _is(id, Status.Void);
        holds(ann, 200 * UNIT - BOND - FEE, 0, 0, FEE);
        owns(0, 0, BOND, 0); // to the commons
        IModelRegistry.Trend memory t = registry.trend();
        vm.assertEq(t.tau, 0);
        vm.assertEq(t.q, 1 << 23);
        vm.assertEq(t.activity, 0); // nobody could vote on it, so it says nothing of who votes
    }

    /// @notice Attack: fees farmed by voids. A void id returns bond and base fee, whoever revealed.
    function test_two_voters_are_void_and_bond_and_fee_return() public {
        uint256 id = open(ann, only(0));
        int8[] memory votes = _votes(1, 5, 5);
        _commits(id, votes);
        toReveal(id);
        reveal(voters[0], id, 1);
        reveal(voters[1], id, 5);
        toEnd(id);
        vm.expectEmit(address(vault));
        emit IStakeVault.Settled(ann, id, BOND, 0, FEE, 0);
        book.finalize(id);
        _is(id, Status.Void);
        vm.assertEq(registry.submission(id).result.revealedWeight, 21);
        address[] memory list = new address[](5);
        (list[0], list[1]) = (stranger, voters[0]); // who has no vote is skipped, and no more than that
        (list[2], list[3], list[4]) = (voters[1], voters[2], voters[0]);
        vm.expectEmit(address(book));
        emit IScoreBook.SettleSkipped(id, stranger);
        vm.expectEmit(address(book));
        emit IScoreBook.SettleSkipped(id, voters[0]); // nor is one twice
        book.settle(id, list);
        holds(voters[0], 10 * UNIT, 0, 0, 0);
        holds(voters[1], 11 * UNIT, 0, 0, 0);
        holds(voters[2], 10.8e18, 0, 0, 0); // silence costs the whole bond
        owns(0, 0, 1.2e18, 0);
        vm.assertEq(vault.weightNow(voters[2]), 10); // and its weight, in the whole as well
        uint256 whole = vault.weightNow(ann) + vault.weightNow(voters[3]) + 10 + 11 + 10;
        vm.assertEq(vault.totalWeightAt(uint40(time())), whole);
        vm.assertEq(registry.trend().tau, 0); // what has no quorum teaches the task nothing but who votes
        vm.assertEq(registry.trend().q, 1 << 23);
        (uint16 yes, uint16 seen) = vault.history(voters[0]);
        vm.assertEq(yes, 1); // an opened vote is one of its voter's, whatever became of the id
        vm.assertEq(seen, 1);
        (, seen) = vault.history(voters[2]);
        vm.assertEq(seen, 0);
    }

    /// @notice Attack: junk. A median at the bottom costs the author its bond, pays nobody, teaches nothing.
    function test_an_unusable_model_costs_its_author_the_bond() public {
        uint256 id = open(ann, only(0));
        int8[] memory votes = _votes(-8, -8, 5);
        _commits(id, votes);
        toReveal(id);
        _reveals(id, votes);
        toEnd(id);
        vm.expectEmit(address(vault));
        emit IStakeVault.Settled(ann, id, 0, BOND, 0, FEE % 33);
        book.finalize(id);
        _is(id, Status.Final);
        book.settle(id, voters);
        for (uint256 i; i < 3; ++i) {
            holds(voters[i], (10 + i) * UNIT, 0, 0, 0);
        }
        owns(0, 0, BOND + FEE, 0);
        vm.assertEq(registry.trend().q, 1 << 23);
    }

    /// @dev An outage must not burn an innocent author's bond; nor is it a lever on tau and q.
    function test_missing_bytes_forfeit_nothing_and_move_nothing() public {
        uint256 id = open(ann, only(0));
        _score(id, _votes(-7, -7, 5));
        vm.assertEq(registry.submission(id).result.median, -7);
        vm.assertEq(registry.submission(id).standing.measured, -48);
        holds(ann, 200 * UNIT - FEE, 0, 0, 0);
        for (uint256 i; i < 3; ++i) {
            holds(voters[i], (10 + i) * UNIT, 0, 0, 0);
        }
        owns(0, 0, FEE, 0);
        vm.assertEq(registry.trend().tau, 0);
        vm.assertEq(registry.trend().q, 1 << 23);
    }

    // -------------------------------------------------------------------------------------------------------- quorum

    /// @dev Eligible 46 + `idle`; the first id has Q = eligible: a third decides, exactly.
    function _quorum(uint256 idle, bool reached) private {
        TaskParams memory p = defaults();
        p.cardDigest = bytes32(idle);
        _task(p);
        join(person(9), idle * UNIT);
        travel(5);
        uint256 id = open(ann, only(0));
        vm.assertEq(registry.submission(id).terms.eligible, 46 + idle);
        _score(id, _same(5));
        _is(id, reached ? Status.Final : Status.Void);
    }

    function test_at_first_a_third_of_the_eligible_weight_must_reveal() public {
        _quorum(99 - 46, true);
        _quorum(100 - 46, false);
    }

    /// @notice Attack: idle stake above two thirds, which voids. Q learns what is usual, down to a sixth.
    function test_idle_stake_cannot_void_for_long() public {
        join(person(9), 130 * UNIT); // 33 of 176 reveal: more than a sixth, less than a third
        travel(5);
        uint256 expected = 176 << 16;
        uint256 voids;
        for (uint256 i; i < 80; ++i) {
            uint256 id = open(ann, only(0));
            bool enough = 2 * 33 * 65_536 >= expected;
            _score(id, _same(1));
            _is(id, enough ? Status.Final : Status.Void);
            if (!enough) ++voids;
            expected = expected - expected / 32 + (33 << 11);
            vm.assertEq(registry.trend().activity, expected, "Q");
            token.mint(ann, 4 * UNIT);
            vm.prank(ann);
            vault.deposit(4 * UNIT);
        }
        vm.assertEq(voids, 47); // 176 falls to 66 by 1/32 of the way to 33 a time
        uint256 more = 6 * 33 + 1 - 176;
        join(person(9 + 1), more * UNIT);
        travel(5);
        uint256 last = open(ann, only(0));
        _score(last, _same(1));
        _is(last, Status.Void); // less than a sixth
    }

    function test_quorum_has_a_floor_and_a_number_of_voters() public {
        TaskParams memory p = defaults();
        p.quorumFloor = 34;
        _task(p);
        uint256 id = open(ann, only(0));
        _score(id, _same(5));
        _is(id, Status.Void);
        p.quorumFloor = 33;
        _task(p);
        id = open(ann, only(0));
        _score(id, _same(5));
        _is(id, Status.Final);
        p.minVoters = 4;
        _task(p);
        id = open(ann, only(0));
        _score(id, _same(5));
        _is(id, Status.Void);
        int8[] memory four = new int8[](4);
        uint256 next = open(ann, only(0));
        _score(next, four);
        _is(next, Status.Final);
    }

    // ------------------------------------------------------------------------------------------------ level and best

    /// @dev kappa = 33.34 % of 33 is 11.0022: the first voter's 10 are not enough; 30.30 % is 9.999.
    function test_outcome_is_the_lower_quantile_and_median_the_upper() public {
        uint256 id = open(ann, only(0));
        _score(id, _votes(-6, 2, 9));
        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(s.result.outcome, 2);
        vm.assertEq(s.result.median, 2);
        vm.assertEq(s.standing.level, 2);
        TaskParams memory p = defaults();
        p.cardDigest = bytes32(uint256(3));
        _task(p);
        id = open(ann, only(0));
        _score(id, _votes(2, -6, 9)); // eleven are not enough either
        vm.assertEq(registry.submission(id).result.outcome, 2);
        p.kappaBps = 3_030;
        _task(p);
        id = open(ann, only(0));
        _score(id, _votes(-6, 2, 9));
        s = registry.submission(id);
        vm.assertEq(s.result.outcome, -6);
        vm.assertEq(s.standing.level, -24);
        vm.assertEq(s.standing.measured, 2);
        vm.assertEq(s.standing.gain, 0);
    }

    /// @notice Attack: half of the weight as a veto. Two of four equal voters do not press the median.
    function test_exactly_half_of_the_weight_does_not_press_the_median() public {
        address[] memory even = new address[](4);
        for (uint256 i; i < 4; ++i) {
            even[i] = person(20 + i);
            join(even[i], 30 * UNIT);
        }
        voters = even;
        travel(5);
        uint256 id = open(ann, only(0));
        int8[] memory votes = new int8[](4);
        (votes[0], votes[1], votes[2], votes[3]) = (-8, -8, 12, 12);
        _score(id, votes);
        vm.assertEq(registry.submission(id).result.outcome, -8);
        vm.assertEq(registry.submission(id).result.median, 12);
        holds(ann, 200 * UNIT - FEE, 0, 0, 0); // and its bond came back
    }

    /// @dev All five refer to the genesis; from the second best on, the width of the outcome's bucket is no gain.
    function test_gain_is_the_part_above_the_best_without_the_width_of_the_bucket() public {
        uint256[6] memory ids;
        int8[6] memory votes = [int8(1), 7, 8, 9, 11, 10];
        int8[6] memory levels = [int8(1), 7, 8, 10, 14, 12];
        uint8[6] memory gains = [0, 7, 0, 0, 5, 0]; // 8 - 7 - 1 = 0; 10 - 7 - 2 = 1 < 2; 14 - 7 - 2 = 5
        TaskParams memory p = defaults();
        p.slots = 20;
        p.voteBondBps = 100;
        _task(p);
        for (uint256 i; i < 6; ++i) {
            ids[i] = open(ann, only(0));
        }
        for (uint256 i; i < 6; ++i) {
            _commits(ids[i], _same(votes[i]));
        }
        toReveal(ids[5]);
        for (uint256 i; i < 6; ++i) {
            _reveals(ids[i], _same(votes[i]));
        }
        toEnd(ids[5]);
        vm.assertEq(book.finalizeMany(9), 6);
        for (uint256 i; i < 6; ++i) {
            vm.assertEq(registry.submission(ids[i]).standing.gain, gains[i], "gain");
            vm.assertEq(registry.submission(ids[i]).standing.level, levels[i], "level");
        }
        vm.assertEq(registry.submission(ids[4]).standing.previousId, ids[1]);
        vm.assertEq(registry.submission(ids[5]).standing.previousId, 0); // its reference
        (uint256 best, int40 level) = registry.best();
        vm.assertEq(best, ids[4]);
        vm.assertEq(level, 14);
        // levels add up along references
        uint256 child = open(ann, only(0));
        vm.assertEq(registry.submission(child).terms.referenceId, ids[4]);
        _score(child, _same(-4));
        vm.assertEq(registry.submission(child).standing.level, 14 - 6);
    }

    /// @dev tau follows the median by an index, q the majority bit by a fiftieth.
    function test_tau_follows_the_median_within_its_clamp() public {
        TaskParams memory p = defaults();
        p.startTau = -2;
        _task(p);
        _score(open(ann, only(0)), _same(-5));
        vm.assertEq(registry.trend().tau, -2);
        _score(open(ann, only(0)), _votes(-6, -1, -1)); // the outcome is -1 as well: 10 of 33 are no third
        vm.assertEq(registry.trend().tau, -1);
        p.startTau = 23;
        _task(p);
        _score(open(ann, only(0)), _same(23));
        vm.assertEq(registry.trend().tau, 23);
        uint256 q = 1 << 23;
        q -= q / 50; // nothing is above 23
        vm.assertEq(registry.trend().q, q);
        _score(open(ann, only(0)), _same(22));
        vm.assertEq(registry.trend().tau, 22);
    }

    /// @dev With four voters of whom the two lightest press: the outcome is low, tau goes towards the median.
    function test_tau_follows_the_median_and_not_the_outcome() public {
        uint256 id = open(ann, only(0));
        int8[] memory votes = new int8[](4);
        (votes[0], votes[1], votes[2], votes[3]) = (-6, -6, 5, 5); // 21 of 46
        _score(id, votes);
        vm.assertEq(registry.submission(id).result.outcome, -6);
        vm.assertEq(registry.trend().tau, 1);
    }

    /// @dev The threshold lies between the time of the reservation and q in one word; all of its bits are kept.
    function test_a_reservation_keeps_its_threshold() public {
        TaskParams memory p = defaults();
        for (uint256 i; i < 2; ++i) {
            p.startTau = i == 0 ? int8(-2) : int8(23);
            _task(p);
            IModelRegistry.Terms memory terms = registry.submission(open(ann, only(0))).terms;
            vm.assertEq(terms.tau, p.startTau);
            vm.assertEq(terms.q, 1 << 23);
            vm.assertEq(terms.reservedAt, time());
        }
    }

    /// @dev Threshold and rate of an id are those of its reservation; the result of another moves the task's own meanwhile.
    function test_what_a_reservation_froze_counts() public {
        uint256 a = open(ann, only(0));
        _commits(a, _same(5));
        travel(900);
        uint256 b = open(ann, only(0));
        toReveal(a);
        _reveals(a, _same(5));
        toEnd(a);
        book.finalize(a);
        uint256 q = 1 << 23;
        q += q / 50;
        vm.assertEq(registry.trend().tau, 1);
        vm.assertEq(registry.trend().q, q);
        _commits(b, _same(1));
        vm.assertEq(book.voteOf(b, voters[0]).rate, 1 << 23);
        toReveal(b);
        _reveals(b, _same(1));
        vm.assertEq(book.tally(b).yesWeight, 33);
        toEnd(b);
        book.finalize(b);
        vm.assertEq(registry.submission(b).result.yesWeight, 33); // 1 is above 0, and not above 1
        vm.assertEq(registry.trend().tau, 1);
        vm.assertEq(registry.trend().q, q + ((1 << 24) - q) / 50);
        book.settle(b, voters);
        (uint16 yes, uint16 seen) = vault.history(voters[0]);
        vm.assertEq(yes, 1);
        vm.assertEq(seen, 1);
        uint256 slice = 90_909_090_909_090_909;
        holds(voters[0], 9 * UNIT, UNIT, 0, 10 * slice / 4); // the bond of the other vote is still locked
    }

    /// @dev Who presses the outcome to the bottom neither keeps the others from their pay nor itself from its charge.
    function test_pay_follows_the_median_and_not_the_outcome() public {
        TaskParams memory p = defaults();
        p.kappaBps = 2_000; // ten of 46 are a veto
        _task(p);
        uint256 id = open(ann, only(0));
        int8[] memory votes = new int8[](4);
        (votes[0], votes[1], votes[2], votes[3]) = (-8, 5, 5, 5);
        _score(id, votes);
        vm.assertEq(registry.submission(id).result.outcome, -8);
        uint256 slice = 65_217_391_304_347_826;
        holds(voters[3], 13 * UNIT, 0, 0, 13 * slice / 4);
        holds(voters[0], 10 * UNIT - (10 * slice + 3) / 4, 0, 0, 0);
        p.cardDigest = bytes32(uint256(2));
        _task(p);
        id = open(ann, only(0));
        (votes[1], votes[2]) = (-8, -8); // 33 of 46: nothing was measured
        _score(id, votes);
        holds(voters[3], 13 * UNIT, 0, 0, 0);
        holds(voters[0], 10 * UNIT, 0, 0, 0);
    }

    // ---------------------------------------------------------------------------------------------------- voters' pay

    /// @dev Weights 10, 11, 12 with bits 1, 0, 0; slice (3e18 + 7) / 33. Nobody is in a tie.
    function test_the_majority_of_the_others_decides_who_is_paid() public {
        uint256 id = open(ann, only(0));
        _score(id, _votes(3, 0, -4));
        uint256 slice = 90_909_090_909_090_909;
        holds(voters[0], 10 * UNIT - (10 * slice + 3) / 4, 0, 0, 0);
        holds(voters[1], 11 * UNIT, 0, 0, 11 * slice / 4);
        holds(voters[2], 12 * UNIT, 0, 0, 12 * slice / 4);
    }

    function test_a_small_bond_bounds_pay_and_charge() public {
        TaskParams memory p = defaults();
        p.voteBondBps = 1; // 0.0001 a unit of weight
        _task(p);
        uint256 id = open(ann, only(0));
        _score(id, _votes(3, 0, -4));
        holds(voters[0], 10 * UNIT - 0.00025e18, 0, 0, 0);
        holds(voters[1], 11 * UNIT, 0, 0, 0.000275e18);
        holds(voters[2], 12 * UNIT, 0, 0, 0.0003e18);
    }
}
