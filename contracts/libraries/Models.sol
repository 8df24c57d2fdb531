// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../interfaces/IModelRegistry.sol";
import {Parent, Status} from "../../interfaces/PdfedTypes.sol";

/// @title How ModelRegistry stores models
library Models {
    uint256 internal constant MOST_PARENTS = 4;
    uint256 private constant PARENT_BITS = 48;

    /// @notice Everything that a reservation reads and a conclusion moves, in one slot.
    struct Head {
        uint32 count;
        uint32 next;
        uint32 bestId;
        int32 bestLevel;
        int8 tau;
        uint64 q;
        uint40 lastFinalizedAt;
    }

    /// @notice A model. The first slot is all that a pour reads of it; `parents` is packed, see `pack`.
    struct Entry {
        address author;
        uint40 reservedAt;
        Status status;
        int8 tau;
        uint8 gain;
        uint32 referenceId;
        int8 outcome;
        int8 median;
        int32 level;
        uint32 eligible;
        uint64 q;
        uint32 revealedWeight;
        uint32 yesWeight;
        bytes32 recordHash;
        bytes32 weightsDigest;
        uint256 parents;
    }

    /// @notice What the registry shows of a model.
    function submission(Entry storage e) internal view returns (IModelRegistry.Submission memory) {
        return IModelRegistry.Submission({
            author: e.author,
            reservedAt: e.reservedAt,
            status: e.status,
            outcome: e.outcome,
            median: e.median,
            tau: e.tau,
            gain: e.gain,
            referenceId: e.referenceId,
            level: e.level,
            eligible: e.eligible,
            q: e.q,
            revealedWeight: e.revealedWeight,
            yesWeight: e.yesWeight,
            recordHash: e.recordHash,
            weightsDigest: e.weightsDigest
        });
    }

    /// @notice Up to four parents in one word: 48 bits each, (uint16 weightBps, uint32 id), first parent lowest.
    function pack(Parent[] memory list) internal pure returns (uint256 word) {
        for (uint256 i; i < list.length; ++i) {
            word |= ((uint256(list[i].weightBps) << 32) | list[i].id) << (PARENT_BITS * i);
        }
    }

    /// @notice No weight is zero, so zero ends the list.
    function unpack(uint256 word) internal pure returns (Parent[] memory list) {
        uint256 n;
        while (word >> (PARENT_BITS * n) != 0) ++n;
        list = new Parent[](n);
        for (uint256 i; i < n; ++i) {
            uint256 one = word >> (PARENT_BITS * i);
            list[i] = Parent(uint32(one), uint16(one >> 32));
        }
    }
}
