// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The only holder of a task's tokens, and the ledgers of who owns them
/// @notice Nodes register, stake, unbond and claim here. The vault does not know what a model is.
/// @dev Invariant solvency: balanceOf(this) == Σ stake + Σ locked + Σ unbonding + Σ credit + escrow + pool + allowance
///      + Σ pending, where escrow is the scoring fees not yet settled and pending the lineage shares not yet poured.
interface IStakeVault {
    /// @notice A node's account. `stake` is free, `locked` is bonded to open acts; their sum carries weight.
    struct Account {
        uint128 stake;
        uint128 locked;
        uint128 unbonding;
        uint128 credit;
        uint48 unbondingAt; // withdrawable from here on
        uint8 roles; // zero: not registered
        address votingKey;
        bytes32 metadataDigest;
    }

    event NodeRegistered(address indexed node, uint8 roles, address votingKey, bytes32 metadataDigest);
    event VotingKeyChanged(address indexed node, address votingKey);
    event MetadataChanged(address indexed node, bytes32 metadataDigest);
    event Deposited(address indexed node, uint256 amount);
    event UnstakeRequested(address indexed node, uint256 amount, uint48 withdrawableAt);
    event Withdrawn(address indexed node, address indexed to, uint256 amount);
    event Claimed(address indexed node, address indexed to, uint256 amount);
    event Locked(address indexed node, uint256 amount);
    event Released(address indexed node, uint256 amount);
    event Forfeited(address indexed node, uint256 amount);
    event FeeTaken(address indexed node, uint256 amount);
    event FeeReturned(address indexed node, uint256 amount);
    event EscrowPaid(address indexed node, uint256 amount);
    event EscrowReturned(uint256 amount);
    event Credited(address indexed node, uint256 amount);

    error VaultAlreadyRegistered(address node);
    error VaultNotRegistered(address node);
    error VaultBadRoles(uint8 roles);
    error VaultZeroAmount();
    error VaultZeroAddress();
    error VaultInsufficientStake(address node, uint256 available, uint256 needed);
    error VaultUnbondingPending(address node, uint256 amount, uint48 withdrawableAt);
    error VaultNothingToWithdraw(address node);
    error VaultStillUnbonding(address node, uint48 withdrawableAt);
    error VaultNothingToClaim(address node);
    error VaultTokenTookFee(uint256 expected, uint256 received);
    error VaultUnauthorized(address caller);
    error VaultVotingKeyTaken(address votingKey);
    error VaultIneligible(address node);

    // --- a node's own journey ---

    /// @notice Register the caller. Roles are a non-empty subset of TRAINER | VALIDATOR and fixed.
    /// @param votingKey hot key that may commit and reveal for the node; zero for none
    function register(uint8 roles, address votingKey, bytes32 metadataDigest) external;

    function setVotingKey(address votingKey) external;

    function setMetadata(bytes32 metadataDigest) external;

    /// @notice Add to the caller's own stake; it counts for ids reserved at least `warmUp` later.
    function deposit(uint256 amount) external;

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
    function weightAt(address node, uint48 timepoint) external view returns (uint64);

    function weightNow(address node) external view returns (uint64);

    function totalWeightAt(uint48 timepoint) external view returns (uint64);

    /// @notice Whether `key` may vote for `node`: the node itself or its voting key.
    function mayVoteFor(address node, address key) external view returns (bool);

    /// @notice Ledgers that belong to nobody yet.
    function totals()
        external
        view
        returns (uint128 escrow, uint128 pool, uint128 allowance, uint128 pendingTotal);

    // --- cross-contract, one caller each (see contracts for the caller of each entry) ---

    function lock(address node, uint256 amount) external;

    function release(address node, uint256 amount) external;

    /// @notice Locked stake of a silent voter or an unsubmitted author to the pool.
    function forfeit(address node, uint256 amount) external;

    /// @notice Scoring fee from the author's free stake into escrow.
    function takeFee(address node, uint256 amount) external;

    /// @notice Escrow back to the author's free stake (nobody revealed).
    function returnFee(address node, uint256 amount) external;

    /// @notice Escrow to a voter's credit.
    function payFromEscrow(address node, uint256 amount) external;

    /// @notice Escrow to the pool: what is not paid to voters.
    function escrowToPool(uint256 amount) external;

    function pullToPool(address from, uint256 amount) external;

    function pushFromPool(address to) external returns (uint256 amount);

    function poolToAllowance(uint256 amount) external;

    /// @notice Allowance to an author's credit and to pending lineage shares.
    function payReward(address author, uint256 toAuthor, uint256 toPending) external;

    /// @notice Pending lineage share to an author's credit and to the pool.
    function payPour(address author, uint256 toAuthor, uint256 toPool) external;
}
