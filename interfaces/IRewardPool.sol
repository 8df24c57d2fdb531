// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Sponsor's money, metered by time, paid by gain, poured along the lineage
/// @notice reward = allowance * (1 - (1 - r)^gain). Of it 1 - rho goes to the author; half of the rest to the reference
///         and half to the declared parents that are Final, by weight (what is not Final goes to the reference).
///         `pour(m)` pays m's author pending * (1 - lambda^gain(m)) and passes the rest to reference(m); at genesis it
///         returns to the pool. Payouts round down, remainders are carried. Never loops over participants.
interface IRewardPool {
    /// @notice The sponsor added to the pool.
    /// @param sponsor who paid
    /// @param amount what came in
    event Funded(address indexed sponsor, uint256 amount);
    /// @notice `reward` left the allowance and is owed to `id`: to its author and lineage with the next pour.
    /// @param id the new best
    /// @param author of it
    /// @param reward units of the token
    event Rewarded(uint256 indexed id, address indexed author, uint256 reward);
    /// @notice What `id` earned was shared out.
    /// @param id that earned it
    /// @param author of it
    /// @param toAuthor credited to the author
    /// @param toLineage left for parents and reference, each with its LineageShared
    event RewardShared(uint256 indexed id, address indexed author, uint256 toAuthor, uint256 toLineage);
    /// @notice A part of what `from` earned became pending for an ancestor.
    /// @param from that earned it
    /// @param to a parent or the reference; genesis stands for the pool
    /// @param amount units of the token
    event LineageShared(uint256 indexed from, uint256 indexed to, uint256 amount);
    /// @notice What was pending for `id` was poured.
    /// @param id whose share it was
    /// @param author of it
    /// @param toAuthor credited to the author
    /// @param passed made pending for the reference; back to the pool if that is genesis
    /// @param referenceId reference of `id`
    event Poured(
        uint256 indexed id, address indexed author, uint256 toAuthor, uint256 passed, uint256 indexed referenceId
    );
    /// @notice An entry of `pourMany` that has nothing to pour: unknown, void, without shares, or poured before.
    /// @param id the entry
    event PourSkipped(uint256 indexed id);
    /// @notice A user of model `id` paid; shared out like a reward with the next pour.
    /// @param id that was used
    /// @param payer who paid
    /// @param amount units of the token
    event RoyaltyPaid(uint256 indexed id, address indexed payer, uint256 amount);
    /// @notice The sponsor took the unspent pool.
    /// @param to where it went
    /// @param amount units of the token
    event Reclaimed(address indexed to, uint256 amount);

    /// @notice Only the sponsor may do this.
    /// @param caller who tried
    error PoolNotSponsor(address caller);
    /// @notice A closed task takes no more money from its sponsor.
    error PoolClosed();
    /// @notice The sponsor has to close the task first.
    error PoolNotClosed();
    /// @notice Ids are still to be finalised.
    /// @param nextToFinalize head of the queue
    /// @param count number of ids
    error PoolUnfinished(uint256 nextToFinalize, uint256 count);
    /// @notice Too early to reclaim.
    /// @param until first second at which the sponsor may
    /// @param now_ time of the block
    error PoolGraceRunning(uint40 until, uint40 now_);
    /// @notice Only ScoreBook may do this.
    /// @param caller who tried
    error PoolUnauthorized(address caller);
    /// @notice Royalties are for Final models, genesis left out.
    /// @param id that was to be paid
    error PoolNotPayable(uint256 id);

    // --- sponsor ---

    /// @notice Sponsor only: add to the pool. The first funding releases one day's drip at once.
    /// @dev Approve the vault. WARNING: it comes back only by `reclaim`, and only what nobody earned.
    /// @param amount units of the token
    function fund(uint256 amount) external;

    /// @notice Sponsor only: no new reservations, for good. Ids that exist go on and are paid.
    function close() external;

    /// @notice Sponsor only: take the unspent pool and allowance, after close, the last finalise, and grace. What
    ///         settles later (forfeits, returned fees) can be reclaimed again.
    /// @param to where it goes
    /// @return amount units of the token
    function reclaim(address to) external returns (uint256 amount);

    // --- anyone ---

    /// @notice Share out what `id` owes to its lineage and pour what is pending for it. Idempotent: nothing happens
    ///         where there is nothing to pour.
    /// @param id of a model
    function pour(uint256 id) external;

    /// @notice Pour several, in the given order (descendants first); an entry with nothing to pour is skipped and
    ///         emitted.
    /// @param ids of models
    function pourMany(uint256[] calldata ids) external;

    /// @notice Pay for the use of a Final model; `amount` goes to its author and lineage like a reward.
    /// @dev Approve the vault. Genesis has no author and takes no royalty. WARNING: the chain cannot know who used
    ///      what; a copy of a model can be paid in place of the original.
    /// @param id of the model
    /// @param amount units of the token
    function payRoyalty(uint256 id, uint256 amount) external;

    // --- views ---

    /// @notice What descendants of `id` left for it; the next pour splits it between its author and its reference.
    /// @param id of a model
    /// @return units of the token
    function pending(uint256 id) external view returns (uint256);

    /// @notice What `id` earned and has not shared out yet; the next pour gives it to its author and lineage.
    /// @param id of a model
    /// @return units of the token
    function owed(uint256 id) external view returns (uint256);

    /// @notice The vault's pool in its three parts, drip up to now included.
    /// @return pool not released yet
    /// @return allowance released: rewards are paid from it
    /// @return pendingTotal owed to models and pending along the lineage
    function balances() external view returns (uint256 pool, uint256 allowance, uint256 pendingTotal);

    // --- for the siblings ---

    /// @notice Meter the reward of a model that became best. Only ScoreBook, inside finalise; cannot revert.
    /// @param id the new best
    /// @param author of it
    /// @param gain its gain in buckets, 1 .. 23
    function reward(uint256 id, address author, uint8 gain) external;
}
