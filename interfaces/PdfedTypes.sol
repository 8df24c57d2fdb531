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
    None,
    Reserved,
    Open,
    Final,
    Void
}

/// @notice Parameters of a task: bounded by the factory, frozen for ever at creation.
/// @dev Amounts in units of `token`, times in seconds, shares in basis points.
struct TaskParams {
    address token; // ERC-20; fee-on-transfer refused by a balance-delta check, rebasing unsupported
    address sponsor; // the only one who funds, closes and reclaims
    address guardian; // may stop `reserve` only, at most 14 days, once in 60; zero for none
    address eligibility; // IEligibility, asked at registration only; zero for none
    uint128 minStake; // one unit of weight
    uint128 submissionBond; // locked from reserve to finalise, forfeited if never submitted
    uint128 scoringFee; // paid by the author, shared by the voters
    uint16 voteBondBps; // vote bond, share of weight * minStake
    uint32 submitWindow; // reserve -> submit; at most a quarter of commitWindow
    uint32 commitWindow; // from reserve
    uint32 revealGap; // dead time between commit and reveal
    uint32 revealWindow;
    uint32 warmUp; // stake counts when it is this old at reserve
    uint32 unbonding; // at least commitWindow + revealGap + revealWindow
    uint32 grace; // after close and the last finalise, before the sponsor may reclaim
    uint16 kappaBps; // outcome = lower weighted kappa-quantile; 1,000 .. 5,000
    uint16 quorumBps; // of the stake eligible at reserve
    uint64 quorumFloor; // least revealed weight
    uint8 minVoters; // at least 3
    uint8 minStep; // least gain in buckets that makes a model best; 2 .. 23
    int8 startTau; // first threshold of voters' pay; -2 .. 23
    uint16 stepRateBps; // r: share of the allowance one bucket of gain earns
    uint16 lineageBps; // rho: share of a reward that flows along the lineage; at most 5,000
    uint16 decayBps; // lambda: what one bucket of gain leaves of a pour; 1 .. 9,999
    uint16 dripBps; // share of the pool released a day; at most 200
    bytes32 objective; // name of the objective J, e.g. "qn-normalised"
    bytes32 cardDigest; // sha2-256 of the task card (raw CID): scoring settings, measurement behind minStep
}

/// @notice Content of a model.
struct ModelDigests {
    bytes32 packageDigest; // sha2-256 of the CIDv1 root
    uint32 packageCodec; // multicodec of that root: 0x55 raw, 0x70 dag-pb
    bytes32 weightsDigest; // sha-256 of the safetensors weights
    bytes32 manifestDigest; // sha-256 of the C2PA manifest
}

/// @notice A model this one was trained or averaged from.
struct Parent {
    uint32 id;
    uint16 weightBps; // all parents of a record sum to 10,000
}

/// @notice What `submit` records: content and 1 to 4 parents.
struct ModelRecord {
    ModelDigests digests;
    Parent[] parents;
}

/// @notice One vote, EIP-712 typed in the domain ("PDFed", "1", chainId, ScoreBook).
/// @dev `evidenceRoot` is the root of a fixed-size tree of salted leaves and never zero; no raw score is on chain,
///      because a raw novelty score is a membership oracle.
struct ScoreVote {
    address voter; // the node, not its voting key
    uint256 submissionId;
    bytes32 weightsDigest;
    int8 improvement;
    bytes32 evidenceRoot;
    bytes32 salt;
}

/// @notice The contracts of one task; the registry's address names the task.
struct TaskAddresses {
    address vault;
    address registry;
    address book;
    address pool;
}
