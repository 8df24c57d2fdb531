// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, ModelDigests, ModelRecord, Parent, Status, TaskParams} from "../interfaces/PdfedTypes.sol";
import {Models} from "./libraries/Models.sol";
import {REGISTRY_CONFIG_WORDS, RegistryConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";

/// @title ModelRegistry
/// @dev Ids finalise strictly in order. All windows are constants of the task that run from reserve, so the order of
///      ids is the order of their reveal ends and the queue always moves.
contract ModelRegistry is IModelRegistry, TaskPart, Initializable {
    using Models for Models.Entry;

    /// @dev Threshold of voters' pay starts from the task's parameter and their majority rate from one half.
    uint64 private constant FIRST_Q = 0.5e18;
    uint256 private constant LONGEST_PAUSE = 14 days;
    uint256 private constant PAUSE_EVERY = 60 days;

    Models.Head private _head;
    uint40 private _closedAt;
    uint40 private _pausedUntil;
    uint40 private _mayPauseAt;
    mapping(uint256 id => Models.Entry) private _entries;

    constructor() {
        _disableInitializers();
    }

    /// @notice Put the genesis in place. The factory calls it in the transaction that creates the task.
    function initialize() external initializer {
        RegistryConfig memory config = _config();
        ModelDigests memory first = genesis();
        uint40 now_ = uint40(block.timestamp);
        _head = Models.Head({
            count: 1, next: 1, bestId: 0, bestLevel: 0, tau: config.startTau, q: FIRST_Q, lastFinalizedAt: now_
        });
        Models.Entry storage entry = _entries[0];
        entry.reservedAt = now_;
        entry.status = Status.Final;
        entry.weightsDigest = first.weightsDigest;
        entry.recordHash = keccak256(abi.encode(ModelRecord(first, new Parent[](0))));
    }

    // ---------------------------------------------------------------------------------------------------- trainers

    /// @inheritdoc IModelRegistry
    function reserve(bytes32 reservation) external returns (uint256 id) {
        if (reservation == 0) revert RegistryZeroReservation();
        if (_closedAt != 0) revert RegistryClosed();
        if (block.timestamp < _pausedUntil) revert RegistryPaused(_pausedUntil);
        RegistryConfig memory config = _config();
        Models.Head memory head = _head;
        id = head.count;
        _head.count = head.count + 1;

        uint40 now_ = uint40(block.timestamp);
        uint32 eligible = IStakeVault(config.vault)
            .openSubmission(msg.sender, config.submissionBond, config.scoringFee, now_ - config.warmUp);
        Models.Entry storage entry = _entries[id];
        entry.author = msg.sender;
        entry.reservedAt = now_;
        entry.status = Status.Reserved;
        entry.tau = head.tau;
        entry.referenceId = head.bestId;
        entry.eligible = eligible;
        entry.q = head.q;
        entry.recordHash = reservation;
        emit Reserved(id, msg.sender, reservation, head.bestId, head.tau, head.q, eligible, now_);
    }

    /// @inheritdoc IModelRegistry
    function submit(uint256 id, ModelRecord calldata record, bytes32 salt) external {
        Models.Entry storage entry = _entries[id];
        Status status = entry.status;
        if (status == Status.None) revert RegistryUnknownId(id);
        if (status != Status.Reserved) revert RegistryWrongStatus(id, status);
        if (entry.author != msg.sender) revert RegistryNotAuthor(id, entry.author, msg.sender);
        uint40 submitEnd = entry.reservedAt + _config().submitWindow;
        if (block.timestamp >= submitEnd) revert RegistrySubmitWindowOver(id, submitEnd, uint40(block.timestamp));
        bytes32 opened = reservationHash(msg.sender, record.digests.packageDigest, salt);
        if (opened != entry.recordHash) revert RegistryReservationMismatch(id, entry.recordHash, opened);
        _checkDigests(record.digests);
        _checkParents(id, record.parents);

        entry.status = Status.Open;
        entry.recordHash = keccak256(abi.encode(record));
        entry.weightsDigest = record.digests.weightsDigest;
        entry.parents = Models.pack(record.parents);
        emit Submitted(id, msg.sender, record);
    }

    // ---------------------------------------------------------------------------------------------------- guardian

    /// @inheritdoc IModelRegistry
    function pause(uint256 duration) external {
        if (msg.sender != _config().guardian) revert RegistryNotGuardian(msg.sender);
        if (duration > LONGEST_PAUSE) revert RegistryPauseTooLong(duration, LONGEST_PAUSE);
        if (block.timestamp < _mayPauseAt) revert RegistryPauseTooSoon(_mayPauseAt, uint40(block.timestamp));
        _pausedUntil = uint40(block.timestamp + duration);
        _mayPauseAt = uint40(block.timestamp + PAUSE_EVERY);
        emit Paused(_pausedUntil);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IModelRegistry
    function reservationHash(address author, bytes32 packageDigest, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(author, packageDigest, salt));
    }

    /// @inheritdoc IModelRegistry
    function submission(uint256 id) external view returns (Submission memory) {
        return _known(id).submission();
    }

    /// @inheritdoc IModelRegistry
    function parents(uint256 id) external view returns (Parent[] memory) {
        return Models.unpack(_known(id).parents);
    }

    /// @inheritdoc IModelRegistry
    function windows(uint256 id) external view returns (Windows memory w) {
        uint40 start = _known(id).reservedAt;
        RegistryConfig memory config = _config();
        w.submitEnd = start + config.submitWindow;
        w.commitEnd = start + config.commitWindow;
        w.revealStart = w.commitEnd + config.revealGap;
        w.revealEnd = w.revealStart + config.revealWindow;
    }

    /// @inheritdoc IModelRegistry
    function count() external view returns (uint256) {
        return _head.count;
    }

    /// @inheritdoc IModelRegistry
    function best() external view returns (uint256 id, int32 level) {
        return (_head.bestId, _head.bestLevel);
    }

    /// @inheritdoc IModelRegistry
    function closed() external view returns (bool) {
        return _closedAt != 0;
    }

    /// @inheritdoc IModelRegistry
    function closedAt() external view returns (uint40) {
        return _closedAt;
    }

    /// @inheritdoc IModelRegistry
    function pausedUntil() external view returns (uint40) {
        return _pausedUntil;
    }

    /// @inheritdoc IModelRegistry
    function nextToFinalize() external view returns (uint256) {
        return _head.next;
    }

    /// @inheritdoc IModelRegistry
    function lastFinalizedAt() external view returns (uint40) {
        return _head.lastFinalizedAt;
    }

    /// @inheritdoc IModelRegistry
    function tauAndRate() external view returns (int8 tau, uint64 q) {
        return (_head.tau, _head.q);
    }

    /// @inheritdoc IModelRegistry
    function params() external view returns (TaskParams memory p) {
        (, p,) = abi.decode(Clones.fetchCloneArgs(address(this)), (RegistryConfig, TaskParams, ModelDigests));
    }

    /// @inheritdoc IModelRegistry
    function genesis() public view returns (ModelDigests memory digests) {
        (,, digests) = abi.decode(Clones.fetchCloneArgs(address(this)), (RegistryConfig, TaskParams, ModelDigests));
    }

    /// @inheritdoc IModelRegistry
    function siblings() external view returns (address vault, address book, address pool) {
        RegistryConfig memory config = _config();
        return (config.vault, config.book, config.pool);
    }

    // ------------------------------------------------------------------------------------------------ the siblings

    /// @inheritdoc IModelRegistry
    function ballot(uint256 id)
        external
        view
        returns (address author, uint40 reservedAt, Status status, int8 tau, uint64 q)
    {
        Models.Entry storage e = _known(id);
        return (e.author, e.reservedAt, e.status, e.tau, e.q);
    }

    /// @inheritdoc IModelRegistry
    function revealTerms(uint256 id) external view returns (uint40 reservedAt, int8 tau, bytes32 weightsDigest) {
        Models.Entry storage e = _known(id);
        return (e.reservedAt, e.tau, e.weightsDigest);
    }

    /// @inheritdoc IModelRegistry
    function due() external view returns (Due memory) {
        Models.Head memory head = _head;
        Models.Entry storage e = _entries[head.next];
        return Due({
            id: head.next,
            author: e.author,
            reservedAt: e.reservedAt,
            status: e.status,
            tau: e.tau,
            eligible: e.eligible,
            taskTau: head.tau,
            taskQ: head.q
        });
    }

    /// @inheritdoc IModelRegistry
    function resultOf(uint256 id) external view returns (Result memory) {
        Models.Entry storage e = _known(id);
        return Result(e.status, e.median, e.tau, e.q, e.revealedWeight, e.yesWeight);
    }

    /// @inheritdoc IModelRegistry
    function ancestryOf(uint256 id) external view returns (address author, uint8 gain, uint32 referenceId) {
        Models.Entry storage e = _known(id);
        return (e.author, e.gain, e.referenceId);
    }

    /// @inheritdoc IModelRegistry
    function sharingParents(uint256 id) external view returns (Parent[] memory list) {
        list = Models.unpack(_known(id).parents);
        for (uint256 i; i < list.length; ++i) {
            if (_entries[list[i].id].status != Status.Final) list[i].weightBps = 0;
        }
    }

    /// @inheritdoc IModelRegistry
    /// @dev level = level(reference) + outcome. Levels never overflow: |outcome| <= 23 and ids are far below 2^26.
    function conclude(uint256 id, Conclusion calldata result) external returns (uint8 gain) {
        if (msg.sender != _config().book) revert RegistryUnauthorized(msg.sender);
        Models.Head memory head = _head;
        Models.Entry storage entry = _entries[id];
        int32 level;
        uint256 previous = head.bestId;
        if (result.status == Status.Final) {
            level = _entries[entry.referenceId].level + result.outcome;
            int256 delta = int256(level) - head.bestLevel; // <= outcome, as the best level never falls
            if (delta >= int256(uint256(_config().minStep))) {
                gain = uint8(uint256(delta));
                (head.bestId, head.bestLevel) = (uint32(id), level);
            }
            (head.tau, head.q) = (result.nextTau, result.nextQ);
        }
        head.next = uint32(id + 1);
        head.lastFinalizedAt = uint40(block.timestamp);
        _head = head;

        entry.status = result.status;
        entry.outcome = result.outcome;
        entry.median = result.median;
        entry.gain = gain;
        entry.level = level;
        entry.revealedWeight = result.revealedWeight;
        entry.yesWeight = result.yesWeight;
        emit Finalized(
            id, result.status, result.outcome, result.median, level, gain, result.revealedWeight, result.yesWeight
        );
        if (gain != 0) emit BestChanged(id, previous, level);
    }

    /// @inheritdoc IModelRegistry
    function close() external {
        if (msg.sender != _config().pool) revert RegistryUnauthorized(msg.sender);
        if (_closedAt != 0) revert RegistryClosed();
        _closedAt = uint40(block.timestamp);
        emit Closed(uint40(block.timestamp));
    }

    // ---------------------------------------------------------------------------------------------------- internal

    function _config() private view returns (RegistryConfig memory config) {
        uint256 to;
        assembly ("memory-safe") {
            to := config
        }
        _loadArgs(to, REGISTRY_CONFIG_WORDS);
    }

    function _known(uint256 id) private view returns (Models.Entry storage entry) {
        entry = _entries[id];
        if (entry.status == Status.None) revert RegistryUnknownId(id);
    }

    function _checkDigests(ModelDigests calldata digests) private pure {
        if (digests.packageDigest == 0 || digests.weightsDigest == 0 || digests.manifestDigest == 0) {
            revert RegistryZeroDigest();
        }
    }

    /// @dev Parents are earlier ids, Open or Final, each once; so lineage is acyclic.
    function _checkParents(uint256 id, Parent[] calldata list) private view {
        if (list.length == 0 || list.length > Models.MOST_PARENTS) revert RegistryBadParentCount(list.length);
        uint256 sum;
        for (uint256 i; i < list.length; ++i) {
            uint256 parent = list[i].id;
            Status status = parent < id ? _entries[parent].status : Status.None;
            if (status != Status.Open && status != Status.Final) revert RegistryBadParent(id, parent, status);
            for (uint256 j; j < i; ++j) {
                if (list[j].id == parent) revert RegistryDuplicateParent(parent);
            }
            if (list[i].weightBps == 0) revert RegistryBadParentWeights(0);
            sum += list[i].weightBps;
        }
        if (sum != BPS) revert RegistryBadParentWeights(sum);
    }
}
