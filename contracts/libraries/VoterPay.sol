// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HIGHEST, LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title Voters' pay (protocol rule 11), in fixed point with 1e18 = 1
library VoterPay {
    uint256 internal constant WAD = 1e18;
    /// @dev q forgets with this memory.
    uint256 internal constant MEMORY = 50;
    int8 internal constant LEAST_TAU = -2;

    /// @notice Threshold and majority rate after a Final id.
    /// @dev q moves by (majority bit - q) / 50 and tau by one bucket towards the median, tau within [-2, HIGHEST].
    ///      An id whose median is LOWEST moves neither. q stays in [0, 1]: the step is rounded towards q.
    function move(int8 tau, uint64 q, int8 median, uint256 yes, uint256 weight) internal pure returns (int8, uint64) {
        if (median == LOWEST) return (tau, q);
        if (2 * yes > weight) q += uint64((WAD - q) / MEMORY);
        else q -= uint64(q / MEMORY);
        if (median > tau && tau < HIGHEST) ++tau;
        else if (median < tau && tau > LEAST_TAU) --tau;
        return (tau, q);
    }
}
