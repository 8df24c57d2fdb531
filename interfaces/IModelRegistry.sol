// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelDigests, ModelRecord, Parent, Status, TaskParams} from "./PdfedTypes.sol";

/// @title Models of a task: reserve, submit, lineage, level and best
/// @notice Priority is the reservation: the bytes are published only after `reserve`, so watching the mempool or the
///         store gains nothing. Holds no money.
interface IModelRegistry {
    /// @notice A submission. Windows run from `reservedAt`; reference, tau, q and eligible are frozen at reserve.
    struct Submission {
        address author;
        uint40 reservedAt;
        Status status;
        int8 outcome; // weighted kappa-quantile of the improvements; set when Final
        int8 median; // lower weighted median of the improvements; set when Final
        int8 tau; // threshold of voters' pay
        uint8 gain; // part of the level above the old best, in buckets; zero unless it became best
        uint32 referenceId; // best when the id was reserved
        int32 level; // level(reference) + outcome; set when Final
        uint32 eligible; // weight that could vote at reserve, the author's own left out
        uint64 q; // running rate of the majority bit, 1e18 = 1
        uint32 revealedWeight; // set when Final or Void
        uint32 yesWeight; // part of it above tau; set when Final or Void
        bytes32 recordHash; // reservation hash until submitted, then keccak256(abi.encode(ModelRecord))
        bytes32 weightsDigest; // zero until submitted
    }

    /// @notice The next id of the queue, and the threshold and majority rate of the task as they are now.
    struct Due {
        uint256 id; // equal to `count` if none is left
        address author;
        uint40 reservedAt;
        Status status;
        int8 tau;
        uint32 eligible;
        int8 taskTau;
        uint64 taskQ;
    }

    /// @notice What settling a vote depends on.
    struct Result {
        Status status;
        int8 median;
        int8 tau;
        uint64 q;
        uint32 revealedWeight;
        uint32 yesWeight;
    }

    /// @notice Result of voting, and the threshold and majority rate that the next reservation freezes.
    struct Conclusion {
        Status status;
        int8 outcome;
        int8 median;
        uint32 revealedWeight;
        uint32 yesWeight;
        int8 nextTau;
        uint64 nextQ;
    }

    /// @notice Limits in seconds since the epoch: submit [reservedAt, submitEnd), commit [submit, commitEnd),
    ///         reveal [revealStart, revealEnd), finalise from revealEnd on.
    struct Windows {
        uint40 submitEnd;
        uint40 commitEnd;
        uint40 revealStart;
        uint40 revealEnd;
    }

    event Reserved(
        uint256 indexed id,
        address indexed author,
        bytes32 reservation,
        uint256 referenceId,
        int8 tau,
        uint64 q,
        uint32 eligible,
        uint40 reservedAt
    );
    event Submitted(uint256 indexed id, address indexed author, ModelRecord record);
    event Finalized(
        uint256 indexed id,
        Status status,
        int8 outcome,
        int8 median,
        int32 level,
        uint8 gain,
        uint32 revealedWeight,
        uint32 yesWeight
    );
    event BestChanged(uint256 indexed id, uint256 indexed previous, int32 level);
    event Closed(uint40 closedAt);
    event Paused(uint40 until);

    error RegistryClosed();
    error RegistryPaused(uint40 until);
    error RegistryNotGuardian(address caller);
    error RegistryPauseTooLong(uint256 duration, uint256 most);
    error RegistryPauseTooSoon(uint40 next, uint40 now_);
    error RegistryZeroReservation();
    error RegistryUnknownId(uint256 id);
    error RegistryNotAuthor(uint256 id, address author, address caller);
    error RegistryWrongStatus(uint256 id, Status status);
    error RegistrySubmitWindowOver(uint256 id, uint40 submitEnd, uint40 now_);
    error RegistryReservationMismatch(uint256 id, bytes32 reserved, bytes32 opened);
    error RegistryBadParentCount(uint256 count);
    error RegistryBadParent(uint256 id, uint256 parent, Status status);
    error RegistryDuplicateParent(uint256 parent);
    error RegistryBadParentWeights(uint256 sumBps);
    error RegistryZeroDigest();
    error RegistryUnauthorized(address caller);

    // --- trainers ---

    /// @notice Take bond and fee, assign the id, freeze reference and windows.
    /// @param reservation keccak256(abi.encode(author, packageDigest, salt)), see `reservationHash`
    function reserve(bytes32 reservation) external returns (uint256 id);

    /// @notice Open the reservation and publish the record; opens voting.
    function submit(uint256 id, ModelRecord calldata record, bytes32 salt) external;

    // --- guardian ---

    /// @notice Guardian only: refuse new reservations for `duration` seconds, at most 14 days; once in 60 days.
    ///         Ids that exist go on as if nothing had happened.
    function pause(uint256 duration) external;

    // --- views ---

    function reservationHash(address author, bytes32 packageDigest, bytes32 salt) external pure returns (bytes32);

    function submission(uint256 id) external view returns (Submission memory);

    function parents(uint256 id) external view returns (Parent[] memory);

    function windows(uint256 id) external view returns (Windows memory);

    /// @notice Number of ids, genesis included; the next id.
    function count() external view returns (uint256);

    function best() external view returns (uint256 id, int32 level);

    function closed() external view returns (bool);

    function closedAt() external view returns (uint40);

    /// @notice New reservations are refused before this time.
    function pausedUntil() external view returns (uint40);

    /// @notice The id that finalises next; equal to `count` when all are terminal.
    function nextToFinalize() external view returns (uint256);

    /// @notice When the last id became Final or Void; creation if none did.
    function lastFinalizedAt() external view returns (uint40);

    /// @notice Threshold and majority rate that the next reservation will freeze.
    function tauAndRate() external view returns (int8 tau, uint64 q);

    function params() external view returns (TaskParams memory);

    function genesis() external view returns (ModelDigests memory);

    function siblings() external view returns (address vault, address book, address pool);

    // --- for the siblings ---

    function ballot(uint256 id)
        external
        view
        returns (address author, uint40 reservedAt, Status status, int8 tau, uint64 q);

    function openVote(uint256 id) external view returns (uint40 reservedAt, int8 tau, bytes32 weightsDigest);

    function due() external view returns (Due memory);

    function resultOf(uint256 id) external view returns (Result memory);

    /// @notice Who gets what a descendant left for this id, and who gets the rest.
    function heirs(uint256 id) external view returns (address author, uint8 gain, uint32 referenceId);

    /// @notice Parents that share in what an id earns: one that is not Final has weight zero here.
    function sharingParents(uint256 id) external view returns (Parent[] memory);

    /// @notice Record the result of voting on the next id of the queue. Only ScoreBook.
    /// @return gain zero unless it became best
    function conclude(uint256 id, Conclusion calldata result) external returns (uint8 gain);

    /// @notice Stop new reservations for good. Only RewardPool, on the sponsor's word.
    function close() external;
}
