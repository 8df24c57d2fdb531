// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {MISSING} from "../../interfaces/PdfedTypes.sol";

/// @title Voters' pay (protocol rule 11) in fixed point
/// @notice All rates have 2^24 = 1.
///
///         Why a covariance. Scores come from private data, so a vote cannot be checked; it can only be compared with
///         what the others see. A voter of constant bit has x = f in the long run; a coin, or a copy of the base rate,
///         has x - f independent of G - q: the mean of (x - f)(G - q) is zero for both. Only a bit that moves together
///         with the bits of the others, submission by submission, earns. f is the voter's own rate, pulled to q by
///         PRIOR virtual votes: a fresh account has f = q. G leaves the voter's own weight out, so that a large account
///         does not agree with itself.
/// @dev With x = [improvement > tau], f the voter's own shrunk rate of x, G the weighted majority bit of the other
///      voters and q the task's running rate of G, a voter is paid beta * c, c = 2 (x - f) (G - q): the covariance of
///      its bit with what the others see, so that a constant, a coin and a copy of the base rate earn nothing.
///      beta = min(pot * w / 2W, bond / 2). Let slice = pot * w / W: then beta * c = min(slice, bond) (x - f) (G - q).
///      Both factors lie in [-1, 1], positive for a bit of 1. So x = G is paid and x != G is charged, and
///        pay <= slice, hence the sum of all pay <= pot;      charge <= bond.
///      Pay is rounded down and charges up.
library VoterPay {
    uint24 internal constant FIRST_Q = 1 << 23;
    uint256 internal constant ONE = 1 << 24;
    /// @dev q forgets with this memory; a voter's own rate starts from this many virtual votes at rate q.
    uint256 internal constant MEMORY = 50;
    uint256 internal constant PRIOR = 4;
    int8 internal constant LEAST_TAU = -2;

    /// @notice f = (S + 4 q) / (M + 4), rounded down.
    /// @dev Below 2^24: S <= M, and q < 2^24 since its upward step is rounded down.
    function rateOf(uint256 yes, uint256 seen, uint256 q) internal pure returns (uint24) {
        return uint24((yes * ONE + PRIOR * q) / (seen + PRIOR));
    }

    /// @notice What a revealed vote of a Final id is paid or charged.
    /// @param x the voter's bit
    /// @param others the majority bit of the others
    /// @param rate f, frozen at commit
    /// @param q frozen at reserve
    /// @return paid at most `slice`, zero if charged
    /// @return charged at most `bond`, zero if paid
    function payment(bool x, bool others, uint256 rate, uint256 q, uint256 slice, uint256 bond)
        internal
        pure
        returns (uint256 paid, uint256 charged)
    {
        uint256 surprise = (x ? ONE - rate : rate) * (others ? ONE - q : q); // |x - f| |G - q|, ONE * ONE = 1
        uint256 stakes = Math.min(slice, bond);
        if (x == others) paid = stakes * surprise / (ONE * ONE);
        else charged = Math.ceilDiv(stakes * surprise, ONE * ONE);
    }

    /// @notice Weighted majority bit of the voters other than one of `weight` with bit `x`; a tie counts 0.
    function majorityOfOthers(uint256 total, uint256 yes, uint256 weight, bool x) internal pure returns (bool) {
        return 2 * (x ? yes - weight : yes) > total - weight;
    }

    /// @notice Threshold and majority rate after a Final id.
    /// @dev q moves by (majority bit - q) / 50 and tau by one bucket towards the median, tau within [-2, 23].
    ///      An id whose median is at most MISSING was not measured and moves neither: junk and missing bytes would be a cheap
    ///      lever on both. q stays in (0, 1): steps are rounded down.
    function move(int8 tau, uint24 q, int8 median, uint256 yes, uint256 weight) internal pure returns (int8, uint24) {
        if (!measured(median)) return (tau, q);
        if (2 * yes > weight) q += uint24((ONE - q) / MEMORY);
        else q -= uint24(q / MEMORY);
        if (median > tau) ++tau; // a median is at most HIGHEST
        else if (median < tau && tau > LEAST_TAU) --tau;
        return (tau, q);
    }

    /// @notice Whether an improvement is a measurement, not a finding that there was nothing to measure.
    function measured(int8 improvement) internal pure returns (bool) {
        return improvement > MISSING;
    }
}
