// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelDigests, ModelRecord, Parent, Status, TaskParams} from "./PdfedTypes.sol";

/// @title Models of a task: reserve, submit, lineage, level and best
/// @notice Priority is the reservation: the bytes are published only after `reserve`, so watching the mempool or the
///         store gains nothing. Holds no money.
///         WARNING: the chain sees digests only. That the bytes exist, fit them and keep existing is for the voters to
///         say (LOWEST) and for the nodes to keep.
interface IModelRegistry {
    /// @notice What a reservation freezes, and how far it has come. All that the result depends on besides the votes is here.
    /// @param author who reserved; zero for genesis
    /// @param reservedAt seconds since the epoch; all windows run from here
    /// @param status only ever moves forward
    /// @param referenceId best when the id was reserved
    /// @param tau threshold of voters' pay, an index
    /// @param q running rate of the majority bit, 2^24 = 1
    /// @param eligible weight that could vote at reserve, the author's own left out
    struct Terms {
        address author;
        uint40 reservedAt;
        Status status;
        uint32 referenceId;
        int8 tau;
        uint24 q;
        uint32 eligible;
    }

    /// @notice What the votes said; all zero until terminal, and of a Void id only the weights are set.
    /// @param outcome lower weighted kappa-quantile of the improvements, an index
    /// @param median upper weighted median of the improvements, an index
    /// @param revealedWeight of all opened votes
    /// @param yesWeight of those above tau
    struct Result {
        int8 outcome;
        int8 median;
        uint32 revealedWeight;
        uint32 yesWeight;
    }

    /// @notice What became of a Final model; all zero for any other.
    /// @param level L = L(reference) + outcome, in grains: decides who is best, and the size of a reward
    /// @param measured M = M(reference) + median, in grains: decides who contributed
    /// @param gain part of L above the old best, in grains; zero unless it became best
    /// @param previousId the best that it took the place of; its reference if it did not become best
    struct Standing {
        int40 level;
        int40 measured;
        uint8 gain;
        uint32 previousId;
    }

    /// @notice All that the registry keeps of an id but its parents.
    /// @param terms frozen at reserve
    /// @param result of voting
    /// @param standing that follows from it
    /// @param recordHash reservation hash until submitted, then keccak256(abi.encode(ModelRecord))
    /// @param weightsDigest zero until submitted
    struct Submission {
        Terms terms;
        Result result;
        Standing standing;
        bytes32 recordHash;
        bytes32 weightsDigest;
    }

    /// @notice What the task has learnt from all ids that are terminal.
    /// @param tau threshold of voters' pay that the next reservation freezes, an index
    /// @param q majority rate that the next reservation freezes, 2^24 = 1
    /// @param activity Q: running revealed weight, 2^16 = 1; zero until an id with voters is terminal
    struct Trend {
        int8 tau;
        uint24 q;
        uint48 activity;
    }

    /// @notice A declared parent that is Final.
    /// @param id of it
    /// @param measured M of it, in grains
    struct Ancestor {
        uint32 id;
        int40 measured;
    }

    /// @notice Who shares in what `source` earned when it has come to `id`, see IRewardPool.
    /// @param author of `id`
    /// @param referenceId reference of `id`
    /// @param gain of `id`, in grains
    /// @param measured M of `id`
    /// @param base M of the best that `source` took the place of: what it earned is split above it
    /// @param referenceBase M of the reference of `source`: what a veto had held down is split above it
    /// @param parents of `id`, those that are Final, as declared
    struct Lineage {
        address author;
        uint32 referenceId;
        uint8 gain;
        int40 measured;
        int40 base;
        int40 referenceBase;
        Ancestor[] parents;
    }

    /// @notice Limits in seconds since the epoch: submit [reservedAt, submitEnd), commit [submit, commitEnd),
    ///         reveal [revealStart, revealEnd), finalise from revealEnd on.
    /// @param submitEnd first second at which it cannot be submitted any more
    /// @param commitEnd first second at which no vote can be sealed any more
    /// @param revealStart first second at which votes can be opened
    /// @param revealEnd first second at which they cannot, and at which the id is due
    struct Windows {
        uint40 submitEnd;
        uint40 commitEnd;
        uint40 revealStart;
        uint40 revealEnd;
    }

