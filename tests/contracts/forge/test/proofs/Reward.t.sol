// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {RewardPool} from "../../../../../contracts/RewardPool.sol";
import {PoolConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Specification} from "./Specification.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of the meter and of rewards, on the real RewardPool in a clone
/// @notice This contract stands for vault and book, and says what a power, a share and the meter are. Of a pool nothing is
///         assumed but that all money is within what the vault can hold, 88 bits.
contract RewardProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint40 private constant NOW = 2_000_000_000;
    uint16 private constant RATE = 200;

    uint256 private _inVault;
    uint32 private _weight;
    Answer[3] private _answers; // to one reward after the other
    uint256 private _rewards;
    uint256 private _draws;

    /// @dev To the questions of one reward: what is released before it, the power of its gain, and what is drawn of allowance
    ///      and commons. The amounts are those that the contract asked for.
    struct Answer {
        uint256 gain;
        uint256 power;
        uint256 released;
        uint256[2] drawn;
        uint256[2] amounts;
    }

    struct Money {
        uint256 allowance;
        uint256 funds;
        uint256 committed;
        uint256 commons;
    }

    /// @dev Any pool.
    struct Pool {
        uint88 allowance;
        uint88 funds;
        uint88 committed;
        uint88 commons;
    }

    function treasury() external view returns (uint256) {
        return _inVault;
    }

    function totalWeightAt(uint40) external view returns (uint32) {
        return _weight;
    }

    function released(uint256 allowance, uint256) external view returns (uint256) {
        return allowance + _answers[_rewards].released;
    }

    function power(uint256 base, uint256 n) external returns (uint256) {
        Answer storage answer = _answers[_rewards++];
        assert(base == (10_000 - uint256(RATE)) * 1e14);
        assert(n == answer.gain);
        return answer.power;
    }

    function drawn(uint256 amount, uint256 share) external returns (uint256) {
        Answer storage answer = _answers[_rewards - 1];
        uint256 k = _draws++ % 2;
        assert(share == Specification.WAD - answer.power);
        answer.amounts[k] = amount;
        return answer.drawn[k];
    }

    function _answer(uint256 k, uint256 gain, uint64 power_, uint256 grown, uint88[2] calldata drawn_) private {
        vm.assume(gain <= 128);
        vm.assume(Specification.power(gain, power_));
        Answer storage answer = _answers[k];
        (answer.gain, answer.power, answer.released) = (gain, power_, grown);
        (answer.drawn[0], answer.drawn[1]) = (drawn_[0], drawn_[1]);
    }

    /// @dev A pool whose meter was last read at `at`, with `weight`. Ledger and meter lie in slots 0 and 1.
    function _pool(Pool memory m, uint16 drip, uint40 at, uint32 weight) private returns (RewardPool pool) {
        vm.warp(NOW);
        PoolConfig memory c;
        (c.vault, c.registry, c.book) = (address(this), address(this), address(this));
        (c.minStake, c.warmUp, c.stepRateBps, c.dripBps, c.stakeDripBps) = (1e18, 5, RATE, drip, 500);
        pool = RewardPool(Clones.cloneWithImmutableArgs(address(new RewardPool()), abi.encode(c)));
        unchecked {
            _inVault = uint256(m.funds) + m.committed + m.commons;
        }
        vm.assume(_inVault <= type(uint88).max);
        vm.assume(m.allowance <= m.funds);
        vm.store(address(pool), 0, bytes32(uint256(m.funds) | (uint256(m.committed) << 88)));
        uint256 meter = m.allowance | (uint256(weight) << 88) | (uint256(at) << 120) | (1 << 160);
        vm.store(address(pool), bytes32(uint256(1)), bytes32(meter));
    }

    function _money(RewardPool pool) private view returns (Money memory m) {
        uint256 ledger = uint256(vm.load(address(pool), 0));
        (m.allowance, m.funds) = (uint88(uint256(vm.load(address(pool), bytes32(uint256(1))))), uint88(ledger));
        unchecked {
            m.committed = uint88(ledger >> 88);
            m.commons = _inVault - m.funds - m.committed;
        }
    }

    // ------------------------------------------------------------------------------------------------------- a reward

    /// @dev What a reward draws is what the share that its power does not leave draws of allowance and commons. It is
    ///      committed, to the unit, and nothing else moves, whatever was released before.
    function check_a_reward_takes_a_share(
        Pool calldata before,
        uint8 gain,
        uint64 left,
        uint88 grown,
        uint88[2] calldata draws
    ) public {
        _answer(0, gain, left, grown, draws);
        RewardPool pool = _pool(before, 0, NOW, 0);
        pool.reward(1, gain, 0);
        Money memory m = _money(pool);
        uint256 paid = pool.owed(1);
        unchecked {
            assert(_answers[0].amounts[0] == uint256(before.allowance) + grown);
            assert(_answers[0].amounts[1] == before.commons);
            assert(paid == uint256(draws[0]) + draws[1]);
            assert(m.allowance == uint256(before.allowance) + grown - draws[0]);
            assert(m.funds == uint256(before.funds) - draws[0]);
            assert(m.committed == before.committed + paid);
            assert(m.commons == uint256(before.commons) - draws[1]);
        }
    }

    /// @dev A step in two parts draws what it draws at once, to 260 parts in 1e18 of what there is and four units.
    function check_a_step_in_two_parts_draws_as_one(
        Pool calldata before,
        uint8[2] calldata gains,
        uint64[3] calldata left,
        uint88 grown,
        uint88[2][3] calldata draws
    ) public {
        _answer(0, uint256(gains[0]) + gains[1], left[0], grown, draws[0]);
        _answer(1, gains[0], left[1], grown, draws[1]);
        _answer(2, gains[1], left[2], 0, draws[2]);
        RewardPool once = _pool(before, 0, NOW, 0);
        RewardPool twice = _pool(before, 0, NOW, 0);
        once.reward(1, gains[0] + gains[1], 0);
        twice.reward(1, gains[0], 0);
        twice.reward(2, gains[1], 0);
        unchecked {
            uint256 sum;
            for (uint256 k; k < 2; ++k) {
                uint256 amount = k == 0 ? uint256(before.allowance) + grown : before.commons;
                uint256 first = amount - draws[1][k];
                assert(_answers[0].amounts[k] == amount);
                assert(_answers[1].amounts[k] == amount);
                assert(_answers[2].amounts[k] == first);
                vm.assume(Specification.same(amount, first - draws[2][k], amount - draws[0][k]));
                sum += amount;
            }
            uint256 whole = once.owed(1) * Specification.WAD;
            uint256 parts = (twice.owed(1) + twice.owed(2)) * Specification.WAD;
            uint256 slack = 260 * sum + 4 * Specification.WAD;
            assert(parts <= whole + slack);
            assert(whole <= parts + slack);
        }
    }

    /// @dev Of two pools alike the one with more gain, of which the power is smaller, gives no less.
    function check_more_gain_never_gives_less(
        Pool calldata before,
        uint8 gain,
        uint64[2] calldata left,
        uint88 grown,
        uint88[2][2] calldata draws
    ) public {
        _answer(0, gain, left[0], grown, draws[0]);
        _answer(1, uint256(gain) + 1, left[1], grown, draws[1]);
        RewardPool less = _pool(before, 0, NOW, 0);
        RewardPool more = _pool(before, 0, NOW, 0);
        less.reward(1, gain, 0);
        more.reward(1, gain + 1, 0);
        vm.assume(left[1] <= left[0]);
        for (uint256 k; k < 2; ++k) {
            assert(_answers[0].amounts[k] == _answers[1].amounts[k]);
            vm.assume(draws[0][k] <= draws[1][k]);
        }
        assert(less.owed(1) <= more.owed(1));
    }

    // -------------------------------------------------------------------------------------------------------- shares

    /// @dev What a share draws of an amount, as the contract reckons it.
    function check_what_is_drawn_is_a_part(uint88 amount, uint64 share) public pure {
        vm.assume(share <= Specification.WAD);
        uint256 whole = amount;
        uint256 value = whole * share / Specification.WAD;
        assert(value == Specification.drawn(amount, share));
        assert(Specification.part(amount, share, value));
    }

    /// @dev So is what flows along references, a share in basis points.
    function check_a_royalty_is_a_part(uint88 amount, uint16 shareBps) public pure {
        vm.assume(shareBps <= 10_000);
        uint256 whole = amount;
        assert(whole * shareBps / 10_000 <= amount);
    }

    /// @dev Two powers one after the other leave of any amount what their product leaves.
    function check_two_shares_leave_what_their_product_leaves(uint88 amount, uint64 a, uint64 b, uint64 both)
        public
        pure
    {
        vm.assume(Specification.powers(a, b, both));
        uint256 twice = Specification.left(Specification.left(amount, a), b);
        assert(Specification.same(amount, twice, Specification.left(amount, both)));
    }

    /// @dev A smaller power leaves no more, so that no less is drawn.
    function check_a_smaller_share_leaves_no_more(uint88 amount, uint64 less, uint64 more) public pure {
        vm.assume(less <= more && more <= Specification.WAD);
        assert(Specification.left(amount, less) <= Specification.left(amount, more));
        assert(
            Specification.drawn(amount, Specification.WAD - less)
                >= Specification.drawn(amount, Specification.WAD - more)
        );
    }

    // -------------------------------------------------------------------------------------------------------- the meter

    /// @dev However long nobody looks, the allowance only grows, to at most seven days' drip of the funds and of the stake,
    ///      and stays within the funds. The meter may not have started; then there is no allowance yet.
    function check_the_allowance_stays_in_the_funds(
        uint16 drip,
        uint88 allowance,
        uint88 funds,
        uint32[2] calldata weights,
        uint40 at
    ) public {
        vm.assume(drip != 0 && drip <= 200 && at <= NOW);
        vm.assume(at != 0 || allowance == 0);
        _weight = weights[1];
        unchecked {
            RewardPool pool = _pool(Pool(allowance, funds, 0, 0), drip, at, weights[0]);
            uint256 grown = pool.balances().allowance;
            assert(grown >= allowance);
            assert(grown <= funds);
            assert(grown == allowance || grown * 10_000 <= 7 * uint256(funds) * drip);
            assert(grown == allowance || grown * 10_000 <= 7 * uint256(weights[1]) * 1e18 * 500);
            assert(at == 0 || grown == allowance || grown * 10_000 <= 7 * uint256(weights[0]) * 1e18 * 500);
        }
    }
}
