// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The only holder of a task's tokens, and the ledgers of who owns them
/// @notice Nodes register, stake, unbond and claim here. The vault does not know what a model is.
/// @dev Invariant solvency: balanceOf(this) == Σ stake + Σ locked + Σ unbonding + Σ credit + escrow + pool, where
///      escrow is the scoring fees not yet settled, and pool includes the allowance and the pending lineage shares that
///      RewardPool keeps count of. A plain transfer to the vault belongs to nobody.
interface IStakeVault {
    /// @notice A node's account. `stake` is free, `locked` is bonded to open acts; their sum carries weight.
    struct Account {
        uint128 stake;
        uint128 locked;
        uint128 unbonding;
        uint128 credit;
        uint40 unbondingAt; // withdrawable from here on
        uint40 since; // when the weight last changed
        uint8 roles; // zero: not registered
        address votingKey;
    }

    /// @notice What a commitment freezes of its voter.
    struct VoteLock {
        uint32 weight; // whole minimum stakes
        uint16 yes; // history: revealed votes above tau
        uint16 seen; // history: revealed votes
        uint256 bond; // moved from free to locked stake
    }

    event NodeRegistered(address indexed node, uint8 roles, address votingKey, bytes32 metadataDigest);
    event VotingKeyChanged(address indexed node, address votingKey);
    event MetadataChanged(address indexed node, bytes32 metadataDigest);
    event Deposited(address indexed node, uint256 amount);
    event UnstakeRequested(address indexed node, uint256 amount, uint40 withdrawableAt);
    event Withdrawn(address indexed node, address indexed to, uint256 amount);
    event Claimed(address indexed node, address indexed to, uint256 amount);

    error VaultAlreadyRegistered(address node);
    error VaultNotRegistered(address node);
    error VaultBadRoles(uint8 roles);
    error VaultZeroAmount();
    error VaultBadRecipient(address to);
    error VaultInsufficientStake(address node, uint256 available, uint256 needed);
    error VaultUnbondingPending(address node, uint256 amount, uint40 withdrawableAt);
    error VaultNothingToWithdraw(address node);
    error VaultStillUnbonding(address node, uint40 withdrawableAt);
    error VaultNothingToClaim(address node);
    error VaultTokenTookFee(uint256 expected, uint256 received);
    error VaultUnauthorized(address caller);
    error VaultTooMuch(uint256 balance, uint256 most);
    error VaultTooMuchWeight(uint256 weight, uint256 most);
    error VaultIneligible(address node);
    error VaultGasForHook(uint256 left, uint256 needed);
    error VaultNotVoter(address node, address key);
    error VaultNotTrainer(address node);

    // --- a node's own journey ---

    /// @notice Register the caller. Roles are a non-empty subset of TRAINER | VALIDATOR and fixed.
    /// @param votingKey hot key that may commit and reveal for the node; zero for none
    function register(uint8 roles, address votingKey, bytes32 metadataDigest) external;

    /// @notice `register` and `deposit` in one transaction: cheaper, and the stake starts to age at once.
    function registerAndDeposit(uint8 roles, address votingKey, bytes32 metadataDigest, uint256 amount) external;

    function setVotingKey(address votingKey) external;

    function setMetadata(bytes32 metadataDigest) external;

    /// @notice Add to the caller's own stake; it counts for ids reserved at least `warmUp` later.
    function deposit(uint256 amount) external;

    /// @notice `deposit` after an ERC-2612 permit for exactly this amount, in one transaction.
    /// @dev A permit that someone else sent first does not matter: the allowance is there all the same.
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Take free stake out of the weight at once and start its unbonding. One request at a time.
    function requestUnstake(uint256 amount) external;

    /// @notice Pay the caller's unbonded stake to `to`.
    function withdraw(address to) external returns (uint256 amount);

    /// @notice Pay the caller's credit (rewards, fees) to `to`.
    function claim(address to) external returns (uint256 amount);

    // --- views ---

    function account(address node) external view returns (Account memory);

    function token() external view returns (address);

    /// @notice Whole minimum stakes of `node` at `timepoint`: (stake + locked) / minStake, unbonding left out.
    function weightAt(address node, uint40 timepoint) external view returns (uint32);

    function weightNow(address node) external view returns (uint32);

    function totalWeightAt(uint40 timepoint) external view returns (uint32);

    /// @notice Whether `key` may vote for `node`: the node itself or its voting key.
    function mayVoteFor(address node, address key) external view returns (bool);

    /// @notice A node's own history for voters' pay: revealed votes above tau, revealed votes. Votes of LOWEST are left
    ///         out, and a history of 65,535 votes is halved before it grows.
    function history(address node) external view returns (uint16 yes, uint16 seen);

    /// @notice Ledgers that belong to nobody yet.
    function totals() external view returns (uint128 escrow, uint128 pool);

    function votingKeyOf(address node) external view returns (address);

    // --- cross-contract: each entry accepts one caller ---

    /// @notice The author's bond from free to locked, the scoring fee from free into escrow. Only ModelRegistry.
    /// @return eligible total weight at `timepoint` without the author's own: who may vote
    function openSubmission(address author, uint256 bond, uint256 fee, uint40 timepoint)
        external
        returns (uint32 eligible);

    /// @notice Freeze a voter's weight and lock its bond. Only ScoreBook.
    /// @param caller who sent the commit; must be `voter` or its voting key
    /// @param timepoint stake counts as it was then
    /// @return lock weight zero if the voter may not vote; then nothing is locked
    function lockVote(address voter, address caller, uint40 timepoint) external returns (VoteLock memory lock);

    /// @notice Add a revealed vote to the voter's history. Only ScoreBook.
    function countVote(address voter, bool yes) external;

    /// @notice End an act of `node`: its bond to free stake or to the pool, escrow to its credit or to the pool.
    ///         Only ScoreBook; cannot revert for what was locked and taken.
    function unlock(address node, uint256 bondReleased, uint256 bondForfeited, uint256 feeToNode, uint256 feeToPool)
        external;

    /// @notice Take tokens of the sponsor, or of someone who pays a royalty, into the pool. Only RewardPool.
    function fund(address payer, uint256 amount) external;

    /// @notice Pay `amount` of the pool to `to`. Only RewardPool.
    function refund(address to, uint256 amount) external;

    /// @notice Pool to an author's credit. Only RewardPool; cannot revert for what the pool holds.
    function credit(address author, uint256 amount) external;
}