    /// @notice An id was reserved; everything that its result depends on besides the votes is frozen.
    /// @param id the new id
    /// @param author who reserved
    /// @param reservation see `reservationHash`
    /// @param referenceId best at this moment
    /// @param tau threshold of voters' pay, an index
    /// @param q running rate of the majority bit, 2^24 = 1
    /// @param eligible weight that may vote
    /// @param reservedAt all windows run from here
    event Reserved(
        uint256 indexed id,
        address indexed author,
        bytes32 reservation,
        uint256 referenceId,
        int8 tau,
        uint24 q,
        uint32 eligible,
        uint40 reservedAt
    );
    /// @notice A reservation was opened and voting may begin.
    /// @param id of the submission
    /// @param author of it
    /// @param record content and parents
    event Submitted(uint256 indexed id, address indexed author, ModelRecord record);
    /// @notice An id became Final or Void.
    /// @param id of the submission
    /// @param status Final or Void
    /// @param result of voting
    /// @param standing that follows from it; all zero if Void
    /// @param next what the next reservation and the next quorum start from
    event Finalized(uint256 indexed id, Status status, Result result, Standing standing, Trend next);
    /// @notice A model became best.
    /// @param id the new best
    /// @param previous the old one
    /// @param level of the new one, in grains
    event BestChanged(uint256 indexed id, uint256 indexed previous, int40 level);
    /// @notice The sponsor closed the task: no new reservations.
    /// @param closedAt time of the block
    event Closed(uint40 closedAt);
    /// @notice The guardian paused reservations.
    /// @param until first second at which they are possible again
    event Paused(uint40 until);

    /// @notice The task is closed.
    error RegistryClosed();
    /// @notice Reservations are paused.
    /// @param until first second at which they are possible again
    error RegistryPaused(uint40 until);
    /// @notice Only the guardian may do this.
    /// @param caller who tried
    error RegistryNotGuardian(address caller);
    /// @notice The pause is longer than allowed.
    /// @param duration seconds
    /// @param most seconds
    error RegistryPauseTooLong(uint256 duration, uint256 most);
    /// @notice The last pause began too short a time ago.
    /// @param next first second at which the guardian may pause again
    /// @param now_ time of the block
    error RegistryPauseTooSoon(uint40 next, uint40 now_);
    /// @notice The scoring fee has risen above what the author accepts.
    /// @param fee of a reservation now
    /// @param most that the author accepts
    error RegistryFeeTooHigh(uint256 fee, uint256 most);
    /// @notice The reservation is zero.
    error RegistryZeroReservation();
    /// @notice There is no such id.
    /// @param id that was asked for
    error RegistryUnknownId(uint256 id);
    /// @notice Only the author may submit.
    /// @param id of the submission
    /// @param author of it
    /// @param caller who tried
    error RegistryNotAuthor(uint256 id, address author, address caller);
    /// @notice Only a Reserved id can be submitted.
    /// @param id of the submission
    /// @param status it has
    error RegistryWrongStatus(uint256 id, Status status);
    /// @notice The submit window is over.
    /// @param id of the submission
    /// @param submitEnd first second after it
    /// @param now_ time of the block
    error RegistrySubmitWindowOver(uint256 id, uint40 submitEnd, uint40 now_);
    /// @notice The opening is not what was reserved.
    /// @param id of the submission
    /// @param reserved hash at reserve
    /// @param opened hash of the opening
    error RegistryReservationMismatch(uint256 id, bytes32 reserved, bytes32 opened);
    /// @notice A record has 1 to 4 parents.
    /// @param count of the record
    error RegistryBadParentCount(uint256 count);
    /// @notice A parent is an earlier id that was submitted.
    /// @param id of the submission
    /// @param parent that was declared
    /// @param status it has; None also for one that is not earlier
    error RegistryBadParent(uint256 id, uint256 parent, Status status);
    /// @notice A parent is declared once.
    /// @param parent that was declared twice
    error RegistryDuplicateParent(uint256 parent);
    /// @notice Weights of parents are above zero and sum to 10,000.
    /// @param sumBps their sum; zero if one of them is zero
    error RegistryBadParentWeights(uint256 sumBps);
    /// @notice A digest of the record is zero.
    error RegistryZeroDigest();
    /// @notice Only one sibling contract may do this.
    /// @param caller who tried
    error RegistryUnauthorized(address caller);

    // --- trainers ---

    /// @notice Take bond and fee, assign the id, freeze reference and windows. Trainers only.
    /// @dev The fee is `scoringFee`, doubled for every `slots` ids whose reveal window has not ended. One `scoringFee` of it
    ///      goes to the voters; what is above goes to the commons and never returns. WARNING: publish the bytes only after
    ///      this. The bond is lost if `submit` does not follow in time, and if the median of the votes is LOWEST.
    /// @param reservation keccak256(abi.encode(author, packageDigest, salt)), see `reservationHash`
    /// @param maxFee most that the author pays; others may reserve first and so raise the fee
    /// @return id of the submission
    function reserve(bytes32 reservation, uint256 maxFee) external returns (uint256 id);

    /// @notice Open the reservation and publish the record; opens voting. Only its author, within the submit window.
    /// @param id of the reservation
    /// @param record content, and 1 to 4 parents: earlier ids that were submitted
    /// @param salt of the reservation
    function submit(uint256 id, ModelRecord calldata record, bytes32 salt) external;

