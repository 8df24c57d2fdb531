// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title A vote in one slot, from its commit until it is settled
/// @dev Packed by hand: written field by field, one slot is read and written once a field (about 600 gas a commit).
library Sealed {
    /// @dev The commitment is the first 24 bytes of the digest: a second opening of one commitment takes about 2^96
    ///      hashes to find (decision 0102).
    struct Vote {
        bytes24 commitment; // zero: none
        uint32 weight;
        uint24 rate;
        uint8 state; // REVEALED | bucket in the low five bits
    }

    uint8 internal constant REVEALED = 0x80;
    uint8 private constant BUCKET = 0x1f;

    /// @notice The slot of a vote: commitment, weight, rate, state from the highest bit down.
    function pack(Vote memory vote) internal pure returns (uint256) {
        return uint256(bytes32(vote.commitment)) | (uint256(vote.weight) << 32) | (uint256(vote.rate) << 8) | vote.state;
    }

    /// @notice The vote in a slot.
    function unpack(uint256 word) internal pure returns (Vote memory) {
        return Vote(bytes24(bytes32(word)), uint32(word >> 32), uint24(word >> 8), uint8(word));
    }

    /// @notice State of a vote revealed with `value` in [LOWEST, HIGHEST].
    function opened(int8 value) internal pure returns (uint8) {
        return REVEALED | uint8(value - LOWEST);
    }

    /// @notice Whether it was opened.
    function revealed(Vote memory vote) internal pure returns (bool) {
        return vote.state & REVEALED != 0;
    }

    /// @notice The bucket of a revealed vote as an improvement; meaningless before.
    function improvement(Vote memory vote) internal pure returns (int8) {
        return int8(vote.state & BUCKET) + LOWEST;
    }
}
