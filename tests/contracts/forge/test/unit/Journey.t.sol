// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {ITaskLens} from "../../../../../interfaces/ITaskLens.sol";
import {Status} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title Three models from stake to the last claim, every amount to the unit
/// @notice The numbers were computed by the model in plain Python (tests/contracts/support/ghost.py), not read off the
///         contracts.
contract JourneyTest is World {
    address private ann = person(0);
    address[5] private v;
    address[] private all;

    function setUp() public {
        deploy();
        create(defaults());
        join(ann, 30 * UNIT);
        all.push(ann);
        uint8[5] memory stakes = [10, 13, 7, 11, 5];
        for (uint256 i; i < 5; ++i) {
            v[i] = person(i + 1);
            join(v[i], stakes[i] * UNIT);
            all.push(v[i]);
        }
        fund(1_000 * UNIT + 3);
        travel(5);
    }

    // ------------------------------------------------------------------------------------------------ the three acts

    function _voteAll(uint256 id, address[] memory who, int8[5] memory votes, uint256 silent) private {
        for (uint256 i; i < who.length; ++i) {
            commit(who[i], id, votes[i]);
        }
        toReveal(id);
        for (uint256 i; i < who.length - silent; ++i) {
            reveal(who[i], id, votes[i]);
        }
        toEnd(id);
    }

    function _list(address a, address b, address c, address d) private pure returns (address[] memory list) {
        list = new address[](4);
        (list[0], list[1], list[2], list[3]) = (a, b, c, d);
    }

    /// @dev v5 commits and stays silent.
    function _first(bool settle) private returns (uint256 id) {
        id = open(ann, only(0));
        address[] memory who = new address[](5);
        for (uint256 i; i < 5; ++i) {
            who[i] = v[i];
        }
        _voteAll(id, who, [int8(5), 6, 3, -2, 1], 1);
        if (!settle) return id;
        book.finalize(id);
        book.settle(id, who);
    }

    function _second() private returns (uint256 id) {
        id = open(v[0], two(0, 4_000, 1));
        address[] memory who = _list(ann, v[1], v[2], v[3]);
        _voteAll(id, who, [int8(5), 4, -8, -1, 0], 0);
        book.finalize(id);
        book.settle(id, who);
    }

    function _third() private returns (uint256 id) {
        travel(100);
        id = open(v[1], only(2));
        address[] memory who = _list(ann, v[0], v[2], v[3]);
        _voteAll(id, who, [int8(-3), 2, 2, 3, 0], 0);
        book.finalize(id);
        book.settle(id, who);
    }

    // ------------------------------------------------------------------------------------------------- the first model

    function test_finalise_of_a_first_model() public {
        uint256 id = _first(false);
        vm.expectEmit(address(registry));
        emit IModelRegistry.Finalized(id, Status.Final, 3, 5, 3, 3, 41, 30);
        vm.expectEmit(address(registry));
        emit IModelRegistry.BestChanged(id, 0, 3);
        vm.expectEmit(address(book));
        emit IScoreBook.SubmissionSettled(id, ann, 2 * UNIT, 0, 0, 3_000_000_000_000_000_007 % 41);
        vm.expectEmit(address(pool));
        emit IRewardPool.Rewarded(id, ann, 598_391_819_444_444_444);
        vm.prank(stranger);
        book.finalize(id);

        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(uint8(s.status), uint8(Status.Final));
        vm.assertEq(s.outcome, 3);
        vm.assertEq(s.median, 5);
        vm.assertEq(s.level, 3);
        vm.assertEq(s.gain, 3);
        vm.assertEq(s.revealedWeight, 41);
        vm.assertEq(s.yesWeight, 30);
        (uint256 best, int32 level) = registry.best();
        vm.assertEq(best, 1);
        vm.assertEq(level, 3);
        (int8 tau, uint64 q) = book.tauAndRate();
        vm.assertEq(tau, 1);
        vm.assertEq(q, 0.51e18);
        vm.assertEq(book.nextToFinalize(), 2);
        vm.assertEq(registry.lastFinalizedAt(), time());
        holds(ann, 27 * UNIT - 7, 0, 0, 0);
        vm.assertEq(pool.owed(id), 598_391_819_444_444_444);
        vm.assertEq(pool.pending(id), 0);
        uint256 dust = 3_000_000_000_000_000_007 % 41;
        common(3 * UNIT + 7 - dust, 1_000 * UNIT + 3 + dust);
        IModelRegistry.Result memory r = registry.resultOf(id);
        vm.assertEq(
            keccak256(abi.encode(r)),
            keccak256(abi.encode(Status.Final, int8(5), int8(0), uint64(0.5e18), uint32(41), uint32(30)))
        );
        (address author, uint8 gain, uint32 base) = registry.ancestryOf(id);
        vm.assertEq(author, ann);
        vm.assertEq(gain, 3);
        vm.assertEq(base, 0);
    }

    function test_settling_pays_charges_and_releases() public {
        uint256 id = _first(false);
        book.finalize(id);
        address[] memory one = new address[](1);
        uint256 slice = 73_170_731_707_317_073; // of one unit of weight
        uint256[5] memory paid =
            [uint256(182_926_829_268_292_682), 237_804_878_048_780_487, 128_048_780_487_804_877, 0, 0];
        uint256[5] memory lost = [uint256(0), 0, 0, 201_219_512_195_121_951, 0.5e18];
        uint256[5] memory bonds = [uint256(1e18), 1.3e18, 0.7e18, 1.1e18, 0.5e18];
        uint256[5] memory slices = [10 * slice, 13 * slice, 7 * slice, 11 * slice, 0];
        for (uint256 i = 5; i > 0;) {
            --i; // any order
            one[0] = v[i];
            vm.expectEmit(address(book));
            emit IScoreBook.VoteSettled(id, v[i], paid[i], bonds[i] - lost[i], lost[i], slices[i] - paid[i]);
            vm.prank(stranger);
            book.settle(id, one);
            vm.assertTrue(book.voteOf(id, v[i]).settled);
        }
        _afterFirst();
        for (uint256 i; i < 5; ++i) {
            one[0] = v[i];
            vm.expectEmit(address(book));
            emit IScoreBook.SettleSkipped(id, v[i]);
            book.settle(id, one);
        }
        one[0] = ann;
        vm.expectEmit(address(book));
        emit IScoreBook.SettleSkipped(id, ann);
        book.settle(id, one);
        _afterFirst();
    }

    function _afterFirst() private view {
        holds(ann, 26_999_999_999_999_999_993, 0, 0, 0);
        holds(v[0], 10 * UNIT, 0, 0, 182_926_829_268_292_682);
        holds(v[1], 13 * UNIT, 0, 0, 237_804_878_048_780_487);
        holds(v[2], 7 * UNIT, 0, 0, 128_048_780_487_804_877);
        holds(v[3], 10_798_780_487_804_878_049, 0, 0, 0);
        holds(v[4], 4.5e18, 0, 0, 0);
        common(0, 1_003_152_439_024_390_243_915);
        uint256 allowance = 9_576_955_402_777_777_778;
        uint256 committed = 598_391_819_444_444_444;
        unreleased(1_003_152_439_024_390_243_915 - committed - allowance, allowance, committed);
        _solvent();
    }

    // ------------------------------------------------------------------------------------------------- all of them

    function test_a_second_model_builds_on_the_first() public {
        _first(true);
        uint256 id = _second();
        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(s.referenceId, 1);
        vm.assertEq(s.tau, 1);
        vm.assertEq(s.q, 0.51e18);
        vm.assertEq(s.outcome, 4);
        vm.assertEq(s.level, 7);
        vm.assertEq(s.gain, 4);
        vm.assertEq(s.revealedWeight, 56);
        vm.assertEq(s.yesWeight, 39);
        vm.assertEq(book.voteOf(id, ann).rate, 8_556_380);
        vm.assertEq(book.voteOf(id, v[1]).rate, 10_200_547);
        vm.assertEq(book.voteOf(id, v[3]).rate, 6_845_104);
        holds(ann, 26_651_924_993_225_506_369, 0, 0, 0);
        holds(v[0], 6_999_999_999_999_999_993, 0, 0, 182_926_829_268_292_682);
        holds(v[1], 13 * UNIT, 0, 0, 371_574_884_720_328_375);
        holds(v[2], 6_888_280_003_592_371_941, 0, 0, 128_048_780_487_804_877);
        holds(v[3], 10_691_680_489_807_594_114, 0, 0, 0);
        common(0, 1_006_585_564_018_898_101_652);
        vm.assertEq(pool.owed(id), 757_078_923_477_361_234);
        (uint256 rest, uint256 allowance, uint256 committed) = pool.balances();
        vm.assertEq(allowance, 8_995_091_364_865_169_802);
        vm.assertEq(committed, 1_355_470_742_921_805_678);
        vm.assertEq(rest, 1_006_585_564_018_898_101_652 - allowance - committed);
        _solvent();
    }

    function test_a_worse_model_moves_no_best() public {
        _first(true);
        _second();
        uint256 id = _third();
        IModelRegistry.Submission memory s = registry.submission(id);
        vm.assertEq(s.outcome, -3);
        vm.assertEq(s.median, -3);
        vm.assertEq(s.level, 4);
        vm.assertEq(s.gain, 0);
        vm.assertEq(s.yesWeight, 10);
        (uint256 best, int32 level) = registry.best();
        vm.assertEq(best, 2);
        vm.assertEq(level, 7);
        (int8 tau, uint64 q) = book.tauAndRate();
        vm.assertEq(tau, 1);
        vm.assertEq(q, 0.509404e18);
        holds(ann, 26_651_924_993_225_506_369, 0, 0, 520_184_616_684_913_635);
        holds(v[0], 6_999_999_999_999_999_993, 0, 0, 302_969_433_118_657_367);
        holds(v[2], 6_888_280_003_592_371_941, 0, 0, 248_091_384_338_169_562);
        holds(v[3], 10_479_385_495_155_322_843, 0, 0, 0);
        (, uint256 allowance,) = pool.balances();
        vm.assertEq(allowance, 9_182_865_463_325_638_680);
        vm.assertEq(pool.owed(id), 0);
        _solvent();
    }

    function test_royalty_and_rewards_pour_down_the_lineage() public {
        _first(true);
        _second();
        _third();
        give(stranger, UNIT + 1);
        vm.expectEmit(address(pool));
        emit IRewardPool.RoyaltyPaid(3, stranger, UNIT + 1);
        vm.prank(stranger);
        pool.payRoyalty(3, UNIT + 1);
        vm.assertEq(pool.owed(3), UNIT + 1);
        vm.assertEq(token.balanceOf(stranger), 0);

        vm.expectEmit(address(pool));
        emit IRewardPool.RewardShared(3, v[1], 0.7e18 + 1, 0.3e18);
        vm.expectEmit(address(pool));
        emit IRewardPool.LineageShared(3, 2, 0.15e18); // the declared parent
        vm.expectEmit(address(pool));
        emit IRewardPool.LineageShared(3, 2, 0.15e18); // the reference
        pool.pour(3);
        holds(v[1], 9_999_999_999_999_999_993, 0, 0, 1_071_574_884_720_328_376);
        vm.assertEq(pool.pending(2), 0.3e18);

        uint256 line = 757_078_923_477_361_234 * uint256(3) / 10;
        uint256 toFirst = line / 2 * 6_000 / 10_000;
        uint256 toGenesis = line / 2 * 4_000 / 10_000;
        vm.expectEmit(address(pool));
        emit IRewardPool.RewardShared(2, v[0], 757_078_923_477_361_234 - line, line);
        vm.expectEmit(address(pool));
        emit IRewardPool.LineageShared(2, 0, toGenesis);
        vm.expectEmit(address(pool));
        emit IRewardPool.LineageShared(2, 1, toFirst);
        vm.expectEmit(address(pool));
        emit IRewardPool.LineageShared(2, 1, line - toGenesis - toFirst);
        vm.expectEmit(address(pool));
        emit IRewardPool.Poured(2, v[0], 0.10317e18, 0.3e18 - 0.10317e18, 1); // 1 - 0.9^4 = 0.3439
        pool.pour(2);
        vm.assertEq(pool.pending(1), 378_528_941_634_566_696);
        holds(v[0], 6_999_999_999_999_999_993, 0, 0, 936_094_679_552_810_231);
        (,, uint256 committed) = pool.balances();
        vm.assertEq(committed, 976_920_761_079_011_140);

        vm.prank(stranger);
        pool.pour(1);
        holds(ann, 26_651_924_993_225_506_369, 0, 0, 1_041_640_233_478_992_320);
        common(0, 1_008_183_008_325_936_498_376);
        vm.assertEq(pool.owed(1) + pool.pending(1), 0);
        uint256 before = vm.snapshotState();
        _pourAll(); // nothing left: changes nothing
        vm.assertEq(vault.account(ann).credit, 1_041_640_233_478_992_320);
        vm.revertToState(before);
        _leave();
    }

    function _pourAll() private {
        uint256[] memory ids = new uint256[](3);
        (ids[0], ids[1], ids[2]) = (3, 2, 1);
        pool.pourMany(ids);
    }

    function test_pour_many_equals_one_by_one() public {
        _first(true);
        _second();
        _third();
        give(stranger, UNIT + 1);
        vm.prank(stranger);
        pool.payRoyalty(3, UNIT + 1);
        _pourAll();
        holds(ann, 26_651_924_993_225_506_369, 0, 0, 1_041_640_233_478_992_320);
        holds(v[0], 6_999_999_999_999_999_993, 0, 0, 936_094_679_552_810_231);
        holds(v[1], 9_999_999_999_999_999_993, 0, 0, 1_071_574_884_720_328_376);
        common(0, 1_008_183_008_325_936_498_376);
        (,, uint256 committed) = pool.balances();
        vm.assertEq(committed, 0);
        _leave();
    }

    function test_the_lens_shows_what_the_contracts_hold() public {
        _first(true);
        _second();
        ITaskLens.TaskView memory t = lens.task(address(registry));
        vm.assertEq(t.task.vault, address(vault));
        vm.assertEq(t.task.registry, address(registry));
        vm.assertEq(t.task.book, address(book));
        vm.assertEq(t.task.pool, address(pool));
        vm.assertEq(keccak256(abi.encode(t.params)), keccak256(abi.encode(defaults())));
        vm.assertEq(t.count, 3);
        vm.assertEq(t.bestId, 2);
        vm.assertEq(t.bestLevel, 7);
        vm.assertEq(t.nextToFinalize, 3);
        vm.assertFalse(t.closed);
        vm.assertEq(t.allowance, 8_995_091_364_865_169_802);
        vm.assertEq(t.pendingTotal, 1_355_470_742_921_805_678);
        vm.assertEq(t.pool + t.allowance + t.pendingTotal, 1_006_585_564_018_898_101_652);
        vm.assertEq(t.now_, time());
        ITaskLens.SubmissionView[] memory list = lens.submissions(address(registry), 1, 500);
        vm.assertEq(list.length, 2);
        vm.assertEq(list[1].id, 2);
        vm.assertEq(keccak256(abi.encode(list[1].submission)), keccak256(abi.encode(registry.submission(2))));
        vm.assertEq(keccak256(abi.encode(list[1].windows)), keccak256(abi.encode(registry.windows(2))));
        vm.assertEq(keccak256(abi.encode(list[1].parents)), keccak256(abi.encode(registry.parents(2))));
        vm.assertEq(keccak256(abi.encode(list[1].tally)), keccak256(abi.encode(book.tally(2))));
        vm.assertEq(list[1].owed, 757_078_923_477_361_234);
        vm.assertEq(list[1].pending, 0);
        vm.assertEq(lens.submissions(address(registry), 2, 1).length, 1);
        vm.assertEq(lens.submissions(address(registry), 0, 2).length, 2);
        vm.assertEq(lens.submissions(address(registry), 3, 1).length, 0);
        address[] memory who = new address[](2);
        (who[0], who[1]) = (v[1], stranger);
        IScoreBook.Vote[] memory votes = lens.votes(address(registry), 2, who);
        vm.assertEq(keccak256(abi.encode(votes[0])), keccak256(abi.encode(book.voteOf(2, v[1]))));
        vm.assertEq(votes[1].weight, 0);
    }

    // ------------------------------------------------------------------------------------------------------- the end

    function _solvent() private view {
        uint256 sum;
        for (uint256 i; i < all.length; ++i) {
            IStakeVault.Account memory a = vault.account(all[i]);
            sum += uint256(a.stake) + a.locked + a.unbonding + a.credit;
        }
        (uint128 escrow, uint128 inPool) = vault.totals();
        vm.assertEq(token.balanceOf(address(vault)), sum + escrow + inPool, "solvency");
    }

    /// @dev Everybody claims and unstakes, the sponsor closes and reclaims; the vault ends empty.
    function _leave() private {
        for (uint256 i; i < all.length; ++i) {
            IStakeVault.Account memory a = vault.account(all[i]);
            vm.startPrank(all[i]);
            if (a.credit != 0) {
                vm.expectEmit(address(vault));
                emit IStakeVault.Claimed(all[i], all[i], a.credit);
                vm.assertEq(vault.claim(all[i]), a.credit);
                vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNothingToClaim.selector, all[i]));
                vault.claim(all[i]);
            }
            vault.requestUnstake(a.stake);
            vm.stopPrank();
        }
        travel(2_000);
        for (uint256 i; i < all.length; ++i) {
            uint256 stake = vault.account(all[i]).unbonding;
            uint256 before = token.balanceOf(all[i]);
            vm.prank(all[i]);
            vault.withdraw(all[i]);
            vm.assertEq(token.balanceOf(all[i]), before + stake);
        }
        vm.startPrank(sponsor);
        pool.close();
        travel(1_000);
        pool.reclaim(sponsor);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(sponsor), 1_008_183_008_325_936_498_376);
        vm.assertEq(token.balanceOf(address(vault)), 0);
        common(0, 0);
    }
}
