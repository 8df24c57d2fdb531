// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {VoterPay} from "../../../../../contracts/libraries/VoterPay.sol";
import {Specification} from "./Specification.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of voters' pay
contract PayProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 private constant ONE = 1 << 24;

    struct Case {
        bool x;
        bool others;
        uint256 rate;
        uint256 q;
        uint256 slice;
        uint256 bond;
    }

    /// @dev pay <= slice and charge <= bond, never both.
    function _bounded(Case memory c) private pure {
        (uint256 paid, uint256 charged) = VoterPay.payment(c.x, c.others, c.rate, c.q, c.slice, c.bond);
        assert(Specification.payment(c.x, c.others, c.slice, c.bond, paid, charged));
    }

    /// @dev Of min(slice, bond) times the surprise, pay is the whole part and charge the next whole number.
    function _rounded(Case memory c) private pure {
        (uint256 paid, uint256 charged) = VoterPay.payment(c.x, c.others, c.rate, c.q, c.slice, c.bond);
        unchecked {
            uint256 least = c.slice < c.bond ? c.slice : c.bond;
            uint256 exact = least * ((c.x ? ONE - c.rate : c.rate) * (c.others ? ONE - c.q : c.q));
            uint256 unit = ONE * ONE;
            if (c.x == c.others) assert(paid * unit <= exact && exact - paid * unit < unit);
            else assert(charged * unit >= exact && charged * unit - exact < unit);
        }
    }

    function check_pay_is_bounded(bool x, bool others, uint24 rate, uint24 q, uint88 slice, uint88 bond) public pure {
        _bounded(Case(x, others, rate, q, slice, bond));
    }

    function check_pay_is_rounded(bool x, bool others, uint24 rate, uint24 q, uint88 slice, uint88 bond) public pure {
        _rounded(Case(x, others, rate, q, slice, bond));
    }

    /// @dev The slices of all voters of an id are at most its fee: with W the revealed weight, fee / W * W <= fee, and
    ///      the dust that finalise sends to the commons is exactly the rest.
    function check_slices_and_dust_are_the_fee(uint88 fee, uint32 total) public pure {
        if (total == 0) return;
        unchecked {
            uint256 slices = uint256(fee) / total * total;
            assert(slices <= fee && slices + uint256(fee) % total == fee);
        }
    }

    /// @dev The slices of one of the votes, as settling reckons them, are within the fee.
    function check_slices_of_a_vote(uint88 fee, uint32 revealed, uint32 weight) public pure {
        vm.assume(revealed != 0 && weight <= revealed);
        uint256 whole = fee;
        assert(whole / revealed * weight <= fee);
    }

    /// @dev Three voters and any number of others: their slices together are at most the fee.
    function check_slices_of_three_voters(uint88 fee, uint32 a, uint32 b, uint32 c, uint32 rest) public pure {
        uint256 total = uint256(a) + b + c + rest;
        if (total == 0) return;
        unchecked {
            uint256 unit = uint256(fee) / total;
            assert(unit * a + unit * b + unit * c <= fee);
        }
    }

    /// @dev Below 2^24, so that the cast loses nothing, and no more than one unit from the quotient.
    function check_a_rate_is_a_share(uint16 yes, uint16 seen, uint24 q) public pure {
        if (yes > seen) return;
        uint256 rate = VoterPay.rateOf(yes, seen, q);
        unchecked {
            uint256 exact = uint256(yes) * ONE + 4 * uint256(q);
            uint256 unit = uint256(seen) + 4;
            assert(rate * unit <= exact && exact - rate * unit < unit);
        }
    }

    /// @dev By definition: more than half of the others' weight is above; a tie counts 0. No subtraction underflows.
    function check_the_majority_of_the_others(uint32 total, uint32 yes, uint32 weight, bool x) public pure {
        if (yes > total || weight > (x ? yes : total - yes)) return;
        uint256 othersAbove = x ? uint256(yes) - weight : yes;
        uint256 othersBelow = uint256(total) - weight - othersAbove;
        assert(VoterPay.majorityOfOthers(total, yes, weight, x) == (othersAbove > othersBelow));
    }

    /// @dev A vote's bond, rounded up, is at most the stake that gives it its weight, and covers its share of it.
    function check_a_bond_is_at_most_its_stake(uint32 weight, uint80 minStake, uint16 bondBps) public pure {
        if (bondBps > 10_000) return;
        uint256 stake = uint256(weight) * minStake;
        uint256 bond = Math.ceilDiv(stake * bondBps, 10_000);
        unchecked {
            assert(bond <= stake && bond * 10_000 >= stake * bondBps);
        }
    }
}
