// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of the meter and of rewards, on the real RewardPool in a clone
/// @notice This contract stands for vault and book. Money has 64 bits; a grain pays 2 %.
contract RewardProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint40 private constant NOW = 2_000_000_000;

    RewardPool private _code;
    uint256 private _inVault;
    uint32 private _weight;

    struct Money {
        uint256 allowance;
        uint256 funds;
        uint256 committed;
        uint256 commons;
    }

    function setUp() public {
        _code = new RewardPool();
    }

    function treasury() external view returns (uint256) {
        return _inVault;
    }

    function totalWeightAt(uint40) external view returns (uint32) {
        return _weight;
    }

    /// @dev A pool whose meter was last read at `at`. Ledger and meter lie in slots 0 and 1.
    function _pool(Money memory m, uint16 drip, uint40 at) private returns (RewardPool pool) {
        vm.assume(m.allowance <= m.funds);
        vm.warp(NOW);
        PoolConfig memory c;
        (c.vault, c.registry, c.book) = (address(this), address(this), address(this));
        (c.minStake, c.warmUp, c.stepRateBps, c.dripBps, c.stakeDripBps) = (1e18, 5, 200, drip, 500);
        pool = RewardPool(Clones.cloneWithImmutableArgs(address(_code), abi.encode(c)));
        vm.store(address(pool), 0, bytes32(m.funds | (m.committed << 88)));
        uint256 meter = m.allowance | (uint256(_weight) << 88) | (uint256(at) << 120) | (1 << 160);
        vm.store(address(pool), bytes32(uint256(1)), bytes32(meter));
        unchecked {
            _inVault = m.funds + m.committed + m.commons;
        }
    }

    /// @dev A reward is at most what there is; what leaves allowance or commons is committed, to the unit, and nothing else
    ///      moves. Without time nothing is released: rewards are seen alone.
    function _rewards(uint8[4] memory gains, uint8 gain, Money memory m) private {
        RewardPool pool = _pool(m, 200, NOW);
        for (uint256 i; i < 4; ++i) {
            if (gain != gains[i]) continue;
            pool.reward(1, gains[i], 0);
            unchecked {
                uint256 paid = pool.owed(1);
                IRewardPool.Balances memory b = pool.balances();
                assert(paid == (m.allowance - b.allowance) + (m.commons - b.commons));
                assert(b.allowance <= m.allowance && b.commons <= m.commons);
                assert(b.unreleased == m.funds - m.allowance && b.committed == paid);
            }
        }
    }

    function check_a_reward_takes_a_share_of_the_allowance(uint8 gain, uint64 allowance, uint64 funds) public {
        _rewards([0, 2, 5, 128], gain, Money(allowance, funds, 0, 0));
    }

    function check_a_reward_takes_a_share_of_the_commons(uint8 gain, uint64 commons) public {
        _rewards([0, 2, 5, 128], gain, Money(0, 0, 0, commons));
    }

    /// @dev A step in two parts draws what it draws at once, to two units.
    function _split(uint8 a, uint8 b, uint64 allowance, uint64 commons) private {
        Money memory m = Money(allowance, allowance, 0, commons);
        RewardPool once = _pool(m, 200, NOW);
        RewardPool twice = _pool(m, 200, NOW);
        once.reward(1, a + b, 0);
        twice.reward(1, a, 0);
        twice.reward(2, b, 0);
        unchecked {
            uint256 whole = once.owed(1);
            uint256 parts = twice.owed(1) + twice.owed(2);
            assert(parts <= whole + 2 && whole <= parts + 2);
        }
    }

    function check_a_step_of_7_draws_as_3_and_4_of_the_allowance(uint64 allowance) public {
        _split(3, 4, allowance, 0);
    }

    function check_a_step_of_7_draws_as_3_and_4_of_the_commons(uint64 commons) public {
        _split(3, 4, 0, commons);
    }

    function check_a_step_of_128_draws_as_64_and_64_of_the_allowance(uint64 allowance) public {
        _split(64, 64, allowance, 0);
    }

    /// @dev Of two pools alike the one with more gain gives no less.
    function check_more_gain_never_gives_less(uint8 gain, uint64 allowance) public {
        Money memory m = Money(allowance, allowance, 0, 0);
        RewardPool less = _pool(m, 200, NOW);
        RewardPool more = _pool(m, 200, NOW);
        for (uint8 g = 2; g < 8; ++g) {
            if (g != gain) continue;
            less.reward(1, g, 0);
            more.reward(1, g + 1, 0);
            assert(less.owed(1) <= more.owed(1));
        }
    }

    /// @dev However long nobody looks, the allowance only grows, to at most seven days' drip of the funds and of the stake,
    ///      and stays within the funds.
    function check_the_allowance_stays_in_the_funds(
        uint16 drip,
        uint64 allowance,
        uint64 funds,
        uint16 weight,
        uint40 at
    ) public {
        vm.assume(drip != 0 && drip <= 200 && at != 0 && at <= NOW);
        _weight = weight;
        RewardPool pool = _pool(Money(allowance, funds, 0, 0), drip, at);
        IRewardPool.Balances memory b = pool.balances();
        assert(b.allowance >= allowance && b.allowance + b.unreleased == funds);
        unchecked {
            assert(b.allowance == allowance || b.allowance * 10_000 <= 7 * uint256(funds) * drip);
            assert(b.allowance == allowance || b.allowance * 10_000 <= 7 * uint256(weight) * 1e18 * 500);
        }
    }
}
