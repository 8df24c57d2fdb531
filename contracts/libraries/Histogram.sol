// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BPS, HIGHEST, LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title Votes of one id, counted into 32 buckets of an eighth of an octave
/// @notice Eight words of four buckets; a bucket is (uint32 voters, uint32 weight), weight lowest. Reading the result
///         costs the same for any number of voters.
///
///         Let W(<= v) be the weight of votes of at most v, and W the whole. The lower kappa-quantile is the smallest v
///         with W(<= v) >= kappa W. Let attackers hold a share a of W. While a < 1 - kappa, the honest votes alone
///         weigh more than kappa W, so W(<= v) reaches kappa W at the largest honest vote or before: the outcome is
///         never above the honest range. While a < kappa, attackers alone do not reach kappa W: it is never below it.
///         Only weight enters, so splitting a stake over many accounts changes nothing. kappa = 1/2 is the lower
///         median.
/// @dev No bucket overflows: a voter's weight is at most its weight at one timepoint, the same for all voters of an id,
///      and the weight of all nodes at any timepoint fits 32 bits (StakeVault). Each voter weighs at least one.
library Histogram {
    uint256 internal constant WORDS = 8;
    uint256 internal constant BUCKETS = 32;
    uint256 private constant MASK = type(uint32).max;

    /// @notice The eight words of one id.
    struct Votes {
        uint256[WORDS] words;
    }

    /// @notice The tally of an id: what finalise reads.
    struct Tally {
        uint256 weight;
        uint256 voters;
        uint256 yes; // weight strictly above tau
    }

    /// @notice Count a vote of `weight` for `improvement` in [LOWEST, HIGHEST].
    function add(Votes storage votes, int8 improvement, uint256 weight) internal {
        unchecked {
            // a bucket does not overflow into its neighbour, see above
            uint256 bucket = uint256(int256(improvement) - LOWEST);
            votes.words[bucket / 4] += ((uint256(1) << 32) | weight) << (64 * (bucket % 4));
        }
    }

    /// @notice Weight in a bucket, LOWEST being bucket 0.
    function weightOf(Votes memory votes, uint256 bucket) internal pure returns (uint256) {
        return (votes.words[bucket / 4] >> (64 * (bucket % 4))) & MASK;
    }

    /// @notice Total weight, voters, and weight above `tau`.
    function count(Votes memory votes, int8 tau) internal pure returns (Tally memory t) {
        unchecked {
            // all sums stay below 2^32, see above
            uint256 lastNo = uint256(int256(tau) - LOWEST);
            for (uint256 i; i < WORDS; ++i) {
                uint256 word = votes.words[i];
                for (uint256 bucket = 4 * i; word != 0; ++bucket) {
                    uint256 weight = word & MASK;
                    t.weight += weight;
                    t.voters += (word >> 32) & MASK;
                    if (bucket > lastNo) t.yes += weight;
                    word >>= 64;
                }
            }
        }
    }

    /// @notice Lower weighted quantile: the smallest v with W(<= v) * BPS >= shareBps * total.
    /// @dev LOWEST for an empty histogram. Monotone in shareBps; the median is the quantile of BPS / 2.
    function quantile(Votes memory votes, uint256 total, uint256 shareBps) internal pure returns (int8) {
        unchecked {
            // at most 2^32 * 2^14
            uint256 target = shareBps * total;
            uint256 below;
            for (uint256 i; i < WORDS; ++i) {
                uint256 word = votes.words[i];
                if (word == 0 && target != 0) continue;
                for (uint256 bucket = 4 * i; bucket < 4 * i + 4; ++bucket) {
                    below += (word & MASK) * BPS;
                    if (below >= target) return int8(int256(bucket) + LOWEST);
                    word >>= 64;
                }
            }
            return HIGHEST; // not reached: after the last bucket `below` is the total
        }
    }
}
