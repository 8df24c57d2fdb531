// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Vm} from "../support/Vm.sol";

/// @title The meter and rewards at random, on the real RewardPool in a clone
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
    function testFuzz_a_reward_takes_a_share(uint8 gain, uint64 allowance, uint64 unreleased, uint64 commons) public {
        Money memory m = Money(allowance, uint256(allowance) + unreleased, 0, commons);
        RewardPool pool = _pool(m, 200, NOW);
        pool.reward(1, gain % 129, 0);
        uint256 paid = pool.owed(1);
        IRewardPool.Balances memory b = pool.balances();
        assert(paid == (m.allowance - b.allowance) + (m.commons - b.commons));
        assert(b.unreleased == unreleased && b.committed == paid);
    }

    /// @dev A step in two parts draws what it draws at once, to what powers may differ by, 260 units of 1e-18, and one unit for
    ///      each division.
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
            uint256 slack = 5 + 260 * (uint256(allowance) + commons) / 1e18;
            assert(parts <= whole + slack && whole <= parts + slack);
        }
    }

    function testFuzz_a_step_in_two_parts_draws_as_one(uint8 a, uint8 b, uint64 allowance, uint64 commons) public {
        _split(a % 65, b % 65, allowance, commons);
    }

    /// @dev Of two pools alike the one with more gain gives no less.
    function testFuzz_more_gain_never_gives_less(uint8 gain, uint64 allowance, uint64 commons) public {
        gain %= 128;
        Money memory m = Money(allowance, allowance, 0, commons);
        RewardPool less = _pool(m, 200, NOW);
        RewardPool more = _pool(m, 200, NOW);
        less.reward(1, gain, 0);
        more.reward(1, gain + 1, 0);
        assert(less.owed(1) <= more.owed(1));
    }

    /// @dev What a reward leaves of an amount when its power leaves `share`.
    function _left(uint256 amount, uint256 share) private pure returns (uint256) {
        unchecked {
            return amount - amount * (1e18 - share) / 1e18;
        }
    }

    /// @dev What step splitting comes down to, given what is shown of powers in `Shares.t.sol`: two shares in a row leave what
    ///      their product leaves, to the error of powers and a unit a division.
    function check_two_shares_leave_what_their_product_leaves(uint88 amount, uint64 a, uint64 b, uint64 both)
        public
        pure
    {
        vm.assume(a <= 1e18 && b <= 1e18 && both <= a && both <= b);
        unchecked {
            uint256 product = uint256(a) * b / 1e18;
            vm.assume(product <= uint256(both) + 260 && both <= product + 260);
            uint256 twice = _left(_left(amount, a), b) * 1e18;
            uint256 once = _left(amount, both) * 1e18;
            uint256 slack = 261 * uint256(amount) + 2e18;
            assert(twice <= once + slack && once <= twice + slack);
        }
    }

    /// @dev So more gain, of which the power is smaller, never gives less.
    function check_a_smaller_share_leaves_no_more(uint88 amount, uint64 less, uint64 more) public pure {
        vm.assume(less <= more && more <= 1e18);
        assert(_left(amount, less) <= _left(amount, more));
    }

    /// @dev However long nobody looks, the allowance only grows, to at most seven days' drip of the funds and of the stake,
    ///      and stays within the funds.
    function testFuzz_the_allowance_stays_in_the_funds(
        uint16 drip,
        uint64 allowance,
        uint64 unreleased,
        uint16 weight,
        uint40 at
    ) public {
        (drip, at) = (drip % 200 + 1, at % NOW + 1);
        uint256 funds = uint256(allowance) + unreleased;
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
