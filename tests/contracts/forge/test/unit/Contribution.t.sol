// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {Parent, Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {Vm} from "../support/Vm.sol";
import {World} from "../support/World.sol";

/// @title Contribution is paid, not the last step: the attacks on rule 10, performed
contract ContributionTest is World {
    address private ann = person(0);
    address private thief = person(1);
    address private bob = person(2);
    address private cy = person(3);
    address[] private voters;

    function setUp() public {
        deploy();
        TaskParams memory p = defaults();
        p.lineageBps = 0; // what flows on along references is another matter
        create(p);
        address[4] memory authors = [ann, thief, bob, cy];
        for (uint256 i; i < 4; ++i) {
            join(authors[i], 100 * UNIT);
        }
        for (uint256 i; i < 5; ++i) {
            voters.push(person(10 + i));
            join(person(10 + i), 200 * UNIT);
        }
        fund(1_000 * UNIT);
        travel(5);
    }

    /// @dev Two of five voters say `low`, the others `high`: the outcome is low, the median high.
    function votes(uint256 id, int8 low, int8 high) private {
        for (uint256 i; i < 5; ++i) {
            commit(voters[i], id, i < 2 ? low : high);
        }
    }

    function reveals(uint256 id, int8 low, int8 high) private {
        for (uint256 i; i < 5; ++i) {
            reveal(voters[i], id, i < 2 ? low : high);
        }
    }

    /// @dev A vote on a model of the present best's time, to the end.
    function whole(address author, Parent[] memory parents, int8 low, int8 high) private returns (uint256 id) {
        id = open(author, parents);
        votes(id, low, high);
        toReveal(id);
        reveals(id, low, high);
        toEnd(id);
        book.finalize(id);
        book.settle(id, voters);
    }

    function credit(address who) private view returns (uint256) {
        return vault.account(who).credit;
    }

    function test_plain_step_is_its_authors() public {
        uint256 id = whole(ann, only(0), 10, 10); // 12 grains
        uint256 owed = pool.owed(id);
        vm.assertTrue(owed != 0);
        pool.pour(id, id);
        vm.assertEq(credit(ann), owed);
    }

    /// @notice Attack: veto a rival's model and resubmit the same bytes, declared.
    function test_veto_then_resubmit_takes_nothing() public {
        uint256 x = whole(ann, only(0), -8, 14); // 24 grains by the median, vetoed to the bottom by two of five
        vm.assertEq(registry.submission(x).standing.gain, 0);
        vm.assertEq(registry.submission(x).standing.measured, 24);
        uint256 c = whole(thief, only(uint32(x)), 14, 14);
        vm.assertEq(registry.submission(c).standing.gain, 24);
        uint256 owed = pool.owed(c);
        uint256 before = credit(thief);
        pool.pour(c, c);
        vm.assertEq(credit(thief), before, "the thief takes nothing");
        before = credit(ann);
        pool.pour(x, c);
        vm.assertEq(credit(ann), before + owed, "all is of the author who was voted down");
    }

    // ------------------------------------------------------------------------------------- what the rule is made for

    /// @dev Ids reserved while the genesis is best, so that all refer to it; votes as `low` and `high` say.
    function _together(uint256[] memory ids, int8[] memory low, int8[] memory high) private {
        for (uint256 i; i < ids.length; ++i) {
            votes(ids[i], low[i], high[i]);
        }
        toReveal(ids[ids.length - 1]);
        for (uint256 i; i < ids.length; ++i) {
            reveals(ids[i], low[i], high[i]);
        }
        toEnd(ids[ids.length - 1]);
        book.finalizeMany(9);
        for (uint256 i; i < ids.length; ++i) {
            book.settle(ids[i], voters);
        }
    }

    function _pair(int8 a, int8 b) private pure returns (int8[] memory list) {
        list = new int8[](2);
        (list[0], list[1]) = (a, b);
    }

    function _two(uint256 a, uint256 b) private pure returns (uint256[] memory list) {
        list = new uint256[](2);
        (list[0], list[1]) = (a, b);
    }

    /// @notice Attack: press a rival to +3 instead of the bottom, and copy with the same old reference.
    function test_pressed_to_a_small_step_and_copied_takes_nothing() public {
        uint256 x = open(ann, only(0));
        uint256 c = open(thief, only(uint32(x)));
        _together(_two(x, c), _pair(3, 14), _pair(14, 14)); // 3 and 24 grains; 24 and 24
        vm.assertEq(registry.submission(x).standing.gain, 3);
        vm.assertEq(registry.submission(c).standing.gain, 24 - 3 - 4); // the width of the bucket of 24 is 4
        uint256 owed = pool.owed(c);
        uint256 before = credit(thief);
        pool.pour(c, c);
        vm.assertEq(credit(thief), before);
        vm.assertEq(pool.shareOf(x, c).held, owed);
        before = credit(ann);
        pool.pour(x, c);
        vm.assertEq(credit(ann), before + owed);
    }

    /// @notice Attack: build +1 on another's +1, which alone was below the least step.
    function test_a_small_step_is_paid_when_somebody_builds_on_it() public {
        uint256 x = open(ann, only(0));
        uint256 c = open(bob, only(uint32(x)));
        _together(_two(x, c), _pair(1, 4), _pair(1, 4));
        vm.assertEq(registry.submission(x).standing.gain, 0); // minStep is 2
        uint256 owed = pool.owed(c);
        uint256 before = credit(bob);
        pool.pour(c, c);
        vm.assertEq(credit(bob), before + owed * 3 / 4); // three of four grains are bob's
        before = credit(ann);
        pool.pour(x, c);
        vm.assertEq(credit(ann), before + owed - owed * 3 / 4);
    }

    /// @notice Attack: a parent of 1 bp, and an own sock beside the pressed model. Declared weights move no money.
    function test_declared_weights_and_socks_take_no_more_than_they_added() public {
        uint256 x = open(ann, only(0));
        uint256 sock = open(cy, only(0));
        _together(_two(x, sock), _pair(-8, 1), _pair(14, 1)); // 24 by the median, and 1
        uint256 c = whole(thief, two(uint32(x), 1, uint32(sock)), 14, 14);
        uint256 owed = pool.owed(c);
        uint256 before = credit(thief);
        pool.pour(c, c);
        vm.assertEq(credit(thief), before);
        // the first of 24 grains is shared by two, the others are of x alone: 12 * 23 + 6 and 6 of 288 twelfths
        uint256 toX = owed * 282 / 288;
        vm.assertEq(pool.shareOf(x, c).above, toX);
        vm.assertEq(pool.shareOf(sock, c).above, owed - toX);
    }

    /// @notice Attack: shares drawn twice through siblings, or by anybody who calls again.
    function test_a_share_is_poured_once() public {
        uint256 x = whole(ann, only(0), -8, 14);
        uint256 c = whole(thief, only(uint32(x)), 14, 14);
        pool.pour(c, c);
        pool.pour(x, c);
        uint256 before = credit(ann);
        pool.pour(x, c);
        pool.pour(c, c);
        pool.pour(x, x);
        vm.assertEq(credit(ann), before);
        vm.assertEq(pool.balances().committed, 0);
    }

    function test_a_batch_pours_shares_of_parents_too() public {
        uint256 x = whole(ann, only(0), -8, 14);
        uint256 c = whole(thief, only(uint32(x)), 14, 14);
        uint256 owed = pool.owed(c);
        uint256 before = credit(ann);
        IRewardPool.Hop[] memory hops = new IRewardPool.Hop[](2);
        (hops[0], hops[1]) = (IRewardPool.Hop(c, c), IRewardPool.Hop(x, c));
        pool.pourMany(hops);
        vm.assertEq(credit(ann), before + owed);
    }

    /// @dev LIMIT: an independent model made at the same time. No parent of its own is above its reference, so what a veto
    ///      on the rival had held down is its author's, like the rest.
    function test_what_was_held_down_is_the_authors_without_a_lifted_parent() public {
        uint256 x = open(ann, only(0));
        uint256 c = open(bob, only(0));
        _together(_two(x, c), _pair(3, 14), _pair(14, 14));
        vm.assertEq(registry.submission(c).standing.gain, 24 - 3 - 4);
        uint256 owed = pool.owed(c);
        uint256 before = credit(bob);
        pool.pour(c, c);
        vm.assertEq(credit(bob), before + owed);
    }

    /// @dev A void parent, or one that measured nothing, carries nothing: all is the author's.
    function test_a_void_parent_carries_nothing() public {
        uint256 dead = open(ann, only(0)); // nobody votes
        toEnd(dead);
        book.finalize(dead);
        uint256 c = whole(bob, only(uint32(dead)), 10, 10);
        uint256 owed = pool.owed(c);
        uint256 before = credit(bob);
        pool.pour(c, c);
        vm.assertEq(credit(bob), before + owed);
    }

    /// @dev Genesis is above no base. Declared last, it stops no pour, gets no share, and no event speaks of one; and a single
    ///      unit is shared like any amount.
    function test_a_parent_that_is_not_above_the_base_gets_no_share() public {
        uint256 x = whole(ann, only(0), -8, 14);
        uint256 c = whole(thief, two(uint32(x), 5_000, 0), 14, 14);
        pool.pour(c, c);
        pool.pour(x, c);
        give(stranger, 1);
        vm.prank(stranger);
        pool.payRoyalty(c, 1);
        vm.recordLogs();
        pool.pour(c, c);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 given;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == IRewardPool.ShareGiven.selector) ++given;
        }
        vm.assertEq(given, 1);
        vm.assertEq(pool.shareOf(x, c).above, 1);
        uint256 before = credit(ann);
        pool.pour(x, c);
        vm.assertEq(credit(ann), before + 1);
        vm.assertEq(pool.balances().committed, 0);
    }

    /// @dev Another task, in which half of each author's part flows on along references.
    function _lines() private {
        TaskParams memory p = defaults();
        (p.lineageBps, p.cardDigest) = (5_000, bytes32(uint256(7)));
        create(p);
        address[4] memory authors = [ann, thief, bob, cy];
        for (uint256 i; i < 4; ++i) {
            join(authors[i], 100 * UNIT);
        }
        for (uint256 i; i < 5; ++i) {
            join(voters[i], 200 * UNIT);
        }
        fund(1_000 * UNIT);
        travel(5);
    }

    /// @dev A copy that became best by showing what was pressed takes nothing of what later models earn, either.
    function test_what_only_shows_takes_nothing_along_references() public {
        _lines();
        uint256 x = whole(ann, only(0), -8, 14);
        uint256 c = whole(thief, only(uint32(x)), 14, 14);
        uint256 d = whole(bob, only(uint32(c)), 4, 4);
        pool.pour(d, d);
        uint256 stream = pool.pending(c);
        vm.assertTrue(stream != 0);
        uint256 before = credit(thief);
        pool.pour(c, c);
        vm.assertEq(credit(thief), before, "nothing of the reward, nothing of the stream");
        pool.pour(x, c);
        pool.pour(x, x);
        vm.assertEq(pool.balances().committed, 0, "what a pour that pays nobody left at genesis is commons");
    }

    /// @dev Pressed to 3 of 24 grains, so paid for three: what flows along references stops at it by three as well.
    function test_own_grains_are_at_most_the_gain() public {
        _lines();
        uint256 x = whole(ann, only(0), 3, 14);
        pool.pour(x, x);
        uint256 d = whole(bob, only(uint32(x)), 4, 4);
        pool.pour(d, d);
        uint256 stream = pool.pending(x);
        uint256 before = credit(ann);
        pool.pour(x, x);
        vm.assertEq(credit(ann), before + stream * 271 / 1_000); // 1 - 0.9^3
    }

    // -------------------------------------------------------------------------- shares of shares, and whose base counts

    uint32 private root; // M = 6
    uint32 private left; // of root's, M = 10
    uint32 private right; // of root's, M = 8
    uint32 private trunk; // the best afterwards, L = M = 2

    /// @dev Three models that are pressed, all against genesis, and one that becomes best.
    function _pressed() private {
        root = uint32(open(ann, only(0)));
        left = uint32(open(bob, only(root)));
        right = uint32(open(cy, only(root)));
        trunk = uint32(open(thief, only(0)));
        uint256[] memory ids = new uint256[](4);
        int8[] memory low = new int8[](4);
        int8[] memory high = new int8[](4);
        (ids[0], ids[1], ids[2], ids[3]) = (root, left, right, trunk);
        (low[0], low[1], low[2], low[3]) = (-8, -8, -8, 2);
        (high[0], high[1], high[2], high[3]) = (6, 9, 8, 2); // index 9 is ten grains
        _together(ids, low, high);
        vm.assertEq(registry.submission(left).standing.measured, 10);
        (uint256 best,) = registry.best();
        vm.assertEq(best, trunk);
    }

    /// @dev Of what left and right hold of c the root gets what is below them, from both.
    function _drawn(uint256 c, uint256 toLeft, uint256 toRight, bool held) private {
        uint256 before = credit(bob);
        uint256 rest = toLeft - toLeft * 4 / 8;
        vm.expectEmit(address(pool));
        emit IRewardPool.ShareGiven(c, left, root, held ? 0 : rest, held ? rest : 0);
        pool.pour(left, c);
        vm.assertEq(credit(bob), before + toLeft * 4 / 8, "of the 8 grains above the base 4 are its own");
        before = credit(cy);
        pool.pour(right, c);
        vm.assertEq(credit(cy), before + toRight * 2 / 6, "of 6 grains 2");
        before = credit(ann);
        pool.pour(root, c);
        vm.assertEq(credit(ann), before + toLeft - toLeft * 4 / 8 + toRight - toRight * 2 / 6, "the rest of both");
    }

    /// @dev c is 26, its base 2: 8 and 6 grains of the parents are above it, 2 of them of left alone.
    function test_an_inherited_share_is_split_above_the_base_of_its_source() public {
        _pressed();
        uint256 c = whole(thief, two(left, 5_000, right), 14, 14);
        uint256 owed = pool.owed(c);
        uint256 below = owed - owed * 16 / 24;
        pool.pour(c, c);
        uint256 toLeft = below * 60 / 96;
        vm.assertEq(pool.shareOf(left, c).above, toLeft);
        vm.assertEq(pool.shareOf(right, c).above, below - toLeft);
        _drawn(c, toLeft, below - toLeft, false);
    }

    /// @dev While c is open a rival becomes best, pressed to 3 of 24 grains: c's gain is 21, of which M backs 4. The other
    ///      17 were held down, and are split above the reference of c, M = 2, not above the best, M = 26.
    function test_an_inherited_held_part_is_split_above_the_reference_of_its_source() public {
        _pressed();
        uint256 rival = open(thief, only(0));
        uint256 c = open(thief, two(left, 5_000, right));
        _together(_two(rival, c), _pair(3, 15), _pair(14, 15));
        vm.assertEq(registry.submission(c).standing.gain, 21);
        vm.assertEq(registry.submission(c).standing.previousId, rival);
        uint256 held = pool.owed(c) * 17 / 21;
        pool.pour(c, c);
        uint256 toLeft = held * 60 / 96;
        vm.assertEq(pool.shareOf(left, c).held, toLeft);
        vm.assertEq(pool.shareOf(right, c).held, held - toLeft);
        _drawn(c, toLeft, held - toLeft, true);
    }

    /// @dev Its reference stays the base of a model that never was best, whatever was best when it was concluded.
    function test_royalties_of_a_model_that_was_not_best_are_split_above_its_reference() public {
        _pressed();
        uint256 rival = open(thief, only(0));
        uint256 y = open(cy, only(left));
        _together(_two(rival, y), _pair(3, -8), _pair(14, 10)); // M of y is 2 + 12
        vm.assertEq(registry.submission(y).standing.previousId, trunk);
        give(stranger, 12_000);
        vm.prank(stranger);
        pool.payRoyalty(y, 12_000);
        uint256 before = credit(cy);
        pool.pour(y, y);
        vm.assertEq(credit(cy), before + 4_000); // 14 - 10 of 14 - 2
        vm.assertEq(pool.shareOf(left, y).above, 8_000);
    }

    /// @dev A model that is worse than its parent carried all it has: nothing of it is its author's.
    function test_a_worse_child_takes_nothing() public {
        _pressed();
        uint256 y = whole(cy, only(left), -8, 4);
        vm.assertEq(registry.submission(y).standing.measured, 6); // left has ten
        give(stranger, 12_000);
        vm.prank(stranger);
        pool.payRoyalty(y, 12_000);
        uint256 before = credit(cy);
        pool.pour(y, y);
        vm.assertEq(credit(cy), before);
        vm.assertEq(pool.shareOf(left, y).above, 12_000);
    }

    /// @dev Left's reference is genesis: what flows on of its share is commons, not the reference's of c.
    function test_a_part_of_a_share_flows_to_the_reference_of_who_holds_it() public {
        _lines();
        _pressed();
        uint256 c = whole(thief, two(left, 5_000, right), 14, 14);
        pool.pour(c, c);
        uint256 waiting = pool.pending(trunk);
        uint256 commons = pool.balances().commons;
        uint256 own = pool.shareOf(left, c).above * 4 / 8;
        pool.pour(left, c);
        vm.assertEq(pool.pending(trunk), waiting);
        vm.assertEq(pool.balances().commons, commons + own / 2);
    }
}
