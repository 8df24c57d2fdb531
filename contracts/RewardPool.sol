// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, Status} from "../interfaces/PdfedTypes.sol";
import {Contribution} from "./libraries/Contribution.sol";
import {Power} from "./libraries/Power.sol";
import {POOL_CONFIG_WORDS, PoolConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";

/// @title RewardPool
/// @dev Whose the treasury is. The vault keeps it as one ledger T. This contract keeps F, the sponsor's funds, and C, what is
///      committed to models; the rest T - F - C is the commons. So whatever comes into the treasury and is not the sponsor's or
///      a royalty (forfeits, surcharges, rests of fees) is commons without a word to this contract, and what lineage leaves at
///      genesis becomes commons by leaving C.
///
///      Metering. The allowance A is a part of F. With w the weight that stands behind the task, A grows by
///      D = min(drip F, sigma w minStake) a day, linearly, and stops growing at 7 D. While F and w stand still the result does
///      not depend on how often it is computed. A <= F always: 7 D <= 14 % of F, and F falls only with A. What can be captured
///      is so in proportion to what is staked. w is the smaller of two figures that no stake of the moment can lift: those of
///      the last accrual and of this one, each the weight that was eligible for the rewarded id, frozen at its reservation (at
///      a funding the total weight of warmUp ago). The meter starts with the first reward: one day's D.
///
///      Reward. A model that gains g grains is paid (A + commons) * (1 - s), s = (1 - r)^g, each part rounded down (s up). After
///      it A is A * s, so gains a and b pay A (1 - s_a) + A s_a (1 - s_b) = A (1 - s_(a+b)): as much as one gain a + b.
///
///      Contribution. What a model c earned, `owed`, waits until it is poured; then it is split by the rule of `Contribution`:
///      a part is the author's, the rest is a Share of each declared parent in what c earned, which waits for its own pour and
///      is split again. Ids finalise in order, so the M of all ancestors is known and never changes: waiting changes no share.
///      Parents are earlier ids, so there are finitely many hops, and each moves a Share as a whole: Σ in = Σ out to the unit.
///
///      Along references. Of what an author gets in a pour, L = rho * part, rounded down, is made `pending` for the reference
///      of its model. Pouring model m pays its author pending * (1 - lambda^g), rounded down, and passes the rest to
///      reference(m), where g are the grains of m's gain that are its author's own (`Contribution.ownGrains`): a model that
///      only showed what others had added takes nothing of what later models earn either. Over a path of own grains a and b
///      what reaches the end is lambda^(a+b): splitting a model into checkpoints earns nothing. What reaches genesis is commons.
///
///      Division. At the end each model that became best gets gain / Σ gains of all that the commons hold and have divided, less
///      what it got before, rounded down: so the order does not matter and what comes in late is divided as well.
contract RewardPool is IRewardPool, TaskPart {
    using Contribution for IModelRegistry.Lineage;

    uint256 private constant MOST_DAYS = 7;

    /// @dev F, C, and the gains of all that became best.
    struct Ledger {
        uint88 funds;
        uint88 committed;
        uint40 grains;
    }

    /// @dev A and w of the last accrual.
    struct Meter {
        uint88 allowance;
        uint32 weight;
        uint40 accruedAt; // zero until the first reward
        bool funded; // no amount: funding fills the slot, so that the first reward does not pay for a fresh one
    }

    /// @dev `owed` is what this model earned itself and has not shared out, `pending` what came in along references.
    struct Account {
        uint120 owed;
        uint120 pending;
        bool used; // no amount: keeps the slot from becoming zero, so that what comes in later does not pay for a fresh one
    }

    Ledger private _ledger;
    Meter private _meter;
    mapping(uint256 id => Account) private _accounts;
    mapping(uint256 source => mapping(uint256 id => Share)) private _shares;
    uint256 private _divided;
    mapping(uint256 id => uint256) private _dividedTo;

    // ----------------------------------------------------------------------------------------------------- sponsor

    /// @inheritdoc IRewardPool
    function fund(uint256 amount) external {
        PoolConfig memory config = _onlySponsor();
        if (IModelRegistry(config.registry).closed()) revert PoolClosed();
        Ledger memory ledger = _ledger;
        Meter memory meter = _meter;
        if (meter.accruedAt != 0) meter = _accruedBefore(meter, ledger.funds, config);
        meter.funded = true;
        _meter = meter;
        ledger.funds += uint88(amount); // the vault refuses what has more bits
        _ledger = ledger;
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
        _onlyAtTheEnd(config);
        amount = _ledger.funds;
        if (amount == 0) revert PoolNothingToReclaim();
        (_ledger.funds, _meter.allowance) = (0, 0);
        emit Reclaimed(to, amount);
        IStakeVault(config.vault).refund(to, amount);
    }

    // ------------------------------------------------------------------------------------------------------ anyone

    /// @inheritdoc IRewardPool
    function pour(uint256 id, uint256 source) external {
        _pour(id, source, _config());
    }

    /// @inheritdoc IRewardPool
    function pourMany(Hop[] calldata hops) external {
        PoolConfig memory config = _config();
        for (uint256 i; i < hops.length; ++i) {
            if (!_pour(hops[i].id, hops[i].source, config)) emit PourSkipped(hops[i].id, hops[i].source);
        }
    }

    /// @inheritdoc IRewardPool
    function payRoyalty(uint256 id, uint256 amount) external {
        PoolConfig memory config = _config();
        (IModelRegistry.Terms memory terms,) = IModelRegistry(config.registry).resultOf(id);
        if (id == 0 || terms.status != Status.Final) revert PoolNotPayable(id);
        emit RoyaltyPaid(id, msg.sender, amount);
        IStakeVault(config.vault).fund(msg.sender, amount);
        _ledger.committed += uint88(amount);
        _accounts[id].owed += uint120(amount);
    }

    /// @inheritdoc IRewardPool
    function divideCommons(uint256 id) external returns (uint256 amount) {
        PoolConfig memory config = _config();
        _onlyAtTheEnd(config);
        uint256 gain = IModelRegistry(config.registry).lineage(id, id).gain;
        if (gain == 0) return 0;
        Ledger memory ledger = _ledger;
        uint256 whole = _commons(ledger, config) + _divided;
        amount = whole * gain / ledger.grains - _dividedTo[id];
        if (amount == 0) return 0;
        (_divided, _dividedTo[id]) = (_divided + amount, _dividedTo[id] + amount);
        _ledger.committed = ledger.committed + uint88(amount);
        _accounts[id].owed += uint120(amount);
        emit CommonsDivided(id, amount);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IRewardPool
    function pending(uint256 id) external view returns (uint256) {
        return _accounts[id].pending;
    }

    /// @inheritdoc IRewardPool
    function owed(uint256 id) external view returns (uint256) {
        return _accounts[id].owed;
    }

    /// @inheritdoc IRewardPool
    function shareOf(uint256 id, uint256 source) external view returns (Share memory) {
        return _shares[source][id];
    }

    /// @inheritdoc IRewardPool
    function balances() external view returns (Balances memory b) {
        PoolConfig memory config = _config();
        Ledger memory ledger = _ledger;
        b.allowance = _accruedBefore(_meter, ledger.funds, config).allowance;
        b.unreleased = ledger.funds - b.allowance;
        (b.commons, b.committed) = (_commons(ledger, config), ledger.committed);
    }

    /// @inheritdoc IRewardPool
    function division() external view returns (uint256 grains, uint256 divided) {
        return (_ledger.grains, _divided);
    }

    // ------------------------------------------------------------------------------------------------ the siblings

    /// @inheritdoc IRewardPool
    function reward(uint256 id, uint8 gain, uint32 eligible) external {
        PoolConfig memory config = _config();
        if (msg.sender != config.book) revert PoolUnauthorized(msg.sender);
        Ledger memory ledger = _ledger;
        Meter memory meter = _accrued(_meter, ledger.funds, config, eligible);
        uint256 share = Power.WAD - Power.up((BPS - config.stepRateBps) * (Power.WAD / BPS), gain);
        uint256 fromAllowance = meter.allowance * share / Power.WAD;
        uint256 fromCommons = _commons(ledger, config) * share / Power.WAD;
        meter.allowance -= uint88(fromAllowance);
        _meter = meter;
        ledger.funds -= uint88(fromAllowance);
        ledger.committed += uint88(fromAllowance + fromCommons);
        ledger.grains += gain;
        _ledger = ledger;
        _accounts[id] = Account(uint120(fromAllowance + fromCommons), 0, true); // nothing comes in before an id is Final
        emit Rewarded(id, fromAllowance, fromCommons);
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

    /// @dev Closed, every id terminal, and grace over.
    function _onlyAtTheEnd(PoolConfig memory config) private view {
        IModelRegistry registry = IModelRegistry(config.registry);
        uint40 closedAt = registry.closedAt();
        if (closedAt == 0) revert PoolNotClosed();
        (uint256 next, uint256 count) = (registry.nextToFinalize(), registry.count());
        if (next != count) revert PoolUnfinished(next, count);
        uint40 until = uint40(Math.max(closedAt, registry.lastFinalizedAt())) + config.grace;
        if (block.timestamp < until) revert PoolGraceRunning(until, uint40(block.timestamp));
    }

    /// @dev T - F - C.
    function _commons(Ledger memory ledger, PoolConfig memory config) private view returns (uint256) {
        return IStakeVault(config.vault).treasury() - ledger.funds - ledger.committed;
    }

    /// @dev The meter now, apart from any reward: with the total weight of a warm-up ago.
    function _accruedBefore(Meter memory meter, uint256 funds, PoolConfig memory config)
        private
        view
        returns (Meter memory)
    {
        uint40 then = uint40(block.timestamp) - config.warmUp;
        return _accrued(meter, funds, config, IStakeVault(config.vault).totalWeightAt(then));
    }

    /// @dev The meter now. `weight` is what stood behind the task at a time that is past, so that no stake of the moment
    ///      counts, and it is kept for the next accrual. The allowance never falls here.
    function _accrued(Meter memory meter, uint256 funds, PoolConfig memory config, uint256 weight)
        private
        view
        returns (Meter memory)
    {
        bool started = meter.accruedAt != 0;
        uint256 counted = started ? Math.min(meter.weight, weight) : weight;
        // BPS times what is released a day
        uint256 daily = Math.min(funds * config.dripBps, counted * config.minStake * config.stakeDripBps);
        uint256 allowance = daily / BPS;
        if (started) {
            uint256 elapsed = Math.min(block.timestamp - meter.accruedAt, MOST_DAYS * 1 days);
            uint256 grown = meter.allowance + daily * elapsed / (BPS * 1 days);
            allowance = Math.max(meter.allowance, Math.min(MOST_DAYS * daily / BPS, grown));
        }
        return Meter(uint88(allowance), uint32(weight), uint40(block.timestamp), true);
    }

    /// @return poured whether there was anything to pour
    function _pour(uint256 id, uint256 source, PoolConfig memory config) private returns (bool poured) {
        Account memory account;
        Share memory share;
        if (id == source) {
            account = _accounts[id];
            if (account.owed == 0 && account.pending == 0) return false;
            _accounts[id] = Account(0, 0, true);
        } else {
            share = _shares[source][id];
            if (share.above == 0 && share.held == 0) return false;
            delete _shares[source][id];
        }
        IModelRegistry.Lineage memory l = IModelRegistry(config.registry).lineage(id, source);
        uint256 toAuthor;
        uint256 toCommons;
        if (account.owed != 0) {
            (toAuthor, toCommons) = _shareOut(id, source, l, l.earned(account.owed), config);
        } else if (id != source) {
            (toAuthor, toCommons) = _shareOut(id, source, l, l.inherited(share.above, share.held), config);
        }
        if (account.pending != 0) {
            uint256 left = Power.up(config.decayBps * (Power.WAD / BPS), l.ownGrains());
            uint256 part = account.pending * (Power.WAD - left) / Power.WAD;
            uint256 passed = account.pending - part;
            toAuthor += part;
            toCommons += _give(l.referenceId, passed);
            emit Poured(id, l.author, part, passed, l.referenceId);
        }
        if (toAuthor + toCommons != 0) _ledger.committed -= uint88(toAuthor + toCommons);
        if (toAuthor != 0) IStakeVault(config.vault).credit(l.author, toAuthor);
        return true;
    }

    /// @dev Give each its part of what `id` holds of what `source` earned.
    /// @return toAuthor the author's part
    /// @return toCommons what reached genesis
    function _shareOut(
        uint256 id,
        uint256 source,
        IModelRegistry.Lineage memory l,
        Contribution.Parts memory parts,
        PoolConfig memory config
    ) private returns (uint256 toAuthor, uint256 toCommons) {
        uint256 toReference = parts.own * config.lineageBps / BPS;
        toAuthor = parts.own - toReference;
        toCommons = _give(l.referenceId, toReference);
        emit Shared(id, source, l.author, toAuthor, toReference, parts.below);
        if (parts.below == 0) return (toAuthor, toCommons);
        for (uint256 i; i < l.parents.length; ++i) {
            (uint256 above, uint256 held) = (parts.above[i], parts.held[i]);
            if (above + held == 0) continue;
            uint256 parent = l.parents[i].id;
            Share memory share = _shares[source][parent];
            _shares[source][parent] = Share(share.above + uint128(above), share.held + uint128(held));
            emit ShareGiven(source, id, parent, above, held);
        }
    }

    /// @dev To what is pending for `id`; genesis has no author, its part is left for the commons.
    function _give(uint256 id, uint256 amount) private returns (uint256 toCommons) {
        if (id == 0) return amount;
        if (amount == 0) return 0;
        Account memory account = _accounts[id];
        (account.pending, account.used) = (account.pending + uint120(amount), true);
        _accounts[id] = account;
    }
}
