// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Sponsor's funds and commons, metered by time and stake, paid by gain, shared by contribution
/// @notice A model that becomes best by Δ grains earns (allowance + commons) * (1 - (1 - r)^Δ). What is paid is the
///         contribution, not the last step: the grains by which the measured level M rose are shared among those who measurably
///         added them, along declared parents. Of what an author gets, rho flows on along references. Shares are pulled, one
///         hop a call: `pour(id, source)`. Never loops over participants.
///         WARNING: who leaves parents out is paid for them; the chain cannot know. Voters can (index -1).
interface IRewardPool {
    /// @notice The treasury of the vault by owner.
    /// @param unreleased the sponsor's funds without the allowance
    /// @param allowance the part of the sponsor's funds that rewards are paid from, drip up to now included. A reward is
    ///        metered by the stake that was eligible for its id, so it may draw on less
    /// @param commons forfeits, surcharges, rests of fees, and what lineage leaves at genesis: never the sponsor's
    /// @param committed owed to models and on its way along their lineage
    struct Balances {
        uint256 unreleased;
        uint256 allowance;
        uint256 commons;
        uint256 committed;
    }

    /// @notice What `id` holds of what a descendant earned, not yet split further.
    /// @param above to be split above the best that the descendant took the place of
    /// @param held what a veto had held down: to be split above the reference of the descendant
    struct Share {
        uint128 above;
        uint128 held;
    }

    /// @notice One hop: what `id` holds of what `source` earned.
    /// @param id of a model
    /// @param source `id` itself, or a descendant that earned something
    struct Hop {
        uint256 id;
        uint256 source;
    }

    /// @notice The sponsor added to the funds.
    /// @param sponsor who paid
    /// @param amount what came in
    event Funded(address indexed sponsor, uint256 amount);
    /// @notice A reward is owed to `id`: to its author and lineage with the next pour.
    /// @param id the new best
    /// @param fromAllowance units of the token
    /// @param fromCommons units of the token
    event Rewarded(uint256 indexed id, uint256 fromAllowance, uint256 fromCommons);
    /// @notice At the end of the task a part of the commons became owed to `id`, like a reward.
    /// @param id that became best once
    /// @param amount units of the token
    event CommonsDivided(uint256 indexed id, uint256 amount);
    /// @notice What `id` held of what `source` earned was split.
    /// @param id of a model
    /// @param source that earned it
    /// @param author of `id`
    /// @param toAuthor credited to the author
    /// @param toReference made pending for the reference of `id`; to the commons if that is genesis
    /// @param toParents left for declared parents, each with its ShareGiven
    event Shared(
        uint256 indexed id,
        uint256 indexed source,
        address indexed author,
        uint256 toAuthor,
        uint256 toReference,
        uint256 toParents
    );
    /// @notice A declared parent got a share of what `source` earned.
    /// @param source that earned it
    /// @param from whose parent it is
    /// @param to the parent
    /// @param above see Share
    /// @param held see Share
    event ShareGiven(uint256 indexed source, uint256 indexed from, uint256 indexed to, uint256 above, uint256 held);
    /// @notice What was pending for `id` along references was poured.
    /// @param id whose it was
    /// @param author of it
    /// @param toAuthor credited to the author
    /// @param passed made pending for the reference; to the commons if that is genesis
    /// @param referenceId reference of `id`
    event Poured(
        uint256 indexed id, address indexed author, uint256 toAuthor, uint256 passed, uint256 indexed referenceId
    );
    /// @notice An entry of `pourMany` that has nothing to pour.
    /// @param id of the entry
    /// @param source of the entry
    event PourSkipped(uint256 indexed id, uint256 indexed source);
    /// @notice A user of model `id` paid; shared out like a reward with the next pour.
    /// @param id that was used
    /// @param payer who paid
    /// @param amount units of the token
    event RoyaltyPaid(uint256 indexed id, address indexed payer, uint256 amount);
    /// @notice The sponsor took what nobody earned of its own money.
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
    /// @notice The task has not ended yet.
    /// @param until first second at which it has
    /// @param now_ time of the block
    error PoolGraceRunning(uint40 until, uint40 now_);
    /// @notice The sponsor has nothing left in the task.
    error PoolNothingToReclaim();
    /// @notice Only ScoreBook may do this.
    /// @param caller who tried
    error PoolUnauthorized(address caller);
    /// @notice Royalties are for Final models, genesis left out.
    /// @param id that was to be paid
    error PoolNotPayable(uint256 id);

