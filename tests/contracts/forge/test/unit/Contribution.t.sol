// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parent, Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
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

    /// @dev A copy that became best by showing what was pressed takes nothing of what later models earn, either.
    function test_what_only_shows_takes_nothing_along_references() public {
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
        uint256 x = whole(ann, only(0), -8, 14);
        uint256 c = whole(thief, only(uint32(x)), 14, 14);
        uint256 d = whole(bob, only(uint32(c)), 4, 4);
        pool.pour(d, d);
        uint256 stream = pool.pending(c);
        vm.assertTrue(stream != 0);
        uint256 before = credit(thief);
        pool.pour(c, c);
        vm.assertEq(credit(thief), before, "nothing of the reward, nothing of the stream");
    }
}
