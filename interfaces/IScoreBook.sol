// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Opening, ScoreVote, SealedVote} from "./PdfedTypes.sol";

/// @title Sealed votes on models: commit, reveal, finalise, settle
/// @notice A vote is sealed as its EIP-712 digest, opened after a dead gap, and counted into a histogram of 32 buckets,
///         so that finalising costs the same for any number of voters. Holds no money.
///         WARNING: scores come from private data and cannot be checked on chain. Who holds more than 1 - kappa of the
///         revealed weight lifts a model, who holds kappa holds one down; and a low vote tells everybody that
///         its voter may hold what the model emits.
interface IScoreBook {
    /// @notice What is kept of one voter's vote on one id, from its commit until it is settled; then it is deleted.
    /// @param commitment first 24 bytes of the vote's digest; zero: none
    /// @param weight frozen at commit
    /// @param rate the voter's own shrunk rate f, frozen at commit, 2^24 = 1
    /// @param improvement valid once revealed
    /// @param revealed whether it was opened
    struct Vote {
        bytes24 commitment;
        uint32 weight;
        uint24 rate;
        int8 improvement;
        bool revealed;
    }

    /// @notice Running tally of an id, read from its histogram.
    /// @param revealedWeight of all opened votes
    /// @param yesWeight of those above tau
    /// @param reveals number of opened votes
    struct Tally {
        uint32 revealedWeight;
        uint32 yesWeight;
        uint32 reveals;
    }

    /// @notice A vote was sealed.
    /// @param id of the submission
    /// @param voter the node
    /// @param commitment the vote's digest, of which the book keeps 24 bytes
    /// @param weight frozen
    /// @param rate the voter's own shrunk rate, frozen, 2^24 = 1
    event Committed(uint256 indexed id, address indexed voter, bytes32 commitment, uint32 weight, uint24 rate);
    /// @notice A vote was opened and counted.
    /// @param id of the submission
    /// @param voter the node
    /// @param improvement LOWEST .. HIGHEST
    /// @param evidenceRoot root of the voter's evidence
    event Revealed(uint256 indexed id, address indexed voter, int8 improvement, bytes32 evidenceRoot);
    /// @notice An entry of `commitMany` that would have reverted.
    /// @param id of the entry
    /// @param voter the node
    /// @param reason selector of the error
    event CommitSkipped(uint256 indexed id, address indexed voter, bytes4 reason);
    /// @notice An entry of `revealMany` that would have reverted.
    /// @param id of the entry
    /// @param voter of the entry
    /// @param reason selector of the error
    event RevealSkipped(uint256 indexed id, address indexed voter, bytes4 reason);
    /// @notice An entry of `settle` without a commitment, or settled before. What becomes of the others is the vault's event
    ///         Settled.
    /// @param id of the submission
    /// @param voter the entry
    event SettleSkipped(uint256 indexed id, address indexed voter);

    /// @notice There is no such id.
    /// @param id that was asked for
    error BookUnknownId(uint256 id);
    /// @notice Votes are taken on Open ids only.
    /// @param id of the submission
    error BookNotOpen(uint256 id);
    /// @notice The commitment is for other content than the id has.
    /// @param id of the submission
    /// @param named record hash that the commitment names
    /// @param actual record hash of the id
    error BookRecordMismatch(uint256 id, bytes32 named, bytes32 actual);
    /// @notice The commit window is over.
    /// @param id of the submission
    /// @param commitEnd first second after it
    /// @param now_ time of the block
    error BookCommitOver(uint256 id, uint40 commitEnd, uint40 now_);
    /// @notice Votes are opened in [revealStart, revealEnd) only.
    /// @param id of the submission
    /// @param revealStart first second
    /// @param revealEnd first second after it
    /// @param now_ time of the block
    error BookNotRevealTime(uint256 id, uint40 revealStart, uint40 revealEnd, uint40 now_);
    /// @notice Nobody votes on its own model.
    /// @param id of the submission
    /// @param author of it
    error BookAuthorCannotVote(uint256 id, address author);
    /// @notice The first 24 bytes of the commitment are zero.
    error BookZeroCommitment();
    /// @notice A commitment is never overwritten.
    /// @param id of the submission
    /// @param voter the node
    error BookAlreadyCommitted(uint256 id, address voter);
    /// @notice The voter held no whole minimum stake `warmUp` before the reservation, or holds none now.
    /// @param id of the submission
    /// @param voter the node
    error BookNoWeight(uint256 id, address voter);
    /// @notice There is nothing to open.
    /// @param id of the submission
    /// @param voter the node
    error BookNoCommitment(uint256 id, address voter);
    /// @notice A vote is opened once.
    /// @param id of the submission
    /// @param voter the node
    error BookAlreadyRevealed(uint256 id, address voter);
    /// @notice The opening is not what was sealed, or not for this submission's weights.
    /// @param id of the submission
    /// @param voter the node
    /// @param committed what was sealed
    /// @param opened digest of the opening, with the submission's weights
    error BookCommitmentMismatch(uint256 id, address voter, bytes24 committed, bytes32 opened);
    /// @notice The improvement is outside LOWEST .. HIGHEST.
    /// @param improvement of the opening
    error BookImprovementOutOfRange(int8 improvement);
    /// @notice The root of the evidence is zero.
    error BookZeroEvidence();
    /// @notice Ids finalise strictly in order.
    /// @param id that was to be finalised
    /// @param next head of the queue
    error BookNotNext(uint256 id, uint256 next);
    /// @notice The reveal window is not over.
    /// @param id of the submission
    /// @param revealEnd first second at which it may be finalised
    /// @param now_ time of the block
    error BookTooEarly(uint256 id, uint40 revealEnd, uint40 now_);
    /// @notice Only Final and Void ids are settled.
    /// @param id of the submission
    error BookNotTerminal(uint256 id);
    /// @notice Only this contract itself may do this.
    /// @param caller who tried
    error BookUnauthorized(address caller);
    /// @notice The signed commit has expired.
    /// @param deadline last second at which it was accepted
    /// @param now_ time of the block
    error BookSignatureExpired(uint40 deadline, uint40 now_);
    /// @notice A signed commit may not outlive the commit window.
    /// @param deadline of the signature
    /// @param commitEnd of the submission
    error BookDeadlineTooLate(uint40 deadline, uint40 commitEnd);
    /// @notice Neither the voter nor its voting key signed this commit.
    /// @param voter the node
    error BookBadSignature(address voter);

