// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, Status} from "../interfaces/PdfedTypes.sol";
import {Power} from "./libraries/Power.sol";
import {PoolConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";

/// @title RewardPool
/// @dev Metering. P is all money of the pool, the allowance A included. A grows by drip * P a day, linearly, and stops
///      growing at 7 * drip * P. Between movements of P the result does not depend on how often it is computed.
///      A <= P always: A grows to at most 7 * 2 % of P, and P falls only together with A.
///
///      Reward. A model that gains g buckets is paid A * (1 - s), s = (1 - r)^g, rounded down (s up). After it A is
///      A * s, so gains a and b pay A (1 - s_a) + A s_a (1 - s_b) = A (1 - s_(a+b)): as much as one gain a + b.
///
///      Lineage. L = rho * reward is owed to the lineage of the model: L/2 to its declared parents that are Final, by
///      weight, rounded down, and all the rest to its reference. Pouring id m pays its author
///      pending * (1 - lambda^g(m)), rounded down, and passes the rest to reference(m). Over a path of gains a and b
///      what reaches the end is lambda^(a+b): splitting a model into checkpoints earns nothing, and a model without
///      gain earns nothing. What reaches genesis returns to the pool. Nothing is ever created or lost.
contract RewardPool is IRewardPool, TaskPart {
    uint256 private constant MOST_DAYS = 7;

    /// @dev `owed` to the lineage of this id from its own reward, `pending` for this id from its descendants.
    struct Share {
        uint128 pending;
        uint128 owed;
    }

    uint128 private _allowance;
    uint40 private _accruedAt; // zero until the first funding
    mapping(uint256 id => Share) private _shares;

    modifier onlySponsor() {
        if (msg.sender != _config().sponsor) revert PoolNotSponsor(msg.sender);
        _;
    }

    // ----------------------------------------------------------------------------------------------------- sponsor

    /// @inheritdoc IRewardPool
    function fund(uint256 amount) external onlySponsor {
        PoolConfig memory config = _config();
        if (IModelRegistry(config.registry).closed()) revert PoolClosed();
        uint256 pool = _poolOf(config);
        bool first = _accruedAt == 0;
        uint256 allowance = first ? (pool + amount) * config.dripBps / BPS : _accrued(config, pool);
        _store(allowance);
        emit Funded(msg.sender, amount);
        IStakeVault(config.vault).fund(msg.sender, amount);
    }

    /// @inheritdoc IRewardPool
    function close() external onlySponsor {
        IModelRegistry(_config().registry).close();
    }

    /// @inheritdoc IRewardPool
    function reclaim(address to) external onlySponsor returns (uint256 amount) {
        PoolConfig memory config = _config();
        IModelRegistry registry = IModelRegistry(config.registry);
        uint40 closedAt = registry.closedAt();
        if (closedAt == 0) revert PoolNotClosed();
        (uint256 next, uint256 count) = (registry.nextToFinalize(), registry.count());
        if (next != count) revert PoolUnfinished(next, count);
        uint40 until = uint40(Math.max(closedAt, registry.lastFinalizedAt())) + config.grace;
        if (block.timestamp < until) revert PoolGraceRunning(until, uint40(block.timestamp));
        _store(0);
        amount = _poolOf(config);
        emit Reclaimed(to, amount);
        IStakeVault(config.vault).refund(to);
    }

    // ----------------------------------------------------------------------------------------------------- lineage

    /// @inheritdoc IRewardPool
    function pour(uint256 id) external {
        _pour(id, _config());
    }

    /// @inheritdoc IRewardPool
    function pourMany(uint256[] calldata ids) external {
        PoolConfig memory config = _config();
        for (uint256 i; i < ids.length; ++i) {
            _pour(ids[i], config);
        }
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IRewardPool
    function pending(uint256 id) external view returns (uint256) {
        return _shares[id].pending;
    }

    /// @inheritdoc IRewardPool
    function owed(uint256 id) external view returns (uint256) {
        return _shares[id].owed;
    }

    /// @inheritdoc IRewardPool
    function balances() external view returns (uint256 pool, uint256 allowance) {
        PoolConfig memory config = _config();
        pool = _poolOf(config);
        allowance = _accrued(config, pool);
        pool -= allowance;
    }

    // ------------------------------------------------------------------------------------------------ the siblings

    /// @inheritdoc IRewardPool
    function reward(uint256 id, address author, uint8 gain) external {
        PoolConfig memory config = _config();
        if (msg.sender != config.book) revert PoolUnauthorized(msg.sender);
        uint256 allowance = _accrued(config, _poolOf(config));
        uint256 left = Power.up((BPS - config.stepRateBps) * (Power.WAD / BPS), gain);
        uint256 amount = allowance * (Power.WAD - left) / Power.WAD;
        uint256 toLineage = amount * config.lineageBps / BPS;
        _store(allowance - amount);
        _shares[id].owed += uint128(toLineage);
        emit Rewarded(id, author, amount, amount - toLineage, toLineage);
        IStakeVault(config.vault).payReward(author, amount - toLineage, toLineage);
    }

    // ---------------------------------------------------------------------------------------------------- internal

    function _config() private view returns (PoolConfig memory) {
        return abi.decode(_args(), (PoolConfig));
    }

    function _store(uint256 allowance) private {
        _allowance = uint128(allowance);
        _accruedAt = uint40(block.timestamp);
    }

    function _poolOf(PoolConfig memory config) private view returns (uint256 pool) {
        (, pool,) = IStakeVault(config.vault).totals();
    }

    function _accrued(PoolConfig memory config, uint256 pool) private view returns (uint256 allowance) {
        allowance = _allowance;
        if (_accruedAt == 0) return allowance;
        uint256 daily = pool * config.dripBps; // times BPS
        uint256 most = MOST_DAYS * daily / BPS;
        if (allowance >= most) return allowance;
        uint256 elapsed = Math.min(block.timestamp - _accruedAt, MOST_DAYS * 1 days);
        return Math.min(most, allowance + daily * elapsed / (BPS * 1 days));
    }

    function _pour(uint256 id, PoolConfig memory config) private {
        Share memory share = _shares[id];
        IModelRegistry.Heirs memory heirs = IModelRegistry(config.registry).heirs(id);
        if (share.pending == 0 && share.owed == 0) return;
        delete _shares[id];
        uint256 toPool = _shareOut(id, share.owed, heirs);

        uint256 left = Power.up(config.decayBps * (Power.WAD / BPS), heirs.gain);
        uint256 toAuthor = share.pending * (Power.WAD - left) / Power.WAD;
        uint256 passed = share.pending - toAuthor;
        if (share.pending != 0) {
            toPool += _give(heirs.referenceId, passed);
            emit Poured(id, heirs.author, toAuthor, passed, heirs.referenceId);
        }
        IStakeVault(config.vault).payPour(heirs.author, toAuthor, toPool);
    }

    /// @dev Share what `id` owes among its parents and its reference.
    /// @return toPool the part that reached genesis
    function _shareOut(uint256 id, uint256 amount, IModelRegistry.Heirs memory heirs) private returns (uint256 toPool) {
        if (amount == 0) return 0;
        uint256 rest = amount;
        for (uint256 i; i < heirs.parents.length; ++i) {
            uint256 part = amount / 2 * heirs.parents[i].weightBps / BPS;
            if (part == 0) continue;
            rest -= part;
            toPool += _give(heirs.parents[i].id, part);
            emit LineageShared(id, heirs.parents[i].id, part);
        }
        toPool += _give(heirs.referenceId, rest);
        emit LineageShared(id, heirs.referenceId, rest);
    }

    /// @dev To the pending share of `id`; genesis has no author, its part is left for the pool.
    function _give(uint256 id, uint256 amount) private returns (uint256 toPool) {
        if (id == 0) return amount;
        _shares[id].pending += uint128(amount);
    }
}
