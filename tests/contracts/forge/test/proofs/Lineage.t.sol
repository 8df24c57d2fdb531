// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Vm} from "../support/Vm.sol";

/// @title Pours at random, on the real RewardPool in a clone
/// @notice This contract stands for vault and registry: models 1 <- 2 <- 3, each the reference of the next. What the pool
///         keeps for each of them is any amount of 80 bits, and it may keep more for others. Of an
///         author's part 30 % flow on, 0.9 a grain.
contract LineageProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    RewardPool private _pool;
    uint256 private _credited;
    uint8[4] private _grains; // own grains of each
    bool private _withParents;

    function setUp() public {
        PoolConfig memory c;
        (c.vault, c.registry, c.book) = (address(this), address(this), address(this));
        (c.minStake, c.lineageBps, c.decayBps) = (1, 3_000, 9_000);
        _pool = RewardPool(Clones.cloneWithImmutableArgs(address(new RewardPool()), abi.encode(c)));
    }

    // ------------------------------------------------------------------------------------------------- the siblings

    /// @dev Each has M = base + its grains, all its own. With parents, 3 is ten grains above the base, and 1 and 2, of which
    ///      one reaches eight grains and one four, share in what it earns.
    function lineage(uint256 id, uint256) external view returns (IModelRegistry.Lineage memory l) {
        (l.author, l.referenceId, l.gain) = (address(uint160(id)), uint32(id - 1), _grains[id]);
        (l.base, l.referenceBase, l.measured) = (20, 18, 20 + int40(uint40(_grains[id])));
        if (!_withParents || id != 3) return l;
        (l.measured, l.gain) = (30, 20); // M backs ten of twenty grains
        l.parents = new IModelRegistry.Ancestor[](2);
        (l.parents[0], l.parents[1]) = (IModelRegistry.Ancestor(1, 28), IModelRegistry.Ancestor(2, 24));
    }

    function credit(address, uint256 amount) external {
        _credited += amount;
    }

    // -------------------------------------------------------------------------------------------------- the properties

    struct Kept {
        uint256 committed;
        uint256[4] pending;
        uint256[4] owed;
        uint256[4] shares; // of what 3 earned, both kinds
    }

    function _kept() private view returns (Kept memory k) {
        k.committed = uint88(uint256(vm.load(address(_pool), 0)) >> 88);
        for (uint256 id = 1; id < 4; ++id) {
            (k.pending[id], k.owed[id]) = (_pool.pending(id), _pool.owed(id));
            IRewardPool.Share memory share = _pool.shareOf(id, 3);
            unchecked {
                k.shares[id] = uint256(share.above) + share.held;
            }
        }
    }

    /// @dev Puts `b` into the pool: the ledger in slot 0, accounts in the mapping of slot 2.
    function _put(Kept memory b, uint88 others) private {
        unchecked {
            b.committed = others;
            for (uint256 id = 1; id < 4; ++id) {
                b.committed += b.pending[id] + b.owed[id];
                bytes32 slot = keccak256(abi.encode(id, uint256(2)));
                vm.store(address(_pool), slot, bytes32(b.owed[id] | (b.pending[id] << 120) | (1 << 240)));
            }
            vm.assume(b.committed <= type(uint88).max);
            vm.store(address(_pool), 0, bytes32(b.committed << 88));
        }
    }

    /// @dev What a model earns goes to its author, to its reference and, as shares, to its parents: to the unit.
    function testFuzz_earnings_are_shared_to_the_unit(uint64 owed, uint64 before2, uint64 others) public {
        _withParents = true;
        Kept memory b;
        (b.owed[3], b.pending[2]) = (owed, before2);
        _put(b, others);
        _pool.pour(3, 3);
        Kept memory a = _kept();
        unchecked {
            uint256 toReference = a.pending[2] - b.pending[2];
            assert(a.pending[2] >= b.pending[2]);
            assert(_credited + toReference + a.shares[1] + a.shares[2] == b.owed[3]);
            assert(a.committed == b.committed - _credited);
            assert(a.owed[3] == 0 && a.shares[3] == 0 && a.pending[1] == 0 && a.pending[3] == 0);
        }
    }

    /// @dev What came in for model 2 goes out to its author and to its reference, to the unit, and nothing else moves.
    function testFuzz_a_pour_conserves(uint8 grains, uint80 income, uint80 before1, uint80 owed1, uint64 others)
        public
    {
        grains %= 129;
        _grains[2] = grains;
        Kept memory b;
        (b.pending[2], b.pending[1], b.owed[1]) = (income, before1, owed1);
        _put(b, others);
        _pool.pour(2, 2);
        Kept memory a = _kept();
        assert(_credited + (a.pending[1] - b.pending[1]) == b.pending[2]);
        assert(a.committed == b.committed - _credited);
        assert(a.pending[2] == 0 && a.owed[2] == 0);
        assert(a.pending[3] == b.pending[3] && a.owed[3] == b.owed[3] && a.owed[1] == b.owed[1]);
        if (grains == 0) assert(_credited == 0);
    }

    function testFuzz_pouring_again_changes_nothing(uint64 income, uint64 owed, uint64 others) public {
        _withParents = true;
        Kept memory b;
        (b.pending[3], b.owed[3]) = (income, owed);
        _put(b, others);
        _pool.pour(3, 3);
        Kept memory a = _kept();
        uint256 credited = _credited;
        _pool.pour(3, 3);
        assert(keccak256(abi.encode(_kept())) == keccak256(abi.encode(a)) && _credited == credited);
    }

    /// @dev Two models in a row leave what one model of both's own grains leaves, but for rounding.
    function testFuzz_two_pours_pass_on_what_one_does(uint88 amount) public {
        (_grains[2], _grains[1]) = (3, 4);
        Kept memory b;
        uint256 income = amount;
        b.pending[2] = income;
        _put(b, 0);
        _pool.pour(2, 2);
        _pool.pour(1, 1);
        unchecked {
            uint256 passed = income - _credited; // reached genesis
            uint256 once = income - income * (1e18 - 478_296_900_000_000_000) / 1e18; // 0.9^7
            assert(passed <= once + 2 && once <= passed + 2);
        }
    }
}
