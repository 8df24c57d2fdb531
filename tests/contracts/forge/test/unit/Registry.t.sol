// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {ModelRecord, Parent, Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title ModelRegistry: reserve, submit, parents, windows, pause, close
contract RegistryTest is World {
    address private ann = person(0);
    address private bob = person(1);
    address private cat = person(2);

    function setUp() public {
        deploy();
        create(defaults());
        join(ann, 10 * UNIT);
        join(bob, 13 * UNIT);
        travel(5);
    }

    // ----------------------------------------------------------------------------------------------------- reserve

    function test_the_genesis() public view {
        IModelRegistry.Submission memory s = registry.submission(0);
        vm.assertEq(uint8(s.terms.status), uint8(Status.Final));
        vm.assertEq(s.terms.author, address(0));
        vm.assertEq(s.terms.reservedAt, START);
        vm.assertEq(s.weightsDigest, bytes32(uint256(2)));
        vm.assertEq(s.recordHash, keccak256(abi.encode(ModelRecord(genesisDigests(), new Parent[](0)))));
        vm.assertEq(registry.parents(0).length, 0);
        vm.assertEq(registry.count(), 1);
        vm.assertEq(registry.nextToFinalize(), 1);
        vm.assertEq(registry.lastFinalizedAt(), START);
        (uint256 id, int40 level) = registry.best();
        vm.assertEq(id, 0);
        vm.assertEq(level, 0);
        IModelRegistry.Trend memory t = registry.trend();
        vm.assertEq(t.tau, 0);
        vm.assertEq(t.q, 1 << 23);
        vm.assertEq(t.activity, 0);
        vm.assertFalse(registry.closed());
        vm.assertEq(keccak256(abi.encode(registry.genesis())), keccak256(abi.encode(genesisDigests())));
        vm.assertEq(keccak256(abi.encode(registry.params())), keccak256(abi.encode(defaults())));
        (address v, address b, address p) = registry.siblings();
        vm.assertEq(v, address(vault));
        vm.assertEq(b, address(book));
        vm.assertEq(p, address(pool));
    }

    function test_reserve_takes_bond_and_fee_and_freezes() public {
        uint40 now_ = uint40(time());
        vm.expectEmit(address(vault));
        emit IStakeVault.SubmissionBonded(ann, 1, 2 * UNIT, 3 * UNIT + 7, 0);
        vm.expectEmit(address(registry));
        emit IModelRegistry.Reserved(1, ann, reservation(ann, 1), 0, 0, 1 << 23, 13, now_);
        vm.prank(ann);
        vm.assertEq(registry.reserve(reservation(ann, 1), type(uint256).max), 1);
        holds(ann, 5 * UNIT - 7, 2 * UNIT, 0, 0);
        common(3 * UNIT + 7, 0);
        vm.assertEq(vault.weightNow(ann), 6); // 10 - 3 and a little
        IModelRegistry.Submission memory s = registry.submission(1);
        vm.assertEq(s.terms.author, ann);
        vm.assertEq(s.terms.reservedAt, now_);
        vm.assertEq(uint8(s.terms.status), uint8(Status.Reserved));
        vm.assertEq(s.terms.referenceId, 0);
        vm.assertEq(s.terms.eligible, 13);
        vm.assertEq(s.terms.q, 1 << 23);
        vm.assertEq(s.recordHash, reservation(ann, 1));
        vm.assertEq(s.weightsDigest, bytes32(0));
        vm.assertEq(registry.count(), 2);
        vm.assertEq(registry.nextToFinalize(), 1);
        IModelRegistry.Windows memory w = registry.windows(1);
        vm.assertEq(w.submitEnd, now_ + 250);
        vm.assertEq(w.commitEnd, now_ + 1_000);
        vm.assertEq(w.revealStart, now_ + 1_010);
        vm.assertEq(w.revealEnd, now_ + 1_510);
    }

    function test_eligible_is_the_weight_before_the_warm_up() public {
        join(cat, 20 * UNIT); // now
        vm.assertEq(registry.submission(reserve(ann)).terms.eligible, 13);
        travel(4); // still too young
        vm.assertEq(registry.submission(reserve(bob)).terms.eligible, 10); // ann's weight five seconds ago
        travel(1);
        vm.assertEq(registry.submission(reserve(cat)).terms.eligible, 6 + 13); // ann's after her reservation
    }

    function test_reserve_refuses() public {
        vm.expectRevert(IModelRegistry.RegistryZeroReservation.selector);
        vm.prank(ann);
        registry.reserve(bytes32(0), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotTrainer.selector, cat));
        vm.prank(cat);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
        give(cat, 10 * UNIT);
        vm.startPrank(cat);
        vault.register(2, address(0), 0); // a validator only
        vault.deposit(5 * UNIT + 6);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotTrainer.selector, cat));
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
        vm.stopPrank();
        address dan = person(3);
        join(dan, 5 * UNIT + 6);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeVault.VaultInsufficientStake.selector, dan, 5 * UNIT + 6, 5 * UNIT + 7)
        );
        vm.prank(dan);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
        token.mint(dan, 1);
        vm.prank(dan);
        vault.deposit(1);
        reserve(dan);
        holds(dan, 0, 2 * UNIT, 0, 0);
    }

    // ------------------------------------------------------------------------------------------------------ submit

    function test_submit_opens_and_records() public {
        uint256 id = reserve(ann);
        ModelRecord memory r = record(id, only(0));
        vm.expectEmit(address(registry));
        emit IModelRegistry.Submitted(id, ann, r);
        vm.prank(ann);
        registry.submit(id, r, digest("salt", id));
        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(uint8(s.terms.status), uint8(Status.Open));
        vm.assertEq(s.recordHash, keccak256(abi.encode(r)));
        vm.assertEq(s.weightsDigest, digest("weights", id));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryWrongStatus.selector, id, Status.Open));
        vm.prank(ann);
        registry.submit(id, r, digest("salt", id));
    }

    /// @dev Of lengths that are no multiples of each other: what is shown is what holds.
    function test_windows_are_the_tasks_own() public {
        TaskParams memory p = defaults();
        (p.submitWindow, p.commitWindow, p.revealGap, p.revealWindow) = (101, 1_009, 13, 503);
        create(p);
        join(ann, 20 * UNIT);
        travel(5);
        uint40 start = uint40(time());
        uint256 id = reserve(ann);
        IModelRegistry.Windows memory w = registry.windows(id);
        vm.assertEq(w.submitEnd, start + 101);
        vm.assertEq(w.commitEnd, start + 1_009);
        vm.assertEq(w.revealStart, start + 1_022);
        vm.assertEq(w.revealEnd, start + 1_525);
        travel(60);
        uint256 late = reserve(ann);
        travel(40);
        submit(late, ann, only(0)); // windows run from the reservation all the same
        vm.assertEq(registry.windows(late).commitEnd, start + 60 + 1_009);
        vm.assertEq(registry.submission(late).terms.reservedAt, start + 60);
        vm.warp(start + 101);
        ModelRecord memory r = record(id, only(0));
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.RegistrySubmitWindowOver.selector, id, start + 101, start + 101)
        );
        vm.prank(ann);
        registry.submit(id, r, digest("salt", id));
    }

    function test_submit_window_ends_to_the_second() public {
        uint256 id = reserve(ann);
        uint40 end = registry.windows(id).submitEnd;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistrySubmitWindowOver.selector, id, end, end));
        submit(id, ann, only(0));
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistrySubmitWindowOver.selector, id, end, end + 1));
        submit(id, ann, only(0));
        vm.warp(end - 1);
        submit(id, ann, only(0));
    }

    function test_submit_refuses() public {
        _add(ann, 10 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryUnknownId.selector, 9));
        submit(9, ann, only(0));
        uint256 id = reserve(ann);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryNotAuthor.selector, id, ann, bob));
        submit(id, bob, only(0));
        bytes32 opened = keccak256(abi.encode(ann, digest("package", id), bytes32(0)));
        vm.assertEq(registry.reservationHash(ann, digest("package", id), 0), opened);
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.RegistryReservationMismatch.selector, id, reservation(ann, id), opened
            )
        );
        vm.prank(ann);
        registry.submit(id, record(id, only(0)), 0);
        ModelRecord memory r = record(id, only(0));
        r.digests.weightsDigest = 0;
        _refused(id, r, IModelRegistry.RegistryZeroDigest.selector);
        r = record(id, only(0));
        r.digests.manifestDigest = 0;
        _refused(id, r, IModelRegistry.RegistryZeroDigest.selector);
        vm.prank(ann);
        id = registry.reserve(keccak256(abi.encode(ann, bytes32(0), digest("salt", 2))), type(uint256).max);
        r = record(id, only(0));
        r.digests.packageDigest = 0;
        _refused(id, r, IModelRegistry.RegistryZeroDigest.selector);
    }

    function _refused(uint256 id, ModelRecord memory r, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(ann);
        registry.submit(id, r, digest("salt", id));
    }

    function test_parents_are_bounded_and_add_up() public {
        join(cat, 90 * UNIT);
        uint256 id;
        for (uint256 i; i < 4; ++i) {
            id = open(cat, only(0)); // 1 .. 4
        }
        uint256 me = reserve(ann);
        _badParents(me, new Parent[](0), abi.encodeWithSelector(IModelRegistry.RegistryBadParentCount.selector, 0));
        _badParents(me, new Parent[](5), abi.encodeWithSelector(IModelRegistry.RegistryBadParentCount.selector, 5));
        Parent[] memory list = new Parent[](4);
        for (uint32 i; i < 4; ++i) {
            list[i] = Parent(i, 2_500);
        }
        list[3].weightBps = 2_499;
        _badParents(me, list, abi.encodeWithSelector(IModelRegistry.RegistryBadParentWeights.selector, 9_999));
        list[3].weightBps = 2_501;
        _badParents(me, list, abi.encodeWithSelector(IModelRegistry.RegistryBadParentWeights.selector, 10_001));
        (list[0].weightBps, list[1].weightBps) = (0, 5_000);
        _badParents(me, list, abi.encodeWithSelector(IModelRegistry.RegistryBadParentWeights.selector, 0));
        (list[0].weightBps, list[1].weightBps, list[3].weightBps) = (2_500, 2_500, 2_500);
        list[3].id = 1;
        _badParents(me, list, abi.encodeWithSelector(IModelRegistry.RegistryDuplicateParent.selector, 1));
        list[3].id = uint32(me);
        _badParent(me, list, uint32(me), Status.None); // itself
        list[3].id = uint32(me + 1);
        _badParent(me, list, uint32(me + 1), Status.None); // the future
        uint256 later = reserve(bob);
        submit(later, bob, only(0));
        list[3].id = uint32(later);
        _badParent(me, list, uint32(later), Status.None); // open, but reserved after it
        list[3].id = 4;
        submit(me, ann, list);
        Parent[] memory kept = registry.parents(me);
        vm.assertEq(keccak256(abi.encode(kept)), keccak256(abi.encode(list)));
    }

    function _add(address who, uint256 amount) private {
        token.mint(who, amount);
        vm.prank(who);
        vault.deposit(amount);
    }

    /// @dev A parent was submitted; one that became Void may be named, one that was never submitted may not.
    function test_parents_were_submitted() public {
        _add(ann, 20 * UNIT);
        uint256 dead = reserve(bob);
        uint256 voided = open(ann, only(0));
        uint256 me = reserve(ann);
        _badParent(me, only(uint32(dead)), uint32(dead), Status.Reserved);
        toEnd(me);
        book.finalizeMany(9);
        vm.assertEq(uint8(registry.submission(voided).terms.status), uint8(Status.Void));
        uint256 next = reserve(ann);
        _badParent(next, only(uint32(dead)), uint32(dead), Status.Void);
        submit(next, ann, only(uint32(voided)));
        vm.assertEq(registry.lineage(next, next).parents.length, 0); // it carries nothing
    }

    function _badParent(uint256 me, Parent[] memory list, uint32 which, Status status) private {
        _badParents(me, list, abi.encodeWithSelector(IModelRegistry.RegistryBadParent.selector, me, which, status));
    }

    function _badParents(uint256 me, Parent[] memory list, bytes memory why) private {
        vm.expectRevert(why);
        submit(me, ann, list);
    }

    function test_lineage_names_parents_that_are_final() public {
        uint256 a = open(bob, only(0));
        uint256 b = open(ann, two(0, 4_000, uint32(a)));
        IModelRegistry.Lineage memory l = registry.lineage(b, a);
        vm.assertEq(l.author, ann);
        vm.assertEq(l.parents.length, 1);
        vm.assertEq(l.parents[0].id, 0);
        vm.assertEq(l.parents[0].measured, 0);
        vm.assertEq(l.base, 0);
        vm.assertEq(l.referenceBase, 0);
    }

    // ------------------------------------------------------------------------------------------------- scoring fee

    /// @notice Attack: a junk flood. The fee doubles with every `slots` (3) ids whose reveal window has not ended.
    function test_the_fee_doubles_with_open_ids() public {
        join(cat, 2_000 * UNIT);
        uint256 base = 3 * UNIT + 7;
        uint256 commons;
        uint256 first = registry.count();
        for (uint256 i; i < 13; ++i) {
            (uint256 fee, uint256 open_) = registry.feeNow();
            vm.assertEq(open_, i);
            vm.assertEq(fee, base << (i / 3), "fee");
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryFeeTooHigh.selector, fee, fee - 1));
            vm.prank(cat);
            registry.reserve(bytes32(uint256(1)), fee - 1);
            vm.expectEmit(address(vault));
            emit IStakeVault.SubmissionBonded(cat, first + i, 2 * UNIT, base, fee - base);
            vm.prank(cat);
            registry.reserve(bytes32(uint256(1)), fee);
            commons += fee - base;
            travel(1);
        }
        common(13 * base, commons); // the surcharge belongs to nobody from the start
        owns(0, 0, commons, 0);
        // it falls again by the second, whether anybody finalises or not
        for (uint256 i; i < 13; ++i) {
            toEnd(first + i);
            (, uint256 open_) = registry.feeNow();
            vm.assertEq(open_, 12 - i, "open");
            vm.warp(time() - 1);
            (, open_) = registry.feeNow();
            vm.assertEq(open_, 13 - i, "open a second before");
            if (i == 5) book.finalizeMany(3);
        }
    }

    function test_the_fee_doubles_at_most_32_times() public {
        TaskParams memory p = defaults();
        (p.slots, p.scoringFee, p.submissionBond, p.cardDigest) = (1, 1, 1, bytes32(uint256(9)));
        create(p);
        join(cat, 200 * UNIT);
        for (uint256 i; i < 35; ++i) {
            (uint256 fee,) = registry.feeNow();
            vm.assertEq(fee, uint256(1) << (i < 32 ? i : 32));
            reserve(cat);
        }
    }

    // ------------------------------------------------------------------------------------------- pause, close, reads

    function test_the_guardian_pauses_reservations_for_a_while() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryNotGuardian.selector, ann));
        vm.prank(ann);
        registry.pause(1);
        vm.startPrank(guardian);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryPauseTooLong.selector, 14 days + 1, 14 days));
        registry.pause(14 days + 1);
        uint40 now_ = uint40(time());
        vm.expectEmit(address(registry));
        emit IModelRegistry.Paused(now_ + 14 days);
        registry.pause(14 days);
        vm.assertEq(registry.pausedUntil(), now_ + 14 days);
        vm.warp(now_ + 60 days - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.RegistryPauseTooSoon.selector, now_ + 60 days, now_ + 60 days - 1)
        );
        registry.pause(1);
        vm.warp(now_ + 60 days);
        registry.pause(1);
        vm.stopPrank();

        vm.warp(now_ + 14 days - 1);
        uint40 until = registry.pausedUntil();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryPaused.selector, until));
        vm.prank(ann);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryPaused.selector, until));
        vm.prank(ann);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
        vm.warp(until);
        reserve(ann);
    }

    /// @dev What was reserved before is submitted, voted on and concluded while reservations stand still.
    function test_a_pause_lets_reserved_ids_go_on() public {
        uint256 id = reserve(ann);
        vm.prank(guardian);
        registry.pause(14 days);
        submit(id, ann, only(0));
        commit(bob, id, 3);
        toReveal(id);
        reveal(bob, id, 3);
        toEnd(id);
        book.finalize(id);
        settle(id, bob);
        vm.assertTrue(time() < registry.pausedUntil());
        holds(bob, 13 * UNIT, 0, 0, 0);
    }

    function test_close_is_the_pools_and_once() public {
        address[3] memory others = [stranger, address(book), address(vault)];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryUnauthorized.selector, others[i]));
            vm.prank(others[i]);
            registry.close();
            if (others[i] == address(book)) continue;
            vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryUnauthorized.selector, others[i]));
            vm.prank(others[i]);
            registry.conclude(1, Status.Void, IModelRegistry.Result(0, 0, 0, 0), IModelRegistry.Trend(0, 0, 0));
        }
        vm.expectEmit(address(registry));
        emit IModelRegistry.Closed(uint40(time()));
        vm.prank(sponsor);
        pool.close();
        vm.assertTrue(registry.closed());
        vm.assertEq(registry.closedAt(), time());
        vm.expectRevert(IModelRegistry.RegistryClosed.selector);
        vm.prank(sponsor);
        pool.close();
        vm.expectRevert(IModelRegistry.RegistryClosed.selector);
        vm.prank(ann);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
    }

    function test_a_closed_task_lets_open_ids_go_on() public {
        uint256 id = reserve(ann);
        vm.prank(sponsor);
        pool.close();
        submit(id, ann, only(0));
        toEnd(id);
        book.finalize(id);
        vm.assertEq(registry.nextToFinalize(), 2);
    }

    function test_reads_of_unknown_ids() public {
        bytes memory no = abi.encodeWithSelector(IModelRegistry.RegistryUnknownId.selector, 1);
        vm.expectRevert(no);
        registry.submission(1);
        vm.expectRevert(no);
        registry.parents(1);
        vm.expectRevert(no);
        registry.windows(1);
        vm.expectRevert(no);
        registry.ballot(1);
        vm.expectRevert(no);
        registry.revealTerms(1);
        vm.expectRevert(no);
        registry.resultOf(1);
        vm.expectRevert(no);
        registry.lineage(1, 0);
        vm.expectRevert(no);
        registry.lineage(0, 1);
        vm.expectRevert(no);
        book.tally(1);
        vm.expectRevert(no);
        book.settle(1, new address[](0));
    }

    function test_the_registry_is_initialised_once() public {
        bytes4 again = bytes4(keccak256("InvalidInitialization()"));
        vm.expectRevert(again);
        IInitialize(address(registry)).initialize();
        IInitialize lone = IInitialize(factory.implementations().registry);
        vm.expectRevert(again);
        lone.initialize();
    }

    function test_reads_for_the_siblings() public {
        uint256 id = open(ann, only(0));
        (IModelRegistry.Terms memory t, bytes32 hash) = registry.ballot(id);
        vm.assertEq(t.author, ann);
        vm.assertEq(t.reservedAt, time());
        vm.assertEq(uint8(t.status), uint8(Status.Open));
        vm.assertEq(t.tau, 0);
        vm.assertEq(t.q, 1 << 23);
        vm.assertEq(t.eligible, 13);
        vm.assertEq(hash, recordHash(id));
        (uint40 since, int8 tau, bytes32 weights) = registry.revealTerms(id);
        vm.assertEq(since, time());
        vm.assertEq(tau, 0);
        vm.assertEq(weights, digest("weights", id));
        (uint256 next, IModelRegistry.Terms memory due, IModelRegistry.Trend memory trend) = registry.due();
        vm.assertEq(next, id);
        vm.assertEq(keccak256(abi.encode(due)), keccak256(abi.encode(t)));
        vm.assertEq(keccak256(abi.encode(trend)), keccak256(abi.encode(registry.trend())));
    }

    function test_start_tau_is_a_parameter() public {
        TaskParams memory p = defaults();
        p.startTau = -2;
        create(p);
        vm.assertEq(registry.trend().tau, -2);
    }
}

interface IInitialize {
    function initialize() external;
}
