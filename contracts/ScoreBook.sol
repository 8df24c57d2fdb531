// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IScoreBook} from "../interfaces/IScoreBook.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, HIGHEST, LOWEST, ScoreVote, Status} from "../interfaces/PdfedTypes.sol";
import {Histogram} from "./libraries/Histogram.sol";
import {BookConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";
import {VoterPay} from "./libraries/VoterPay.sol";

/// @title ScoreBook
/// @dev The scoring fee of an id is cut into equal slices, one a unit of revealed weight, rounded down; what is left
///      over goes to the pool at finalise. So settling needs no order and no running remainder, and splitting a stake
///      over many accounts changes no slice.
contract ScoreBook is IScoreBook, TaskPart, EIP712 {
    using Histogram for Histogram.Votes;

    bytes32 private constant VOTE_TYPEHASH = keccak256(
        "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
    );

    struct Past {
        uint32 yes;
        uint32 seen;
    }

    /// @dev A vote in one slot. The commitment is the first 24 bytes of the digest: a second opening of one commitment
    ///      takes about 2^96 hashes to find.
    struct Sealed {
        bytes24 commitment;
        uint32 weight;
        uint24 rate;
        uint8 state; // REVEALED | SETTLED | bucket in the low five bits
    }

    uint8 private constant REVEALED = 0x80;
    uint8 private constant SETTLED = 0x40;
    uint8 private constant BUCKET = 0x1f;

    mapping(uint256 id => mapping(address voter => Sealed)) private _votes;
    mapping(uint256 id => Histogram.Votes) private _histograms;
    mapping(address voter => Past) private _history;

    constructor() EIP712("PDFed", "1") {}

    // ------------------------------------------------------------------------------------------------------ voters

    /// @inheritdoc IScoreBook
    function commit(address voter, uint256 id, bytes32 commitment) external {
        if (bytes24(commitment) == 0) revert BookZeroCommitment();
        if (_votes[id][voter].commitment != 0) revert BookAlreadyCommitted(id, voter);
        BookConfig memory config = _config();
        (address author, uint40 reservedAt, Status status,, uint64 q) = IModelRegistry(config.registry).ballot(id);
        if (status != Status.Open) revert BookNotOpen(id);
        if (author == voter) revert BookAuthorCannotVote(id, voter);
        uint40 commitEnd = reservedAt + config.commitWindow;
        if (block.timestamp >= commitEnd) revert BookCommitOver(id, commitEnd, uint40(block.timestamp));

        (uint32 weight, uint256 bond) =
            IStakeVault(config.vault).lockVote(voter, msg.sender, reservedAt - config.warmUp);
        if (weight == 0) revert BookNoWeight(id, voter);
        Past memory past = _history[voter];
        uint24 rate = VoterPay.rateOf(past.yes, past.seen, q);
        _votes[id][voter] = Sealed(bytes24(commitment), weight, rate, 0);
        emit Committed(id, voter, commitment, weight, rate, bond);
    }

    /// @inheritdoc IScoreBook
    function reveal(ScoreVote calldata opened) external {
        uint256 id = opened.submissionId;
        Sealed memory vote = _votes[id][opened.voter];
        if (vote.commitment == 0) revert BookNoCommitment(id, opened.voter);
        if (vote.state & REVEALED != 0) revert BookAlreadyRevealed(id, opened.voter);
        if (opened.improvement < LOWEST || opened.improvement > HIGHEST) {
            revert BookImprovementOutOfRange(opened.improvement);
        }
        if (opened.evidenceRoot == 0) revert BookZeroEvidence();
        BookConfig memory config = _config();
        (uint40 reservedAt, int8 tau, bytes32 weightsDigest) = IModelRegistry(config.registry).openVote(id);
        uint40 start = reservedAt + config.commitWindow + config.revealGap;
        uint40 end = start + config.revealWindow;
        if (block.timestamp < start || block.timestamp >= end) {
            revert BookNotRevealTime(id, start, end, uint40(block.timestamp));
        }
        bytes32 digest = _hashVote(opened, weightsDigest);
        if (bytes24(digest) != vote.commitment) {
            revert BookCommitmentMismatch(id, opened.voter, vote.commitment, digest);
        }

        _votes[id][opened.voter].state = REVEALED | uint8(int8(opened.improvement - LOWEST));
        _histograms[id].add(opened.improvement, vote.weight);
        if (opened.improvement > LOWEST) {
            Past memory past = _history[opened.voter];
            if (opened.improvement > tau) past.yes += 1;
            past.seen += 1;
            _history[opened.voter] = past;
        }
        emit Revealed(id, opened.voter, opened.improvement, opened.evidenceRoot);
    }

    // ------------------------------------------------------------------------------------------------------ anyone

    /// @inheritdoc IScoreBook
    function finalize(uint256 id) external {
        BookConfig memory config = _config();
        IModelRegistry.Due memory due = IModelRegistry(config.registry).due();
        if (id != due.id) revert BookNotNext(id, due.id);
        if (due.status == Status.None) revert BookUnknownId(id);
        uint40 end = _revealEnd(due.reservedAt, config);
        if (block.timestamp < end) revert BookTooEarly(id, end, uint40(block.timestamp));
        _finalize(due, config);
    }

    /// @inheritdoc IScoreBook
    function finalizeMany(uint256 max) external returns (uint256 done) {
        BookConfig memory config = _config();
        for (; done < max; ++done) {
            IModelRegistry.Due memory due = IModelRegistry(config.registry).due();
            if (due.status == Status.None || block.timestamp < _revealEnd(due.reservedAt, config)) break;
            _finalize(due, config);
        }
    }

    /// @inheritdoc IScoreBook
    function settle(uint256 id, address[] calldata voters) external {
        BookConfig memory config = _config();
        IModelRegistry.Result memory result = IModelRegistry(config.registry).resultOf(id);
        if (result.status != Status.Final && result.status != Status.Void) revert BookNotTerminal(id);
        for (uint256 i; i < voters.length; ++i) {
            _settle(id, voters[i], result, config);
        }
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IScoreBook
    function hashVote(ScoreVote calldata vote) external view returns (bytes32) {
        return _hashVote(vote, vote.weightsDigest);
    }

    /// @inheritdoc IScoreBook
    function voteOf(uint256 id, address voter) external view returns (Vote memory) {
        Sealed memory vote = _votes[id][voter];
        bool revealed = vote.state & REVEALED != 0;
        return Vote({
            commitment: vote.commitment,
            weight: vote.weight,
            rate: vote.rate,
            improvement: revealed ? _improvement(vote.state) : int8(0),
            revealed: revealed,
            settled: vote.state & SETTLED != 0
        });
    }

    /// @inheritdoc IScoreBook
    function tally(uint256 id) external view returns (Tally memory) {
        (,,, int8 tau,) = IModelRegistry(_config().registry).ballot(id);
        Histogram.Votes memory votes = _histograms[id];
        Histogram.Tally memory t = votes.count(tau);
        return Tally(uint32(t.weight), uint32(t.yes), uint32(t.voters));
    }

    /// @inheritdoc IScoreBook
    function histogram(uint256 id) external view returns (uint32[32] memory weights) {
        Histogram.Votes memory votes = _histograms[id];
        for (uint256 i; i < Histogram.BUCKETS; ++i) {
            weights[i] = uint32(votes.weightOf(i));
        }
    }

    /// @inheritdoc IScoreBook
    function nextToFinalize() external view returns (uint256) {
        return IModelRegistry(_config().registry).nextToFinalize();
    }

    /// @inheritdoc IScoreBook
    function tauAndRate() external view returns (int8 tau, uint64 q) {
        return IModelRegistry(_config().registry).tauAndRate();
    }

    /// @inheritdoc IScoreBook
    function history(address voter) external view returns (uint32 yes, uint32 seen) {
        return (_history[voter].yes, _history[voter].seen);
    }

    /// @inheritdoc IScoreBook
    function eip712Domain()
        public
        view
        override(EIP712, IScoreBook)
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        return super.eip712Domain();
    }

    // ---------------------------------------------------------------------------------------------------- internal

    function _config() private view returns (BookConfig memory config) {
        uint256 to;
        assembly ("memory-safe") {
            to := config
        }
        _loadArgs(to, 15 * 32);
    }

    function _improvement(uint8 state) private pure returns (int8) {
        return int8(state & BUCKET) + LOWEST;
    }

    function _hashVote(ScoreVote calldata vote, bytes32 weightsDigest) private view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    VOTE_TYPEHASH,
                    vote.voter,
                    vote.submissionId,
                    weightsDigest,
                    vote.improvement,
                    vote.evidenceRoot,
                    vote.salt
                )
            )
        );
    }

    function _revealEnd(uint40 reservedAt, BookConfig memory config) private pure returns (uint40) {
        return reservedAt + config.commitWindow + config.revealGap + config.revealWindow;
    }

    /// @dev Never reverts for an id that is due: sums are bounded, nothing divides by a possible zero, and the calls
    ///      go to the task's own contracts, which only move ledgers.
    function _finalize(IModelRegistry.Due memory due, BookConfig memory config) private {
        Histogram.Votes memory votes = _histograms[due.id];
        Histogram.Tally memory t = votes.count(due.tau);
        bool valid = due.status == Status.Open && t.voters >= config.minVoters && t.weight >= config.quorumFloor
            && t.weight * BPS >= uint256(config.quorumBps) * due.eligible;

        IModelRegistry.Conclusion memory c;
        (c.revealedWeight, c.yesWeight) = (uint32(t.weight), uint32(t.yes));
        c.status = Status.Void;
        if (valid) {
            c.status = Status.Final;
            c.outcome = votes.quantile(t.weight, config.kappaBps);
            c.median = votes.quantile(t.weight, BPS / 2);
            (c.nextTau, c.nextQ) = VoterPay.move(due.taskTau, due.taskQ, c.median, t.yes, t.weight);
        }
        uint8 gain = IModelRegistry(config.registry).conclude(due.id, c);
        _closeSubmission(due, config, valid, t.weight);
        if (gain != 0) IRewardPool(config.pool).reward(due.id, due.author, gain);
    }

    /// @dev The author's bond returns if it submitted. The fee of a Final id stays in escrow for its voters, but for
    ///      the dust of the division; of a Void id it returns if nobody revealed, else it goes to the pool.
    function _closeSubmission(IModelRegistry.Due memory due, BookConfig memory config, bool valid, uint256 revealed)
        private
    {
        bool submitted = due.status == Status.Open;
        uint256 released = submitted ? config.submissionBond : 0;
        uint256 forfeited = submitted ? 0 : config.submissionBond;
        uint256 returned = revealed == 0 ? config.scoringFee : 0;
        uint256 toPool = revealed == 0 ? 0 : valid ? config.scoringFee % revealed : config.scoringFee;
        emit SubmissionSettled(due.id, due.author, released, forfeited, returned, toPool);
        IStakeVault(config.vault).unlock(due.author, released, forfeited, returned, toPool);
    }

    function _settle(uint256 id, address voter, IModelRegistry.Result memory result, BookConfig memory config) private {
        Sealed memory vote = _votes[id][voter];
        if (vote.commitment == 0 || vote.state & SETTLED != 0) {
            emit SettleSkipped(id, voter);
            return;
        }
        _votes[id][voter].state = vote.state | SETTLED;
        uint256 bond = Math.ceilDiv(uint256(vote.weight) * config.minStake * config.voteBondBps, BPS);
        uint256 paid;
        uint256 forfeited;
        if (vote.state & REVEALED == 0) forfeited = bond;
        else if (result.status == Status.Final) paid = config.scoringFee / result.revealedWeight * vote.weight;
        emit VoteSettled(id, voter, paid, bond - forfeited, forfeited, 0);
        IStakeVault(config.vault).unlock(voter, bond - forfeited, forfeited, paid, 0);
    }
}
