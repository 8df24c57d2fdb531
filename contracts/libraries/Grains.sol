// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title Buckets of improvements in grains
/// @notice A grain is a thirty-second of an octave of the objective (2.2 %). Improvements are voted as one of 32 buckets, one
///         grain wide where progress is late and slow, and wide far away, where their exact size no longer matters:
///
///         index  -8  -7  -6  -5 -4 -3 -2 -1  0  1 .. 8   9 10 11 12  13 14 15 16  17 18 19 20  21 22  23
///         grains -96 -48 -24 -12 -6 -3 -2 -1 0  1 .. 8  10 12 14 16  20 24 28 32  40 48 56 64  80 96 128
///
///         Levels add grains up along references, as logarithms do.
/// @dev Grains grow strictly with the index, so quantiles may be taken of indices.
library Grains {
    int256 private constant SHIFT = 96; // of the table's bytes, so that none is negative

    /// @dev Byte i holds the grains of index LOWEST + i, shifted.
    bytes32 private constant TABLE = hex"00304854" hex"5a5d5e5f" hex"60616263" hex"64656667" hex"686a6c6e" hex"7074787c"
        hex"80889098" hex"a0b0c0e0";

    /// @notice Grains of the bucket with `index` in [LOWEST, HIGHEST]: -96 .. 128.
    function at(int8 index) internal pure returns (int256) {
        unchecked {
            return int256(uint256(uint8(TABLE[uint256(int256(index) - LOWEST)]))) - SHIFT;
        }
    }

    /// @notice Grains from the next lower bucket to this one: by so much two looks at one model may differ although nothing
    ///         but their rounding does. Zero for LOWEST.
    function width(int8 index) internal pure returns (int256) {
        return index == LOWEST ? int256(0) : at(index) - at(index - 1);
    }
}
