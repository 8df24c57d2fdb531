// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TaskAddresses, TaskParams} from "../../interfaces/PdfedTypes.sol";

// Value types only, see TaskPart.

/// @notice What StakeVault reads of the task's parameters and siblings.
struct VaultConfig {
    address registry;
    address book;
    address pool;
    address token;
    address eligibility;
    uint128 minStake;
    uint16 voteBondBps;
    uint32 unbonding;
}

/// @dev Number of its fields, one word each.
uint256 constant VAULT_CONFIG_WORDS = 8;

/// @notice What ModelRegistry reads of them.
struct RegistryConfig {
    address vault;
    address book;
    address pool;
    address guardian;
    uint128 submissionBond;
    uint128 scoringFee;
    uint16 slots;
    uint32 submitWindow;
    uint32 commitWindow;
    uint32 revealGap;
    uint32 revealWindow;
    uint32 warmUp;
    uint8 minStep;
    int8 startTau;
}

/// @dev Number of its fields, one word each.
uint256 constant REGISTRY_CONFIG_WORDS = 14;

/// @notice What ScoreBook reads of them.
struct BookConfig {
    address vault;
    address registry;
    address pool;
    uint128 minStake;
    uint128 submissionBond;
    uint128 scoringFee;
    uint16 voteBondBps;
    uint32 commitWindow;
    uint32 revealGap;
    uint32 revealWindow;
    uint32 warmUp;
    uint16 kappaBps;
    uint64 quorumFloor;
    uint8 minVoters;
}

/// @dev Number of its fields, one word each.
uint256 constant BOOK_CONFIG_WORDS = 14;

/// @notice What RewardPool reads of them.
struct PoolConfig {
    address vault;
    address registry;
    address book;
    address sponsor;
    uint128 minStake;
    uint32 warmUp;
    uint32 grace;
    uint16 stepRateBps;
    uint16 lineageBps;
    uint16 decayBps;
    uint16 dripBps;
    uint16 stakeDripBps;
}

/// @dev Number of its fields, one word each.
uint256 constant POOL_CONFIG_WORDS = 12;

/// @title Splits the parameters of a task into what each of its contracts reads
library TaskConfig {
    /// @notice The words behind the vault's code.
    function vault(TaskParams memory p, TaskAddresses memory t) internal pure returns (VaultConfig memory) {
        return VaultConfig(t.registry, t.book, t.pool, p.token, p.eligibility, p.minStake, p.voteBondBps, p.unbonding);
    }

    /// @notice The words behind the registry's code; the full parameters and the genesis follow them.
    function registry(TaskParams memory p, TaskAddresses memory t) internal pure returns (RegistryConfig memory) {
        return RegistryConfig(
            t.vault,
            t.book,
            t.pool,
            p.guardian,
            p.submissionBond,
            p.scoringFee,
            p.slots,
            p.submitWindow,
            p.commitWindow,
            p.revealGap,
            p.revealWindow,
            p.warmUp,
            p.minStep,
            p.startTau
        );
    }

    /// @notice The words behind the book's code.
    function book(TaskParams memory p, TaskAddresses memory t) internal pure returns (BookConfig memory) {
        return BookConfig(
            t.vault,
            t.registry,
            t.pool,
            p.minStake,
            p.submissionBond,
            p.scoringFee,
            p.voteBondBps,
            p.commitWindow,
            p.revealGap,
            p.revealWindow,
            p.warmUp,
            p.kappaBps,
            p.quorumFloor,
            p.minVoters
        );
    }

    /// @notice The words behind the pool's code.
    function pool(TaskParams memory p, TaskAddresses memory t) internal pure returns (PoolConfig memory) {
        return PoolConfig(
            t.vault,
            t.registry,
            t.book,
            p.sponsor,
            p.minStake,
            p.warmUp,
            p.grace,
            p.stepRateBps,
            p.lineageBps,
            p.decayBps,
            p.dripBps,
            p.stakeDripBps
        );
    }
}
