// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IScoreBook} from "../interfaces/IScoreBook.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {HIGHEST, LOWEST, Opening, ScoreVote, SealedVote, Status} from "../interfaces/PdfedTypes.sol";
import {Histogram} from "./libraries/Histogram.sol";
import {Quorum} from "./libraries/Quorum.sol";
import {Sealed} from "./libraries/Sealed.sol";
import {Stakes} from "./libraries/Stakes.sol";
import {BOOK_CONFIG_WORDS, BookConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";
import {VoterPay} from "./libraries/VoterPay.sol";

/// @title ScoreBook
/// @dev The scoring fee of an id is cut into equal slices, one a unit of revealed weight, rounded down; what is left
///      over goes to the commons at finalise. A vote is paid out of its own slices only, and the rest of them goes to the
///      commons when it is settled. So settling needs no order and no running remainder, and splitting a stake over many
///      accounts changes neither the outcome nor the sum of what is at stake (sybil_split).
contract ScoreBook is IScoreBook, TaskPart, EIP712 {
    using Histogram for Histogram.Votes;
    using Sealed for Sealed.Vote;

    bytes32 private constant VOTE_TYPEHASH = keccak256(
        "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,"
        "int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
    );

    bytes32 private constant COMMIT_TYPEHASH =
        keccak256("Commit(address voter,uint256 submissionId,bytes32 recordHash,bytes32 commitment,uint256 deadline)");

    mapping(uint256 id => mapping(address voter => uint256)) private _votes; // see Sealed
    mapping(uint256 id => Histogram.Votes) private _histograms;

    constructor() EIP712("PDFed", "1") {}

    // ------------------------------------------------------------------------------------------------------ voters

    /// @inheritdoc IScoreBook
    function commit(address voter, SealedVote calldata vote) external {
        _commit(msg.sender, voter, vote, 0);
    }

    /// @inheritdoc IScoreBook
    function commitMany(address voter, SealedVote[] calldata votes) external {
        for (uint256 i; i < votes.length; ++i) {
            try this.commitFrom(msg.sender, voter, votes[i]) {}
            catch (bytes memory reason) {
                emit CommitSkipped(votes[i].submissionId, voter, bytes4(reason));
            }
        }
    }

    /// @inheritdoc IScoreBook
    function commitFrom(address caller, address voter, SealedVote calldata vote) external {
        if (msg.sender != address(this)) revert BookUnauthorized(msg.sender);
        _commit(caller, voter, vote, 0);
    }

    /// @inheritdoc IScoreBook
    function commitBySig(address voter, SealedVote calldata vote, uint40 deadline, bytes calldata signature) external {
        if (block.timestamp > deadline) revert BookSignatureExpired(deadline, uint40(block.timestamp));
        bytes32 digest = hashCommit(voter, vote, deadline);
        if (!_signedFor(voter, _config().vault, digest, signature)) revert BookBadSignature(voter);
        _commit(voter, voter, vote, deadline);
    }

    /// @inheritdoc IScoreBook
    function revealMany(Opening[] calldata opened) external {
        for (uint256 i; i < opened.length; ++i) {
            try this.reveal(opened[i]) {}
            catch (bytes memory reason) {
                emit RevealSkipped(opened[i].submissionId, opened[i].voter, bytes4(reason));
            }
        }
    }

    /// @inheritdoc IScoreBook
    function reveal(Opening calldata opened) external {
        uint256 id = opened.submissionId;
        Sealed.Vote memory vote = Sealed.unpack(_votes[id][opened.voter]);
        if (vote.commitment == 0) revert BookNoCommitment(id, opened.voter);
        if (vote.revealed()) revert BookAlreadyRevealed(id, opened.voter);
        if (opened.improvement < LOWEST || opened.improvement > HIGHEST) {
            revert BookImprovementOutOfRange(opened.improvement);
        }
        if (opened.evidenceRoot == 0) revert BookZeroEvidence();
        BookConfig memory config = _config();
        (uint40 reservedAt,, bytes32 weightsDigest) = IModelRegistry(config.registry).revealTerms(id);
        uint40 start = reservedAt + config.commitWindow + config.revealGap;
        uint40 end = start + config.revealWindow;
        if (block.timestamp < start || block.timestamp >= end) {
            revert BookNotRevealTime(id, start, end, uint40(block.timestamp));
        }
        bytes32 digest =
            _hashVote(ScoreVote(opened.voter, id, weightsDigest, opened.improvement, opened.evidenceRoot, opened.salt));
        if (bytes24(digest) != vote.commitment) {
            revert BookCommitmentMismatch(id, opened.voter, vote.commitment, digest);
        }

        vote.state = Sealed.opened(opened.improvement);
        _votes[id][opened.voter] = Sealed.pack(vote);
        _histograms[id].add(opened.improvement, vote.weight);
        emit Revealed(id, opened.voter, opened.improvement, opened.evidenceRoot);
    }

    // ------------------------------------------------------------------------------------------------------ anyone

    /// @inheritdoc IScoreBook
    function finalize(uint256 id) external {
        BookConfig memory config = _config();
        (uint256 next, IModelRegistry.Terms memory terms, IModelRegistry.Trend memory trend) =
            IModelRegistry(config.registry).due();
        if (id != next) revert BookNotNext(id, next);
        if (terms.status == Status.None) revert BookUnknownId(id);
        uint40 end = _revealEnd(terms.reservedAt, config);
        if (block.timestamp < end) revert BookTooEarly(id, end, uint40(block.timestamp));
        _finalize(id, terms, trend, config);
    }

    /// @inheritdoc IScoreBook
    function finalizeMany(uint256 max) external returns (uint256 done) {
        BookConfig memory config = _config();
        for (; done < max; ++done) {
            (uint256 id, IModelRegistry.Terms memory terms, IModelRegistry.Trend memory trend) =
                IModelRegistry(config.registry).due();
            if (terms.status == Status.None || block.timestamp < _revealEnd(terms.reservedAt, config)) break;
            _finalize(id, terms, trend, config);
        }
    }

    /// @inheritdoc IScoreBook
    function settle(uint256 id, address[] calldata voters) external {
        BookConfig memory config = _config();
        (IModelRegistry.Terms memory terms, IModelRegistry.Result memory result) =
            IModelRegistry(config.registry).resultOf(id);
        if (terms.status != Status.Final && terms.status != Status.Void) revert BookNotTerminal(id);
        for (uint256 i; i < voters.length; ++i) {
            uint256 word = _votes[id][voters[i]];
            if (word == 0) {
                emit SettleSkipped(id, voters[i]);
                continue;
            }
            delete _votes[id][voters[i]];
            IStakeVault(config.vault).unlock(voters[i], id, _settlement(Sealed.unpack(word), terms, result, config));
        }
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IScoreBook
    function hashVote(ScoreVote calldata vote) external view returns (bytes32) {
        return _hashVote(vote);
    }

    /// @inheritdoc IScoreBook
    function hashCommit(address voter, SealedVote calldata vote, uint40 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    COMMIT_TYPEHASH, voter, vote.submissionId, vote.recordHash, vote.commitment, uint256(deadline)
                )
            )
        );
    }

    /// @inheritdoc IScoreBook
    function voteOf(uint256 id, address voter) external view returns (Vote memory) {
        Sealed.Vote memory vote = Sealed.unpack(_votes[id][voter]);
        bool open = vote.revealed();
        int8 value = open ? vote.improvement() : int8(0);
        return Vote(vote.commitment, vote.weight, vote.rate, value, open);
    }

    /// @inheritdoc IScoreBook
    function tally(uint256 id) external view returns (Tally memory) {
        (, int8 tau,) = IModelRegistry(_config().registry).revealTerms(id);
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
    function history(address voter) external view returns (uint32 yes, uint32 seen) {
        return IStakeVault(_config().vault).history(voter);
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
        _loadArgs(to, BOOK_CONFIG_WORDS);
    }

    /// @param deadline of a signature; zero without one
    function _commit(address caller, address voter, SealedVote calldata vote, uint40 deadline) private {
        uint256 id = vote.submissionId;
        if (bytes24(vote.commitment) == 0) revert BookZeroCommitment();
        if (_votes[id][voter] != 0) revert BookAlreadyCommitted(id, voter);
        BookConfig memory config = _config();
        (IModelRegistry.Terms memory terms, bytes32 recordHash) = IModelRegistry(config.registry).ballot(id);
        if (terms.status != Status.Open) revert BookNotOpen(id);
        if (vote.recordHash != recordHash) revert BookRecordMismatch(id, vote.recordHash, recordHash);
        if (terms.author == voter) revert BookAuthorCannotVote(id, voter);
        uint40 commitEnd = terms.reservedAt + config.commitWindow;
        if (deadline > commitEnd) revert BookDeadlineTooLate(deadline, commitEnd);
        if (block.timestamp >= commitEnd) revert BookCommitOver(id, commitEnd, uint40(block.timestamp));

        IStakeVault.VoteLock memory lock =
            IStakeVault(config.vault).lockVote(voter, caller, id, terms.reservedAt - config.warmUp);
        if (lock.weight == 0) revert BookNoWeight(id, voter);
        uint24 rate = VoterPay.rateOf(lock.yes, lock.seen, terms.q);
        _votes[id][voter] = Sealed.pack(Sealed.Vote(bytes24(vote.commitment), lock.weight, rate, 0));
        emit Committed(id, voter, vote.commitment, lock.weight, rate);
    }

    /// @dev Whether SignatureChecker finds the signature valid for the node or for its voting key. One recovery tells it of
    ///      plain keys; an account with code answers for itself (ERC-1271).
    function _signedFor(address voter, address vault, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature); // zero if there is none
        if (signer.code.length == 0 && IStakeVault(vault).mayVoteFor(voter, signer)) return true;
        return SignatureChecker.isValidSignatureNowCalldata(voter, digest, signature)
            || SignatureChecker.isValidSignatureNowCalldata(IStakeVault(vault).votingKeyOf(voter), digest, signature);
    }

    function _hashVote(ScoreVote memory vote) private view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOTE_TYPEHASH, vote)));
    }

    function _revealEnd(uint40 reservedAt, BookConfig memory config) private pure returns (uint40) {
        return reservedAt + config.commitWindow + config.revealGap + config.revealWindow;
    }

    /// @dev Never reverts for an id that is due: sums are bounded, nothing divides by a possible zero, and the calls
    ///      go to the task's own contracts, which only move ledgers.
    function _finalize(
        uint256 id,
        IModelRegistry.Terms memory terms,
        IModelRegistry.Trend memory trend,
        BookConfig memory config
    ) private {
        Histogram.Votes memory votes; // empty unless submitted
        if (terms.status == Status.Open) votes = _histograms[id];
        Histogram.Tally memory t = votes.count(terms.tau);
        uint48 activity = Quorum.known(trend.activity, terms.eligible);
        bool valid = terms.status == Status.Open && t.voters >= config.minVoters
            && Quorum.reached(t.weight, terms.eligible, activity, config.quorumFloor);

        IModelRegistry.Result memory result;
        (result.revealedWeight, result.yesWeight) = (uint32(t.weight), uint32(t.yes));
        if (valid) {
            result.outcome = votes.quantile(t.weight, config.kappaBps);
            result.median = votes.median(t.weight);
            (trend.tau, trend.q) = VoterPay.move(trend.tau, trend.q, result.median, t.yes, t.weight);
        }
        // what nobody could vote on says nothing of who votes
        if (terms.status == Status.Open) trend.activity = Quorum.move(activity, t.weight);
        uint8 gain = IModelRegistry(config.registry).conclude(id, valid ? Status.Final : Status.Void, result, trend);
        IStakeVault(config.vault).unlock(terms.author, id, _conclusion(terms.status, valid, result, config));
        if (gain != 0) IRewardPool(config.pool).reward(id, gain, terms.eligible);
    }

    /// @dev What becomes of the author's bond and base fee. The bond returns if the id was submitted and its median is not
    ///      LOWEST. The fee of a Final id stays in escrow for its voters, but for the dust of the division; that of a Void id
    ///      returns.
    function _conclusion(Status status, bool valid, IModelRegistry.Result memory result, BookConfig memory config)
        private
        pure
        returns (IStakeVault.Settlement memory s)
    {
        bool lost = valid ? result.median == LOWEST : status != Status.Open;
        if (lost) s.forfeited = config.submissionBond;
        else s.released = config.submissionBond;
        if (valid) s.toCommons = config.scoringFee % result.revealedWeight;
        else s.paid = config.scoringFee;
    }

    /// @dev What becomes of a vote's bond and its slices of the fee. A vote that was revealed enters the voter's history now,
    ///      whatever became of the id: when all can see it, and anybody can settle it.
    function _settlement(
        Sealed.Vote memory vote,
        IModelRegistry.Terms memory terms,
        IModelRegistry.Result memory result,
        BookConfig memory config
    ) private pure returns (IStakeVault.Settlement memory s) {
        uint256 bond = Stakes.voteBond(vote.weight, config.minStake, config.voteBondBps);
        if (!vote.revealed()) {
            s.forfeited = bond;
            return s;
        }
        bool x = vote.improvement() > terms.tau;
        (s.counts, s.yes) = (VoterPay.measured(vote.improvement()), x);
        if (terms.status == Status.Final) {
            uint256 slice = config.scoringFee / result.revealedWeight * vote.weight;
            if (VoterPay.measured(result.median)) {
                bool others = VoterPay.majorityOfOthers(result.revealedWeight, result.yesWeight, vote.weight, x);
                (s.paid, s.forfeited) = VoterPay.payment(x, others, vote.rate, terms.q, slice, bond);
            }
            s.toCommons = slice - s.paid;
        }
        s.released = bond - s.forfeited;
    }
}
