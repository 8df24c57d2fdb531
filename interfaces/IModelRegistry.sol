// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelDigests, ModelRecord, Parent, Status, TaskParams} from "./PdfedTypes.sol";

/// @title Models of a task: reserve, submit, lineage, level and best
/// @notice Priority is the reservation: the bytes are published only after `reserve`, so watching the mempool or the
///         store gains nothing. Holds no money.
interface IModelRegistry {
    /// @notice A submission. Windows run from `reservedAt`; reference, tau, q and eligible weight are frozen at reserve.
    struct Submission {
        address author;
        uint48 reservedAt;
        Status status;
        int8 outcome; // weighted kappa-quantile of the improvements; set when Final
        int8 tau;
        uint8 gain; // part of the level above the old best, in buckets; zero unless it became best
        uint32 referenceId; // best when the id was reserved
        int32 level; // level(reference) + outcome; set when Final
        uint64 eligible; // weight that could vote, at reserve
        uint64 q; // running rate of the majority bit, 1e18 = 1
        bytes32 recordHash; // reservation hash until submitted, then keccak256 of the abi-encoded ModelRecord
        bytes32 weightsDigest;
    }

    /// @notice Limits in seconds since the epoch: submit [reservedAt, submitEnd), commit [submit, commitEnd),
    ///         reveal [revealStart, revealEnd), finalise from revealEnd on.
    struct Windows {
        uint48 submitEnd;
        uint48 commitEnd;
        uint48 revealStart;
        uint48 revealEnd;
    }

    event Reserved(
        uint256 indexed id,
        address indexed author,
        bytes32 reservation,
        uint256 referenceId,
        int8 tau,
        uint64 q,
        uint64 eligible,
        uint48 reservedAt
    );
    event Submitted(uint256 indexed id, address indexed author, ModelRecord record);
    event Finalized(
        uint256 indexed id, Status status, int8 outcome, int8 median, int32 level, uint8 gain, uint64 revealedWeight
    );
    event BestChanged(uint256 indexed id, uint256 indexed previous, int32 level);
    event Closed(uint48 at);

    error RegistryNotTrainer(address caller);
    error RegistryClosed();
    error RegistryPaused(uint48 until);
    error RegistryZeroReservation();
    error RegistryUnknownId(uint256 id);
    error RegistryNotAuthor(uint256 id, address author, address caller);
    error RegistryWrongStatus(uint256 id, Status status);
    error RegistrySubmitWindowOver(uint256 id, uint48 submitEnd, uint48 now_);
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

    // --- views ---

    function reservationHash(address author, bytes32 packageDigest, bytes32 salt) external pure returns (bytes32);

    function submission(uint256 id) external view returns (Submission memory);

    function parents(uint256 id) external view returns (Parent[] memory);

    function windows(uint256 id) external view returns (Windows memory);

    /// @notice Number of ids, genesis included; the next id.
    function count() external view returns (uint256);

    function best() external view returns (uint256 id, int32 level);

    function closed() external view returns (bool);

    function closedAt() external view returns (uint48);

    function params() external view returns (TaskParams memory);

    function genesis() external view returns (ModelDigests memory);

    function siblings() external view returns (address vault, address book, address pool);

    // --- cross-contract ---

    /// @notice Record the result of voting. Only ScoreBook. Returns the gain (zero unless it became best).
    function conclude(uint256 id, Status status, int8 outcome, int8 median, uint64 revealedWeight)
        external
        returns (uint8 gain);

    /// @notice Stop new reservations for good. Only RewardPool, on the sponsor's word.
    function close() external;
}
