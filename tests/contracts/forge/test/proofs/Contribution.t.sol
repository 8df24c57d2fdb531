// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Contribution} from "../../../../../contracts/libraries/Contribution.sol";

/// @title What symbolic execution proves of contribution, for a model with two declared parents that are Final
/// @notice Levels are of any size in their 40 bits, bases not negative (see Contribution), amounts of 88 bits.
contract ContributionProofs {
    using Contribution for IModelRegistry.Lineage;

    function _model(uint8 gain, int40 m, int40 base, int40 referenceBase, int40 a, int40 b)
        private
        pure
        returns (IModelRegistry.Lineage memory l)
    {
        (l.gain, l.measured, l.base, l.referenceBase) = (gain, m, base, referenceBase);
        l.parents = new IModelRegistry.Ancestor[](2);
        (l.parents[0], l.parents[1]) = (IModelRegistry.Ancestor(1, a), IModelRegistry.Ancestor(2, b));
    }

    function _conserves(Contribution.Parts memory p, uint256 amount) private pure {
        assert(p.own + p.below == amount);
        assert(p.above[0] + p.above[1] + p.held[0] + p.held[1] == p.below);
    }

    /// @dev Σ shares = what was earned, to the unit, also with what a veto had held down.
    function check_what_is_earned_is_conserved(
        uint88 amount,
        uint8 gain,
        int40 m,
        uint32 base,
        uint32 referenceBase,
        int40 a,
        int40 b
    ) public pure {
        _conserves(_model(gain, m, int40(uint40(base)), int40(uint40(referenceBase)), a, b).earned(amount), amount);
    }

    function check_what_is_inherited_is_conserved(
        uint64 above,
        uint64 held,
        int40 m,
        uint32 base,
        uint32 referenceBase,
        int40 a,
        int40 b
    ) public pure {
        IModelRegistry.Lineage memory l = _model(0, m, int40(uint40(base)), int40(uint40(referenceBase)), a, b);
        _conserves(l.inherited(above, held), uint256(above) + held);
    }

    /// @dev A model that adds nothing to what it carried takes nothing, nor does it keep anything of what flows on.
    function check_who_adds_nothing_takes_nothing(uint88 amount, uint8 gain, int40 m, uint32 base, int40 a, int40 b)
        public
        pure
    {
        int256 most = a > b ? a : b;
        if (most < m || m <= int40(uint40(base))) return; // a parent reaches as far, above the base
        IModelRegistry.Lineage memory l = _model(gain, m, int40(uint40(base)), int40(uint40(base)), a, b);
        assert(l.earned(amount).own == 0);
        assert(l.ownGrains() == 0);
    }

    /// @dev The grains a model keeps of what flows on are at most its gain.
    function check_own_grains_are_at_most_the_gain(uint8 gain, int40 m, uint32 base, int40 a, int40 b) public pure {
        assert(_model(gain, m, int40(uint40(base)), 0, a, b).ownGrains() <= gain);
    }

    // ------------------------------------------------------------------------------------------- the same, at random

    function testFuzz_what_is_earned_is_conserved(
        uint88 amount,
        uint8 gain,
        int16 m,
        uint16 base,
        uint16 referenceBase,
        int16 a,
        int16 b
    ) public pure {
        check_what_is_earned_is_conserved(amount, gain, m, base, referenceBase, a, b);
        check_what_is_inherited_is_conserved(uint64(amount), uint64(amount >> 24), m, base, referenceBase, a, b);
        check_who_adds_nothing_takes_nothing(amount, gain, m, base, a, b);
        check_own_grains_are_at_most_the_gain(gain, m, base, a, b);
    }
}
