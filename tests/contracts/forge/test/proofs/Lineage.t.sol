// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Specification} from "./Specification.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of pours, on the real RewardPool in a clone
/// @notice This contract stands for vault and registry, and says what a power leaves and what a share draws. Model 9 has model 5 or genesis as its reference and models 5 and 1 as its declared parents,
///         and holds shares of what model 12 earned. Of amounts nothing is assumed but that all that is committed is within
///         what the vault can hold, 88 bits.
contract LineageProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 private constant MODEL = 9;
    uint256 private constant HEIR = 12;
    uint256 private constant REFERENCE = 5;
    uint256 private constant PARENT = 1;

    RewardPool private _pool;
    uint256 private _credited;
    uint32 private _referenceId;
    uint8 private _gain;
    Answer[3] private _answers; // to one pour after the other
    uint256 private _pours;

    /// @dev To the questions of one pour: the power of own grains, and what is drawn. Grains and amount are those that the
    ///      contract asked for.
    struct Answer {
        uint256 power;
        uint256 drawn;
        uint256 grains;
        uint256 amount;
    }

    /// @dev What the pool has committed, and all that it keeps of the models that a pour of model 9 may move.
    struct Kept {
        uint88 committed;
        uint88 owed;
        uint88 pending;
        uint88 above;
        uint88 held;
        uint88 owedToReference;
        uint88 pendingForReference;
        uint88[2] aboveOfParents;
        uint88[2] heldOfParents;
    }

    // ------------------------------------------------------------------------------------------------------ the siblings

    function lineage(uint256 id, uint256) external view returns (IModelRegistry.Lineage memory l) {
        assert(id == MODEL || id == REFERENCE);
        (l.author, l.referenceId, l.gain) = (address(0x70), id == MODEL ? _referenceId : 0, _gain);
        l.parents = new IModelRegistry.Ancestor[](2);
        (l.parents[0].id, l.parents[1].id) = (uint32(REFERENCE), uint32(PARENT));
    }

    function credit(address author, uint256 amount) external {
        assert(author == address(0x70));
        _credited += amount;
    }

    function power(uint256 base, uint256 n) external returns (uint256) {
        Answer storage answer = _answers[_pours++];
        assert(base == 9_000 * 1e14);
        answer.grains = n;
        vm.assume(Specification.power(n, answer.power));
        return answer.power;
    }

    function drawn(uint256 amount, uint256 share) external returns (uint256) {
        Answer storage answer = _answers[_pours - 1];
        assert(share == Specification.WAD - answer.power);
        answer.amount = amount;
        return answer.drawn;
    }

    // --------------------------------------------------------------------------------------------------- the properties

    /// @dev A pool that keeps `k`: the ledger in slot 0, accounts in the mapping of slot 2, shares in that of slot 3.
    function _put(Kept calldata k, uint256 source, bool genesis, uint8 gain, uint64 power_, uint88 drawn_) private {
        PoolConfig memory c;
        (c.vault, c.registry, c.book) = (address(this), address(this), address(this));
        (c.minStake, c.lineageBps, c.decayBps) = (1, 3_000, 9_000);
        _pool = RewardPool(Clones.cloneWithImmutableArgs(address(new RewardPool()), abi.encode(c)));
        vm.assume(gain <= 128);
        (_gain, _answers[0].power, _answers[0].drawn) = (gain, power_, drawn_);
        if (!genesis) _referenceId = uint32(REFERENCE);
        _store(_account(MODEL), uint256(k.owed) | (uint256(k.pending) << 120) | (1 << 240));
        _store(_account(REFERENCE), uint256(k.owedToReference) | (uint256(k.pendingForReference) << 120) | (1 << 240));
        if (source != MODEL) _store(_share(MODEL, source), uint256(k.above) | (uint256(k.held) << 128));
        _store(_share(REFERENCE, source), uint256(k.aboveOfParents[0]) | (uint256(k.heldOfParents[0]) << 128));
        _store(_share(PARENT, source), uint256(k.aboveOfParents[1]) | (uint256(k.heldOfParents[1]) << 128));
        unchecked {
            uint256 sum = uint256(k.owed) + k.pending + k.above + k.held;
            sum += uint256(k.owedToReference) + k.pendingForReference + k.aboveOfParents[0];
            sum += uint256(k.aboveOfParents[1]) + k.heldOfParents[0] + k.heldOfParents[1];
            vm.assume(sum <= k.committed);
        }
        vm.store(address(_pool), 0, bytes32(uint256(k.committed) << 88));
    }

    function _account(uint256 id) private pure returns (bytes32) {
        return keccak256(abi.encode(id, uint256(2)));
    }

    function _share(uint256 id, uint256 source) private pure returns (bytes32) {
        return keccak256(abi.encode(id, keccak256(abi.encode(source, uint256(3)))));
    }

    function _store(bytes32 slot, uint256 value) private {
        vm.store(address(_pool), slot, bytes32(value));
    }

    function _committed() private view returns (uint256) {
        return uint88(uint256(vm.load(address(_pool), 0)) >> 88);
    }

    /// @dev What the two parents hold of what `source` earned, beyond what they held before; `more` if that is not less.
    function _given(Kept calldata k, uint256 source) private view returns (uint256 sum, bool more) {
        IRewardPool.Share memory a = _pool.shareOf(REFERENCE, source);
        IRewardPool.Share memory b = _pool.shareOf(PARENT, source);
        more = _both(a.above >= k.aboveOfParents[0], a.held >= k.heldOfParents[0]);
        more = _both(more, _both(b.above >= k.aboveOfParents[1], b.held >= k.heldOfParents[1]));
        unchecked {
            sum = uint256(a.above) - k.aboveOfParents[0] + a.held - k.heldOfParents[0];
            sum += uint256(b.above) - k.aboveOfParents[1] + b.held - k.heldOfParents[1];
        }
    }

    /// @dev Of what came in, what was not passed on to reference or parents left what is committed: to the author, and beside
    ///      it to the commons only what was passed on to genesis.
    function _conserved(Kept calldata k, uint256 source, bool genesis, uint256 income) private view returns (bool) {
        (uint256 toParents, bool more) = _given(k, source);
        uint256 toReference = _pool.pending(REFERENCE);
        more = _both(more, toReference >= k.pendingForReference);
        unchecked {
            toReference -= k.pendingForReference;
            uint256 gone = uint256(k.committed) - _committed();
            bool whole = _both(gone + toReference + toParents == income, _pool.owed(REFERENCE) == k.owedToReference);
            bool ends = genesis ? _both(toReference == 0, _credited <= gone) : _credited == gone;
            return _both(_both(whole, more), ends);
        }
    }

    /// @dev Without a branch: one query for all.
    function _both(bool a, bool b) private pure returns (bool c) {
        assembly ("memory-safe") {
            c := and(a, b)
        }
    }

    /// @dev What a model earned and what came in along references goes to its author, its reference and its parents: to the
    ///      unit.
    function check_a_pour_conserves(Kept calldata k, bool genesis, uint8 gain, uint64 left, uint88 draw) public {
        vm.assume(k.above == 0 && k.held == 0);
        _put(k, MODEL, genesis, gain, left, draw);
        _pool.pour(MODEL, MODEL);
        bool empty = _both(_pool.owed(MODEL) == 0, _pool.pending(MODEL) == 0);
        unchecked {
            assert(_both(empty, _conserved(k, MODEL, genesis, uint256(k.owed) + k.pending)));
        }
    }

    /// @dev So does what it holds of what another earned; its own account does not move.
    function check_a_share_is_poured_to_the_unit(Kept calldata k, bool genesis, uint8 gain) public {
        _put(k, HEIR, genesis, gain, 0, 0);
        _pool.pour(MODEL, HEIR);
        IRewardPool.Share memory share = _pool.shareOf(MODEL, HEIR);
        bool empty = _both(share.above == 0, share.held == 0);
        bool untouched = _both(_pool.owed(MODEL) == k.owed, _pool.pending(MODEL) == k.pending);
        unchecked {
            assert(_both(_both(empty, untouched), _conserved(k, HEIR, genesis, uint256(k.above) + k.held)));
        }
    }

    /// @dev What comes in along references is passed on as the power of own grains leaves it; the rest is the author's, and
    ///      without own grains there is none.
    function check_a_pour_passes_on_its_power(Kept calldata k, uint8 gain, uint64 left, uint88 draw) public {
        vm.assume(k.owed == 0 && k.pending != 0 && k.above == 0 && k.held == 0);
        _put(k, MODEL, false, gain, left, draw);
        _pool.pour(MODEL, MODEL);
        unchecked {
            uint256 passed = _pool.pending(REFERENCE) - k.pendingForReference;
            assert(_answers[0].amount == k.pending);
            assert(_both(_credited == draw, passed == uint256(k.pending) - draw));
            assert(_answers[0].grains <= gain);
            assert(_answers[0].grains != 0 || _credited == 0);
        }
    }

    /// @dev Two models in a row pass on what one model of both's own grains does, to 260 parts in 1e18 and two units.
    function check_two_pours_pass_on_what_one_does(
        Kept calldata k,
        uint8 gain,
        uint64[3] calldata left,
        uint88[3] calldata draws
    ) public {
        vm.assume(k.owed == 0 && k.pending != 0 && k.above == 0 && k.held == 0);
        vm.assume(k.owedToReference == 0 && k.pendingForReference == 0);
        _put(k, MODEL, true, gain, left[0], draws[0]);
        _pool.pour(MODEL, MODEL);
        uint256 once = uint256(k.pending) - _credited;
        _credited = 0;
        _put(k, MODEL, false, gain, left[1], draws[0]);
        (_answers[1].power, _answers[1].drawn) = (left[1], draws[1]);
        (_answers[2].power, _answers[2].drawn) = (left[2], draws[2]);
        _pool.pour(MODEL, MODEL);
        _pool.pour(REFERENCE, REFERENCE);
        uint256 twice = uint256(k.pending) - _credited;
        unchecked {
            uint256 first = uint256(k.pending) - draws[1];
            vm.assume(_answers[0].grains == _answers[1].grains + _answers[2].grains);
            assert(_both(_answers[0].amount == k.pending, _answers[1].amount == k.pending));
            assert(first == 0 || _answers[2].amount == first);
            vm.assume(draws[2] <= first); // also where there is nothing left to draw from
            vm.assume(Specification.same(k.pending, first - draws[2], uint256(k.pending) - draws[0]));
        }
        assert(Specification.same(k.pending, twice, once));
    }

    /// @dev Nothing is left to pour a second time.
    function check_pouring_again_changes_nothing(Kept calldata k, bool genesis, uint8 gain, uint64 left, uint88 draw)
        public
    {
        vm.assume(k.above == 0 && k.held == 0);
        _put(k, MODEL, genesis, gain, left, draw);
        _pool.pour(MODEL, MODEL);
        uint256 credited = _credited;
        bytes32 before = _state();
        _pool.pour(MODEL, MODEL);
        assert(_both(_credited == credited, _state() == before));
    }

    function _state() private view returns (bytes32) {
        IRewardPool.Share memory a = _pool.shareOf(REFERENCE, MODEL);
        IRewardPool.Share memory b = _pool.shareOf(PARENT, MODEL);
        return keccak256(
            abi.encode(
                _committed(),
                vm.load(address(_pool), _account(MODEL)),
                vm.load(address(_pool), _account(REFERENCE)),
                a,
                b
            )
        );
    }
}
