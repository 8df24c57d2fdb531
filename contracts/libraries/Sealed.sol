// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title A vote in one slot
library Sealed {
    /// @dev The commitment is the first 24 bytes of the digest: a second opening of one commitment takes about 2^96
    ///      hashes to find (decision 0102).
    struct Vote {
        bytes24 commitment; // zero: none
        uint32 weight;
        uint24 rate;
        uint8 state; // REVEALED | SETTLED | bucket in the low five bits
    }

    uint8 internal constant REVEALED = 0x80;
    uint8 internal constant SETTLED = 0x40;
    uint8 private constant BUCKET = 0x1f;

    /// @notice State of a vote revealed with `value` in [LOWEST, HIGHEST].
    function opened(int8 value) internal pure returns (uint8) {
        return REVEALED | uint8(value - LOWEST);
    }

    /// @notice Whether it was opened.
    function revealed(Vote memory vote) internal pure returns (bool) {
        return vote.state & REVEALED != 0;
    }

    /// @notice Whether it was paid, charged or forfeited.
    function settled(Vote memory vote) internal pure returns (bool) {
        return vote.state & SETTLED != 0;
    }

    /// @notice The bucket of a revealed vote as an improvement; meaningless before.
    function improvement(Vote memory vote) internal pure returns (int8) {
        return int8(vote.state & BUCKET) + LOWEST;
    }
}
