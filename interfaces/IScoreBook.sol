// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ScoreVote} from "./PdfedTypes.sol";

/// @title Sealed votes on models: commit, reveal, finalise, settle
/// @notice A vote is sealed as its EIP-712 digest, opened after a dead gap, and counted into a histogram of 32 buckets,
///         so that finalising costs the same for any number of voters. Holds no money.
interface IScoreBook {
    /// @notice What is kept of one voter's vote on one id.
    struct Vote {
        bytes24 commitment; // first 24 bytes of the vote's digest; zero: none
        uint32 weight; // frozen at commit
        uint24 rate; // the voter's own shrunk rate f, frozen at commit, 2^24 = 1
        int8 improvement; // valid once revealed
        bool revealed;
        bool settled;
    }

    /// @notice Running tally of an id, read from its histogram.
    struct Tally {
        uint32 revealedWeight;
        uint32 yesWeight; // weight of votes above tau
        uint32 reveals;
    }

    /// @param bond locked until the vote is settled
    event Committed(
        uint256 indexed id, address indexed voter, bytes32 commitment, uint32 weight, uint24 rate, uint256 bond
    );
    event Revealed(uint256 indexed id, address indexed voter, int8 improvement, bytes32 evidenceRoot);
    /// @notice What became of the author's bond and scoring fee when `id` was finalised. The fee returns to the
    ///         author's credit; what goes to the pool is rounding dust of a Final id or the whole fee of a Void one.
    event SubmissionSettled(
        uint256 indexed id,
        address indexed author,
        uint256 bondReleased,
        uint256 bondForfeited,
        uint256 feeReturned,
        uint256 feeToPool
    );
    /// @notice `paid` fee -> voter's credit, `feeToPool` the rest of the voter's slice of the fee -> pool,
    ///         `bondForfeited` locked -> pool, `bondReleased` locked -> stake.
    event VoteSettled(
        uint256 indexed id,
        address indexed voter,
        uint256 paid,
        uint256 bondReleased,
        uint256 bondForfeited,
        uint256 feeToPool
    );
    /// @notice An entry of a batch that would have reverted, with the selector of its error.
    event CommitSkipped(uint256 indexed id, address indexed voter, bytes4 reason);
    event RevealSkipped(uint256 indexed id, address indexed voter, bytes4 reason);
    /// @notice No commitment of this voter, or settled before.
    event SettleSkipped(uint256 indexed id, address indexed voter);

    error BookUnknownId(uint256 id);
    error BookNotOpen(uint256 id);
    error BookCommitOver(uint256 id, uint40 commitEnd, uint40 now_);
    error BookNotRevealTime(uint256 id, uint40 revealStart, uint40 revealEnd, uint40 now_);
    error BookAuthorCannotVote(uint256 id, address author);
    error BookZeroCommitment();
    error BookAlreadyCommitted(uint256 id, address voter);
    error BookNoWeight(uint256 id, address voter);
    error BookNoCommitment(uint256 id, address voter);
    error BookAlreadyRevealed(uint256 id, address voter);
    error BookCommitmentMismatch(uint256 id, address voter, bytes24 committed, bytes32 opened);
    error BookImprovementOutOfRange(int8 improvement);
    error BookZeroEvidence();
    error BookNotNext(uint256 id, uint256 next);
    error BookTooEarly(uint256 id, uint40 revealEnd, uint40 now_);
    error BookNotTerminal(uint256 id);
    error BookUnauthorized(address caller);
    error BookLengthMismatch(uint256 ids, uint256 commitments);
    error BookSignatureExpired(uint40 deadline, uint40 now_);
    error BookDeadlineTooLate(uint40 deadline, uint40 commitEnd);
    error BookBadSignature(address voter);

    // --- voters ---

    /// @notice Seal a vote of `voter` on `id`; the caller is the voter or its voting key. Locks the vote bond.
    function commit(address voter, uint256 id, bytes32 commitment) external;

    /// @notice Open the caller's own vote, or anyone's: the opening proves authorship.
    function reveal(ScoreVote calldata vote) external;

    /// @notice Commit on several ids; a bad entry is skipped and emitted.
    function commitMany(address voter, uint256[] calldata ids, bytes32[] calldata commitments) external;

    /// @notice One entry of `commitMany`. Only this contract itself.
    function commitFrom(address caller, address voter, uint256 id, bytes32 commitment) external;

    /// @notice Commit for a voter that signed Commit(voter, submissionId, commitment, deadline) in this contract's
    ///         EIP-712 domain, with its own key, its voting key, or through ERC-1271. Anyone may send it.
    /// @param deadline last second at which it is accepted; at most the id's commitEnd. A voter commits once an id, so
    ///        a signature cannot be used twice.
    function commitBySig(address voter, uint256 id, bytes32 commitment, uint40 deadline, bytes calldata signature)
        external;

    /// @notice Open several votes; a bad entry is skipped and emitted.
    function revealMany(ScoreVote[] calldata votes) external;

    // --- anyone ---

    /// @notice Finalise the next id of the queue, from its revealEnd on. Cannot revert once it is due.
    function finalize(uint256 id) external;

    /// @notice Finalise up to `max` due ids in order.
    function finalizeMany(uint256 max) external returns (uint256 done);

    /// @notice Pay, charge and release the named voters of a terminal id; silent ones forfeit their bond.
    /// @dev A voter without a commitment or already settled is skipped and emitted.
    function settle(uint256 id, address[] calldata voters) external;

    // --- views ---

    function hashVote(ScoreVote calldata vote) external view returns (bytes32);

    /// @notice EIP-712 digest that `commitBySig` expects to be signed.
    function hashCommit(address voter, uint256 id, bytes32 commitment, uint40 deadline) external view returns (bytes32);

    function voteOf(uint256 id, address voter) external view returns (Vote memory);

    function tally(uint256 id) external view returns (Tally memory);

    /// @notice Revealed weight in each of the 32 buckets, LOWEST first.
    function histogram(uint256 id) external view returns (uint32[32] memory);

    function nextToFinalize() external view returns (uint256);

    /// @notice Threshold and majority rate that the next reservation will freeze.
    function tauAndRate() external view returns (int8 tau, uint64 q);

    /// @notice A node's own history for voters' pay: votes above tau, votes.
    function history(address voter) external view returns (uint32 yes, uint32 seen);

    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        );
}
