// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Parent, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title RewardPool: funding, drip, rewards, royalties, pouring, closing and reclaiming
contract PoolTest is World {
    address private ann = person(0);
    address[] private voters;

    function setUp() public {
        deploy();
        _task(defaults());
    }

    function _task(TaskParams memory p) private {
        create(p);
        delete voters;
        join(ann, 100 * UNIT);
        for (uint256 i = 1; i < 4; ++i) {
            voters.push(person(i));
            join(person(i), 10 * UNIT);
        }
        travel(5);
    }

    /// @dev A model of ann's with everybody's vote `value`, finalised and settled.
    function _model(Parent[] memory parents, int8 value) private returns (uint256 id) {
        id = open(ann, parents);
        _vote(id, value);
    }

    function _vote(uint256 id, int8 value) private {
        for (uint256 i; i < 3; ++i) {
            commit(voters[i], id, value);
        }
        toReveal(id);
        for (uint256 i; i < 3; ++i) {
            reveal(voters[i], id, value);
        }
        toEnd(id);
        book.finalize(id);
        book.settle(id, voters);
    }

    // ----------------------------------------------------------------------------------------------------- funding

    function test_only_the_sponsor_funds_closes_and_reclaims() public {
        bytes memory no = abi.encodeWithSelector(IRewardPool.PoolNotSponsor.selector, ann);
        vm.startPrank(ann);
        vm.expectRevert(no);
        pool.fund(1);
        vm.expectRevert(no);
        pool.close();
        vm.expectRevert(no);
        pool.reclaim(ann);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolUnauthorized.selector, ann));
        pool.reward(1, ann, 3);
        vm.stopPrank();
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        vm.prank(sponsor);
        pool.fund(0);
    }

    function test_first_funding_releases_one_days_drip() public {
        unreleased(0, 0, 0);
        travel(30 days); // nothing drips before the first funding
        give(sponsor, 500 * UNIT + 99);
        vm.expectEmit(address(pool));
        emit IRewardPool.Funded(sponsor, 500 * UNIT + 99);
        vm.prank(sponsor);
        pool.fund(500 * UNIT + 99);
        unreleased(495 * UNIT + 99, 5 * UNIT, 0); // a hundredth, rounded down
        common(0, 500 * UNIT + 99);
    }

    function test_the_allowance_grows_by_the_second_up_to_seven_days() public {
        fund(1_000 * UNIT + 50);
        uint256 start = time();
        uint256 daily = (1_000 * UNIT + 50) * 100; // times 10,000
        uint256 first = 10 * UNIT;
        uint24[5] memory after_ = [1, 60, 86_399, 86_400, 6 * 86_400 - 1];
        for (uint256 i; i < 5; ++i) {
            vm.warp(start + after_[i]);
            uint256 grown = first + daily * after_[i] / 864_000_000;
            unreleased(1_000 * UNIT + 50 - grown, grown, 0);
        }
        vm.warp(start + 6 * 86_400);
        unreleased(930 * UNIT + 47, 70 * UNIT + 3, 0);
        vm.warp(start + 365 days);
        unreleased(930 * UNIT + 47, 70 * UNIT + 3, 0); // the cap of 70 and 3.5
    }

    function test_funding_again_keeps_what_was_released() public {
        fund(1_000 * UNIT);
        travel(1 days);
        fund(1_000 * UNIT);
        unreleased(1_980 * UNIT, 20 * UNIT, 0); // two days' drip of the old pool
        travel(1 days);
        unreleased(1_960 * UNIT, 40 * UNIT, 0); // and one of the new
        travel(30 days);
        unreleased(1_860 * UNIT, 140 * UNIT, 0);
    }

    // ----------------------------------------------------------------------------------------------------- rewards

    function test_a_reward_is_a_power_of_the_gain() public {
        TaskParams memory p = defaults();
        (p.stepRateBps, p.dripBps, p.scoringFee) = (1_000, 200, 0);
        _task(p);
        fund(1_000 * UNIT);
        travel(10 days); // capped at 140
        uint256 id = _model(only(0), 2); // 1 - 0.9^2 = 0.19
        vm.assertEq(pool.owed(id), 26.6e18);
        unreleased(973.4e18 - 113.4e18, 113.4e18, 26.6e18);
        // what accrues until the next one: 2 % a day of 973.4
        uint256 grown = 113.4e18 + uint256(973.4e18) * 200 * 1_510 / 864_000_000;
        uint256 next = _model(only(0), 3); // 1 - 0.9^3 = 0.271
        vm.assertEq(pool.owed(next), grown * 271 / 1_000);
    }

    function test_without_funding_a_best_model_earns_nothing() public {
        uint256 id = _model(only(0), 5);
        vm.assertEq(registry.submission(id).gain, 5);
        vm.assertEq(pool.owed(id), 0);
        pool.pour(id);
    }

    // --------------------------------------------------------------------------------------------------- royalties

    function test_royalties_are_for_final_models() public {
        give(stranger, 1_000);
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolNotPayable.selector, 0));
        pool.payRoyalty(0, 100);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.RegistryUnknownId.selector, 1));
        pool.payRoyalty(1, 100);
        vm.stopPrank();
        uint256 id = open(ann, only(0));
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolNotPayable.selector, id));
        vm.prank(stranger);
        pool.payRoyalty(id, 100);
        toEnd(id);
        book.finalize(id); // Void
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolNotPayable.selector, id));
        vm.prank(stranger);
        pool.payRoyalty(id, 100);
        id = _model(only(0), 5);
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        vm.prank(stranger);
        pool.payRoyalty(id, 0);
        vm.prank(stranger);
        pool.payRoyalty(id, 101);
        vm.assertEq(pool.owed(id), 101);
        pool.pour(id); // 30 to the lineage, which ends at the genesis
        vm.assertEq(vault.account(ann).credit, 71 + 3 * UNIT + 7); // and the fee of the void id
        (,, uint256 committed) = pool.balances();
        vm.assertEq(committed, 0);
    }

    function test_royalties_are_no_ones_allowance() public {
        fund(1_000 * UNIT);
        uint256 id = _model(only(0), 5);
        (uint256 rest, uint256 allowance, uint256 committed) = pool.balances();
        give(stranger, 500 * UNIT);
        vm.prank(stranger);
        pool.payRoyalty(id, 500 * UNIT);
        unreleased(rest, allowance, committed + 500 * UNIT);
    }

    // ----------------------------------------------------------------------------------------------------- pouring

    /// @dev 0.9^gain: 1 gains 2, 2 gains 0, 3 gains 5. 1,001 pour from 3 by royalty 3,339: line 1,001, half 500.
    function test_parents_share_by_weight_and_the_reference_takes_the_rest() public {
        uint256 one = _model(only(0), 2);
        uint256 flat = _model(only(uint32(one)), 1);
        Parent[] memory list = new Parent[](3);
        (list[0], list[1], list[2]) = (Parent(uint32(flat), 3_333), Parent(0, 3_333), Parent(uint32(one), 3_334));
        uint256 three = _model(list, 5);
        give(stranger, 3_339);
        vm.prank(stranger);
        pool.payRoyalty(three, 3_339);
        uint256 before = vault.account(ann).credit;
        pool.pour(three);
        vm.assertEq(vault.account(ann).credit, before + 2_338); // 3,339 - 1,001
        vm.assertEq(pool.pending(flat), 166);
        vm.assertEq(pool.pending(one), 166 + 1_001 - 3 * 166); // its share and the rest; 166 reached the genesis
        pool.pour(flat); // no gain: all of it is passed on
        vm.assertEq(vault.account(ann).credit, before + 2_338);
        vm.assertEq(pool.pending(flat), 0);
        vm.assertEq(pool.pending(one), 835);
        pool.pour(one); // 1 - 0.81 = 0.19 of 835 is 158.65
        vm.assertEq(vault.account(ann).credit, before + 2_338 + 158);
        (,, uint256 committed) = pool.balances();
        vm.assertEq(committed, 0);
    }

    function test_a_void_parent_leaves_its_share_to_the_reference() public {
        uint256 one = _model(only(0), 2);
        uint256 dead = open(ann, only(0));
        uint256 child = open(ann, two(uint32(dead), 5_000, uint32(one)));
        for (uint256 i; i < 3; ++i) {
            commit(voters[i], child, 4);
        }
        toReveal(child);
        for (uint256 i; i < 3; ++i) {
            reveal(voters[i], child, 4);
        }
        toEnd(child);
        vm.assertEq(book.finalizeMany(2), 2);
        book.settle(child, voters);
        give(stranger, 1_000);
        vm.prank(stranger);
        pool.payRoyalty(child, 1_000);
        pool.pour(child);
        vm.assertEq(pool.pending(dead), 0);
        vm.assertEq(pool.pending(one), 300);
    }

    function test_pouring_what_is_empty_or_unknown_does_nothing() public {
        pool.pour(0);
        pool.pour(99);
        uint256 id = open(ann, only(0));
        pool.pour(id);
        uint256[] memory ids = new uint256[](3);
        (ids[0], ids[1], ids[2]) = (0, 99, id);
        for (uint256 i; i < 3; ++i) {
            vm.expectEmit(address(pool));
            emit IRewardPool.PourSkipped(ids[i]);
        }
        pool.pourMany(ids);
        common(3 * UNIT + 7, 0);
    }

    // --------------------------------------------------------------------------------------------- close and reclaim

    function test_the_sponsor_reclaims_after_close_the_last_id_and_grace() public {
        fund(1_000 * UNIT);
        uint256 id = _model(only(0), 5);
        (uint256 rest, uint256 allowance, uint256 committed) = pool.balances();
        vm.startPrank(sponsor);
        vm.expectRevert(IRewardPool.PoolNotClosed.selector);
        pool.reclaim(sponsor);
        vm.stopPrank();
        uint256 last = open(ann, only(0));
        vm.startPrank(sponsor);
        pool.close();
        vm.expectRevert(IRewardPool.PoolClosed.selector);
        pool.fund(1);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolUnfinished.selector, last, last + 1));
        pool.reclaim(sponsor);
        vm.stopPrank();
        toEnd(last);
        book.finalize(last);
        uint40 until = uint40(time()) + 1_000;
        vm.warp(until - 1);
        vm.startPrank(sponsor);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolGraceRunning.selector, until, until - 1));
        pool.reclaim(sponsor);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRecipient.selector, address(0)));
        pool.reclaim(address(0));
        vm.expectEmit(address(pool));
        emit IRewardPool.Reclaimed(stranger, rest + allowance);
        vm.assertEq(pool.reclaim(stranger), rest + allowance);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(stranger), rest + allowance);
        common(0, committed);
        unreleased(0, 0, committed);
        uint256 paid = vault.account(ann).credit;
        pool.pour(id); // what models earned stays theirs; the lineage ended at the genesis
        vm.assertEq(vault.account(ann).credit - paid, committed - committed * 3 / 10);
        uint256 back = committed * 3 / 10;
        uint256 dripped = back * 100 * 2_510 / 864_000_000; // as if it had been there since the last reward
        unreleased(back - dripped, dripped, 0);
        vm.prank(sponsor);
        vm.assertEq(pool.reclaim(sponsor), back);
        common(0, 0);
    }

    function test_grace_runs_from_a_close_after_the_last_id() public {
        fund(UNIT);
        travel(5_000);
        vm.startPrank(sponsor);
        pool.close();
        uint40 until = uint40(time()) + 1_000;
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolGraceRunning.selector, until, until - 1));
        pool.reclaim(sponsor);
        vm.warp(until);
        vm.assertEq(pool.reclaim(sponsor), UNIT);
        vm.stopPrank();
        common(0, 0);
    }
}
