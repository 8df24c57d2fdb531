// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Contribution} from "../../../../../contracts/libraries/Contribution.sol";

/// @title What symbolic execution proves of contribution, for a model with two declared parents that are Final
/// @notice Levels have 32 bits and are not negative, as bases never are (see Contribution); amounts have 88 bits. What a model
///         earned or holds is cut into what a veto held down and the rest, each is split, and what is below is shared among
///         the parents: each of these keeps the amount to the unit, and the next asks for no more than the one before gives.
contract ContributionProofs {
    using Contribution for IModelRegistry.Lineage;

    function _model(uint8 gain, uint32 m, uint32 base, uint32 referenceBase, uint32 a, uint32 b)
        private
        pure
        returns (IModelRegistry.Lineage memory l)
    {
        (l.gain, l.measured, l.base, l.referenceBase) = (gain, _level(m), _level(base), _level(referenceBase));
        l.parents = new IModelRegistry.Ancestor[](2);
        (l.parents[0], l.parents[1]) = (IModelRegistry.Ancestor(1, _level(a)), IModelRegistry.Ancestor(2, _level(b)));
    }

    function _level(uint32 value) private pure returns (int40) {
        return int40(uint40(value));
    }

    /// @dev What a veto held down is a part of the amount, and none without a parent above the base of the reference.
    function check_what_is_held_down_is_a_part(
        uint88 amount,
        uint8 gain,
        uint32 m,
        uint32 base,
        uint32 referenceBase,
        uint32 a,
        uint32 b
    ) public pure {
        (uint256 held, int256 top) = _model(gain, m, base, referenceBase, a, b).heldDown(amount);
        assert(held <= amount);
        assert(held == 0 || (top > _level(referenceBase) && (_level(a) >= top || _level(b) >= top)));
    }

    /// @dev An own part is at most the amount; where it is less, a parent reaches the floor, which is above the base.
    function check_an_own_part_is_a_part(uint88 amount, uint32 m, uint32 base, uint32 a, uint32 b) public pure {
        (uint256 own, int256 floor) = _model(0, m, base, 0, a, b).split(amount, _level(base));
        assert(own <= amount);
        assert(own == amount || (floor > _level(base) && (_level(a) >= floor || _level(b) >= floor)));
    }

    /// @dev The shares of up to four parents, one of which at least is above the base, are together what there is to share.
    function testFuzz_shares_of_parents_sum_up(uint88 amount, uint32 base, uint32 top, int40[4] memory levels, uint8 n)
        public
        pure
    {
        IModelRegistry.Ancestor[] memory parents = new IModelRegistry.Ancestor[](n % 4 + 1);
        for (uint256 i; i < parents.length; ++i) {
            parents[i] = IModelRegistry.Ancestor(uint32(i), i == n % parents.length ? _level(base) + 1 : levels[i]);
        }
        uint256[] memory parts =
            Contribution.among(parents, amount, _level(base), int256(_level(base)) + 1 + int32(top >> 1));
        uint256 sum;
        for (uint256 i; i < parts.length; ++i) {
            sum += parts[i];
        }
        assert(sum == amount);
    }

    /// @dev A model that adds nothing to what it carried takes nothing, nor does it keep anything of what flows on.
    function check_who_adds_nothing_takes_nothing(uint88 amount, uint8 gain, uint32 m, uint32 base, uint32 a, uint32 b)
        public
        pure
    {
        if ((a < m && b < m) || m <= base) return; // a parent reaches as far, above the base
        IModelRegistry.Lineage memory l = _model(gain, m, base, base, a, b);
        (uint256 own,) = l.split(amount, l.base);
        assert(own == 0 && l.ownGrains() == 0);
    }

    /// @dev The grains a model keeps of what flows on are at most its gain.
    function check_own_grains_are_at_most_the_gain(uint8 gain, uint32 m, uint32 base, uint32 a, uint32 b) public pure {
        assert(_model(gain, m, base, 0, a, b).ownGrains() <= gain);
    }
}
