// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {Contribution} from "../../../../../contracts/libraries/Contribution.sol";
import {Specification} from "./Specification.sol";
import {Svm} from "./Svm.sol";
import {Vm} from "../support/Vm.sol";

/// @dev A test that says itself, where it calls the contract, what a power, a share or the meter is.
interface Answers {
    function power(uint256 base, uint256 n) external returns (uint256);
    function drawn(uint256 amount, uint256 share) external returns (uint256);
    function released(uint256 allowance, uint256 funds) external returns (uint256);
}

/// @title Any function that meets its specification, in the place of the real one
/// @notice A proof "under" one of these runs on a copy in which a call of the real function is a call of this one: it answers
///         with any value that its `Specification` allows, so what is proved holds for the real function, which meets the same
///         specification by a proof of its own. What that proof takes for granted of the arguments is asserted here.
library Assumed {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    Svm private constant svm = Svm(0xF3993A62377BCd56AE39D773740A5390411E8BC9);

    // --------------------------------------------------------------------------------------------------- contribution

    function greatest(IModelRegistry.Ancestor[] memory parents) internal pure returns (int256 most) {
        most = int256(svm.createUint(39, "most"));
        vm.assume(Specification.greatest(parents, most));
    }

    function heldDown(IModelRegistry.Lineage memory c, uint256 amount)
        internal
        pure
        returns (uint256 held, int256 top)
    {
        assert(Specification.money(amount));
        (held, top) = (svm.createUint(88, "held"), svm.createInt(40, "top"));
        vm.assume(Specification.heldDown(c, amount, held, top));
    }

    function split(IModelRegistry.Lineage memory x, uint256 amount, int256 base)
        internal
        pure
        returns (uint256 own, int256 floor)
    {
        assert(Specification.money(amount) && base >= 0 && base < 1 << 32);
        (own, floor) = (svm.createUint(88, "own"), svm.createInt(40, "floor"));
        vm.assume(Specification.split(x, amount, base, own, floor));
    }

    function among(IModelRegistry.Ancestor[] memory parents, uint256 amount, int256 base, int256 top)
        internal
        pure
        returns (uint256[] memory parts)
    {
        assert(Specification.money(amount) && Specification.shareable(parents, amount, base, top));
        parts = _any(parents.length, 88, "part");
        vm.assume(Specification.shared(parts, amount));
    }

    function weigh(IModelRegistry.Ancestor[] memory parents, int256 base, int256 top)
        internal
        pure
        returns (uint256[] memory weights, uint256 total)
    {
        assert(Specification.shareable(parents, 1, base, top));
        weights = _any(parents.length, 44, "weight");
        total = Specification.sum(weights);
        vm.assume(Specification.weighed(weights, total));
    }

    function portion(uint256 amount, uint256 weight, uint256 left) internal pure returns (uint256 part) {
        assert(Specification.money(amount) && weight <= left && left != 0 && left < 1 << 48);
        part = svm.createUint(88, "portion");
        vm.assume(Specification.portion(amount, weight, left, part));
    }

    function earned(IModelRegistry.Lineage memory c, uint256 amount)
        internal
        pure
        returns (Contribution.Parts memory p)
    {
        return _parts(c.parents.length, amount);
    }

    function inherited(IModelRegistry.Lineage memory x, uint256 above, uint256 held)
        internal
        pure
        returns (Contribution.Parts memory p)
    {
        return _parts(x.parents.length, above + held);
    }

    function ownGrains(IModelRegistry.Lineage memory c) internal pure returns (uint256 grains) {
        grains = svm.createUint(8, "grains");
        vm.assume(Specification.ownGrains(c, grains));
    }

    // ------------------------------------------------------------------------------------- the loop over layers of grains

    function lesser(int256 a, int256 b) internal pure returns (int256 least) {
        assert(a >= -1 << 39 && a < 1 << 39 && b >= -1 << 39 && b < 1 << 39);
        least = svm.createInt(40, "least");
        vm.assume(Specification.lesser(a, b, least));
    }

    /// @dev Where the loop begins its invariant holds; the proof ends here.
    function layersBegin(uint256[] memory heights, uint256[] memory weights, uint256 left, uint256 low, uint256 total)
        internal
        pure
    {
        assert(Specification.layered(heights, weights, left, low, total));
        _end();
    }

    /// @dev Any heights, and weights after any number of layers. One path for each number of parents that are left.
    function layers(uint256 n)
        internal
        pure
        returns (uint256[] memory heights, uint256[] memory weights, uint256 left, uint256 low, uint256 total)
    {
        (heights, weights) = (_any(n, 40, "height"), _any(n, 44, "weight"));
        (low, total) = (svm.createUint(40, "low"), Specification.sum(weights));
        uint256 count = Specification.higher(heights, low);
        vm.assume(Specification.layered(heights, weights, count, low, total));
        for (uint256 k; k <= n; ++k) {
            if (count == k) left = k;
        }
    }

    /// @dev After a layer the invariant holds again and fewer parents are left; the proof ends here.
    function layer(
        uint256[] memory heights,
        uint256[] memory weights,
        uint256 left,
        uint256 low,
        uint256 high,
        uint256 total
    ) internal pure {
        assert(left < Specification.higher(heights, low));
        assert(Specification.layered(heights, weights, left, high, total));
        _end();
    }

    function each(uint256 grains, uint256 left) internal pure returns (uint256 weight) {
        assert(grains != 0 && grains < 1 << 40 && left != 0 && left <= 4);
        weight = svm.createUint(44, "each");
        vm.assume(Specification.each(grains, weight));
    }

    // ---------------------------------------------------------------------------------------------------------- money

    function power(uint256 base, uint256 n) internal returns (uint256) {
        assert(base <= Specification.WAD && n <= 128);
        return Answers(msg.sender).power(base, n);
    }

    function drawn(uint256 amount, uint256 share) internal returns (uint256 part) {
        assert(Specification.money(amount) && share <= Specification.WAD);
        part = Answers(msg.sender).drawn(amount, share);
        vm.assume(Specification.part(amount, share, part));
    }

    function accrued(RewardPool.Meter memory meter, uint256 funds, uint256 weight)
        internal
        returns (RewardPool.Meter memory)
    {
        assert(Specification.money(funds) && meter.allowance <= funds);
        uint256 allowance = Answers(msg.sender).released(meter.allowance, funds);
        vm.assume(allowance >= meter.allowance && allowance <= funds);
        return RewardPool.Meter(uint88(allowance), uint32(weight), uint40(block.timestamp), true);
    }

    function royalty(uint256 amount, uint256 shareBps) internal pure returns (uint256 part) {
        assert(Specification.money(amount) && shareBps <= 10_000);
        part = svm.createUint(88, "royalty");
        vm.assume(part <= amount);
    }

    function slices(uint256 fee, uint256 revealed, uint256 weight) internal pure returns (uint256 part) {
        assert(Specification.money(fee) && weight <= revealed && revealed != 0 && revealed < 1 << 32);
        part = svm.createUint(88, "slices");
        vm.assume(part <= fee);
    }

    function payment(bool x, bool others, uint256 rate, uint256 q, uint256 slice, uint256 bond)
        internal
        pure
        returns (uint256 paid, uint256 charged)
    {
        assert(rate < 1 << 24 && q < 1 << 24 && Specification.money(slice) && Specification.money(bond));
        (paid, charged) = (svm.createUint(88, "paid"), svm.createUint(88, "charged"));
        vm.assume(Specification.payment(x, others, slice, bond, paid, charged));
    }

    // -------------------------------------------------------------------------------------------------------- internal

    function _parts(uint256 parents, uint256 amount) private pure returns (Contribution.Parts memory p) {
        assert(Specification.money(amount));
        (p.own, p.above, p.held) = (svm.createUint(88, "own"), _any(parents, 88, "above"), _any(parents, 88, "held"));
        unchecked {
            p.below = amount - p.own;
        }
        vm.assume(Specification.conserved(p, amount));
    }

    function _any(uint256 count, uint256 bits, string memory name) private pure returns (uint256[] memory values) {
        values = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            values[i] = svm.createUint(bits, name);
        }
    }

    function _end() private pure {
        assembly ("memory-safe") {
            stop()
        }
    }
}
