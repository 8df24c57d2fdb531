// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {Parent, Status} from "../../../../../interfaces/PdfedTypes.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";

/// @title What symbolic execution proves of the real RewardPool, in a clone as tasks have it
/// @notice This contract stands for vault, registry and book: models 1 <- 2 <- 3, money any amount a vault can hold.
contract LineageProofs {
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

    function heirs(uint256 id) external view returns (address, uint8, uint32) {
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

    function _committed() private view returns (uint256 committed) {
        (,, committed) = _pool.balances();
    }

    /// @dev What a model earns goes to its author, its parents and its reference, to the unit; the author gets what the
    ///      lineage does not, the genesis its share of half.
    function check_earnings_are_shared_to_the_unit(uint88 amount) public {
        _withParents = true;
        _pool.payRoyalty(3, amount);
        assert(_pool.owed(3) == amount && _committed() == amount);
        _pool.pour(3);
        uint256 line = uint256(amount) * 3_000 / 10_000;
        uint256 toGenesis = line / 2 * 1_667 / 10_000;
        assert(_credited == amount - line);
        assert(_pool.pending(1) == line / 2 * 3_334 / 10_000);
        assert(_pool.pending(1) + _pool.pending(2) == line - toGenesis);
        assert(_committed() == line - toGenesis && _pool.owed(3) == 0);
    }

    /// @dev What comes in for model 2 goes out to its author and to its reference, to the unit.
    function _conserves(uint88 amount, uint8 gain) private {
        _gains[2] = gain;
        _pool.payRoyalty(3, amount);
        _pool.pour(3);
        uint256 before = _credited;
        uint256 income = _pool.pending(2);
        _pool.pour(2);
        assert(_credited - before + _pool.pending(1) == income);
        assert(_pool.pending(2) == 0 && _committed() == _pool.pending(1));
        if (gain == 0) assert(_credited == before);
        _pool.pour(2);
        assert(_credited - before + _pool.pending(1) == income); // pouring again changes nothing
    }

    function check_a_pour_conserves_without_gain(uint88 amount) public {
        _conserves(amount, 0);
    }

    function check_a_pour_conserves_with_gain_2(uint88 amount) public {
        _conserves(amount, 2);
    }

    function check_a_pour_conserves_with_gain_23(uint88 amount) public {
        _conserves(amount, 23);
    }

    /// @dev Two models in a row leave what one model of both gains leaves, but for rounding.
    function check_two_pours_pass_on_what_one_does(uint88 amount) public {
        (_gains[2], _gains[1]) = (3, 4);
        _pool.payRoyalty(3, amount);
        _pool.pour(3);
        uint256 income = _pool.pending(2);
        _pool.pour(2);
        uint256 before = _credited;
        uint256 passed = _pool.pending(1);
        _pool.pour(1);
        passed -= _credited - before; // reached the genesis
        uint256 once = income - income * (1e18 - 478_296_900_000_000_000) / 1e18; // 0.9^7
        assert(passed <= once + 2 && once <= passed + 2);
    }
}
