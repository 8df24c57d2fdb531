// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HIGHEST, LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title Voters' pay (protocol rule 11) in fixed point
/// @notice Rates of the task have 1e18 = 1; a voter's own rate, kept once a vote, has 2^24 = 1.
library VoterPay {
    uint256 internal constant WAD = 1e18;
    /// @dev q forgets with this memory; a voter's own rate starts from this many virtual votes at rate q.
    uint256 internal constant MEMORY = 50;
    uint256 internal constant PRIOR = 4;
    int8 internal constant LEAST_TAU = -2;

    /// @notice f = (S + 4 q) / (M + 4), rounded down.
    /// @dev Below 2^24: S <= M, and q < WAD since its upward step is rounded down.
    function rateOf(uint256 yes, uint256 seen, uint256 q) internal pure returns (uint24) {
        return uint24(((yes * WAD + PRIOR * q) << 24) / ((seen + PRIOR) * WAD));
    }

    /// @notice Threshold and majority rate after a Final id.
    /// @dev q moves by (majority bit - q) / 50 and tau by one bucket towards the median, tau within [-2, HIGHEST].
    ///      An id whose median is LOWEST moves neither. q stays in (0, 1): steps are rounded down.
    function move(int8 tau, uint64 q, int8 median, uint256 yes, uint256 weight) internal pure returns (int8, uint64) {
        if (median == LOWEST) return (tau, q);
        if (2 * yes > weight) q += uint64((WAD - q) / MEMORY);
        else q -= uint64(q / MEMORY);
        if (median > tau && tau < HIGHEST) ++tau;
        else if (median < tau && tau > LEAST_TAU) --tau;
        return (tau, q);
    }
}
