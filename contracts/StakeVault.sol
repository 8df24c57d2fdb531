// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IEligibility} from "../interfaces/IEligibility.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {ROLE_TRAINER, ROLE_VALIDATOR} from "../interfaces/PdfedTypes.sol";
import {History} from "./libraries/History.sol";
import {Claims, Common, Stake, Stakes, Whole} from "./libraries/Stakes.sol";
import {VAULT_CONFIG_WORDS, VaultConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";

/// @title StakeVault
/// @dev Why no narrowing cast below loses bits and no sum overflows: every ledger is a part of `held`, which counts what came
///      in and did not leave, and which is held at or below MOST_TOKENS whenever tokens come in. What somebody sends without a
///      call is not counted and changes nothing. The weight of all validators is held at or below MOST_WEIGHT where it
///      changes; it grows only in `deposit`, so nothing else can fail there.
///      Only deposit, withdraw, claim, fund and refund touch the token; they share one transient lock.
contract StakeVault is IStakeVault, TaskPart, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using History for mapping(uint256 time => History.Change);
    using Stakes for Stake;

    uint256 private constant MOST_TOKENS = type(uint88).max;
    uint256 private constant MOST_WEIGHT = type(uint32).max;
    uint256 private constant HOOK_GAS = 100_000;

    mapping(address node => Stake) private _stakes;
    mapping(address node => Claims) private _claims;
    mapping(address node => address) private _votingKeys;
    mapping(address node => mapping(uint256 time => History.Change)) private _past;
    mapping(uint256 time => History.Change) private _pastTotal;
    Whole private _whole;
    Common private _common;

    // ------------------------------------------------------------------------------------------------ registration

    /// @inheritdoc IStakeVault
    function register(uint8 roles, address votingKey, bytes32 metadataDigest) external {
        _register(roles, votingKey, metadataDigest);
    }

    /// @inheritdoc IStakeVault
    function registerAndDeposit(uint8 roles, address votingKey, bytes32 metadataDigest, uint256 amount)
        external
        nonReentrant
    {
        _register(roles, votingKey, metadataDigest);
        _deposit(amount);
    }

    /// @inheritdoc IStakeVault
    function setVotingKey(address votingKey) external {
        _registered(msg.sender);
        _votingKeys[msg.sender] = votingKey;
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
        _deposit(amount);
    }

    /// @inheritdoc IStakeVault
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        try IERC20Permit(_config().token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(amount);
    }

    /// @inheritdoc IStakeVault
    function requestUnstake(uint256 amount) external {
        Stake memory stake = _registered(msg.sender);
        Claims memory claims = _claims[msg.sender];
        if (amount == 0) revert VaultZeroAmount();
        if (claims.unbonding != 0) revert VaultUnbondingPending(msg.sender, claims.unbonding, claims.unbondingAt);
        if (amount > stake.free) revert VaultInsufficientStake(msg.sender, stake.free, amount);
        VaultConfig memory config = _config();
        _setStake(msg.sender, stake, config.minStake, stake.free - amount, stake.locked);
        claims.unbonding = uint88(amount);
        claims.unbondingAt = uint40(block.timestamp) + config.unbonding;
        _claims[msg.sender] = claims;
        emit UnstakeRequested(msg.sender, amount, claims.unbondingAt);
    }

    /// @inheritdoc IStakeVault
    function withdraw(address to) external nonReentrant returns (uint256 amount) {
        Claims memory claims = _claims[msg.sender];
        amount = claims.unbonding;
        if (amount == 0) revert VaultNothingToWithdraw(msg.sender);
        if (block.timestamp < claims.unbondingAt) revert VaultStillUnbonding(msg.sender, claims.unbondingAt);
        _claims[msg.sender].unbonding = 0;
        emit Withdrawn(msg.sender, to, amount);
        _push(to, amount);
    }

    /// @inheritdoc IStakeVault
    function claim(address to) external nonReentrant returns (uint256 amount) {
        amount = _claims[msg.sender].credit;
        if (amount == 0) revert VaultNothingToClaim(msg.sender);
        _claims[msg.sender].credit = 0;
        emit Claimed(msg.sender, to, amount);
        _push(to, amount);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IStakeVault
    function account(address node) external view returns (Account memory) {
        Stake memory stake = _stakes[node];
        Claims memory claims = _claims[node];
        (uint88 unbonding, uint88 due, uint40 at) = (claims.unbonding, claims.credit, claims.unbondingAt);
        return Account(stake.free, stake.locked, unbonding, due, at, stake.since, stake.roles, _votingKeys[node]);
    }

    /// @inheritdoc IStakeVault
    function token() external view returns (address) {
        return _config().token;
    }

    /// @inheritdoc IStakeVault
    function weightAt(address node, uint40 timepoint) external view returns (uint32) {
        return uint32(_weightAt(node, _stakes[node], _config().minStake, timepoint));
    }

    /// @inheritdoc IStakeVault
    function weightNow(address node) external view returns (uint32) {
        return uint32(_stakes[node].weight(_config().minStake));
    }

    /// @inheritdoc IStakeVault
    function totalWeightAt(uint40 timepoint) public view returns (uint32) {
        return uint32(_pastTotal.valueAt(timepoint, _whole.since, _whole.weight));
    }

    /// @inheritdoc IStakeVault
    function mayVoteFor(address node, address key) public view returns (bool) {
        return key != address(0) && (key == node || key == _votingKeys[node]);
    }

    /// @inheritdoc IStakeVault
    function votingKeyOf(address node) external view returns (address) {
        return _votingKeys[node];
    }

    /// @inheritdoc IStakeVault
    function history(address node) external view returns (uint16 yes, uint16 seen) {
        return (_stakes[node].yes, _stakes[node].seen);
    }

    /// @inheritdoc IStakeVault
    function totals() external view returns (uint128 held, uint128 escrow, uint128 treasury_) {
        return (_whole.held, _common.escrow, _common.treasury);
    }

    /// @inheritdoc IStakeVault
    function treasury() external view returns (uint256) {
        return _common.treasury;
    }

    // ------------------------------------------------------------------------- ledgers moved by the sibling contracts

    /// @inheritdoc IStakeVault
    function openSubmission(address author, uint256 id, uint256 bond, uint256 fee, uint256 surcharge, uint40 timepoint)
        external
        returns (uint32 eligible)
    {
        VaultConfig memory config = _config();
        _only(config.registry);
        Stake memory stake = _stakes[author];
        if (stake.roles & ROLE_TRAINER == 0) revert VaultNotTrainer(author);
        uint256 needed = bond + fee + surcharge;
        if (stake.free < needed) revert VaultInsufficientStake(author, stake.free, needed);
        uint256 own = _weightAt(author, stake, config.minStake, timepoint);
        eligible = uint32(totalWeightAt(timepoint) - own);
        emit SubmissionBonded(author, id, bond, fee, surcharge);
        _setStake(author, stake, config.minStake, stake.free - needed, stake.locked + bond);
        Common memory common = _common;
        (common.escrow, common.treasury) = (common.escrow + uint88(fee), common.treasury + uint88(surcharge));
        _common = common;
        // Keep the author's first credit from paying for a fresh slot, unless a change of weight just paid for two.
        if (stake.since != block.timestamp) _claims[author].used = true;
    }

    /// @inheritdoc IStakeVault
    function lockVote(address voter, address caller, uint256 id, uint40 timepoint)
        external
        returns (VoteLock memory lock)
    {
        VaultConfig memory config = _config();
        _only(config.book);
        if (!mayVoteFor(voter, caller)) revert VaultNotVoter(voter, caller);
        Stake memory stake = _stakes[voter];
        if (stake.roles & ROLE_VALIDATOR == 0) revert VaultNotValidator(voter);
        uint256 then = _weightAt(voter, stake, config.minStake, timepoint);
        uint256 weight = Math.min(then, stake.weight(config.minStake));
        uint256 bond = Stakes.voteBond(weight, config.minStake, config.voteBondBps);
        if (stake.free < bond) revert VaultInsufficientStake(voter, stake.free, bond);
        (stake.free, stake.locked) = (stake.free - uint88(bond), stake.locked + uint88(bond));
        _stakes[voter] = stake;
        emit VoteBonded(voter, id, bond);
        return VoteLock(uint32(weight), stake.yes, stake.seen, bond);
    }

    /// @inheritdoc IStakeVault
    function unlock(address node, uint256 id, Settlement calldata s) external {
        VaultConfig memory config = _config();
        _only(config.book);
        emit Settled(node, id, s.released, s.forfeited, s.paid, s.toCommons);
        Stake memory stake = _stakes[node];
        if (s.counts) stake.count(s.yes);
        uint256 locked = stake.locked - s.released - s.forfeited;
        _setStake(node, stake, config.minStake, stake.free + s.released, locked);
        if (s.paid + s.toCommons + s.forfeited == 0) return;
        Common memory common = _common;
        common.escrow -= uint88(s.paid + s.toCommons);
        common.treasury += uint88(s.toCommons + s.forfeited);
        _common = common;
        if (s.paid != 0) _addCredit(node, s.paid);
    }

    /// @inheritdoc IStakeVault
    function fund(address payer, uint256 amount) external nonReentrant {
        _only(_config().pool);
        _pull(payer, amount);
        _common.treasury += uint88(amount);
        emit TreasuryFunded(payer, amount);
    }

    /// @inheritdoc IStakeVault
    function refund(address to, uint256 amount) external nonReentrant {
        _only(_config().pool);
        _common.treasury -= uint88(amount);
        emit TreasuryPaid(to, amount);
        _push(to, amount);
    }

    /// @inheritdoc IStakeVault
    function credit(address author, uint256 amount) external {
        _only(_config().pool);
        _common.treasury -= uint88(amount);
        emit Credited(author, amount);
        _addCredit(author, amount);
    }

    // ---------------------------------------------------------------------------------------------------- internal

    function _config() private view returns (VaultConfig memory config) {
        uint256 to;
        assembly ("memory-safe") {
            to := config
        }
        _loadArgs(to, VAULT_CONFIG_WORDS);
    }

    function _register(uint8 roles, address votingKey, bytes32 metadataDigest) private {
        if (_stakes[msg.sender].roles != 0) revert VaultAlreadyRegistered(msg.sender);
        if (roles == 0 || roles > (ROLE_TRAINER | ROLE_VALIDATOR)) revert VaultBadRoles(roles);
        _askHook(_config().eligibility, roles);
        _stakes[msg.sender].roles = roles;
        if (votingKey != address(0)) _votingKeys[msg.sender] = votingKey;
        emit NodeRegistered(msg.sender, roles, votingKey, metadataDigest);
    }

    function _deposit(uint256 amount) private {
        _registered(msg.sender);
        _pull(msg.sender, amount);
        Stake memory stake = _stakes[msg.sender];
        _setStake(msg.sender, stake, _config().minStake, stake.free + amount, stake.locked);
        emit Deposited(msg.sender, amount);
    }

    /// @dev The hook sees no more than its gas and cannot be starved to make it fail: a call gets at most 63/64 of what
    ///      is left. A hook that reverts says no.
    function _askHook(address hook, uint8 roles) private view {
        if (hook == address(0)) return;
        if (gasleft() < HOOK_GAS * 64 / 63 + 5_000) revert VaultGasForHook(gasleft(), HOOK_GAS * 64 / 63 + 5_000);
        try IEligibility(hook).isEligible{gas: HOOK_GAS}(msg.sender, roles) returns (bool yes) {
            if (yes) return;
        } catch {}
        revert VaultIneligible(msg.sender);
    }

    function _only(address sibling) private view {
        if (msg.sender != sibling) revert VaultUnauthorized(msg.sender);
    }

    function _registered(address node) private view returns (Stake memory stake) {
        stake = _stakes[node];
        if (stake.roles == 0) revert VaultNotRegistered(node);
    }

    /// @dev Write free and locked stake; where whole minimum stakes change, keep the node's and the total's old weight.
    function _setStake(address node, Stake memory stake, uint256 minStake, uint256 free, uint256 locked) private {
        uint256 before = stake.weight(minStake);
        (stake.free, stake.locked) = (uint88(free), uint88(locked));
        uint256 weight = stake.weight(minStake);
        if (weight != before) {
            uint40 time = uint40(block.timestamp);
            Whole memory whole = _whole;
            uint256 total = whole.weight + weight - before;
            if (total > MOST_WEIGHT) revert VaultTooMuchWeight(total, MOST_WEIGHT);
            _past[node].push(time, stake.since, before);
            _pastTotal.push(time, whole.since, whole.weight);
            (whole.weight, whole.since, stake.since) = (uint32(total), time, time);
            _whole = whole;
        }
        _stakes[node] = stake;
    }

    function _weightAt(address node, Stake memory stake, uint256 minStake, uint40 time) private view returns (uint256) {
        return _past[node].valueAt(time, stake.since, stake.weight(minStake));
    }

    function _addCredit(address node, uint256 amount) private {
        Claims storage claims = _claims[node];
        (claims.credit, claims.used) = (claims.credit + uint88(amount), true);
    }

    /// @dev Exactly `amount` must arrive; a token that takes a fee is refused.
    function _pull(address from, uint256 amount) private {
        if (amount == 0) revert VaultZeroAmount();
        uint256 held = Math.saturatingAdd(_whole.held, amount);
        if (held > MOST_TOKENS) revert VaultTooMuch(held, MOST_TOKENS);
        _whole.held = uint88(held);
        IERC20 token_ = IERC20(_config().token);
        uint256 before = token_.balanceOf(address(this));
        token_.safeTransferFrom(from, address(this), amount);
        uint256 received = Math.saturatingSub(token_.balanceOf(address(this)), before);
        if (received != amount) revert VaultTokenTookFee(amount, received);
    }

    function _push(address to, uint256 amount) private {
        if (to == address(0) || to == address(this)) revert VaultBadRecipient(to);
        _whole.held -= uint88(amount);
        IERC20(_config().token).safeTransfer(to, amount);
    }
}
