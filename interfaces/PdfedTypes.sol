// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Roles of a node, a bit set. Every registered node may vote; only a TRAINER may reserve.
uint8 constant ROLE_TRAINER = 1;
uint8 constant ROLE_VALIDATOR = 2;

/// @dev Improvement buckets: eighths of an octave of the objective. LOWEST also means "unusable".
int8 constant LOWEST = -8;
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
/// @param minStake one unit of weight; 1 .. 2^80 - 1
/// @param submissionBond locked from reserve to finalise, forfeited if never submitted; 1 .. 2^80 - 1
/// @param scoringFee paid by the author, shared by the voters; 0 .. 2^80 - 1
/// @param voteBondBps vote bond, share of weight * minStake; 1 .. 10,000
/// @param submitWindow reserve to submit; 1 .. commitWindow / 4
/// @param commitWindow from reserve; 4 s .. 30 days
/// @param revealGap dead time between commit and reveal; 1 s .. 1 day
/// @param revealWindow time to open votes; 1 s .. 30 days
/// @param warmUp stake counts when it is this old at reserve; 1 s .. 30 days
/// @param unbonding commitWindow + revealGap + revealWindow .. 365 days
/// @param grace after close and the last finalise, before the sponsor may reclaim; 1 s .. 365 days
/// @param kappaBps outcome = lower weighted kappa-quantile; 1,000 .. 5,000
/// @param quorumBps revealed weight needed, share of what was eligible at reserve; 1,000 .. 10,000
/// @param quorumFloor least revealed weight; 1 .. 2^32 - 1
/// @param minVoters least number of reveals; 3 .. 255
/// @param minStep least gain in buckets that makes a model best; 2 .. 23. WARNING: below three standard deviations of a
///        no-op retrain's median, noise ratchets the level up and drains the pool
/// @param startTau first threshold of voters' pay; -2 .. 23
/// @param stepRateBps r: share of the allowance one bucket of gain earns; 1 .. 2,000
/// @param lineageBps rho: share of a reward that flows along the lineage; 0 .. 5,000
/// @param decayBps lambda: what one bucket of gain leaves of a pour; 1 .. 9,999
/// @param dripBps share of the pool released a day; 1 .. 200
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
    uint32 submitWindow;
    uint32 commitWindow;
    uint32 revealGap;
    uint32 revealWindow;
    uint32 warmUp;
    uint32 unbonding;
    uint32 grace;
    uint16 kappaBps;
    uint16 quorumBps;
    uint64 quorumFloor;
    uint8 minVoters;
    uint8 minStep;
    int8 startTau;
    uint16 stepRateBps;
    uint16 lineageBps;
    uint16 decayBps;
    uint16 dripBps;
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
/// @param id an earlier id, Open or Final when it is declared
/// @param weightBps its share, not zero; all parents of a record sum to 10,000
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
/// @param improvement buckets better than the reference, LOWEST .. HIGHEST; LOWEST also means unusable
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