    // --- sponsor ---

    /// @notice Sponsor only: add to the funds. The first reward releases one day's drip; from then on the allowance grows.
    /// @dev Approve the vault. WARNING: it comes back only by `reclaim`, and only what nobody earned.
    /// @param amount units of the token
    function fund(uint256 amount) external;

    /// @notice Sponsor only: no new reservations, for good. Ids that exist go on and are paid.
    function close() external;

    /// @notice Sponsor only: take the funds that nobody earned, after close, the last finalise, and grace. The commons are
    ///         not among them: they are divided, see `divideCommons`.
    /// @param to where it goes
    /// @return amount units of the token
    function reclaim(address to) external returns (uint256 amount);

    // --- anyone ---

    /// @notice Split what `id` holds of what `source` earned; for `source` = `id` also pour what is pending for it along
    ///         references. Idempotent: nothing happens where there is nothing to pour.
    /// @param id of a model
    /// @param source `id` itself, or a descendant that earned something
    function pour(uint256 id, uint256 source) external;

    /// @notice Pour several, in the given order (descendants first); an entry with nothing to pour is skipped and
    ///         emitted.
    /// @param hops as in `pour`
    function pourMany(Hop[] calldata hops) external;

    /// @notice Pay for the use of a Final model; `amount` goes to its author and lineage like a reward.
    /// @dev Approve the vault. Genesis has no author and takes no royalty. What a model that never became best is paid is
    ///      split above its reference. WARNING: the chain cannot know who used what; a copy of a model can be paid in place of
    ///      the original.
    /// @param id of the model
    /// @param amount units of the token
    function payRoyalty(uint256 id, uint256 amount) external;

    /// @notice After the end of the task (as in `reclaim`): make the part of `id` of the commons owed to it, in proportion to
    ///         its gain among all gains. What comes into the commons later can be divided again.
    /// @dev If no model ever became best, the commons stay where they are: whoever got them would gain by voids.
    /// @param id that became best once
    /// @return amount units of the token; zero if there is nothing for it
    function divideCommons(uint256 id) external returns (uint256 amount);

    // --- views ---

    /// @notice What came in for `id` along references; its next pour splits it between its author and its reference.
    /// @param id of a model
    /// @return units of the token
    function pending(uint256 id) external view returns (uint256);

    /// @notice What `id` earned itself and has not shared out yet.
    /// @param id of a model
    /// @return units of the token
    function owed(uint256 id) external view returns (uint256);

    /// @notice What `id` holds of what a descendant earned.
    /// @param id of a model
    /// @param source the descendant
    /// @return the share, not yet split further
    function shareOf(uint256 id, uint256 source) external view returns (Share memory);

    /// @notice The treasury by owner, drip up to now included.
    /// @return its parts
    function balances() external view returns (Balances memory);

    /// @notice What the division of the commons rests on.
    /// @return grains gains of all models that became best, added up
    /// @return divided what was divided so far
    function division() external view returns (uint256 grains, uint256 divided);

    // --- for the siblings ---

    /// @notice Meter the reward of a model that became best. Only ScoreBook, inside finalise; cannot revert.
    /// @param id the new best
    /// @param gain its gain in grains, 1 .. 128
    /// @param eligible weight that was eligible for the id
    function reward(uint256 id, uint8 gain, uint32 eligible) external;
}
