// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Sponsor's money, metered by time, paid by gain, poured along the lineage
/// @notice reward = allowance * (1 - (1 - r)^gain). Of it 1 - rho goes to the author; half of the rest to the reference
///         and half to the declared parents that are Final, by weight (what is not Final goes to the reference).
///         `pour(m)` pays m's author pending * (1 - lambda^gain(m)) and passes the rest to reference(m); at genesis it
///         returns to the pool. Payouts round down, remainders are carried. Never loops over participants.
interface IRewardPool {
    event Funded(address indexed sponsor, uint256 amount);
    /// @notice `reward` left the allowance and is owed to `id`: to its author and lineage with the next pour.
    event Rewarded(uint256 indexed id, address indexed author, uint256 reward);
    event RewardShared(uint256 indexed id, address indexed author, uint256 toAuthor, uint256 toLineage);
    event LineageShared(uint256 indexed from, uint256 indexed to, uint256 amount);
    event Poured(
        uint256 indexed id, address indexed author, uint256 toAuthor, uint256 passed, uint256 indexed referenceId
    );
    /// @notice An entry of `pourMany` that has nothing to pour: unknown, void, without shares, or poured before.
    event PourSkipped(uint256 indexed id);
    /// @notice A user of model `id` paid; shared out like a reward with the next pour.
    event RoyaltyPaid(uint256 indexed id, address indexed payer, uint256 amount);
    event Reclaimed(address indexed to, uint256 amount);

    error PoolNotSponsor(address caller);
    error PoolClosed();
    error PoolNotClosed();
    error PoolUnfinished(uint256 nextToFinalize, uint256 count);
    error PoolGraceRunning(uint40 until, uint40 now_);
    error PoolUnauthorized(address caller);
    error PoolNotPayable(uint256 id);

    /// @notice Sponsor only: add to the pool. The first funding releases one day's drip at once.
    function fund(uint256 amount) external;

    /// @notice Sponsor only: no new reservations.
    function close() external;

    /// @notice Sponsor only: take the unspent pool and allowance, after close, the last finalise, and grace.
    function reclaim(address to) external returns (uint256 amount);

    /// @notice Share out what `id` owes to its lineage and pour what is pending for it. Anyone; idempotent when empty.
    function pour(uint256 id) external;

    /// @notice Pour several, in the given order (descendants first); an entry with nothing to pour is skipped and
    ///         emitted.
    function pourMany(uint256[] calldata ids) external;

    /// @notice Pay for the use of a Final model; `amount` goes to its author and lineage like a reward.
    /// @dev Approve the vault. Genesis has no author and takes no royalty.
    function payRoyalty(uint256 id, uint256 amount) external;

    function pending(uint256 id) external view returns (uint256);

    /// @notice What `id` earned and has not shared out yet; the next pour gives it to its author and lineage.
    function owed(uint256 id) external view returns (uint256);

    /// @notice The vault's pool in its three parts, drip included: unreleased, allowance, and owed or pending lineage
    ///         shares.
    function balances() external view returns (uint256 pool, uint256 allowance, uint256 pendingTotal);

    // --- cross-contract ---

    /// @notice Pay the reward of a model that became best. Only ScoreBook, inside finalise; cannot revert.
    function reward(uint256 id, address author, uint8 gain) external;
}
