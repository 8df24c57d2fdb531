// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Power} from "../../../../../contracts/libraries/Power.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of the meter and of rewards, on the real RewardPool in a clone
/// @notice This contract stands for vault and book. Money is what a vault can hold, 88 bits.
contract RewardProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 private constant WAD = 1e18;
    uint40 private constant NOW = 2_000_000_000;

    RewardPool private _code;
    uint256 private _inVault;

    function setUp() public {
        _code = new RewardPool();
    }

    function totals() external view returns (uint128, uint128) {
        return (0, uint128(_inVault));
    }

    /// @dev A pool whose meter was last read at `accruedAt`, never for zero: then the allowance stands still, so that
    ///      rewards are seen alone. Now is NOW.
    function _pool(uint16 rate, uint16 drip, uint256 allowance, uint256 committed, uint40 accruedAt)
        private
        returns (RewardPool pool)
    {
        PoolConfig memory c =
            PoolConfig(address(this), address(this), address(this), address(this), 1, rate, 0, 1, drip);
        pool = RewardPool(Clones.cloneWithImmutableArgs(address(_code), abi.encode(c)));
        vm.store(address(pool), 0, bytes32(allowance | (committed << 104) | (uint256(accruedAt) << 208)));
        vm.warp(NOW);
    }

    /// @dev Of the allowance a reward is a share, and what leaves the allowance is committed, to the unit. It is zero only
    ///      for a gain of zero or an allowance so small that its share is below one unit.
    function _rewards(uint16 rate, uint8[12] memory gains, Money memory m) private {
        vm.assume(m.allowance <= m.free);
        _inVault = uint256(m.committed) + m.free;
        RewardPool pool = _pool(rate, 200, m.allowance, m.committed, 0);
        for (uint256 i; i < 12; ++i) {
            if (m.gain != gains[i]) continue;
            pool.reward(1, address(1), gains[i]);
            unchecked {
                uint256 amount = pool.owed(1);
                (uint256 rest, uint256 left, uint256 due) = pool.balances();
                assert(amount <= m.allowance && left == m.allowance - amount);
                assert(due == m.committed + amount && rest == m.free - m.allowance);
                uint256 share = WAD - Power.up((10_000 - uint256(rate)) * 1e14, gains[i]);
                assert((amount == 0) == (gains[i] == 0 || m.allowance * share < WAD));
            }
            return;
        }
    }

    struct Money {
        uint8 gain;
        uint256 allowance;
        uint256 committed;
        uint256 free;
    }

    function check_a_reward_is_a_share_for_small_gains(uint8 gain, uint88 allowance, uint88 committed, uint88 free)
        public
    {
        _rewards(200, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], Money(gain, allowance, committed, free));
    }

    function check_a_reward_is_a_share_for_great_gains(uint8 gain, uint88 allowance, uint88 committed, uint88 free)
        public
    {
        _rewards(200, [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23], Money(gain, allowance, committed, free));
    }

    /// @dev Of two pools alike the one with a bucket more of gain gives no less.
    function check_more_gain_never_gives_less(uint8 gain, uint88 allowance, uint88 free) public {
        vm.assume(allowance <= free);
        _inVault = free;
        RewardPool less = _pool(200, 200, allowance, 0, 0);
        RewardPool more = _pool(200, 200, allowance, 0, 0);
        for (uint8 g; g < 23; ++g) {
            if (g != gain) continue;
            less.reward(1, address(1), g);
            more.reward(1, address(1), g + 1);
            assert(less.owed(1) <= more.owed(1));
            return;
        }
    }

    /// @dev However long nobody looks, the allowance only grows, to at most seven days' drip, and stays in the pool.
    function check_the_allowance_stays_in_the_pool(
        uint16 drip,
        uint88 allowance,
        uint88 committed,
        uint88 free,
        uint40 at
    ) public {
        vm.assume(drip != 0 && drip <= 200 && allowance <= free && at != 0 && at <= NOW);
        _inVault = uint256(committed) + free;
        RewardPool pool = _pool(200, drip, allowance, committed, at);
        (uint256 rest, uint256 grown, uint256 due) = pool.balances();
        assert(rest + grown == free && due == committed && grown >= allowance);
        assert(grown == allowance || grown * 10_000 <= 7 * uint256(free) * drip);
    }
}
