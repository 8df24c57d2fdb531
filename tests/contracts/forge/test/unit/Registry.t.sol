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
        vm.assertEq(uint8(s.status), uint8(Status.Final));
        vm.assertEq(s.author, address(0));
        vm.assertEq(s.reservedAt, START);
        vm.assertEq(s.weightsDigest, bytes32(uint256(2)));
        vm.assertEq(s.recordHash, keccak256(abi.encode(ModelRecord(genesisDigests(), new Parent[](0)))));
        vm.assertEq(registry.parents(0).length, 0);
        vm.assertEq(registry.count(), 1);
        vm.assertEq(registry.nextToFinalize(), 1);
        vm.assertEq(registry.lastFinalizedAt(), START);
        (uint256 id, int32 level) = registry.best();
        vm.assertEq(id, 0);
        vm.assertEq(level, 0);
        (int8 tau, uint64 q) = registry.tauAndRate();
        vm.assertEq(tau, 0);
        vm.assertEq(q, 0.5e18);
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
        vm.expectEmit(address(registry));
        emit IModelRegistry.Reserved(1, ann, reservation(ann, 1), 0, 0, 0.5e18, 13, now_);
        vm.prank(ann);
        vm.assertEq(registry.reserve(reservation(ann, 1)), 1);
        holds(ann, 5 * UNIT - 7, 2 * UNIT, 0, 0);
        common(3 * UNIT + 7, 0);
        vm.assertEq(vault.weightNow(ann), 6); // 10 - 3 and a little
        IModelRegistry.Submission memory s = registry.submission(1);
        vm.assertEq(s.author, ann);
        vm.assertEq(s.reservedAt, now_);
        vm.assertEq(uint8(s.status), uint8(Status.Reserved));
        vm.assertEq(s.referenceId, 0);
        vm.assertEq(s.eligible, 13);
        vm.assertEq(s.q, 0.5e18);
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
        vm.assertEq(registry.submission(reserve(ann)).eligible, 13);
        travel(4); // still too young
        vm.assertEq(registry.submission(reserve(bob)).eligible, 10); // ann's weight five seconds ago
        travel(1);
        vm.assertEq(registry.submission(reserve(cat)).eligible, 6 + 13); // ann's after her reservation
    }

    function test_reserve_refuses() public {
        vm.expectRevert(IModelRegistry.RegistryZeroReservation.selector);
        vm.prank(ann);
        registry.reserve(0);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotTrainer.selector, cat));
        vm.prank(cat);
        registry.reserve(bytes32(uint256(1)));
        give(cat, 10 * UNIT);
        vm.startPrank(cat);
        vault.register(2, address(0), 0); // a validator only
        vault.deposit(5 * UNIT + 6);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotTrainer.selector, cat));
        registry.reserve(bytes32(uint256(1)));
        vm.stopPrank();
        address dan = person(3);
        join(dan, 5 * UNIT + 6);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeVault.VaultInsufficientStake.selector, dan, 5 * UNIT + 6, 5 * UNIT + 7)
        );
        vm.prank(dan);
        registry.reserve(bytes32(uint256(1)));
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
        vm.assertEq(uint8(s.status), uint8(Status.Open));
        vm.assertEq(s.recordHash, keccak256(abi.encode(r)));
        vm.assertEq(s.weightsDigest, digest("weights", id));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryWrongStatus.selector, id, Status.Open));
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
        id = registry.reserve(keccak256(abi.encode(ann, bytes32(0), digest("salt", 2))));
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

    function test_parents_are_open_or_final() public {
        _add(ann, 10 * UNIT);
        uint256 dead = reserve(bob);
        uint256 me = reserve(ann);
        _badParent(me, only(uint32(dead)), uint32(dead), Status.Reserved);
        toEnd(me);
        book.finalizeMany(9);
        uint256 next = reserve(ann);
        _badParent(next, only(uint32(dead)), uint32(dead), Status.Void);
        submit(next, ann, only(0));
    }

    function _badParent(uint256 me, Parent[] memory list, uint32 which, Status status) private {
        _badParents(me, list, abi.encodeWithSelector(IModelRegistry.RegistryBadParent.selector, me, which, status));
    }

    function _badParents(uint256 me, Parent[] memory list, bytes memory why) private {
        vm.expectRevert(why);
        submit(me, ann, list);
    }

    function test_sharing_parents_weigh_only_if_final() public {
        uint256 a = open(bob, only(0));
        uint256 b = open(ann, two(0, 4_000, uint32(a)));
        Parent[] memory list = registry.sharingParents(b);
        vm.assertEq(list[0].weightBps, 4_000);
        vm.assertEq(list[1].id, a);
        vm.assertEq(list[1].weightBps, 0);
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
        registry.reserve(bytes32(uint256(1)));
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryPaused.selector, until));
        vm.prank(ann);
        registry.reserve(bytes32(uint256(1)));
        vm.warp(until);
        reserve(ann);
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
            registry.conclude(1, IModelRegistry.Conclusion(Status.Void, 0, 0, 0, 0, 0, 0));
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
        registry.reserve(bytes32(uint256(1)));
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
        registry.ancestryOf(1);
        vm.expectRevert(no);
        registry.sharingParents(1);
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
        (address author, uint40 since, Status status, int8 tau, uint64 q) = registry.ballot(id);
        vm.assertEq(author, ann);
        vm.assertEq(since, time());
        vm.assertEq(uint8(status), uint8(Status.Open));
        vm.assertEq(tau, 0);
        vm.assertEq(q, 0.5e18);
        bytes32 weights;
        (since, tau, weights) = registry.revealTerms(id);
        vm.assertEq(since, time());
        vm.assertEq(weights, digest("weights", id));
        IModelRegistry.Due memory d = registry.due();
        vm.assertEq(keccak256(abi.encode(d)), keccak256(abi.encode(id, ann, since, status, tau, 13, int8(0), q)));
    }

    function test_start_tau_is_a_parameter() public {
        TaskParams memory p = defaults();
        p.startTau = -2;
        create(p);
        (int8 tau,) = registry.tauAndRate();
        vm.assertEq(tau, -2);
    }
}

interface IInitialize {
    function initialize() external;
}
