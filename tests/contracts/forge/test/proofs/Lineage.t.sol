// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Parent, Status} from "../../../../../interfaces/PdfedTypes.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of the real RewardPool, in a clone as tasks have it
/// @notice This contract stands for vault, registry and book: models 1 <- 2 <- 3. What the pool keeps for each of them before
///         is any amount that a vault can hold, 88 bits, and it may keep more for others.
contract LineageProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    RewardPool private _pool;
    uint256 private _credited;
    uint8[4] private _gains;
    bool private _withParents;

    function setUp() public {
        RewardPool code = new RewardPool();
        PoolConfig memory c =
            PoolConfig(address(this), address(this), address(this), address(this), 1, 200, 3_000, 9_000, 100);
        _pool = RewardPool(Clones.cloneWithImmutableArgs(address(code), abi.encode(c)));
    }

    // ------------------------------------------------------------------------------------------------- the siblings

    function resultOf(uint256) external pure returns (IModelRegistry.Result memory r) {
        r.status = Status.Final;
    }

    function ancestryOf(uint256 id) external view returns (address, uint8, uint32) {
        return (address(uint160(id)), _gains[id], uint32(id - 1));
    }

    /// @dev Of model 3: the genesis, 1, and one that is not Final.
    function sharingParents(uint256 id) external view returns (Parent[] memory list) {
        if (!_withParents || id != 3) return list;
        list = new Parent[](3);
        (list[0], list[1], list[2]) = (Parent(0, 1_667), Parent(1, 3_334), Parent(2, 0));
    }

    function totals() external pure returns (uint128, uint128) {
        return (0, type(uint88).max);
    }

    function fund(address, uint256) external {}

    function credit(address, uint256 amount) external {
        _credited += amount;
    }

    // -------------------------------------------------------------------------------------------------- the properties

    struct Kept {
        uint256 committed;
        uint256[4] pending;
        uint256[4] owed;
    }

    function _kept() private view returns (Kept memory k) {
        k.committed = uint104(uint256(vm.load(address(_pool), 0)) >> 104);
        for (uint256 id = 1; id < 4; ++id) {
            (k.pending[id], k.owed[id]) = (_pool.pending(id), _pool.owed(id));
        }
    }

    /// @dev Puts `b` into the pool: the meter in slot 0, shares in the mapping of slot 1.
    function _put(Kept memory b, uint88 others) private {
        unchecked {
            b.committed = others;
            for (uint256 id = 1; id < 4; ++id) {
                b.committed += b.pending[id] + b.owed[id];
                bytes32 slot = keccak256(abi.encode(id, uint256(1)));
                vm.store(address(_pool), slot, bytes32(b.pending[id] | (b.owed[id] << 120) | (1 << 240)));
            }
            vm.store(address(_pool), 0, bytes32(b.committed << 104));
        }
    }

    /// @dev What a model earns goes to its author, its parents and its reference, to the unit; the author gets what the
    ///      lineage does not, the genesis its share of half.
    function check_earnings_are_shared_to_the_unit(uint88 owed, uint88 before1, uint88 before2, uint88 others) public {
        _withParents = true;
        Kept memory b;
        (b.owed[3], b.pending[1], b.pending[2]) = (owed, before1, before2);
        _put(b, others);
        _pool.pour(3);
        Kept memory a = _kept();
        unchecked {
            uint256 line = b.owed[3] * 3_000 / 10_000;
            uint256 toGenesis = line / 2 * 1_667 / 10_000;
            uint256 toParent = line / 2 * 3_334 / 10_000;
            assert(_credited == b.owed[3] - line);
            assert(a.pending[1] == b.pending[1] + toParent);
            assert(a.pending[2] == b.pending[2] + line - toGenesis - toParent);
            assert(b.committed - a.committed == b.owed[3] - line + toGenesis);
            assert(a.owed[3] == 0 && a.owed[2] == b.owed[2] && a.owed[1] == b.owed[1]);
        }
    }

    /// @dev What came in for model 2 goes out to its author and to its reference, to the unit, and nothing else moves.
    function _conserves(uint8 gain, uint88 income, uint88 before1, uint88 owed1, uint88 others) private {
        _gains[2] = gain;
        Kept memory b;
        (b.pending[2], b.pending[1], b.owed[1]) = (income, before1, owed1);
        _put(b, others);
        _pool.pour(2);
        Kept memory a = _kept();
        unchecked {
            assert(_credited + (a.pending[1] - b.pending[1]) == b.pending[2] && a.pending[1] >= b.pending[1]);
            assert(a.committed == b.committed - _credited);
            assert(a.pending[2] == 0 && a.owed[2] == 0);
            assert(a.pending[3] == b.pending[3] && a.owed[3] == b.owed[3] && a.owed[1] == b.owed[1]);
            if (gain == 0) assert(_credited == 0);
        }
    }

    function check_a_pour_conserves_without_gain(uint88 income, uint88 before1, uint88 owed1, uint88 others) public {
        _conserves(0, income, before1, owed1, others);
    }

    function check_a_pour_conserves_with_gain_2(uint88 income, uint88 before1, uint88 owed1, uint88 others) public {
        _conserves(2, income, before1, owed1, others);
    }

    function check_a_pour_conserves_with_gain_23(uint88 income, uint88 before1, uint88 owed1, uint88 others) public {
        _conserves(23, income, before1, owed1, others);
    }

    function check_pouring_again_changes_nothing(uint88 income, uint88 owed, uint88 before2, uint88 others) public {
        _withParents = true;
        _gains[3] = 2;
        Kept memory b;
        (b.pending[3], b.owed[3], b.pending[2]) = (income, owed, before2);
        _put(b, others);
        _pool.pour(3);
        Kept memory a = _kept();
        uint256 credited = _credited;
        _pool.pour(3);
        assert(keccak256(abi.encode(_kept())) == keccak256(abi.encode(a)) && _credited == credited);
    }

    /// @dev Two models in a row leave what one model of both gains leaves, but for rounding.
    function check_two_pours_pass_on_what_one_does(uint88 amount) public {
        (_gains[2], _gains[1]) = (3, 4);
        Kept memory b;
        uint256 income = amount;
        b.pending[2] = income;
        _put(b, 0);
        _pool.pour(2);
        _pool.pour(1);
        unchecked {
            uint256 passed = income - _credited; // reached the genesis
            uint256 once = income - income * (1e18 - 478_296_900_000_000_000) / 1e18; // 0.9^7
            assert(passed <= once + 2 && once <= passed + 2);
        }
    }
}
