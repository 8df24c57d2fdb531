// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Status} from "../../../../../interfaces/PdfedTypes.sol";
import {ModelRegistry} from "../../../../../contracts/ModelRegistry.sol";
import {Grains} from "../../../../../contracts/libraries/Grains.sol";
import {RegistryConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Svm} from "./Svm.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of levels, on the real ModelRegistry in a clone with storage of any content
/// @notice This contract stands for the book, which concludes id 7.
contract LevelProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    Svm private constant svm = Svm(0xF3993A62377BCd56AE39D773740A5390411E8BC9);
    uint256 private constant ID = 7;
    /// @dev Levels are sums of at most 2^31 steps of at most 128 grains.
    int256 private constant MOST = 1 << 38;

    ModelRegistry private _registry;

    /// @dev What the registry held before.
    struct Before {
        uint256 bestId;
        int256 best;
        uint256 referenceId;
        int256 level;
        int256 measured;
    }

    /// @dev A registry of which nothing is known but its parameters, that the id has an earlier reference and no result
    ///      yet, and that no level is beyond what ids can sum up to.
    function _any(uint8 minStep) private returns (Before memory b) {
        RegistryConfig memory c;
        (c.book, c.minStep) = (address(this), minStep);
        _registry = ModelRegistry(Clones.cloneWithImmutableArgs(address(new ModelRegistry()), abi.encode(c)));
        svm.enableSymbolicStorage(address(_registry));
        (b.bestId, b.best) = _registry.best();
        IModelRegistry.Submission memory s = _registry.submission(ID);
        vm.assume(s.result.outcome == 0 && s.result.median == 0);
        vm.assume(s.result.revealedWeight == 0 && s.result.yesWeight == 0);
        vm.assume(s.standing.level == 0 && s.standing.measured == 0);
        vm.assume(s.standing.gain == 0 && s.standing.previousId == 0);
        b.referenceId = s.terms.referenceId;
        vm.assume(b.referenceId < ID && b.bestId < ID);
        IModelRegistry.Standing memory from = _registry.submission(b.referenceId).standing;
        (b.level, b.measured) = (from.level, from.measured);
        vm.assume(-MOST <= b.level && b.level <= MOST && -MOST <= b.measured && b.measured <= MOST);
        vm.assume(-MOST <= b.best && b.best <= MOST);
    }

    function _conclude(Status status, int8 outcome, int8 median) private returns (uint8) {
        return
            _registry.conclude(ID, status, IModelRegistry.Result(outcome, median, 9, 5), IModelRegistry.Trend(1, 2, 3));
    }

    /// @dev L = L(reference) + outcome in grains, M = M(reference) + median in grains, each whatever the other is (every
    ///      index comes with another as the median). Best exactly if L is minStep above the best, less the width of its bucket
    ///      where its reference is the best no longer; its gain is that. The best never falls, and a gain is at most the grains
    ///      of the outcome.
    function check_levels_and_gain_of_a_final_id(uint8 minStep, int8 outcome) public {
        Before memory b = _any(minStep);
        vm.assume(minStep >= 2 && minStep <= 128 && b.level <= b.best); // the reference was best once
        for (int8 i = -8; i <= 23; ++i) {
            if (i != outcome) continue;
            uint8 gain = _conclude(Status.Final, i, 15 - i);
            IModelRegistry.Submission memory s = _registry.submission(ID);
            assert(s.standing.level == b.level + Grains.at(i) && s.standing.measured == b.measured + Grains.at(15 - i));
            assert(s.result.outcome == i && s.result.median == 15 - i && s.standing.gain == gain);
            (uint256 bestId, int256 best) = _registry.best();
            int256 above = s.standing.level - b.best - (b.referenceId == b.bestId ? int256(0) : Grains.width(i));
            if (above >= int256(uint256(minStep))) {
                assert(int256(uint256(gain)) == above && above <= Grains.at(i) && above <= 128);
                assert(bestId == ID && best == s.standing.level && best > b.best && s.standing.previousId == b.bestId);
            } else {
                assert(gain == 0 && bestId == b.bestId && best == b.best && s.standing.previousId == b.referenceId);
            }
        }
    }

    /// @dev A Void id has neither level nor gain and moves no best; what follows is due in any case.
    function check_a_void_id_moves_no_level(uint8 minStep, int8 outcome, int8 median) public {
        Before memory b = _any(minStep);
        uint8 gain = _conclude(Status.Void, outcome, median);
        (uint256 bestId, int256 best) = _registry.best();
        IModelRegistry.Standing memory s = _registry.submission(ID).standing;
        assert(gain == 0 && s.level == 0 && s.measured == 0 && s.gain == 0);
        assert(bestId == b.bestId && best == b.best && _registry.nextToFinalize() == ID + 1);
    }

    /// @dev However an id ends, nothing of any other changes.
    function check_an_id_moves_no_other(uint8 minStep, uint32 other, bool isFinal) public {
        _any(minStep);
        vm.assume(other != ID);
        bytes32 before = keccak256(abi.encode(_registry.submission(other)));
        _conclude(isFinal ? Status.Final : Status.Void, 5, 6);
        assert(keccak256(abi.encode(_registry.submission(other))) == before);
    }
}
