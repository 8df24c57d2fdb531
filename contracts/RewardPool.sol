// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, Parent, Status} from "../interfaces/PdfedTypes.sol";
import {Power} from "./libraries/Power.sol";
import {POOL_CONFIG_WORDS, PoolConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";

/// @title RewardPool
/// @dev Metering. P is all free money of the pool: the allowance A included, what is committed to models left out. A
///      grows by drip * P a day, linearly, and stops growing at 7 * drip * P. While P stands still the result does not
///      depend on how often it is computed. A <= P always: A grows to at most 7 * 2 % of P, and P falls only with A.
///
///      Reward. A model that gains g buckets is paid A * (1 - s), s = (1 - r)^g, rounded down (s up). After it A is
///      A * s, so gains a and b pay A (1 - s_a) + A s_a (1 - s_b) = A (1 - s_(a+b)): as much as one gain a + b.
///
///      Lineage. What a model earns is kept for it until it is poured. Then L = rho * earned, rounded down, goes to its
///      lineage and the rest to its author; of L, half goes to the declared parents that are Final, by weight, rounded
///      down, and all that remains to the reference. (Ids finalise in order, so parents are Final or Void by then, and
///      waiting changes nothing.) What has come in for a model from its descendants is `pending`: pouring id m pays its
///      author pending * (1 - lambda^g(m)), rounded down, and passes the rest to reference(m). Over a path of gains a
///      and b what reaches the end is lambda^(a+b): splitting a model into checkpoints earns nothing, and a model
///      without gain earns nothing. What reaches genesis returns to the pool. Nothing is ever created or lost.
contract RewardPool is IRewardPool, TaskPart {
    uint256 private constant MOST_DAYS = 7;

    /// @dev `owed` is what this id earned and has not shared out, `pending` what its descendants left for it. `used`
    ///      keeps the slot from becoming zero again: whatever comes in later does not pay for a fresh one.
    struct Share {
        uint120 pending;
        uint120 owed;
        bool used;
    }

    /// @dev `committed` is all that is owed or pending: in the vault's pool, but no longer the sponsor's.
    struct Meter {
        uint104 allowance;
        uint104 committed;
        uint40 accruedAt; // zero until the first funding
    }

    Meter private _meter;
    mapping(uint256 id => Share) private _shares;

    // ----------------------------------------------------------------------------------------------------- sponsor

    /// @inheritdoc IRewardPool
    function fund(uint256 amount) external {
        PoolConfig memory config = _onlySponsor();
        if (IModelRegistry(config.registry).closed()) revert PoolClosed();
        Meter memory meter = _meter;
        uint256 free = _free(config, meter);
        if (meter.accruedAt == 0) meter.allowance = uint104((free + amount) * config.dripBps / BPS);
        else meter.allowance = uint104(_allowanceNow(meter, config, free));
        meter.accruedAt = uint40(block.timestamp);
        _meter = meter;
        emit Funded(msg.sender, amount);
        IStakeVault(config.vault).fund(msg.sender, amount);
    }

    /// @inheritdoc IRewardPool
    function close() external {
        IModelRegistry(_onlySponsor().registry).close();
    }

    /// @inheritdoc IRewardPool
    function reclaim(address to) external returns (uint256 amount) {
        PoolConfig memory config = _onlySponsor();
        IModelRegistry registry = IModelRegistry(config.registry);
        uint40 closedAt = registry.closedAt();
        if (closedAt == 0) revert PoolNotClosed();
        (uint256 next, uint256 count) = (registry.nextToFinalize(), registry.count());
        if (next != count) revert PoolUnfinished(next, count);
        uint40 until = uint40(Math.max(closedAt, registry.lastFinalizedAt())) + config.grace;
        if (block.timestamp < until) revert PoolGraceRunning(until, uint40(block.timestamp));
        amount = _free(config, _meter);
        _meter.allowance = 0;
        emit Reclaimed(to, amount);
        IStakeVault(config.vault).refund(to, amount);
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
            if (!_pour(ids[i], config)) emit PourSkipped(ids[i]);
        }
    }

    /// @inheritdoc IRewardPool
    function payRoyalty(uint256 id, uint256 amount) external {
        PoolConfig memory config = _config();
        if (id == 0 || IModelRegistry(config.registry).resultOf(id).status != Status.Final) revert PoolNotPayable(id);
        emit RoyaltyPaid(id, msg.sender, amount);
        IStakeVault(config.vault).fund(msg.sender, amount);
        _meter.committed += uint104(amount);
        _shares[id].owed += uint120(amount);
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
    function balances() external view returns (uint256 pool, uint256 allowance, uint256 pendingTotal) {
        PoolConfig memory config = _config();
        Meter memory meter = _meter;
        pool = _free(config, meter);
        (allowance, pendingTotal) = (_allowanceNow(meter, config, pool), meter.committed);
        pool -= allowance;
    }

    // ------------------------------------------------------------------------------------------------ the siblings

    /// @inheritdoc IRewardPool
    function reward(uint256 id, address author, uint8 gain) external {
        PoolConfig memory config = _config();
        if (msg.sender != config.book) revert PoolUnauthorized(msg.sender);
        Meter memory meter = _meter;
        uint256 allowance = _allowanceNow(meter, config, _free(config, meter));
        uint256 left = Power.up((BPS - config.stepRateBps) * (Power.WAD / BPS), gain);
        uint256 amount = allowance * (Power.WAD - left) / Power.WAD;
        meter.allowance = uint104(allowance - amount);
        if (meter.accruedAt != 0) meter.accruedAt = uint40(block.timestamp);
        meter.committed += uint104(amount);
        _meter = meter;
        Share storage share = _shares[id];
        (share.owed, share.used) = (share.owed + uint120(amount), true);
        emit Rewarded(id, author, amount);
    }

    // ---------------------------------------------------------------------------------------------------- internal

    function _config() private view returns (PoolConfig memory config) {
        uint256 to;
        assembly ("memory-safe") {
            to := config
        }
        _loadArgs(to, POOL_CONFIG_WORDS);
    }

    function _onlySponsor() private view returns (PoolConfig memory config) {
        config = _config();
        if (msg.sender != config.sponsor) revert PoolNotSponsor(msg.sender);
    }

    /// @dev P: the vault's pool without what is committed to the lineage; the allowance is part of it.
    function _free(PoolConfig memory config, Meter memory meter) private view returns (uint256) {
        (, uint256 pool) = IStakeVault(config.vault).totals();
        return pool - meter.committed;
    }

    /// @dev The allowance, drip up to the present included; it never falls here. Zero before the first funding.
    function _allowanceNow(Meter memory meter, PoolConfig memory config, uint256 free) private view returns (uint256) {
        if (meter.accruedAt == 0) return meter.allowance;
        uint256 daily = free * config.dripBps; // times BPS
        uint256 most = MOST_DAYS * daily / BPS;
        uint256 elapsed = Math.min(block.timestamp - meter.accruedAt, MOST_DAYS * 1 days);
        return Math.max(meter.allowance, Math.min(most, meter.allowance + daily * elapsed / (BPS * 1 days)));
    }

    /// @return poured whether there was anything to pour
    function _pour(uint256 id, PoolConfig memory config) private returns (bool poured) {
        Share memory share = _shares[id];
        if (share.pending == 0 && share.owed == 0) return false;
        (address author, uint8 gain, uint32 referenceId) = IModelRegistry(config.registry).ancestryOf(id);
        _shares[id] = Share(0, 0, true);
        uint256 toAuthor;
        uint256 toPool;
        if (share.owed != 0) (toAuthor, toPool) = _shareOut(id, share.owed, author, referenceId, config);
        if (share.pending != 0) {
            uint256 left = Power.up(config.decayBps * (Power.WAD / BPS), gain);
            uint256 part = share.pending * (Power.WAD - left) / Power.WAD;
            uint256 passed = share.pending - part;
            toAuthor += part;
            toPool += _give(referenceId, passed);
            emit Poured(id, author, part, passed, referenceId);
        }
        if (toAuthor + toPool != 0) _meter.committed -= uint104(toAuthor + toPool);
        if (toAuthor != 0) IStakeVault(config.vault).credit(author, toAuthor);
        return true;
    }

    /// @dev Share what `id` earned among its author, its parents and its reference.
    /// @return toAuthor the author's part
    /// @return toPool the part that reached genesis
    function _shareOut(uint256 id, uint256 amount, address author, uint256 referenceId, PoolConfig memory config)
        private
        returns (uint256 toAuthor, uint256 toPool)
    {
        uint256 rest = amount * config.lineageBps / BPS;
        toAuthor = amount - rest;
        uint256 half = rest / 2;
        emit RewardShared(id, author, toAuthor, rest);
        Parent[] memory parents = IModelRegistry(config.registry).sharingParents(id);
        for (uint256 i; i < parents.length; ++i) {
            uint256 part = half * parents[i].weightBps / BPS;
            if (part == 0) continue;
            rest -= part;
            toPool += _give(parents[i].id, part);
            emit LineageShared(id, parents[i].id, part);
        }
        toPool += _give(referenceId, rest);
        emit LineageShared(id, referenceId, rest);
    }

    /// @dev To the pending share of `id`; genesis has no author, its part is left for the pool.
    function _give(uint256 id, uint256 amount) private returns (uint256 toPool) {
        if (id == 0) return amount;
        Share storage share = _shares[id];
        (share.pending, share.used) = (share.pending + uint120(amount), true);
    }
}
