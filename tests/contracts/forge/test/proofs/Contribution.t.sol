// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Contribution} from "../../../../../contracts/libraries/Contribution.sol";
import {Specification} from "./Specification.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of contribution, for a model with up to four declared parents that are Final
/// @notice Bases are not negative, as they never are (see Contribution); other levels are any of 39 bits and a sign, amounts
///         have 88 bits. What a model earned or holds is cut into what a veto held down and the rest, each is split, and what
///         is below is shared among the parents: each of these keeps the amount to the unit, and the next asks for no more
///         than the one before gives.
contract ContributionProofs {
    using Contribution for IModelRegistry.Lineage;

    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 private constant TWELFTHS = 12;

    /// @dev A model and its parents, of which the first `n` are declared.
    struct Case {
        uint8 gain;
        int40 m;
        uint32 base;
        uint32 referenceBase;
        int40[4] parents;
        uint8 n;
    }

    /// @dev One path for each number of parents.
    function _model(Case calldata c) private pure returns (IModelRegistry.Lineage memory l) {
        vm.assume(c.m < 1 << 32);
        (l.gain, l.measured) = (c.gain, c.m < 0 ? c.m : _level(uint32(uint40(c.m))));
        (l.base, l.referenceBase) = (_level(c.base), _level(c.referenceBase));
        l.parents = _parents(c.parents, c.n);
    }

    function _parents(int40[4] calldata levels, uint8 n) private pure returns (IModelRegistry.Ancestor[] memory list) {
        vm.assume(n <= 4);
        for (uint256 k; k < 5; ++k) {
            if (n != k) continue;
            list = new IModelRegistry.Ancestor[](k);
            for (uint256 i; i < k; ++i) {
                list[i] = IModelRegistry.Ancestor(uint32(i + 1), levels[i]);
            }
        }
    }

    function _level(uint32 value) private pure returns (int40) {
        return int40(uint40(value));
    }

    // --------------------------------------------------------------------------------------------- what a split is made of

    /// @dev The greatest level of the parents is that of one of them, or zero if there is none above.
    function check_the_greatest_is_reached(int40[4] calldata levels, uint8 n) public pure {
        IModelRegistry.Ancestor[] memory parents = _parents(levels, n);
        assert(Specification.greatest(parents, Contribution.greatest(parents)));
    }

    /// @dev What a veto held down is a part of the amount, and none without a parent above the base of the reference.
    function check_what_is_held_down_is_a_part(uint88 amount, Case calldata c) public pure {
        IModelRegistry.Lineage memory l = _model(c);
        (uint256 held, int256 top) = l.heldDown(amount);
        assert(Specification.heldDown(l, amount, held, top));
    }

    /// @dev An own part is at most the amount; where it is less, a parent reaches the floor, which is above the base.
    function check_an_own_part_is_a_part(uint88 amount, Case calldata c) public pure {
        IModelRegistry.Lineage memory l = _model(c);
        (uint256 own, int256 floor) = l.split(amount, l.base);
        assert(Specification.split(l, amount, l.base, own, floor));
    }

    /// @dev Of two levels the lesser, as the contract picks it.
    function check_the_lesser_of_two_levels(int40 a, int40 top) public pure {
        assert(Specification.lesser(a, top, a < top ? int256(a) : top));
    }

    /// @dev Weights are made in a loop over layers of grains. Where it begins its invariant holds.
    function check_layers_begin(uint32 base, int40 top, int40[4] calldata levels, uint8 n) public pure {
        IModelRegistry.Ancestor[] memory parents = _parents(levels, n);
        vm.assume(Specification.shareable(parents, 1, _level(base), top));
        Contribution.weigh(parents, _level(base), top);
        assert(false); // the proof ends where the loop begins
    }

    /// @dev A layer, whatever the heights and whatever came before it, keeps the invariant and leaves fewer parents. Without a
    ///      parent left the weights are together their total, which is not zero.
    function check_a_layer_keeps_the_weights(uint8 n) public pure {
        vm.assume(n != 0 && n <= 4);
        for (uint256 k = 1; k < 5; ++k) {
            if (n != k) continue;
            (uint256[] memory weights, uint256 total) = Contribution.weigh(new IModelRegistry.Ancestor[](k), 0, 0);
            assert(Specification.weighed(weights, total));
        }
    }

    /// @dev What a layer adds to the weight of each that reaches it.
    function check_each_gets_some_of_a_layer(uint40 low, uint40 high, uint8 left) public pure {
        vm.assume(low < high && left != 0 && left <= 4);
        uint256 most = TWELFTHS * (uint256(high) - low);
        for (uint256 k = 1; k < 5; ++k) {
            if (left == k) assert(Specification.each(uint256(high) - low, most / k));
        }
    }

    /// @dev The part of a weight is a part of the amount, and all of it for all the weight.
    function check_a_portion_is_a_part(uint88 amount, uint48 weight, uint48 weightLeft) public pure {
        vm.assume(weight <= weightLeft && weightLeft != 0);
        uint256[] memory weights = new uint256[](1);
        weights[0] = weight;
        assert(Specification.portion(amount, weights[0], weightLeft, _portion(amount, weights, weightLeft, 0)));
    }

    function _portion(uint256 amount, uint256[] memory weights, uint256 weightLeft, uint256 i)
        private
        pure
        returns (uint256)
    {
        return amount * weights[i] / weightLeft;
    }

    // ------------------------------------------------------------------------------------------------------ what it gives

    /// @dev The shares of parents, one of which is above the base, are together what there is to share.
    function check_shares_of_parents_sum_up(uint88 amount, uint32 base, int40 top, int40[4] calldata levels, uint8 n)
        public
        pure
    {
        IModelRegistry.Ancestor[] memory parents = _parents(levels, n);
        vm.assume(Specification.shareable(parents, amount, _level(base), top));
        assert(Specification.shared(Contribution.among(parents, amount, _level(base), top), amount));
    }

    /// @dev What a model earned is its author's own part and the shares of its parents.
    function check_what_is_earned_is_conserved(uint88 amount, Case calldata c) public pure {
        assert(Specification.conserved(_model(c).earned(amount), amount));
    }

    /// @dev So is what it holds of what another earned.
    function check_what_is_inherited_is_conserved(uint88 above, uint88 held, Case calldata c) public pure {
        assert(Specification.conserved(_model(c).inherited(above, held), uint256(above) + held));
    }

    /// @dev A model that adds nothing to what it carried takes nothing, nor does it keep anything of what flows on.
    function check_who_adds_nothing_takes_nothing(uint88 amount, uint8 gain, uint32 m, uint32 base, uint32 a, uint32 b)
        public
        pure
    {
        if ((a < m && b < m) || m <= base) return; // a parent reaches as far, above the base
        IModelRegistry.Lineage memory l;
        (l.gain, l.measured, l.base, l.referenceBase) = (gain, _level(m), _level(base), _level(base));
        l.parents = new IModelRegistry.Ancestor[](2);
        (l.parents[0], l.parents[1]) = (IModelRegistry.Ancestor(1, _level(a)), IModelRegistry.Ancestor(2, _level(b)));
        (uint256 own,) = l.split(amount, l.base);
        assert(own == 0 && l.ownGrains() == 0);
    }

    /// @dev The grains a model keeps of what flows on are at most its gain.
    function check_own_grains_are_at_most_the_gain(Case calldata c) public pure {
        IModelRegistry.Lineage memory l = _model(c);
        assert(Specification.ownGrains(l, l.ownGrains()));
    }
}
