// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, ROLE_TRAINER, ROLE_VALIDATOR} from "../interfaces/PdfedTypes.sol";
import {VaultConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";

/// @title StakeVault
/// @dev Why no cast and no addition below can overflow: every ledger is part of the token balance, and the balance is
///      held at or below MOST_TOKENS whenever tokens come in. Weight grows only in `deposit`, where it is checked.
///      Only deposit, withdraw, claim, fund and refund touch the token; they share one transient lock.
contract StakeVault is IStakeVault, TaskPart, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using Checkpoints for Checkpoints.Trace208;

    /// @dev Two amounts, a time and the roles share a slot.
    uint256 private constant MOST_TOKENS = type(uint104).max;
    /// @dev A histogram bucket holds the weight of a whole task in 40 bits.
    uint256 private constant MOST_WEIGHT = type(uint40).max;

    /// @dev `since` is when the weight took its present value; older values are in `_past`.
    struct Ledger {
        uint104 stake;
        uint104 locked;
        uint40 since;
        uint8 roles;
        uint104 unbonding;
        uint104 credit;
        uint40 unbondingAt;
        address votingKey;
    }

    mapping(address node => Ledger) private _ledgers;
    mapping(address node => Checkpoints.Trace208) private _past;
    Checkpoints.Trace208 private _total;
    uint128 private _pool;
    uint128 private _pending;
    uint128 private _escrow;

    modifier onlySibling(address sibling) {
        if (msg.sender != sibling) revert VaultUnauthorized(msg.sender);
        _;
    }

    // ------------------------------------------------------------------------------------------------ registration

    /// @inheritdoc IStakeVault
    function register(uint8 roles, address votingKey, bytes32 metadataDigest) external {
        Ledger storage ledger = _ledgers[msg.sender];
        if (ledger.roles != 0) revert VaultAlreadyRegistered(msg.sender);
        if (roles == 0 || roles > (ROLE_TRAINER | ROLE_VALIDATOR)) revert VaultBadRoles(roles);
        _config(); // reverts on the implementation
        ledger.roles = roles;
        if (votingKey != address(0)) ledger.votingKey = votingKey;
        emit NodeRegistered(msg.sender, roles, votingKey, metadataDigest);
    }

    /// @inheritdoc IStakeVault
    function setVotingKey(address votingKey) external {
        _registered(msg.sender).votingKey = votingKey;
        emit VotingKeyChanged(msg.sender, votingKey);
    }

    /// @inheritdoc IStakeVault
    function setMetadata(bytes32 metadataDigest) external {
        _registered(msg.sender);
        emit MetadataChanged(msg.sender, metadataDigest);
    }

    // ----------------------------------------------------------------------------------------------- stake and exit

    /// @inheritdoc IStakeVault
    function deposit(uint256 amount) external nonReentrant {
        Ledger storage ledger = _registered(msg.sender);
        VaultConfig memory config = _config();
        _pull(config.token, msg.sender, amount);
        uint256 before = ledger.stake;
        _setExposed(ledger, msg.sender, config.minStake, before + amount, ledger.locked);
        uint256 weight = _total.latest();
        if (weight > MOST_WEIGHT) revert VaultTooMuchWeight(weight, MOST_WEIGHT);
        emit Deposited(msg.sender, amount);
    }

    /// @inheritdoc IStakeVault
    function requestUnstake(uint256 amount) external {
        Ledger storage ledger = _registered(msg.sender);
        if (amount == 0) revert VaultZeroAmount();
        if (ledger.unbonding != 0) {
            revert VaultUnbondingPending(msg.sender, ledger.unbonding, ledger.unbondingAt);
        }
        uint256 available = ledger.stake;
        if (amount > available) revert VaultInsufficientStake(msg.sender, available, amount);
        VaultConfig memory config = _config();
        _setExposed(ledger, msg.sender, config.minStake, available - amount, ledger.locked);
        uint40 withdrawableAt = uint40(block.timestamp + config.unbonding);
        ledger.unbonding = uint104(amount);
        ledger.unbondingAt = withdrawableAt;
        emit UnstakeRequested(msg.sender, amount, withdrawableAt);
    }

    /// @inheritdoc IStakeVault
    function withdraw(address to) external nonReentrant returns (uint256 amount) {
        Ledger storage ledger = _ledgers[msg.sender];
        amount = ledger.unbonding;
        if (amount == 0) revert VaultNothingToWithdraw(msg.sender);
        if (block.timestamp < ledger.unbondingAt) revert VaultStillUnbonding(msg.sender, ledger.unbondingAt);
        ledger.unbonding = 0;
        emit Withdrawn(msg.sender, to, amount);
        _push(_config().token, to, amount);
    }

    /// @inheritdoc IStakeVault
    function claim(address to) external nonReentrant returns (uint256 amount) {
        Ledger storage ledger = _ledgers[msg.sender];
        amount = ledger.credit;
        if (amount == 0) revert VaultNothingToClaim(msg.sender);
        ledger.credit = 0;
        emit Claimed(msg.sender, to, amount);
        _push(_config().token, to, amount);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IStakeVault
    function account(address node) external view returns (Account memory) {
        Ledger storage ledger = _ledgers[node];
        return Account({
            stake: ledger.stake,
            locked: ledger.locked,
            unbonding: ledger.unbonding,
            credit: ledger.credit,
            unbondingAt: ledger.unbondingAt,
            since: ledger.since,
            roles: ledger.roles,
            votingKey: ledger.votingKey
        });
    }

    /// @inheritdoc IStakeVault
    function token() external view returns (address) {
        return _config().token;
    }

    /// @inheritdoc IStakeVault
    function weightAt(address node, uint40 timepoint) external view returns (uint40) {
        return uint40(_weightAt(_ledgers[node], node, _config().minStake, timepoint));
    }

    /// @inheritdoc IStakeVault
    function weightNow(address node) external view returns (uint40) {
        return uint40(_weight(_ledgers[node], _config().minStake));
    }

    /// @inheritdoc IStakeVault
    function totalWeightAt(uint40 timepoint) external view returns (uint40) {
        return uint40(_total.upperLookupRecent(timepoint));
    }

    /// @inheritdoc IStakeVault
    function eligibleAt(address author, uint40 timepoint) external view returns (uint40) {
        uint256 own = _weightAt(_ledgers[author], author, _config().minStake, timepoint);
        return uint40(_total.upperLookupRecent(timepoint) - own);
    }

    /// @inheritdoc IStakeVault
    function mayVoteFor(address node, address key) public view returns (bool) {
        return key != address(0) && (key == node || key == _ledgers[node].votingKey);
    }

    /// @inheritdoc IStakeVault
    function totals() external view returns (uint128 escrow, uint128 pool, uint128 pendingTotal) {
        return (_escrow, _pool, _pending);
    }

    // ------------------------------------------------------------------------- ledgers moved by the sibling contracts

    /// @inheritdoc IStakeVault
    function openSubmission(address author, uint256 bond, uint256 fee) external {
        VaultConfig memory config = _config();
        if (msg.sender != config.registry) revert VaultUnauthorized(msg.sender);
        Ledger storage ledger = _ledgers[author];
        if (ledger.roles & ROLE_TRAINER == 0) revert VaultNotTrainer(author);
        uint256 stake = ledger.stake;
        if (stake < bond + fee) revert VaultInsufficientStake(author, stake, bond + fee);
        _setExposed(ledger, author, config.minStake, stake - bond - fee, ledger.locked + bond);
        _escrow += uint128(fee);
    }

    /// @inheritdoc IStakeVault
    function lockVote(address voter, address caller, uint40 timepoint) external returns (uint40 weight, uint256 bond) {
        VaultConfig memory config = _config();
        if (msg.sender != config.book) revert VaultUnauthorized(msg.sender);
        if (!mayVoteFor(voter, caller)) revert VaultNotVoter(voter, caller);
        Ledger storage ledger = _ledgers[voter];
        uint256 then = _weightAt(ledger, voter, config.minStake, timepoint);
        weight = uint40(Math.min(then, _weight(ledger, config.minStake)));
        if (weight == 0) return (0, 0);
        bond = Math.ceilDiv(uint256(weight) * config.minStake * config.voteBondBps, BPS);
        (uint256 stake, uint256 locked) = (ledger.stake, ledger.locked);
        if (stake < bond) revert VaultInsufficientStake(voter, stake, bond);
        ledger.stake = uint104(stake - bond);
        ledger.locked = uint104(locked + bond);
    }

    /// @inheritdoc IStakeVault
    function closeSubmission(
        address author,
        uint256 bondReleased,
        uint256 bondForfeited,
        uint256 feeReturned,
        uint256 feeToPool
    ) external {
        VaultConfig memory config = _config();
        if (msg.sender != config.book) revert VaultUnauthorized(msg.sender);
        _unlock(_ledgers[author], author, config.minStake, bondReleased, bondForfeited);
        _fromEscrow(_ledgers[author], feeReturned, feeToPool, bondForfeited);
    }

    /// @inheritdoc IStakeVault
    function settleVote(address voter, uint256 paid, uint256 bondReleased, uint256 bondForfeited, uint256 feeToPool)
        external
    {
        VaultConfig memory config = _config();
        if (msg.sender != config.book) revert VaultUnauthorized(msg.sender);
        _unlock(_ledgers[voter], voter, config.minStake, bondReleased, bondForfeited);
        _fromEscrow(_ledgers[voter], paid, feeToPool, bondForfeited);
    }

    /// @inheritdoc IStakeVault
    function fund(address sponsor, uint256 amount) external onlySibling(_config().pool) nonReentrant {
        _pull(_config().token, sponsor, amount);
        _pool += uint128(amount);
    }

    /// @inheritdoc IStakeVault
    function refund(address to) external onlySibling(_config().pool) nonReentrant returns (uint256 amount) {
        amount = _pool;
        _pool = 0;
        _push(_config().token, to, amount);
    }

    /// @inheritdoc IStakeVault
    function payReward(address author, uint256 toAuthor, uint256 toPending) external onlySibling(_config().pool) {
        _pool -= uint128(toAuthor + toPending);
        _pending += uint128(toPending);
        _ledgers[author].credit += uint104(toAuthor);
    }

    /// @inheritdoc IStakeVault
    function payPour(address author, uint256 toAuthor, uint256 toPool) external onlySibling(_config().pool) {
        _pending -= uint128(toAuthor + toPool);
        _pool += uint128(toPool);
        if (toAuthor != 0) _ledgers[author].credit += uint104(toAuthor);
    }

    // ---------------------------------------------------------------------------------------------------- internal

    function _config() private view returns (VaultConfig memory) {
        return abi.decode(_args(), (VaultConfig));
    }

    function _registered(address node) private view returns (Ledger storage ledger) {
        ledger = _ledgers[node];
        if (ledger.roles == 0) revert VaultNotRegistered(node);
    }

    /// @dev Locked stake back to free stake, or out of the account.
    function _unlock(Ledger storage ledger, address node, uint256 minStake, uint256 released, uint256 forfeited)
        private
    {
        _setExposed(ledger, node, minStake, ledger.stake + released, ledger.locked - released - forfeited);
    }

    /// @dev Out of escrow to a node's credit and to the pool; what was forfeited joins the pool.
    function _fromEscrow(Ledger storage ledger, uint256 toCredit, uint256 toPool, uint256 forfeited) private {
        if (toCredit + toPool != 0) _escrow -= uint128(toCredit + toPool);
        if (toPool + forfeited != 0) _pool += uint128(toPool + forfeited);
        if (toCredit != 0) ledger.credit += uint104(toCredit);
    }

    /// @dev Write free and locked stake; where whole minimum stakes change, keep the old weight as a checkpoint.
    function _setExposed(Ledger storage ledger, address node, uint256 minStake, uint256 stake, uint256 locked) private {
        uint256 before = _weight(ledger, minStake);
        uint256 weight = (stake + locked) / minStake;
        ledger.stake = uint104(stake);
        ledger.locked = uint104(locked);
        if (weight == before) return;
        uint40 since = ledger.since;
        if (since != 0 && since != block.timestamp) _past[node].push(since, uint208(before));
        ledger.since = uint40(block.timestamp);
        _total.push(uint48(block.timestamp), uint208(_total.latest() + weight - before));
    }

    function _weight(Ledger storage ledger, uint256 minStake) private view returns (uint256) {
        return (uint256(ledger.stake) + ledger.locked) / minStake;
    }

    function _weightAt(Ledger storage ledger, address node, uint256 minStake, uint40 timepoint)
        private
        view
        returns (uint256)
    {
        return timepoint >= ledger.since ? _weight(ledger, minStake) : _past[node].upperLookupRecent(timepoint);
    }

    /// @dev Exactly `amount` must arrive; a token that takes a fee is refused.
    function _pull(address token_, address from, uint256 amount) private {
        if (amount == 0) revert VaultZeroAmount();
        uint256 before = IERC20(token_).balanceOf(address(this));
        IERC20(token_).safeTransferFrom(from, address(this), amount);
        uint256 afterwards = IERC20(token_).balanceOf(address(this));
        if (afterwards < before || afterwards - before != amount) {
            revert VaultTokenTookFee(amount, afterwards < before ? 0 : afterwards - before);
        }
        if (afterwards > MOST_TOKENS) revert VaultTooMuch(afterwards, MOST_TOKENS);
    }

    function _push(address token_, address to, uint256 amount) private {
        if (to == address(0) || to == address(this)) revert VaultBadRecipient(to);
        IERC20(token_).safeTransfer(to, amount);
    }
}
