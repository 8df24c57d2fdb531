// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Contribution} from "../../../../../contracts/libraries/Contribution.sol";

/// @title What one function may rely on of another
/// @notice Each is asserted of the real function by the proof that `properties.json` names, and assumed, by the same name,
///         where `Assumed` stands in for that function. Nothing here branches: a proof follows one path through it.
library Specification {
    uint256 internal constant WAD = 1e18;

    // --------------------------------------------------------------------------------------------------- contribution

    /// @dev Any amount that the vault can hold.
    function money(uint256 amount) internal pure returns (bool) {
        return amount < 1 << 88;
    }

    /// @dev The greatest level of the parents, or zero.
    function greatest(IModelRegistry.Ancestor[] memory parents, int256 most) internal pure returns (bool) {
        return _both(_both(most >= 0, most < 1 << 39), _either(most == 0, _reached(parents, most)));
    }

    /// @dev Of an amount that was earned: what a veto held down, and the greatest M among the parents.
    function heldDown(IModelRegistry.Lineage memory c, uint256 amount, uint256 held, int256 top)
        internal
        pure
        returns (bool)
    {
        bool lifted = _both(top > c.referenceBase, _reached(c.parents, top));
        return _both(held <= amount, _either(held == 0, lifted));
    }

    /// @dev Of an amount split above `base`: an own part, and the floor that a parent reaches where there is a rest.
    function split(IModelRegistry.Lineage memory x, uint256 amount, int256 base, uint256 own, int256 floor)
        internal
        pure
        returns (bool)
    {
        bool carried = _both(floor > base, _reached(x.parents, floor));
        return _both(own <= amount, _either(own == amount, carried));
    }

    /// @dev When parents may be asked to share: nothing is left to share, or one of them is above the base.
    function shareable(IModelRegistry.Ancestor[] memory parents, uint256 amount, int256 base, int256 top)
        internal
        pure
        returns (bool)
    {
        return _either(amount == 0, _both(top > base, _reached(parents, base + 1)));
    }

    /// @dev The parts are together the amount, none is greater than it.
    function shared(uint256[] memory parts, uint256 amount) internal pure returns (bool) {
        return _both(sum(parts) == amount, _within(parts, amount));
    }

    /// @dev The weights are together the total, which is not zero; none is more than twelfths of the grains of two levels.
    function weighed(uint256[] memory weights, uint256 total) internal pure returns (bool) {
        return _both(_both(sum(weights) == total, total != 0), _within(weights, (1 << 44) - 1));
    }

    /// @dev One of the two, and greater than neither.
    function lesser(int256 a, int256 b, int256 least) internal pure returns (bool) {
        return _both(_either(least == a, least == b), _both(least <= a, least <= b));
    }

    /// @dev In the loop over layers of grains, with the layers up to `low` dealt with: `open` parents are higher, one at least
    ///      is higher than the base, weights are together `total`, none is more than twelve times `low`, and after the first
    ///      layer there is some.
    function layered(uint256[] memory heights, uint256[] memory weights, uint256 open, uint256 low, uint256 total)
        internal
        pure
        returns (bool)
    {
        unchecked {
            bool counted = _both(open == higher(heights, low), higher(heights, 0) != 0);
            bool summed = _both(total == sum(weights), _within(weights, 12 * low));
            bool bounded = _both(_within(heights, (1 << 40) - 1), low < 1 << 40);
            return _both(_both(counted, summed), _both(bounded, _either(low == 0, total != 0)));
        }
    }

    /// @dev Of a layer of so many grains, not more than twelve times as much weight for each parent that reaches it, and some.
    function each(uint256 grains, uint256 weight) internal pure returns (bool) {
        unchecked {
            return _both(weight != 0, weight <= 12 * grains);
        }
    }

    /// @dev How many are higher than `low`.
    function higher(uint256[] memory heights, uint256 low) internal pure returns (uint256 count) {
        for (uint256 i; i < heights.length; ++i) {
            uint256 height = heights[i];
            assembly ("memory-safe") {
                count := add(count, gt(height, low))
            }
        }
    }

    /// @dev The part of a weight in the weights that are left: of all the weight it is all.
    function portion(uint256 amount, uint256 weight, uint256 all, uint256 value) internal pure returns (bool) {
        return _both(value <= amount, _either(weight != all, value == amount));
    }

    /// @dev All that a split gives is what there was.
    function conserved(Contribution.Parts memory p, uint256 amount) internal pure returns (bool) {
        unchecked {
            bool whole = _both(p.own <= amount, p.below == amount - p.own);
            bool parts = _both(_within(p.above, amount), _within(p.held, amount));
            return _both(_both(whole, parts), sum(p.above) + sum(p.held) == p.below);
        }
    }

    /// @dev The grains a model keeps of what flows on are at most its gain.
    function ownGrains(IModelRegistry.Lineage memory c, uint256 grains) internal pure returns (bool) {
        return grains <= c.gain;
    }

    // ---------------------------------------------------------------------------------------------------------- money

    /// @dev Of a power of a share in [0, 1]: it is one, and without an exponent it is 1.
    function power(uint256 n, uint256 value) internal pure returns (bool) {
        return _both(value <= WAD, _either(n != 0, value == WAD));
    }

    /// @dev Of the powers of one share to a, b and a + b: they fall, and the first two are the third, to 260 units of 1e-18.
    function powers(uint256 toA, uint256 toB, uint256 toBoth) internal pure returns (bool) {
        unchecked {
            (uint256 parts, uint256 whole) = (toA * toB, toBoth * WAD);
            bool fall = _both(_both(toA <= WAD, toB <= WAD), _both(toBoth <= toA, toBoth <= toB));
            return _both(fall, _both(parts <= whole + 260 * WAD, whole <= parts + 260 * WAD));
        }
    }

    /// @dev What a share draws of an amount: its part, rounded down.
    function drawn(uint256 amount, uint256 share) internal pure returns (uint256) {
        unchecked {
            return amount * share / WAD;
        }
    }

    /// @dev It is a part of the amount, and no share draws nothing.
    function part(uint256 amount, uint256 share, uint256 value) internal pure returns (bool) {
        return _both(value <= amount, _either(share != 0, value == 0));
    }

    /// @dev What is left of an amount of which 1 - `power` is drawn.
    function left(uint256 amount, uint256 power_) internal pure returns (uint256) {
        unchecked {
            return amount - drawn(amount, WAD - power_);
        }
    }

    /// @dev Of what two powers leave of an amount, one after the other, and of what their product leaves: they are the same to
    ///      260 parts in 1e18 of the amount and two units.
    function same(uint256 amount, uint256 twice, uint256 once) internal pure returns (bool) {
        unchecked {
            uint256 slack = 260 * amount + 2 * WAD;
            return _both(twice * WAD <= once * WAD + slack, once * WAD <= twice * WAD + slack);
        }
    }

    /// @dev Of a vote's pay and charge: within slice and bond, and never both.
    function payment(bool x, bool others, uint256 slice, uint256 bond, uint256 paid, uint256 charged)
        internal
        pure
        returns (bool)
    {
        bool one = _either(_both(x == others, charged == 0), _both(x != others, paid == 0));
        return _both(_both(paid <= slice, charged <= bond), one);
    }

    // -------------------------------------------------------------------------------------------------------- internal

    /// @dev Whether a parent reaches a height.
    function _reached(IModelRegistry.Ancestor[] memory parents, int256 height) private pure returns (bool any) {
        for (uint256 i; i < parents.length; ++i) {
            any = _either(any, parents[i].measured >= height);
        }
    }

    function sum(uint256[] memory values) internal pure returns (uint256 all) {
        unchecked {
            for (uint256 i; i < values.length; ++i) {
                all += values[i];
            }
        }
    }

    function _within(uint256[] memory values, uint256 most) private pure returns (bool all) {
        all = true;
        for (uint256 i; i < values.length; ++i) {
            all = _both(all, values[i] <= most);
        }
    }

    function _both(bool a, bool b) private pure returns (bool c) {
        assembly ("memory-safe") {
            c := and(a, b)
        }
    }

    function _either(bool a, bool b) private pure returns (bool c) {
        assembly ("memory-safe") {
            c := or(a, b)
        }
    }
}
