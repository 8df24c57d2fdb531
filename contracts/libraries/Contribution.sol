// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IModelRegistry} from "../../interfaces/IModelRegistry.sol";

/// @title Contribution is paid, not the last step: how an amount is split for one model
/// @notice Let x be a model with measured level M(x) and declared Final parents p. What it carried over from them is
///         carried(x) = min(M(x), max M(p)).
///
///         Splitting `amount` for x above a base b. If M(x) <= b, all of it is x's author's. Else the amount stands for the
///         M(x) - b grains above b, each worth the same. With floor = max(b, carried(x)), those above floor are x's own:
///
///             own = amount * (M(x) - floor) / (M(x) - b), rounded down;      below = amount - own.
///
///         A model that adds nothing to what it carried has floor = M(x) and gets nothing, to the unit. Each grain between b
///         and floor is shared equally by the parents whose M reaches it. With heights h(p) = min(M(p), floor) - b > 0, sorted,
///         and n parents, the parent of the k-th height (from zero) has the weight
///
///             w(k) = w(k - 1) + 12 * (h(k) - h(k - 1)) / (n - k),
///
///         a whole number since n <= 4. Parents are paid in declared order, each the part of its weight in what weight is left,
///         rounded down, so that the last takes the remainder and Σ parts = below. A parent splits its part by the same rule
///         above the same b.
///
///         What a veto held down. c became best by Δ grains over the old best, whose measured level is B. Of them
///         backed = min(Δ, max(0, M(c) - B)) are grains by which M really rose. The reward of the other Δ - backed,
///
///             held = reward * (Δ - backed) / Δ, rounded down,
///
///         goes to the parents with M above that of c's reference, split above the M of that reference up to the greatest
///         M among them; without such a parent it is c's author's, like the rest, which is split above B.
/// @dev Bases are never negative. M - L never falls along references, as the median is never below the outcome (kappa <= 1/2),
///      and a best has L >= 0; bases are M of bests. So genesis, with M = 0, is above no base and gets no share.
///      Levels have 40 bits and amounts 88, so no product overflows.
library Contribution {
    uint256 private constant TWELFTHS = 12; // lcm(1, 2, 3, 4)

    /// @notice What becomes of an amount: own + below, and below = Σ above + Σ held, by parent as declared.
    struct Parts {
        uint256 own;
        uint256 below;
        uint256[] above;
        uint256[] held;
    }

    /// @notice Split what `c` earned itself.
    function earned(IModelRegistry.Lineage memory c, uint256 amount) internal pure returns (Parts memory p) {
        (uint256 held, int256 top) = heldDown(c, amount);
        int256 floor;
        (p.own, floor) = split(c, amount - held, c.base);
        p.below = amount - p.own;
        p.above = among(c.parents, amount - held - p.own, c.base, floor);
        p.held = among(c.parents, held, c.referenceBase, top);
    }

    /// @notice Split what `x` holds of what a descendant earned.
    function inherited(IModelRegistry.Lineage memory x, uint256 above, uint256 held)
        internal
        pure
        returns (Parts memory p)
    {
        (uint256 ownAbove, int256 floorAbove) = split(x, above, x.base);
        (uint256 ownHeld, int256 floorHeld) = split(x, held, x.referenceBase);
        p.own = ownAbove + ownHeld;
        p.below = above + held - p.own;
        p.above = among(x.parents, above - ownAbove, x.base, floorAbove);
        p.held = among(x.parents, held - ownHeld, x.referenceBase, floorHeld);
    }

    /// @notice Grains of the gain of a model that are its author's own: neither carried over nor held down by a veto. What flows
    ///         along references stops at a model by these.
    function ownGrains(IModelRegistry.Lineage memory c) internal pure returns (uint256) {
        int256 floor = carried(c);
        if (floor < c.base) floor = c.base;
        return c.measured <= floor ? 0 : Math.min(c.gain, uint256(c.measured - floor));
    }

    /// @notice The greatest M among the parents, at most the model's own; zero or less stands for none.
    function carried(IModelRegistry.Lineage memory x) internal pure returns (int256) {
        int256 most = greatest(x.parents);
        return most > x.measured ? int256(x.measured) : most;
    }

    /// @notice The greatest M among the parents; zero if there is none above.
    function greatest(IModelRegistry.Ancestor[] memory parents) internal pure returns (int256 most) {
        for (uint256 i; i < parents.length; ++i) {
            if (parents[i].measured > most) most = parents[i].measured;
        }
    }

    /// @notice Split an amount for `x` above `base`.
    /// @return own part of x's author, rounded down
    /// @return floor top of the grains that the rest stands for; above `base` if there is a rest
    function split(IModelRegistry.Lineage memory x, uint256 amount, int256 base)
        internal
        pure
        returns (uint256 own, int256 floor)
    {
        if (x.measured <= base) return (amount, base);
        floor = carried(x);
        if (floor < base) floor = base;
        own = amount * uint256(x.measured - floor) / uint256(x.measured - base);
    }

    /// @notice The part of what `c` earned that a veto had held down.
    /// @return held zero if no parent is above the reference
    /// @return top greatest M among the parents
    function heldDown(IModelRegistry.Lineage memory c, uint256 amount)
        internal
        pure
        returns (uint256 held, int256 top)
    {
        top = greatest(c.parents);
        if (c.gain == 0 || top <= c.referenceBase) return (0, top);
        uint256 backed = c.measured <= c.base ? 0 : Math.min(c.gain, uint256(int256(c.measured) - c.base));
        held = amount * (c.gain - backed) / c.gain;
    }

    /// @notice Share an amount that stands for the grains between `base` and `top` among the parents.
    /// @dev With an amount above zero there is a parent above `base`, and `top` is above it.
    /// @return parts in declared order; they sum to the amount
    function among(IModelRegistry.Ancestor[] memory parents, uint256 amount, int256 base, int256 top)
        internal
        pure
        returns (uint256[] memory parts)
    {
        parts = new uint256[](parents.length);
        if (amount == 0) return parts;
        (uint256[] memory weights, uint256 weightLeft) = weigh(parents, base, top);
        for (uint256 i; i < weights.length; ++i) {
            if (weights[i] == 0) continue;
            parts[i] = amount * weights[i] / weightLeft;
            (amount, weightLeft) = (amount - parts[i], weightLeft - weights[i]);
        }
    }

    /// @notice Weights of the parents in the grains between `base` and `top`, in twelfths of a grain.
    /// @return weights in declared order; zero for a parent that does not reach above `base`
    /// @return total their sum
    function weigh(IModelRegistry.Ancestor[] memory parents, int256 base, int256 top)
        internal
        pure
        returns (uint256[] memory weights, uint256 total)
    {
        uint256 n = parents.length;
        uint256[] memory heights = new uint256[](n);
        uint256 left; // parents that reach above `low`
        for (uint256 i; i < n; ++i) {
            int256 reach = parents[i].measured < top ? int256(parents[i].measured) : top;
            if (reach > base) (heights[i], left) = (uint256(reach - base), left + 1);
        }
        weights = new uint256[](n);
        uint256 low;
        while (left != 0) {
            // the next layer of grains: up to the lowest parent above `low`, shared by all that reach it
            uint256 high = type(uint256).max;
            for (uint256 i; i < n; ++i) {
                if (heights[i] > low && heights[i] < high) high = heights[i];
            }
            uint256 each = TWELFTHS * (high - low) / left;
            for (uint256 i; i < n; ++i) {
                if (heights[i] <= low) continue;
                (weights[i], total) = (weights[i] + each, total + each);
                if (heights[i] == high) --left;
            }
            low = high;
        }
    }
}
