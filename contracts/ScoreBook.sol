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
    using Histogram for uint256[8];

    bytes32 private constant VOTE_TYPEHASH = keccak256(
        "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
    );

    struct Past {
        uint32 yes;
        uint32 seen;
    }

    mapping(uint256 id => mapping(address voter => Vote)) private _votes;
    mapping(uint256 id => Histogram.Votes) private _histograms;
    mapping(address voter => Past) private _history;

    constructor() EIP712("PDFed", "1") {}

    // ------------------------------------------------------------------------------------------------------ voters

    /// @inheritdoc IScoreBook
    function commit(address voter, uint256 id, bytes32 commitment) external {
        if (commitment == 0) revert BookZeroCommitment();
        Vote storage vote = _votes[id][voter];
        if (vote.commitment != 0 || vote.revealed) revert BookAlreadyCommitted(id, voter);
        BookConfig memory config = _config();
        IModelRegistry.Ballot memory ballot = IModelRegistry(config.registry).ballot(id);
        if (ballot.status != Status.Open) revert BookNotOpen(id);
        if (ballot.author == voter) revert BookAuthorCannotVote(id, voter);
        uint40 commitEnd = ballot.reservedAt + config.schedule.commitWindow;
        if (block.timestamp >= commitEnd) revert BookCommitOver(id, commitEnd, uint40(block.timestamp));

        (uint40 weight, uint256 bond) =
            IStakeVault(config.vault).lockVote(voter, msg.sender, ballot.reservedAt - config.warmUp);
        if (weight == 0) revert BookNoWeight(id, voter);
        Past memory past = _history[voter];
        vote.commitment = commitment;
        (vote.weight, vote.yes, vote.seen) = (weight, past.yes, past.seen);
        emit Committed(id, voter, commitment, weight, past.yes, past.seen, bond);
    }

    /// @inheritdoc IScoreBook
    function reveal(ScoreVote calldata opened) external {
        uint256 id = opened.submissionId;
        Vote storage vote = _votes[id][opened.voter];
        if (vote.revealed) revert BookAlreadyRevealed(id, opened.voter);
        if (vote.commitment == 0) revert BookNoCommitment(id, opened.voter);
        if (opened.improvement < LOWEST || opened.improvement > HIGHEST) {
            revert BookImprovementOutOfRange(opened.improvement);
        }
        if (opened.evidenceRoot == 0) revert BookZeroEvidence();
        BookConfig memory config = _config();
        IModelRegistry registry = IModelRegistry(config.registry);
        IModelRegistry.Ballot memory ballot = registry.ballot(id);
        _checkRevealTime(id, ballot.reservedAt, config);
        bytes32 digest = _hashVote(opened, registry.weightsDigestOf(id));
        if (digest != vote.commitment) revert BookCommitmentMismatch(id, opened.voter, vote.commitment, digest);

        vote.revealed = true;
        vote.improvement = opened.improvement;
        _histograms[id].add(opened.improvement, vote.weight);
        if (opened.improvement > LOWEST) {
            Past storage past = _history[opened.voter];
            if (opened.improvement > ballot.tau) past.yes += 1;
            past.seen += 1;
        }
        emit Revealed(id, opened.voter, opened.improvement, opened.evidenceRoot);
    }

    // ------------------------------------------------------------------------------------------------------ anyone

    /// @inheritdoc IScoreBook
    function finalize(uint256 id) external {
        BookConfig memory config = _config();
        uint256 next = IModelRegistry(config.registry).nextToFinalize();
        if (id != next) revert BookNotNext(id, next);
        IModelRegistry.Ballot memory ballot = IModelRegistry(config.registry).ballot(id);
        uint40 end = _revealEnd(ballot.reservedAt, config);
        if (block.timestamp < end) revert BookTooEarly(id, end, uint40(block.timestamp));
        _finalize(id, ballot, config);
    }

    /// @inheritdoc IScoreBook
    function finalizeMany(uint256 max) external returns (uint256 done) {
        BookConfig memory config = _config();
        IModelRegistry registry = IModelRegistry(config.registry);
        uint256 id = registry.nextToFinalize();
        uint256 end = registry.count();
        for (; done < max && id < end; (++done, ++id)) {
            IModelRegistry.Ballot memory ballot = registry.ballot(id);
            if (block.timestamp < _revealEnd(ballot.reservedAt, config)) break;
            _finalize(id, ballot, config);
        }
    }

    /// @inheritdoc IScoreBook
    function settle(uint256 id, address[] calldata voters) external {
        BookConfig memory config = _config();
        IModelRegistry.Ballot memory ballot = IModelRegistry(config.registry).ballot(id);
        if (ballot.status != Status.Final && ballot.status != Status.Void) revert BookNotTerminal(id);
        for (uint256 i; i < voters.length; ++i) {
            _settle(id, voters[i], ballot, config);
        }
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IScoreBook
    function hashVote(ScoreVote calldata vote) external view returns (bytes32) {
        return _hashVote(vote, vote.weightsDigest);
    }

    /// @inheritdoc IScoreBook
    function voteOf(uint256 id, address voter) external view returns (Vote memory) {
        return _votes[id][voter];
    }

    /// @inheritdoc IScoreBook
    function tally(uint256 id) external view returns (Tally memory) {
        BookConfig memory config = _config();
        int8 tau = IModelRegistry(config.registry).ballot(id).tau;
        Histogram.Result memory r = _histograms[id].load().read(tau, config.kappaBps);
        return Tally(uint40(r.weight), uint40(r.yes), uint32(r.voters));
    }

    /// @inheritdoc IScoreBook
    function histogram(uint256 id) external view returns (uint40[32] memory weights) {
        uint256[8] memory words = _histograms[id].load();
        for (uint256 i; i < Histogram.BUCKETS; ++i) {
            weights[i] = uint40(words.weightOf(i));
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

    function _config() private view returns (BookConfig memory) {
        return abi.decode(_args(), (BookConfig));
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
        return reservedAt + config.schedule.commitWindow + config.schedule.revealGap + config.schedule.revealWindow;
    }

    function _checkRevealTime(uint256 id, uint40 reservedAt, BookConfig memory config) private view {
        uint40 start = reservedAt + config.schedule.commitWindow + config.schedule.revealGap;
        uint40 end = start + config.schedule.revealWindow;
        if (block.timestamp < start || block.timestamp >= end) {
            revert BookNotRevealTime(id, start, end, uint40(block.timestamp));
        }
    }

    /// @dev Never reverts for an id that is due: sums are bounded, nothing divides by a possible zero, and the calls
    ///      go to the task's own contracts, which only move ledgers.
    function _finalize(uint256 id, IModelRegistry.Ballot memory ballot, BookConfig memory config) private {
        Histogram.Result memory r = _histograms[id].load().read(ballot.tau, config.kappaBps);
        bool valid = ballot.status == Status.Open && r.voters >= config.minVoters && r.weight >= config.quorumFloor
            && r.weight * BPS >= uint256(config.quorumBps) * ballot.eligible;

        IModelRegistry.Conclusion memory c;
        (c.revealedWeight, c.yesWeight) = (uint40(r.weight), uint40(r.yes));
        c.status = valid ? Status.Final : Status.Void;
        if (valid) {
            (c.outcome, c.median) = (r.outcome, r.median);
            (int8 tau, uint64 q) = IModelRegistry(config.registry).tauAndRate();
            (c.nextTau, c.nextQ) = VoterPay.move(tau, q, r.median, r.yes, r.weight);
        }
        uint8 gain = IModelRegistry(config.registry).conclude(id, c);
        _closeSubmission(id, ballot, config, valid, r.weight);
        if (gain != 0) IRewardPool(config.pool).reward(id, ballot.author, gain);
    }

    /// @dev The author's bond returns if it submitted. The fee of a Final id stays in escrow for its voters, but for
    ///      the dust of the division; of a Void id it returns if nobody revealed, else it goes to the pool.
    function _closeSubmission(
        uint256 id,
        IModelRegistry.Ballot memory ballot,
        BookConfig memory config,
        bool valid,
        uint256 revealed
    ) private {
        bool submitted = ballot.status == Status.Open;
        uint256 released = submitted ? config.submissionBond : 0;
        uint256 forfeited = submitted ? 0 : config.submissionBond;
        uint256 returned = revealed == 0 ? config.scoringFee : 0;
        uint256 toPool = revealed == 0 ? 0 : valid ? config.scoringFee % revealed : config.scoringFee;
        emit SubmissionSettled(id, ballot.author, released, forfeited, returned, toPool);
        IStakeVault(config.vault).closeSubmission(ballot.author, released, forfeited, returned, toPool);
    }

    function _settle(uint256 id, address voter, IModelRegistry.Ballot memory ballot, BookConfig memory config) private {
        Vote storage vote = _votes[id][voter];
        if (vote.commitment == 0 || vote.settled) {
            emit SettleSkipped(id, voter);
            return;
        }
        vote.settled = true;
        uint256 bond = Math.ceilDiv(uint256(vote.weight) * config.minStake * config.voteBondBps, BPS);
        uint256 paid;
        uint256 forfeited;
        if (!vote.revealed) {
            forfeited = bond;
        } else if (ballot.status == Status.Final) {
            paid = config.scoringFee / ballot.revealedWeight * vote.weight;
        }
        emit VoteSettled(id, voter, paid, bond - forfeited, forfeited, 0);
        IStakeVault(config.vault).settleVote(voter, paid, bond - forfeited, forfeited, 0);
    }
}
