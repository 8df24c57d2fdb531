// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Roles of a node, a bit set. Only a TRAINER may reserve; only a VALIDATOR votes, and only its stake has weight.
uint8 constant ROLE_TRAINER = 1;
uint8 constant ROLE_VALIDATOR = 2;

/// @dev An improvement is voted as the index of one of 32 buckets, see `Grains`: fine near zero, coarse far away. LOWEST
///      also means "unusable"; MISSING says that the bytes could not be had, and no measurement rounds to it.
int8 constant LOWEST = -8;
int8 constant MISSING = -7;
int8 constant HIGHEST = 23;

/// @dev Parts of a whole in basis points.
uint256 constant BPS = 10_000;

/// @notice Status of a submission; only ever moves forward (invariant one_way_status).
enum Status {
    /// @notice No such id.
    None,
    /// @notice Bond and fee are taken, nothing is published.
    Reserved,
    /// @notice Published; votes are taken within the windows.
    Open,
    /// @notice Scored by a quorum.
    Final,
    /// @notice Never submitted, or no quorum.
    Void
}

/// @notice Parameters of a task: bounded by the factory, frozen for ever at creation. Amounts in units of the token,
///         times in seconds, shares in basis points.
/// @param token ERC-20 of the task. WARNING: balances must change only by transfers; a fee on transfer is refused, a
///        rebasing token breaks solvency
/// @param sponsor the only one who funds, closes and reclaims
/// @param guardian may stop `reserve` only, at most 14 days, once in 60; zero for none
/// @param eligibility IEligibility, asked at registration only; zero for none
/// @param minStake one unit of weight; at least a hundredth of a whole token and more than 1/2^32 of its supply, so that
///        nobody can fill the weight that a histogram counts; at most 2^80 - 1. WARNING: a supply that grows later is not
///        looked at again
/// @param submissionBond locked from reserve to finalise, forfeited if never submitted or found unusable; 1 .. 2^80 - 1
/// @param scoringFee paid by the author, shared by the voters; doubles with every `slots` open ids; 1 .. 2^80 - 1
/// @param voteBondBps vote bond, share of weight * minStake; 1 .. 3,333
/// @param slots open ids that double the scoring fee; 1 .. 3,333, and so that one unit of weight can back 3 * slots votes
/// @param submitWindow reserve to submit; 1 .. commitWindow / 4
/// @param commitWindow from reserve; 4 s .. 30 days
/// @param revealGap dead time between commit and reveal; 1 s .. 1 day
/// @param revealWindow time to open votes; 1 s .. 30 days
/// @param warmUp stake counts when it is this old at reserve; 1 s .. 30 days
/// @param unbonding commitWindow + revealGap + revealWindow .. 365 days
/// @param grace after close and the last finalise, before the sponsor may reclaim; 1 s .. 365 days
/// @param kappaBps outcome = lower weighted kappa-quantile; 1,000 .. 5,000
/// @param quorumFloor least revealed weight; 1 .. 2^32 - 1
/// @param minVoters least number of reveals; 3 .. 255
/// @param minStep least gain in grains that makes a model best; 2 .. 128. WARNING: below three standard deviations of the
///        outcome of a model that is no better, noise ratchets the level up and drains the funds
/// @param startTau first threshold of voters' pay, an index; -2 .. 23
/// @param stepRateBps r: share of the allowance one grain of gain earns; 1 .. 2,000
/// @param lineageBps rho: share of what an author earns that flows along references; 0 .. 5,000
/// @param decayBps lambda: what one grain of a model's own leaves of a pour; 1 .. 9,999
/// @param dripBps share of the funds released a day; 1 .. 200
/// @param stakeDripBps sigma: at most this share of the stake that can vote is released a day; 1 .. 500
/// @param objective name of the objective J, e.g. "qn-normalised"; not zero
/// @param cardDigest sha2-256 of the task card (raw CID): scoring settings, measurement behind minStep
struct TaskParams {
    address token;
    address sponsor;
    address guardian;
    address eligibility;
    uint128 minStake;
    uint128 submissionBond;
    uint128 scoringFee;
    uint16 voteBondBps;
    uint16 slots;
    uint32 submitWindow;
    uint32 commitWindow;
    uint32 revealGap;
    uint32 revealWindow;
    uint32 warmUp;
    uint32 unbonding;
    uint32 grace;
    uint16 kappaBps;
    uint64 quorumFloor;
    uint8 minVoters;
    uint8 minStep;
    int8 startTau;
    uint16 stepRateBps;
    uint16 lineageBps;
    uint16 decayBps;
    uint16 dripBps;
    uint16 stakeDripBps;
    bytes32 objective;
    bytes32 cardDigest;
}

