// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Status} from "../../../../../interfaces/PdfedTypes.sol";
import {RegistryConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {ModelRegistry} from "../../../../../contracts/ModelRegistry.sol";
import {Svm} from "./Svm.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of levels, on the real ModelRegistry in a clone with storage of any content
/// @notice This contract stands for the book.
contract LevelProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    Svm private constant svm = Svm(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
    /// @dev Levels are sums of at most 2^26 outcomes of at most 23.
    int32 private constant MOST = 1 << 30;

    ModelRegistry private _registry;

    /// @dev What the registry held before id 7 was concluded.
    struct Before {
        uint256 bestId;
        int32 best;
        uint256 referenceId;
        int32 level;
        int8 tau;
        uint64 q;
    }

    uint256 private constant ID = 7;

    /// @dev A registry of which nothing is known but its parameters, that it has the id and an earlier reference of it,
    ///      and that no level is beyond what ids can sum up to.
    function _any(uint8 minStep) private returns (Before memory b) {
        RegistryConfig memory c;
        (c.book, c.minStep) = (address(this), minStep);
        _registry = ModelRegistry(Clones.cloneWithImmutableArgs(address(new ModelRegistry()), abi.encode(c)));
        svm.enableSymbolicStorage(address(_registry));
        (b.bestId, b.best) = _registry.best();
        (b.tau, b.q) = _registry.tauAndRate();
        (,, b.referenceId) = _registry.ancestryOf(ID);
        b.level = _levelOf(b.referenceId);
        vm.assume(b.referenceId < ID && b.bestId < ID);
        vm.assume(-MOST <= b.level && b.level <= MOST && -MOST <= b.best && b.best <= MOST);
    }

    function _levelOf(uint256 id) private view returns (int32) {
        return _registry.submission(id).level;
    }

    /// @dev What a book can conclude.
    function _final(IModelRegistry.Conclusion calldata r) private pure {
        vm.assume(r.status == Status.Final && -8 <= r.outcome && r.outcome <= 23);
    }

    /// @dev level = level(reference) + outcome, without overflow; the id keeps what was concluded.
    function check_a_level_is_its_reference_and_its_outcome(uint8 minStep, IModelRegistry.Conclusion calldata r)
        public
    {
        Before memory b = _any(minStep);
        _final(r);
        uint8 gain = _registry.conclude(ID, r);
        IModelRegistry.Submission memory s = _registry.submission(ID);
        assert(int256(s.level) == int256(b.level) + r.outcome && s.gain == gain);
        assert(s.status == r.status && s.outcome == r.outcome && s.median == r.median);
        assert(s.revealedWeight == r.revealedWeight && s.yesWeight == r.yesWeight);
    }

    /// @dev A model is best exactly if it is minStep above the best, its gain is what it is above; the best never falls.
    function check_a_gain_is_what_a_level_is_above_the_best(uint8 minStep, IModelRegistry.Conclusion calldata r)
        public
    {
        Before memory b = _any(minStep);
        _final(r);
        vm.assume(minStep != 0 && b.level <= b.best); // the reference was best once
        uint8 gain = _registry.conclude(ID, r);
        (uint256 bestId, int32 best) = _registry.best();
        int256 above = int256(b.level) + r.outcome - b.best;
        if (above >= int256(uint256(minStep))) {
            assert(gain == uint256(above) && bestId == ID && best == b.level + r.outcome);
        } else {
            assert(gain == 0 && bestId == b.bestId && best == b.best);
        }
        assert(best >= b.best && int256(best) - b.best == int256(uint256(gain)));
    }

    /// @dev With the line above the gain is at most 23, so that its cast and its power are safe.
    function check_a_gain_is_at_most_the_outcome(uint8 minStep, IModelRegistry.Conclusion calldata r) public {
        Before memory b = _any(minStep);
        _final(r);
        vm.assume(minStep != 0 && b.level <= b.best);
        uint8 gain = _registry.conclude(ID, r);
        assert(gain == 0 || (int256(uint256(gain)) <= r.outcome && gain <= 23 && gain >= minStep));
    }

    /// @dev A void id has level and gain zero and moves neither best, tau, nor q; what follows is due in any case.
    function check_a_void_id_moves_nothing(uint8 minStep, IModelRegistry.Conclusion calldata r) public {
        Before memory b = _any(minStep);
        vm.assume(r.status == Status.Void);
        uint8 gain = _registry.conclude(ID, r);
        (uint256 bestId, int32 best) = _registry.best();
        (int8 tau, uint64 q) = _registry.tauAndRate();
        assert(gain == 0 && _levelOf(ID) == 0 && bestId == b.bestId && best == b.best && tau == b.tau && q == b.q);
        assert(_registry.nextToFinalize() == ID + 1);
    }

    /// @dev However an id ends, no other id's level, gain or status changes.
    function check_an_id_moves_no_other(uint8 minStep, uint32 other, IModelRegistry.Conclusion calldata r) public {
        _any(minStep);
        vm.assume(other != ID && -8 <= r.outcome && r.outcome <= 23);
        IModelRegistry.Submission memory s = _registry.submission(other);
        _registry.conclude(ID, r);
        assert(keccak256(abi.encode(_registry.submission(other))) == keccak256(abi.encode(s)));
    }
}
