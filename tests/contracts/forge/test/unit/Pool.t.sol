// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Parent, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title RewardPool: funding, drip against stake, rewards, commons, royalties, references, the end
contract PoolTest is World {
    uint256 private constant FEE = 3 * UNIT + 7;
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

    function _commons() private view returns (uint256) {
        return pool.balances().commons;
    }

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
        pool.reward(1, 3, 4);
        vm.stopPrank();
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        vm.prank(sponsor);
        pool.fund(0);
    }

    /// @dev Not the account that pays for the transaction: a sponsor may be a contract.
    function test_a_funding_names_the_sponsor() public {
        give(sponsor, 5);
        vm.expectEmit(address(pool));
        emit IRewardPool.Funded(sponsor, 5);
        vm.prank(sponsor);
        pool.fund(5);
    }

    // --------------------------------------------------------------------------------------------------------- drip

    /// @dev A hundredth of the funds is 0.5; a twentieth of the 30 that can vote on ann's models is 1.5.
    function test_the_first_reward_draws_on_one_days_drip() public {
        fund(50 * UNIT);
        travel(30 days); // nothing accrues before the first reward
        uint256 id = _model(only(0), 5);
        uint256 paid = pool.owed(id);
        vm.assertEq(paid, 0.5e18 * (UNIT - 903_920_796_800_000_000) / UNIT); // 1 - 0.98^5
        vm.assertEq(pool.balances().allowance, 0.5e18 - paid);
    }

    /// @notice Attack: a reward captured by a majority against its stake.
    function test_the_drip_is_bounded_by_the_stake_that_can_vote() public {
        fund(1_000_000 * UNIT);
        uint256 id = _model(only(0), 5);
        vm.assertEq(registry.submission(id).terms.eligible, 30);
        vm.assertEq(pool.owed(id), 1.5e18 * (UNIT - 903_920_796_800_000_000) / UNIT);
        uint256 left = pool.balances().allowance;
        uint256 start = time();
        travel(86_400);
        vm.assertEq(pool.balances().allowance, left + 1.5e18);
        vm.warp(start + 30 days);
        vm.assertEq(pool.balances().allowance, 7 * 1.5e18); // at most seven days'
    }

    /// @notice Attack: flash stake under the cap. It counts only if it stood at the last accrual, too.
    function test_flash_stake_does_not_lift_the_drip() public {
        fund(1_000_000 * UNIT);
        _model(only(0), 5);
        uint256 left = pool.balances().allowance;
        uint256 start = time();
        join(person(30), 1_000_000 * UNIT);
        travel(86_400 - 1_510);
        vm.assertEq(pool.balances().allowance, left + uint256(1.5e18) * (86_400 - 1_510) / 86_400);
        voters[0] = person(30); // alone it is most of the weight now
        uint256 id = _model(only(1), 5);
        vm.assertEq(time() - start, 86_400);
        uint256 grown = left + 1.5e18;
        uint256 fromCommons = FEE; // spare: at most all of a fee that was not paid out
        vm.assertTrue(pool.owed(id) <= grown * 96_079_203_200_000_000 / UNIT + fromCommons);
    }

    function test_funding_again_accrues_by_the_old_funds() public {
        fund(50 * UNIT);
        uint256 id = _model(only(0), 5);
        uint256 funds = 50 * UNIT - pool.owed(id);
        uint256 left = pool.balances().allowance;
        travel(1 days);
        uint256 grown = left + funds * 100 * 86_400 / 864_000_000;
        vm.assertEq(pool.balances().allowance, grown);
        fund(1_000_000 * UNIT);
        vm.assertEq(pool.balances().allowance, grown);
        travel(1 days);
        uint256 whole = vault.totalWeightAt(uint40(time()));
        vm.assertEq(pool.balances().allowance, grown + whole * UNIT / 20); // for an author without stake
    }

    /// @dev Forty could vote, thirty did.
    function test_the_drip_counts_who_could_vote() public {
        join(person(9), 10 * UNIT);
        travel(5);
        fund(1_000_000 * UNIT);
        uint256 id = _model(only(0), 5);
        vm.assertEq(registry.submission(id).terms.eligible, 40);
        vm.assertEq(pool.owed(id), 2e18 * (UNIT - 903_920_796_800_000_000) / UNIT);
    }

    /// @notice Attack: flash stake in the moment of a funding, at which the meter looks and keeps what it sees.
    function test_stake_of_the_moment_is_not_kept_at_a_funding() public {
        fund(1_000_000 * UNIT);
        _model(only(0), 5);
        travel(1 days);
        uint256 whole = vault.totalWeightAt(uint40(time()));
        join(person(30), 1_000_000 * UNIT);
        travel(4); // a warm-up is five
        fund(UNIT);
        uint256 left = pool.balances().allowance;
        travel(1 days);
        vm.assertEq(pool.balances().allowance, left + whole * UNIT / 20);
    }

    /// @dev Stake that leaves ends what is released, and takes back nothing of what was.
    function test_what_was_released_stays_when_stake_leaves() public {
        fund(1_000_000 * UNIT);
        _model(only(0), 5);
        travel(30 days);
        fund(UNIT); // the meter looks
        vm.assertEq(pool.balances().allowance, 7 * 1.5e18);
        voters.push(ann);
        for (uint256 i; i < 4; ++i) {
            uint256 stake = vault.account(voters[i]).stake;
            vm.prank(voters[i]);
            vault.requestUnstake(stake);
        }
        travel(10);
        vm.assertEq(vault.totalWeightAt(uint40(time())), 0);
        vm.assertEq(pool.balances().allowance, 7 * 1.5e18);
        fund(UNIT);
        vm.assertEq(pool.balances().allowance, 7 * 1.5e18);
    }

    // ------------------------------------------------------------------------------------------------------ commons

    function test_rewards_draw_on_the_commons_too() public {
        uint256 junk = reserve(ann);
        toEnd(junk);
        book.finalize(junk);
        uint256 commons = 2 * UNIT;
        owns(0, 0, commons, 0);
        uint256 id = _model(only(0), 5);
        commons += FEE % 30;
        uint256 paid = commons * (UNIT - 903_920_796_800_000_000) / UNIT;
        vm.assertEq(pool.owed(id), paid); // no sponsor has paid anything
        (uint256 grains, uint256 divided) = pool.division();
        vm.assertEq(grains, 5);
        vm.assertEq(divided, 0);
    }

    /// @dev What the division of the fee among 30 leaves over is commons before the reward is taken of them.
    function test_a_reward_draws_on_the_dust_of_its_own_fee() public {
        TaskParams memory p = defaults();
        p.scoringFee = uint128(3 * UNIT + 29);
        _task(p);
        uint256 id = _model(only(0), 23);
        vm.assertEq(pool.owed(id), 26); // of 29: 1 - 0.98^128 is 0.92
    }

    /// @notice The end: the sponsor takes its own funds and nothing else; the commons go to all that became best.
    function test_the_end_divides_the_commons_by_gains() public {
        fund(50 * UNIT);
        uint256 a = _model(only(0), 5);
        uint256 b = _model(only(uint32(a)), 10); // 12 grains
        uint256 worse = _model(only(uint32(b)), 0);
        uint256 junk = reserve(ann);
        vm.startPrank(sponsor);
        vm.expectRevert(IRewardPool.PoolNotClosed.selector);
        pool.reclaim(sponsor);
        pool.close();
        vm.expectRevert(IRewardPool.PoolClosed.selector);
        pool.fund(1);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolUnfinished.selector, junk, junk + 1));
        pool.reclaim(sponsor);
        vm.stopPrank();
        toEnd(junk);
        book.finalize(junk);
        uint40 until = uint40(time()) + 1_000;
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolGraceRunning.selector, until, until - 1));
        pool.divideCommons(a);
        vm.expectRevert(abi.encodeWithSelector(IRewardPool.PoolGraceRunning.selector, until, until - 1));
        vm.prank(sponsor);
        pool.reclaim(sponsor);
        vm.warp(until);

        uint256 commons = _commons();
        IRewardPool.Balances memory bal = pool.balances();
        uint256 funds = bal.unreleased + bal.allowance;
        vm.startPrank(sponsor);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRecipient.selector, address(0)));
        pool.reclaim(address(0));
        vm.assertEq(pool.reclaim(stranger), funds);
        vm.assertEq(token.balanceOf(stranger), funds);
        vm.expectRevert(IRewardPool.PoolNothingToReclaim.selector);
        pool.reclaim(stranger);
        vm.stopPrank();
        owns(0, 0, commons, bal.committed);

        uint256 owedA = pool.owed(a);
        vm.expectEmit(address(pool));
        emit IRewardPool.CommonsDivided(a, commons * 5 / 17);
        vm.assertEq(pool.divideCommons(a), commons * 5 / 17);
        vm.assertEq(pool.owed(a), owedA + commons * 5 / 17);
        vm.assertEq(pool.divideCommons(a), 0); // once
        vm.assertEq(pool.divideCommons(worse), 0);
        vm.assertEq(pool.divideCommons(b), commons * 12 / 17);
        vm.assertTrue(_commons() <= 1);
        // what lineage leaves at genesis can be divided again
        pool.pour(a, a);
        uint256 back = _commons();
        vm.assertTrue(back > 0);
        uint256 taken = commons * 5 / 17 + commons * 12 / 17;
        vm.assertEq(pool.divideCommons(b), (back + taken) * 12 / 17 - commons * 12 / 17);
    }

    function test_without_a_best_model_the_commons_stay() public {
        uint256 junk = reserve(ann);
        toEnd(junk);
        book.finalize(junk);
        vm.prank(sponsor);
        pool.close();
        travel(1_000);
        vm.assertEq(pool.divideCommons(junk), 0);
        vm.expectRevert(IRewardPool.PoolNothingToReclaim.selector);
        vm.prank(sponsor);
        pool.reclaim(sponsor);
        owns(0, 0, 2 * UNIT, 0);
    }

    // ---------------------------------------------------------------------------------------------------- royalties

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
        uint256 commons = _commons();
        uint256 owed = pool.owed(id);
        uint256 credit = vault.account(ann).credit;
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        vm.prank(stranger);
        pool.payRoyalty(id, 0);
        vm.prank(stranger);
        pool.payRoyalty(id, 101);
        vm.assertEq(pool.owed(id), owed + 101);
        uint256 line = (owed + 101) * 3 / 10;
        vm.expectEmit(address(pool));
        emit IRewardPool.Shared(id, id, ann, owed + 101 - line, line, 0);
        pool.pour(id, id); // the lineage ends at the genesis
        vm.assertEq(vault.account(ann).credit, credit + owed + 101 - line);
        vm.assertEq(_commons(), commons + line);
        vm.assertEq(pool.balances().committed, 0);
    }

    // --------------------------------------------------------------------------------------------- along references

    /// @dev 30 % of what c earns is pending for its reference b, which keeps 1 - 0.9^own of it and passes on the rest.
    function test_a_part_flows_along_references_by_own_grains() public {
        uint256 a = _model(only(0), 2);
        uint256 b = _model(only(uint32(a)), 4);
        uint256 c = _model(only(uint32(b)), 3);
        IRewardPool.Hop[] memory hops = new IRewardPool.Hop[](3);
        (hops[0], hops[1], hops[2]) = (IRewardPool.Hop(c, c), IRewardPool.Hop(b, b), IRewardPool.Hop(a, a));
        pool.pourMany(hops);
        uint256 commons = _commons();
        give(stranger, 10_000);
        vm.prank(stranger);
        pool.payRoyalty(c, 10_000);
        uint256 credit = vault.account(ann).credit;
        pool.pour(c, c);
        vm.assertEq(vault.account(ann).credit, credit + 7_000);
        vm.assertEq(pool.pending(b), 3_000);
        vm.expectEmit(address(pool));
        emit IRewardPool.Poured(b, ann, 1_031, 1_969, a); // 1 - 0.9^4 = 0.3439
        pool.pour(b, b);
        vm.assertEq(pool.pending(a), 1_969);
        pool.pour(a, a); // 0.19 of 1,969
        vm.assertEq(vault.account(ann).credit, credit + 7_000 + 1_031 + 374);
        vm.assertEq(_commons(), commons + 1_595);
        vm.assertEq(pool.balances().committed, 0);
    }

    /// @dev What is owed and what is pending lie in one slot: a royalty and a division add to the one and leave the other.
    function test_what_comes_in_leaves_what_is_pending() public {
        fund(50 * UNIT);
        uint256 a = _model(only(0), 2);
        uint256 b = _model(only(uint32(a)), 4);
        pool.pour(b, b);
        uint256 line = pool.pending(a);
        vm.assertTrue(line != 0);
        give(stranger, 10_000);
        vm.prank(stranger);
        pool.payRoyalty(a, 10_000);
        vm.assertEq(pool.pending(a), line);
        vm.prank(sponsor);
        pool.close();
        travel(1_000);
        vm.assertTrue(pool.divideCommons(a) != 0);
        vm.assertEq(pool.pending(a), line);
    }

    function test_pouring_what_is_empty_or_unknown_does_nothing() public {
        uint256 id = open(ann, only(0));
        IRewardPool.Hop[] memory hops = new IRewardPool.Hop[](4);
        (hops[0], hops[1]) = (IRewardPool.Hop(0, 0), IRewardPool.Hop(99, 99));
        (hops[2], hops[3]) = (IRewardPool.Hop(id, id), IRewardPool.Hop(id, 7));
        for (uint256 i; i < 4; ++i) {
            pool.pour(hops[i].id, hops[i].source);
        }
        for (uint256 i; i < 4; ++i) {
            vm.expectEmit(address(pool));
            emit IRewardPool.PourSkipped(hops[i].id, hops[i].source);
        }
        pool.pourMany(hops);
        common(FEE, 0);
    }
}