    // --- voters ---

    /// @notice Seal a vote of `voter` and lock its bond. Only the voter or its voting key; only validators vote.
    /// @dev WARNING: a sealed vote that is not opened forfeits its whole bond, also if the id becomes Void.
    /// @param voter the node
    /// @param vote an Open submission of somebody else before its commitEnd, its record hash, and `hashVote` of the vote; one
    ///        a voter and id, never overwritten, equal ones of different voters are allowed
    function commit(address voter, SealedVote calldata vote) external;

    /// @notice Open the caller's own vote, or anyone's: the opening proves authorship.
    /// @param opened what was sealed, in its id's reveal window
    function reveal(Opening calldata opened) external;

    /// @notice Commit on several ids. A bad entry is skipped and emitted.
    /// @dev Each entry is a call of this contract to itself. WARNING: with too little gas a good entry is skipped too.
    /// @param voter the node
    /// @param votes as in `commit`
    function commitMany(address voter, SealedVote[] calldata votes) external;

    /// @notice One entry of `commitMany`. Only this contract itself.
    /// @param caller who sent the batch
    /// @param voter the node
    /// @param vote as in `commit`
    function commitFrom(address caller, address voter, SealedVote calldata vote) external;

    /// @notice Commit for a voter that signed Commit(voter, submissionId, recordHash, commitment, deadline) in this contract's
    ///         EIP-712 domain, with its own key, its voting key, or through ERC-1271. Anyone may send it.
    /// @dev A voter commits once an id, so a signature cannot be used twice. WARNING: a smart account's check of the
    ///      signature may use all gas of the transaction; that is the sender's risk.
    /// @param voter the node
    /// @param vote as in `commit`
    /// @param deadline last second at which it is accepted; at most the id's commitEnd. There is no way to take a
    ///        signature back but to commit something else
    /// @param signature 65 bytes (r, s, v) with a low s, or what the smart account wants
    function commitBySig(address voter, SealedVote calldata vote, uint40 deadline, bytes calldata signature) external;

    /// @notice Open several votes, of anyone; a bad entry is skipped and emitted.
    /// @dev Each entry is a call of this contract to itself. WARNING: a word that is no address or no int8 at all
    ///      is refused by the decoder, and with it the batch.
    /// @param opened what was sealed
    function revealMany(Opening[] calldata opened) external;

    // --- anyone ---

    /// @notice Finalise the next id of the queue, from its revealEnd on. Cannot revert once it is due.
    /// @param id the head of the queue
    function finalize(uint256 id) external;

    /// @notice Finalise up to `max` due ids in order, and stop at the first that is not due. There is no list and so no
    ///         bad entry: an id that is due cannot fail.
    /// @param max most ids to finalise
    /// @return done how many were finalised
    function finalizeMany(uint256 max) external returns (uint256 done);

    /// @notice Pay, charge and release the named voters of a terminal id; silent ones forfeit their bond to the commons.
    /// @dev An entry without a commitment, or settled before, is skipped and emitted; an id that is not terminal
    ///      reverts, as no entry could be settled.
    /// @param id of the submission, Final or Void
    /// @param voters in any order; repeated calls settle the rest
    function settle(uint256 id, address[] calldata voters) external;

    // --- views ---

    /// @notice EIP-712 digest of a vote: what `commit` takes.
    /// @param vote the vote
    /// @return the digest
    function hashVote(ScoreVote calldata vote) external view returns (bytes32);

    /// @notice EIP-712 digest that `commitBySig` expects to be signed.
    /// @param voter the node
    /// @param vote as in `commit`
    /// @param deadline last second at which it is accepted
    /// @return the digest
    function hashCommit(address voter, SealedVote calldata vote, uint40 deadline) external view returns (bytes32);

    /// @notice What is kept of a vote.
    /// @param id of the submission
    /// @param voter the node
    /// @return all zero if it did not commit, or is settled
    function voteOf(uint256 id, address voter) external view returns (Vote memory);

    /// @notice Votes opened so far.
    /// @param id of the submission
    /// @return their tally
    function tally(uint256 id) external view returns (Tally memory);

    /// @notice Revealed weight in each of the 32 buckets.
    /// @param id of the submission
    /// @return LOWEST first
    function histogram(uint256 id) external view returns (uint32[32] memory);

    /// @notice Head of the queue.
    /// @return an id; the registry's `count` if none is left
    function nextToFinalize() external view returns (uint256);

    /// @notice A node's own history for voters' pay; votes of at most MISSING are left out.
    /// @param voter the node
    /// @return yes revealed votes above tau
    /// @return seen revealed votes
    function history(address voter) external view returns (uint32 yes, uint32 seen);

    /// @notice ERC-5267: the EIP-712 domain of votes and signed commits.
    /// @return fields which of the fields below are used
    /// @return name "PDFed"
    /// @return version "1"
    /// @return chainId of the chain, read at each call
    /// @return verifyingContract this book
    /// @return salt unused
    /// @return extensions none
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
