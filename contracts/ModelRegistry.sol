// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Initializable} from "@openzeppelin/contracts/proxy/utils/Initializable.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, ModelDigests, ModelRecord, Parent, Status, TaskParams} from "../interfaces/PdfedTypes.sol";
import {Ballot, Descent, Models} from "./libraries/Models.sol";
import {REGISTRY_CONFIG_WORDS, RegistryConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";
import {VoterPay} from "./libraries/VoterPay.sol";

/// @title ModelRegistry
/// @dev Ids finalise strictly in order. All windows are constants of the task that run from reserve, so the order of
///      ids is the order of their reveal ends and the queue always moves.
contract ModelRegistry is IModelRegistry, TaskPart, Initializable {
    using Models for Models.Entry;
    using Models for mapping(uint256 id => Models.Entry);

    uint256 private constant MOST_DOUBLINGS = 32;
    uint256 private constant LONGEST_PAUSE = 14 days;
    uint256 private constant PAUSE_EVERY = 60 days;

    uint256 private _head; // see Models.Head
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
        _head = Models.pack(Models.Head(1, 1, 0, 0, config.startTau, VoterPay.FIRST_Q, 0, now_));
        Models.Entry storage entry = _entries[0];
        entry.descent = Models.descent(address(0), Status.Final, 0);
        entry.ballot = Models.ballot(now_, 0, 0, 0);
        entry.weightsDigest = first.weightsDigest;
        entry.recordHash = keccak256(abi.encode(ModelRecord(first, new Parent[](0))));
    }

    // ---------------------------------------------------------------------------------------------------- trainers

    /// @inheritdoc IModelRegistry
    function reserve(bytes32 reservation, uint256 maxFee) external returns (uint256 id) {
        if (reservation == 0) revert RegistryZeroReservation();
        if (_closedAt != 0) revert RegistryClosed();
        if (block.timestamp < _pausedUntil) revert RegistryPaused(_pausedUntil);
        RegistryConfig memory config = _config();
        Models.Head memory head = Models.headOf(_head);
        (uint256 fee,) = _feeNow(config, head);
        if (fee > maxFee) revert RegistryFeeTooHigh(fee, maxFee);
        id = head.count++;
        _head = Models.pack(head);

        uint40 now_ = uint40(block.timestamp);
        uint32 eligible = IStakeVault(config.vault)
            .openSubmission(
                msg.sender, id, config.submissionBond, config.scoringFee, fee - config.scoringFee, now_ - config.warmUp
            );
        Models.Entry storage entry = _entries[id];
        entry.descent = Models.descent(msg.sender, Status.Reserved, head.bestId);
        entry.ballot = Models.ballot(now_, head.tau, head.q, eligible);
        entry.recordHash = reservation;
        emit Reserved(id, msg.sender, reservation, head.bestId, head.tau, head.q, eligible, now_);
    }

    /// @inheritdoc IModelRegistry
    function submit(uint256 id, ModelRecord calldata record, bytes32 salt) external {
        Models.Entry storage entry = _entries[id];
        Descent d = entry.descent;
        if (d.status() == Status.None) revert RegistryUnknownId(id);
        if (d.status() != Status.Reserved) revert RegistryWrongStatus(id, d.status());
        if (d.author() != msg.sender) revert RegistryNotAuthor(id, d.author(), msg.sender);
        uint40 submitEnd = entry.ballot.reservedAt() + _config().submitWindow;
        if (block.timestamp >= submitEnd) revert RegistrySubmitWindowOver(id, submitEnd, uint40(block.timestamp));
        bytes32 opened = reservationHash(msg.sender, record.digests.packageDigest, salt);
        if (opened != entry.recordHash) revert RegistryReservationMismatch(id, entry.recordHash, opened);
        _checkDigests(record.digests);
        _checkParents(id, record.parents);

        entry.become(Status.Open);
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
        uint40 start = _known(id).ballot.reservedAt();
        RegistryConfig memory config = _config();
        w.submitEnd = start + config.submitWindow;
        w.commitEnd = start + config.commitWindow;
        w.revealStart = w.commitEnd + config.revealGap;
        w.revealEnd = start + _life(config);
    }

    /// @inheritdoc IModelRegistry
    function count() external view returns (uint256) {
        return Models.headOf(_head).count;
    }

    /// @inheritdoc IModelRegistry
    function best() external view returns (uint256 id, int40 level) {
        Models.Head memory head = Models.headOf(_head);
        return (head.bestId, head.bestLevel);
    }

    /// @inheritdoc IModelRegistry
    function feeNow() external view returns (uint256 fee, uint256 open) {
        return _feeNow(_config(), Models.headOf(_head));
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
        return Models.headOf(_head).next;
    }

    /// @inheritdoc IModelRegistry
    function lastFinalizedAt() external view returns (uint40) {
        return Models.headOf(_head).lastFinalizedAt;
    }

    /// @inheritdoc IModelRegistry
    function trend() external view returns (Trend memory) {
        Models.Head memory head = Models.headOf(_head);
        return Trend(head.tau, head.q, head.activity);
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
    function ballot(uint256 id) external view returns (Terms memory terms, bytes32 recordHash) {
        Models.Entry storage e = _known(id);
        return (e.terms(), e.recordHash);
    }

    /// @inheritdoc IModelRegistry
    function revealTerms(uint256 id) external view returns (uint40 reservedAt, int8 tau, bytes32 weightsDigest) {
        Models.Entry storage e = _known(id);
        Ballot b = e.ballot;
        return (b.reservedAt(), b.tau(), e.weightsDigest);
    }

    /// @inheritdoc IModelRegistry
    function due() external view returns (uint256 id, Terms memory terms, Trend memory learnt) {
        Models.Head memory head = Models.headOf(_head);
        return (head.next, _entries[head.next].terms(), Trend(head.tau, head.q, head.activity));
    }

    /// @inheritdoc IModelRegistry
    function resultOf(uint256 id) external view returns (Terms memory terms, Result memory result) {
        Models.Entry storage e = _known(id);
        return (e.terms(), e.result());
    }

    /// @inheritdoc IModelRegistry
    function lineage(uint256 id, uint256 source) external view returns (Lineage memory l) {
        Models.Entry storage e = _known(id);
        Descent d = e.descent;
        (l.author, l.referenceId, l.gain, l.measured) = (d.author(), d.referenceId(), d.gain(), d.measured());
        Models.Entry storage from = _known(source);
        l.base = _entries[from.ballot.previousId()].descent.measured();
        l.referenceBase = _entries[from.descent.referenceId()].descent.measured();
        l.parents = _entries.finalParents(e.parents);
    }

    /// @inheritdoc IModelRegistry
    function conclude(uint256 id, Status status, Result calldata result, Trend calldata next)
        external
        returns (uint8 gain)
    {
        RegistryConfig memory config = _config();
        if (msg.sender != config.book) revert RegistryUnauthorized(msg.sender);
        Models.Head memory head = Models.headOf(_head);
        Models.Entry storage entry = _entries[id];
        Standing memory s;
        uint256 previous = head.bestId;
        if (status == Status.Final) {
            s = _entries.standing(entry.descent.referenceId(), result, head, config.minStep);
            gain = s.gain;
            if (gain != 0) (head.bestId, head.bestLevel) = (uint32(id), s.level);
        }
        (head.tau, head.q, head.activity) = (next.tau, next.q, next.activity);
        (head.next, head.lastFinalizedAt) = (uint32(id + 1), uint40(block.timestamp));
        _head = Models.pack(head);

        entry.conclude(status, result, s);
        emit Finalized(id, status, result, s, next);
        if (gain != 0) emit BestChanged(id, previous, s.level);
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

    /// @dev From reserve to the end of the reveal window.
    function _life(RegistryConfig memory config) private pure returns (uint40) {
        return uint40(config.commitWindow) + config.revealGap + config.revealWindow;
    }

    /// @dev The base fee, doubled for every `slots` ids whose reveal window has not ended, at most 32 times. Reveal windows
    ///      end in the order of ids, so the first that is open is found by halving, in at most 32 steps; ids that are terminal
    ///      are over.
    function _feeNow(RegistryConfig memory config, Models.Head memory head)
        private
        view
        returns (uint256 fee, uint256 open)
    {
        uint256 first = head.next;
        uint256 beyond = head.count;
        uint256 life = _life(config);
        uint256 middle = first; // most often the head of the queue is open, and with it all behind
        while (first < beyond) {
            if (_entries[middle].ballot.reservedAt() + life > block.timestamp) beyond = middle;
            else first = middle + 1;
            middle = (first + beyond) / 2;
        }
        open = head.count - first;
        uint256 doublings = open / config.slots;
        fee = uint256(config.scoringFee) << (doublings < MOST_DOUBLINGS ? doublings : MOST_DOUBLINGS);
    }

    function _known(uint256 id) private view returns (Models.Entry storage entry) {
        entry = _entries[id];
        if (entry.descent.status() == Status.None) revert RegistryUnknownId(id);
    }

    function _checkDigests(ModelDigests calldata digests) private pure {
        if (digests.packageDigest == 0 || digests.weightsDigest == 0 || digests.manifestDigest == 0) {
            revert RegistryZeroDigest();
        }
    }

    /// @dev Parents are earlier ids that were submitted, each once; so lineage is acyclic. A Void one carries nothing, but
    ///      naming it is honest.
    function _checkParents(uint256 id, Parent[] calldata list) private view {
        if (list.length == 0 || list.length > Models.MOST_PARENTS) revert RegistryBadParentCount(list.length);
        uint256 sum;
        for (uint256 i; i < list.length; ++i) {
            uint256 parent = list[i].id;
            Status status = parent < id ? _entries[parent].descent.status() : Status.None;
            if (status == Status.None || status == Status.Reserved) revert RegistryBadParent(id, parent, status);
            if (status == Status.Void && _entries[parent].weightsDigest == 0) {
                revert RegistryBadParent(id, parent, status);
            }
            for (uint256 j; j < i; ++j) {
                if (list[j].id == parent) revert RegistryDuplicateParent(parent);
            }
            if (list[i].weightBps == 0) revert RegistryBadParentWeights(0);
            sum += list[i].weightBps;
        }
        if (sum != BPS) revert RegistryBadParentWeights(sum);
    }
}