    // --- guardian ---

    /// @notice Guardian only: refuse new reservations for `duration` seconds, at most 14 days; once in 60 days.
    ///         Ids that exist go on as if nothing had happened.
    /// @param duration seconds; zero uses the right up
    function pause(uint256 duration) external;

    // --- views ---

    /// @notice What `reserve` takes: binds author and content, and hides the content.
    /// @param author who will reserve
    /// @param packageDigest of the model
    /// @param salt 32 random bytes
    /// @return the hash
    function reservationHash(address author, bytes32 packageDigest, bytes32 salt) external pure returns (bytes32);

    /// @notice What the registry keeps of an id.
    /// @param id of the submission
    /// @return the submission
    function submission(uint256 id) external view returns (Submission memory);

    /// @notice Declared parents of an id.
    /// @param id of the submission
    /// @return empty until submitted, and for genesis
    function parents(uint256 id) external view returns (Parent[] memory);

    /// @notice Limits in time of an id.
    /// @param id of the submission
    /// @return its windows
    function windows(uint256 id) external view returns (Windows memory);

    /// @notice Number of ids, genesis included; the next id.
    /// @return the number
    function count() external view returns (uint256);

    /// @notice The best model: reference of the next reservation.
    /// @return id of it
    /// @return level of it in grains; genesis has zero
    function best() external view returns (uint256 id, int40 level);

    /// @notice What a reservation would cost now, and why.
    /// @return fee scoring fee
    /// @return open ids whose reveal window has not ended
    function feeNow() external view returns (uint256 fee, uint256 open);

    /// @notice Whether the sponsor closed the task.
    /// @return whether new reservations have ended
    function closed() external view returns (bool);

    /// @notice When the sponsor closed the task.
    /// @return seconds since the epoch; zero if it did not
    function closedAt() external view returns (uint40);

    /// @notice New reservations are refused before this time.
    /// @return seconds since the epoch
    function pausedUntil() external view returns (uint40);

    /// @notice The id that finalises next; equal to `count` when all are terminal.
    /// @return the id
    function nextToFinalize() external view returns (uint256);

    /// @notice When the last id became Final or Void; creation if none did.
    /// @return seconds since the epoch
    function lastFinalizedAt() external view returns (uint40);

    /// @notice What the task has learnt so far.
    /// @return threshold and majority rate of the next reservation, and Q of the next quorum
    function trend() external view returns (Trend memory);

    /// @notice Parameters of the task.
    /// @return as they were at creation
    function params() external view returns (TaskParams memory);

    /// @notice Content of id 0.
    /// @return its digests
    function genesis() external view returns (ModelDigests memory);

    /// @notice The other contracts of the task.
    /// @return vault StakeVault
    /// @return book ScoreBook
    /// @return pool RewardPool
    function siblings() external view returns (address vault, address book, address pool);

    // --- for the siblings ---

    /// @notice What a commitment depends on.
    /// @param id of the submission
    /// @return terms frozen at reserve
    /// @return recordHash that the commitment must name
    function ballot(uint256 id) external view returns (Terms memory terms, bytes32 recordHash);

    /// @notice What opening a vote depends on.
    /// @param id of the submission
    /// @return reservedAt seconds since the epoch
    /// @return tau frozen threshold
    /// @return weightsDigest that the vote must name
    function revealTerms(uint256 id) external view returns (uint40 reservedAt, int8 tau, bytes32 weightsDigest);

    /// @notice The head of the queue and what the task has learnt: what finalising depends on.
    /// @return id equal to `count` if none is left
    /// @return terms of it; status None if none is left
    /// @return learnt what the task has learnt so far
    function due() external view returns (uint256 id, Terms memory terms, Trend memory learnt);

    /// @notice What settling depends on.
    /// @param id of the submission
    /// @return terms frozen at reserve
    /// @return result of voting
    function resultOf(uint256 id) external view returns (Terms memory terms, Result memory result);

    /// @notice Who shares in what `source` earned when it has come to `id`.
    /// @param id of a model
    /// @param source of what it has; `id` itself or a descendant
    /// @return its lineage
    function lineage(uint256 id, uint256 source) external view returns (Lineage memory);

    /// @notice Record the result of voting on the next id of the queue. Only ScoreBook.
    /// @param id the head of the queue
    /// @param status Final or Void
    /// @param result of voting
    /// @param next what the task has learnt now
    /// @return gain in grains; zero unless it became best
    function conclude(uint256 id, Status status, Result calldata result, Trend calldata next)
        external
        returns (uint8 gain);

    /// @notice Stop new reservations for good. Only RewardPool, on the sponsor's word.
    function close() external;
}
