// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IScoreBook} from "../interfaces/IScoreBook.sol";
import {IStakeVault} from "../interfaces/IStakeVault.sol";
import {BPS, HIGHEST, LOWEST, ScoreVote, Status} from "../interfaces/PdfedTypes.sol";
import {Histogram} from "./libraries/Histogram.sol";
import {Sealed} from "./libraries/Sealed.sol";
import {Stakes} from "./libraries/Stakes.sol";
import {BOOK_CONFIG_WORDS, BookConfig} from "./libraries/TaskConfig.sol";
import {TaskPart} from "./libraries/TaskPart.sol";
import {VoterPay} from "./libraries/VoterPay.sol";

/// @title ScoreBook
/// @dev The scoring fee of an id is cut into equal slices, one a unit of revealed weight, rounded down; what is left
///      over goes to the pool at finalise. A vote is paid out of its own slices only, and the rest of them goes to the
///      pool when it is settled. So settling needs no order and no running remainder, and splitting a stake over many
///      accounts changes neither the outcome nor the sum of what is at stake (sybil_split).
contract ScoreBook is IScoreBook, TaskPart, EIP712 {
    using Histogram for Histogram.Votes;
    using Sealed for Sealed.Vote;

    bytes32 private constant VOTE_TYPEHASH = keccak256(
        "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,"
        "int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
    );

    bytes32 private constant COMMIT_TYPEHASH =
        keccak256("Commit(address voter,uint256 submissionId,bytes32 commitment,uint256 deadline)");

    mapping(uint256 id => mapping(address voter => Sealed.Vote)) private _votes;
    mapping(uint256 id => Histogram.Votes) private _histograms;

    constructor() EIP712("PDFed", "1") {}

    // ------------------------------------------------------------------------------------------------------ voters

    /// @inheritdoc IScoreBook
    function commit(address voter, uint256 id, bytes32 commitment) external {
        _commit(msg.sender, voter, id, commitment);
    }

    /// @inheritdoc IScoreBook
    function commitMany(address voter, uint256[] calldata ids, bytes32[] calldata commitments) external {
        if (ids.length != commitments.length) revert BookLengthMismatch(ids.length, commitments.length);
        for (uint256 i; i < ids.length; ++i) {
            try this.commitFrom(msg.sender, voter, ids[i], commitments[i]) {}
            catch (bytes memory reason) {
                emit CommitSkipped(ids[i], voter, bytes4(reason));
            }
        }
    }

    /// @inheritdoc IScoreBook
    function commitFrom(address caller, address voter, uint256 id, bytes32 commitment) external {
        if (msg.sender != address(this)) revert BookUnauthorized(msg.sender);
        _commit(caller, voter, id, commitment);
    }

    /// @inheritdoc IScoreBook
    function commitBySig(address voter, uint256 id, bytes32 commitment, uint40 deadline, bytes calldata signature)
        external
    {
        if (block.timestamp > deadline) revert BookSignatureExpired(deadline, uint40(block.timestamp));
        BookConfig memory config = _config();
        (, uint40 reservedAt,,,) = IModelRegistry(config.registry).ballot(id);
        uint40 commitEnd = reservedAt + config.commitWindow;
        if (deadline > commitEnd) revert BookDeadlineTooLate(deadline, commitEnd);
        bytes32 digest = hashCommit(voter, id, commitment, deadline);
        if (!_signedFor(voter, config.vault, digest, signature)) revert BookBadSignature(voter);
        _commit(voter, voter, id, commitment);
    }

    /// @inheritdoc IScoreBook
    function revealMany(ScoreVote[] calldata opened) external {
        for (uint256 i; i < opened.length; ++i) {
            try this.reveal(opened[i]) {}
            catch (bytes memory reason) {
                emit RevealSkipped(opened[i].submissionId, opened[i].voter, bytes4(reason));
            }
        }
    }

    /// @inheritdoc IScoreBook
    function reveal(ScoreVote calldata opened) external {
        uint256 id = opened.submissionId;
        Sealed.Vote storage slot = _votes[id][opened.voter];
        Sealed.Vote memory vote = slot;
        if (vote.commitment == 0) revert BookNoCommitment(id, opened.voter);
        if (vote.revealed()) revert BookAlreadyRevealed(id, opened.voter);
        if (opened.improvement < LOWEST || opened.improvement > HIGHEST) {
            revert BookImprovementOutOfRange(opened.improvement);
        }
        if (opened.evidenceRoot == 0) revert BookZeroEvidence();
        BookConfig memory config = _config();
        (uint40 reservedAt, int8 tau, bytes32 weightsDigest) = IModelRegistry(config.registry).revealTerms(id);
        uint40 start = reservedAt + config.commitWindow + config.revealGap;
        uint40 end = start + config.revealWindow;
        if (block.timestamp < start || block.timestamp >= end) {
            revert BookNotRevealTime(id, start, end, uint40(block.timestamp));
        }
        bytes32 digest = _hashVote(opened, weightsDigest);
        if (bytes24(digest) != vote.commitment) {
            revert BookCommitmentMismatch(id, opened.voter, vote.commitment, digest);
        }

        slot.state = Sealed.opened(opened.improvement);
        _histograms[id].add(opened.improvement, vote.weight);
        if (opened.improvement > LOWEST) {
            IStakeVault(config.vault).countVote(opened.voter, opened.improvement > tau);
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
    function hashCommit(address voter, uint256 id, bytes32 commitment, uint40 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(COMMIT_TYPEHASH, voter, id, commitment, deadline)));
    }

    /// @inheritdoc IScoreBook
    function voteOf(uint256 id, address voter) external view returns (Vote memory) {
        Sealed.Vote memory vote = _votes[id][voter];
        bool open = vote.revealed();
        int8 value = open ? vote.improvement() : int8(0);
        return Vote(vote.commitment, vote.weight, vote.rate, value, open, vote.settled());
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

    function _commit(address caller, address voter, uint256 id, bytes32 commitment) private {
        if (bytes24(commitment) == 0) revert BookZeroCommitment();
        if (_votes[id][voter].commitment != 0) revert BookAlreadyCommitted(id, voter);
        BookConfig memory config = _config();
        (address author, uint40 reservedAt, Status status,, uint64 q) = IModelRegistry(config.registry).ballot(id);
        if (status != Status.Open) revert BookNotOpen(id);
        if (author == voter) revert BookAuthorCannotVote(id, voter);
        uint40 commitEnd = reservedAt + config.commitWindow;
        if (block.timestamp >= commitEnd) revert BookCommitOver(id, commitEnd, uint40(block.timestamp));

        IStakeVault.VoteLock memory lock = IStakeVault(config.vault).lockVote(voter, caller, reservedAt - config.warmUp);
        if (lock.weight == 0) revert BookNoWeight(id, voter);
        uint24 rate = VoterPay.rateOf(lock.yes, lock.seen, q);
        _votes[id][voter] = Sealed.Vote(bytes24(commitment), lock.weight, rate, 0);
        emit Committed(id, voter, commitment, lock.weight, rate, lock.bond);
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
        Histogram.Votes memory votes; // empty unless submitted
        if (due.status == Status.Open) votes = _histograms[due.id];
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
        Sealed.Vote storage slot = _votes[id][voter];
        Sealed.Vote memory vote = slot;
        if (vote.commitment == 0 || vote.settled()) {
            emit SettleSkipped(id, voter);
            return;
        }
        slot.state = vote.state | Sealed.SETTLED;
        uint256 bond = Stakes.voteBond(vote.weight, config.minStake, config.voteBondBps);
        uint256 slice;
        uint256 paid;
        uint256 forfeited;
        if (result.status == Status.Final && vote.revealed()) {
            slice = config.scoringFee / result.revealedWeight * vote.weight;
            if (result.median != LOWEST) {
                bool x = vote.improvement() > result.tau;
                bool others = VoterPay.majorityOfOthers(result.revealedWeight, result.yesWeight, vote.weight, x);
                (paid, forfeited) = VoterPay.payment(x, others, vote.rate, result.q, slice, bond);
            }
        } else if (!vote.revealed()) {
            forfeited = bond;
        }
        emit VoteSettled(id, voter, paid, bond - forfeited, forfeited, slice - paid);
        IStakeVault(config.vault).unlock(voter, bond - forfeited, forfeited, paid, slice - paid);
    }
}
