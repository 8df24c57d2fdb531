// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title Finalise: the queue, quorum, Void, level, best, threshold and majority rate
contract OutcomeTest is World {
    uint256 private constant FEE = 3 * UNIT + 7;
    address private ann = person(0);
    address[] private voters; // weights 10, 11, 12, 13

    function setUp() public {
        deploy();
        _task(defaults());
    }

    function _task(TaskParams memory p) private {
        create(p);
        delete voters;
        join(ann, 100 * UNIT);
        for (uint256 i = 1; i < 5; ++i) {
            voters.push(person(i));
            join(person(i), (9 + i) * UNIT);
        }
        travel(5);
    }

    /// @dev The first `votes.length` voters vote; finalised but not settled.
    function _score(uint256 id, int8[] memory votes) private {
        for (uint256 i; i < votes.length; ++i) {
            commit(voters[i], id, votes[i]);
        }
        toReveal(id);
        for (uint256 i; i < votes.length; ++i) {
            reveal(voters[i], id, votes[i]);
        }
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
        vm.assertEq(uint8(registry.submission(id).status), uint8(status), "status");
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
        vm.assertEq(book.finalizeMany(5), 0);
        vm.expectRevert(abi.encodeWithSelector(IScoreBook.BookNotTerminal.selector, a));
        book.settle(a, voters);
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

    function test_finalise_many_stops_at_its_number() public {
        for (uint256 i; i < 4; ++i) {
            open(ann, only(0));
        }
        travel(1_510);
        vm.assertEq(book.finalizeMany(0), 0);
        vm.assertEq(book.finalizeMany(3), 3);
        vm.assertEq(registry.nextToFinalize(), 4);
        vm.assertEq(book.finalizeMany(3), 1);
        vm.assertEq(registry.nextToFinalize(), 5);
    }

    // -------------------------------------------------------------------------------------------------- Void and fees

    function test_never_submitted_is_void_and_forfeits_the_bond() public {
        uint256 id = reserve(ann);
        toEnd(id);
        vm.expectEmit(address(registry));
        emit IModelRegistry.Finalized(id, Status.Void, 0, 0, 0, 0, 0, 0);
        vm.expectEmit(address(book));
        emit IScoreBook.SubmissionSettled(id, ann, 0, 2 * UNIT, FEE, 0);
        book.finalize(id);
        holds(ann, 95 * UNIT - 7, 0, 0, FEE);
        common(0, 2 * UNIT);
        (int8 tau, uint64 q) = book.tauAndRate();
        vm.assertEq(tau, 0);
        vm.assertEq(q, 0.5e18);
    }

    function test_nobody_revealed_returns_bond_and_fee() public {
        uint256 id = open(ann, only(0));
        commit(voters[0], id, 1);
        toEnd(id);
        vm.expectEmit(address(book));
        emit IScoreBook.SubmissionSettled(id, ann, 2 * UNIT, 0, FEE, 0);
        book.finalize(id);
        _is(id, Status.Void);
        holds(ann, 97 * UNIT - 7, 0, 0, FEE);
        vm.expectEmit(address(book));
        emit IScoreBook.VoteSettled(id, voters[0], 0, 0, UNIT, 0);
        book.settle(id, voters);
        holds(voters[0], 9 * UNIT, 0, 0, 0);
        vm.assertEq(vault.weightNow(voters[0]), 9);
        common(0, UNIT);
    }

    function test_two_voters_are_void_and_the_fee_goes_to_the_pool() public {
        uint256 id = open(ann, only(0));
        commit(voters[0], id, 1);
        commit(voters[1], id, 5);
        commit(voters[2], id, 5);
        toReveal(id);
        reveal(voters[0], id, 1);
        reveal(voters[1], id, 5);
        toEnd(id);
        vm.expectEmit(address(registry));
        emit IModelRegistry.Finalized(id, Status.Void, 0, 0, 0, 0, 21, 21);
        vm.expectEmit(address(book));
        emit IScoreBook.SubmissionSettled(id, ann, 2 * UNIT, 0, 0, FEE);
        book.finalize(id);
        holds(ann, 97 * UNIT - 7, 0, 0, 0);
        common(0, FEE);
        book.settle(id, voters);
        holds(voters[0], 10 * UNIT, 0, 0, 0);
        holds(voters[1], 11 * UNIT, 0, 0, 0);
        holds(voters[2], 10.8e18, 0, 0, 0);
        common(0, FEE + 1.2e18);
        (uint256 best,) = registry.best();
        vm.assertEq(best, 0);
    }

    function test_quorum_is_a_share_of_the_eligible_weight() public {
        TaskParams memory p = defaults();
        p.quorumBps = 7_174; // 33 of 46: 330,000 against 330,004
        _task(p);
        uint256 id = open(ann, only(0));
        vm.assertEq(registry.submission(id).eligible, 46);
        _score(id, _same(5));
        _is(id, Status.Void);
        p.quorumBps = 7_173; // 329,958
        _task(p);
        id = open(ann, only(0));
        _score(id, _same(5));
        _is(id, Status.Final);
        p.quorumBps = 5_000; // equality is enough: 33 of 66
        _task(p);
        join(person(9), 20 * UNIT);
        travel(5);
        id = open(ann, only(0));
        vm.assertEq(registry.submission(id).eligible, 66);
        _score(id, _same(5));
        _is(id, Status.Final);
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

    /// @dev kappa = 1/3 of 33 is 10.9989: the first voter's 10 are not enough, so the second decides.
    function test_outcome_is_the_lower_quantile_and_median_the_middle() public {
        uint256 id = open(ann, only(0));
        _score(id, _votes(-7, 2, 9));
        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(s.outcome, 2);
        vm.assertEq(s.median, 2);
        TaskParams memory p = defaults();
        p.kappaBps = 3_030; // 99,990: the first voter's weight is enough
        _task(p);
        id = open(ann, only(0));
        _score(id, _votes(-7, 2, 9));
        s = registry.submission(id);
        vm.assertEq(s.outcome, -7);
        vm.assertEq(s.median, 2);
        vm.assertEq(s.level, -7);
        vm.assertEq(s.gain, 0);
        p.kappaBps = 3_031; // 100,023
        _task(p);
        id = open(ann, only(0));
        _score(id, _votes(-7, 2, 9));
        vm.assertEq(registry.submission(id).outcome, 2);
    }

    function test_gain_is_the_part_above_the_best_and_at_least_min_step() public {
        uint256[5] memory ids;
        int8[5] memory votes = [int8(1), 5, 6, 7, -8];
        for (uint256 i; i < 5; ++i) {
            ids[i] = open(ann, only(0)); // all refer to the genesis
        }
        for (uint256 i; i < 5; ++i) {
            for (uint256 j; j < 3; ++j) {
                commit(voters[j], ids[i], votes[i]);
            }
        }
        toReveal(ids[4]);
        for (uint256 i; i < 5; ++i) {
            for (uint256 j; j < 3; ++j) {
                reveal(voters[j], ids[i], votes[i]);
            }
        }
        toEnd(ids[4]);
        vm.assertEq(book.finalizeMany(9), 5);
        uint8[5] memory gains = [0, 5, 0, 2, 0];
        for (uint256 i; i < 5; ++i) {
            vm.assertEq(registry.submission(ids[i]).gain, gains[i], "gain");
            vm.assertEq(registry.submission(ids[i]).level, votes[i], "level");
        }
        (uint256 best, int32 level) = registry.best();
        vm.assertEq(best, ids[3]);
        vm.assertEq(level, 7);
        // four Finals of which three above zero: tau 1, 2, 3, 4; -8 moves nothing
        (int8 tau, uint64 q) = book.tauAndRate();
        vm.assertEq(tau, 4);
        uint256 expected = 0.5e18;
        for (uint256 i; i < 4; ++i) {
            expected += (1e18 - expected) / 50;
        }
        vm.assertEq(q, expected);
        // levels add up along references
        uint256 child = open(ann, only(0));
        vm.assertEq(registry.submission(child).referenceId, ids[3]);
        _score(child, _same(-2));
        vm.assertEq(registry.submission(child).level, 5);
        (tau, q) = book.tauAndRate();
        vm.assertEq(tau, 3);
        vm.assertEq(q, expected - expected / 50);
    }

    function test_tau_stays_within_its_clamp() public {
        TaskParams memory p = defaults();
        p.startTau = -2;
        _task(p);
        _score(open(ann, only(0)), _same(-5));
        (int8 tau,) = book.tauAndRate();
        vm.assertEq(tau, -2);
        _score(open(ann, only(0)), _same(-2));
        (tau,) = book.tauAndRate();
        vm.assertEq(tau, -2);
        _score(open(ann, only(0)), _same(-1));
        (tau,) = book.tauAndRate();
        vm.assertEq(tau, -1);
        p.startTau = 23;
        _task(p);
        _score(open(ann, only(0)), _same(23));
        (tau,) = book.tauAndRate();
        vm.assertEq(tau, 23);
        _score(open(ann, only(0)), _same(22));
        (tau,) = book.tauAndRate();
        vm.assertEq(tau, 22);
    }

    function test_an_unusable_model_pays_and_charges_nobody() public {
        uint256 id = open(ann, only(0));
        _score(id, _votes(-8, -8, 5));
        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(s.median, -8);
        vm.assertEq(s.outcome, -8);
        vm.assertEq(s.level, -8);
        for (uint256 i; i < 3; ++i) {
            holds(voters[i], (10 + i) * UNIT, 0, 0, 0);
        }
        common(0, FEE);
        (int8 tau, uint64 q) = book.tauAndRate();
        vm.assertEq(tau, 0);
        vm.assertEq(q, 0.5e18);
    }

    /// @dev Weights 10, 11, 12 with bits 1, 0, 0; slice (3e18 + 7) / 33. Nobody is in a tie.
    function test_the_majority_of_the_others_decides_who_is_paid() public {
        uint256 id = open(ann, only(0));
        _score(id, _votes(3, 0, -4));
        uint256 slice = 90_909_090_909_090_909;
        holds(voters[0], 10 * UNIT - (10 * slice + 3) / 4, 0, 0, 0);
        holds(voters[1], 11 * UNIT, 0, 0, 11 * slice / 4);
        holds(voters[2], 12 * UNIT, 0, 0, 12 * slice / 4);
    }

    /// @dev Equal weights 10 against 10: a tie of the others counts 0.
    function test_a_tie_of_the_others_counts_zero() public {
        address[] memory even = new address[](3);
        for (uint256 i; i < 3; ++i) {
            even[i] = person(20 + i);
            join(even[i], 10 * UNIT);
        }
        travel(5);
        voters = even;
        uint256 id = open(ann, only(0));
        _score(id, _votes(3, 3, -4)); // the first two see a tie, the third a majority of 1
        uint256 slice = (3 * UNIT + 7) / 30 * 10;
        holds(even[0], 10 * UNIT - (slice + 3) / 4, 0, 0, 0);
        holds(even[1], 10 * UNIT - (slice + 3) / 4, 0, 0, 0);
        holds(even[2], 10 * UNIT - (slice + 3) / 4, 0, 0, 0);
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

    function test_bonds_round_up() public {
        TaskParams memory p = defaults();
        (p.minStake, p.submissionBond, p.scoringFee, p.voteBondBps) = (15_001, 1, 0, 3_333);
        create(p);
        address cat = person(7);
        join(ann, 100_000);
        join(cat, 3 * 15_001);
        travel(5);
        uint256 id = open(ann, only(0));
        commit(cat, id, 1);
        holds(cat, 45_003 - 15_000, 15_000, 0, 0); // 3 * 15,001 * 0.3333 = 14,999.4999
        toReveal(id);
        reveal(cat, id, 1);
        toEnd(id);
        book.finalize(id);
        address[] memory one = new address[](1);
        one[0] = cat;
        book.settle(id, one);
        holds(cat, 45_003, 0, 0, 0);
    }
}