/// @notice Content of a model.
/// @param packageDigest sha2-256 of the CIDv1 root
/// @param packageCodec multicodec of that root: 0x55 raw, 0x70 dag-pb
/// @param weightsDigest sha-256 of the safetensors weights
/// @param manifestDigest sha-256 of the C2PA manifest
struct ModelDigests {
    bytes32 packageDigest;
    uint32 packageCodec;
    bytes32 weightsDigest;
    bytes32 manifestDigest;
}

/// @notice A model this one was trained or averaged from.
/// @param id an earlier id that was submitted; one that is or becomes Void carries nothing
/// @param weightBps how the trainer averaged: its share, not zero; all parents of a record sum to 10,000. It moves no money
struct Parent {
    uint32 id;
    uint16 weightBps;
}

/// @notice What `submit` records.
/// @param digests content of the model
/// @param parents 1 to 4, each once. WARNING: an author may leave parents out; the chain cannot know
struct ModelRecord {
    ModelDigests digests;
    Parent[] parents;
}

/// @notice One vote, EIP-712 typed in the domain ("PDFed", "1", chainId, ScoreBook). There is no raw score on chain: a
///         raw novelty score is a membership oracle.
/// @param voter the node, not its voting key
/// @param submissionId what is voted on
/// @param weightsDigest content that was scored
/// @param improvement index of the bucket of grains by which it is better than the reference, LOWEST .. HIGHEST; LOWEST
///        also means unusable, MISSING that the bytes could not be had
/// @param evidenceRoot root of a fixed-size tree of salted leaves, never zero
/// @param salt also seeds the samples: keccak256(submissionId, voter, salt). WARNING: whoever learns it before the
///        reveal can guess the vote; whoever loses it forfeits the bond
struct ScoreVote {
    address voter;
    uint256 submissionId;
    bytes32 weightsDigest;
    int8 improvement;
    bytes32 evidenceRoot;
    bytes32 salt;
}

/// @notice A vote as it is committed: its digest, and the content that it is about. A reorganisation of the chain that
///         gives the id to another model makes the commitment fail instead of binding it to the wrong one.
/// @param submissionId what is voted on
/// @param recordHash keccak256(abi.encode(ModelRecord)) of what was scored
/// @param commitment `hashVote` of the vote
struct SealedVote {
    uint256 submissionId;
    bytes32 recordHash;
    bytes32 commitment;
}

/// @notice What opens a vote: a ScoreVote but for the digest of the weights, which the registry knows.
/// @param voter the node
/// @param submissionId what was voted on
/// @param improvement as in ScoreVote
/// @param evidenceRoot as in ScoreVote
/// @param salt as in ScoreVote
struct Opening {
    address voter;
    uint256 submissionId;
    int8 improvement;
    bytes32 evidenceRoot;
    bytes32 salt;
}

/// @notice The contracts of one task; the registry's address names the task.
/// @param vault StakeVault
/// @param registry ModelRegistry
/// @param book ScoreBook
/// @param pool RewardPool
struct TaskAddresses {
    address vault;
    address registry;
    address book;
    address pool;
}
