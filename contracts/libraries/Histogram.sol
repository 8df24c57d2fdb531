// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BPS, HIGHEST, LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title Votes of one id, counted into 32 buckets
/// @notice Five words of seven buckets, 32 bits of weight each, lowest first; the highest 32 bits of a word count the votes in
///         it. Reading the result costs the same for any number of voters.
///
///         Let W(<= v) be the weight of votes of at most v, and W the whole.
///         The outcome is the lower kappa-quantile, the smallest v with W(<= v) >= kappa W. Let attackers hold a share a of W.
///         While a < 1 - kappa, the honest votes alone weigh more than kappa W, so W(<= v) reaches kappa W at the largest
///         honest vote or before: the outcome is never above the honest range. While a < kappa, attackers alone do not reach
///         kappa W: it is never below it.
///         The median is the upper one, the smallest v with 2 W(<= v) > W: exactly half of the weight cannot press it, while
///         a < 1/2 it stays within the honest range, and it is never below the outcome as kappa <= 1/2.
///         Only weight enters, so splitting a stake over many accounts changes nothing.
/// @dev No bucket overflows: a voter's weight is at most its weight at one timepoint, the same for all voters of an id,
///      and the weight of all nodes at any timepoint fits 32 bits (StakeVault). Each voter weighs at least one.
library Histogram {
    uint256 internal constant WORDS = 5;
    uint256 internal constant BUCKETS = 32;
    uint256 private constant IN_A_WORD = 7;
    uint256 private constant COUNT_AT = 224; // bits below the number of votes
    uint256 private constant MASK = type(uint32).max;
    uint256 private constant ADD_UP = (1 << 192) | (1 << 128) | (1 << 64) | 1;
    uint256 private constant PAIRS = ADD_UP * MASK; // every second weight

    /// @notice The words of one id.
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
            // neither a bucket nor the count overflows into its neighbour, see above
            uint256 bucket = uint256(int256(improvement) - LOWEST);
            votes.words[bucket / IN_A_WORD] += (uint256(1) << COUNT_AT) | (weight << (32 * (bucket % IN_A_WORD)));
        }
    }

    /// @notice Weight in a bucket, LOWEST being bucket 0.
    function weightOf(Votes memory votes, uint256 bucket) internal pure returns (uint256) {
        return (votes.words[bucket / IN_A_WORD] >> (32 * (bucket % IN_A_WORD))) & MASK;
    }

    /// @notice Total weight, voters, and weight above `tau`.
    function count(Votes memory votes, int8 tau) internal pure returns (Tally memory t) {
        unchecked {
            // all sums stay below 2^32, see above
            uint256 firstYes = uint256(int256(tau) + 1 - LOWEST);
            for (uint256 i; i < WORDS; ++i) {
                uint256 word = votes.words[i];
                if (word == 0) continue;
                uint256 weight = _sum(word);
                t.voters += word >> COUNT_AT;
                t.weight += weight;
                if (firstYes <= IN_A_WORD * i) t.yes += weight;
                else if (firstYes < IN_A_WORD * (i + 1)) t.yes += _sum(_weights(word) >> (32 * (firstYes % IN_A_WORD)));
            }
        }
    }

    /// @notice Lower weighted quantile: the smallest v with W(<= v) * BPS >= shareBps * total.
    /// @dev LOWEST for an empty histogram. Monotone in shareBps.
    function quantile(Votes memory votes, uint256 total, uint256 shareBps) internal pure returns (int8) {
        unchecked {
            // at most 2^32 * 2^14
            return _reach(votes, (shareBps * total + BPS - 1) / BPS);
        }
    }

    /// @notice Upper weighted median: the smallest v with 2 * W(<= v) > total.
    /// @dev Only for a histogram that is not empty.
    function median(Votes memory votes, uint256 total) internal pure returns (int8) {
        return _reach(votes, total / 2 + 1);
    }

    /// @dev The smallest v with W(<= v) >= target: first the word, then the bucket in it.
    function _reach(Votes memory votes, uint256 target) private pure returns (int8) {
        unchecked {
            uint256 below;
            for (uint256 i; i < WORDS; ++i) {
                uint256 word = votes.words[i];
                uint256 weight = _sum(word);
                if (below + weight < target) {
                    below += weight;
                    continue;
                }
                for (uint256 bucket = IN_A_WORD * i;; ++bucket) {
                    below += word & MASK;
                    if (below >= target) return int8(int256(bucket) + LOWEST);
                    word >>= 32;
                }
            }
            return HIGHEST; // not reached: after the last word `below` is the total
        }
    }

    /// @dev The word without its number of votes.
    function _weights(uint256 word) private pure returns (uint256) {
        return word & ((1 << COUNT_AT) - 1);
    }

    /// @dev Sum of the seven weights of a word, side by side: pairs of neighbours first, each sum with 64 bits of room, then
    ///      the four pairs, which a product with 1 + 2^64 + 2^128 + 2^192 adds up in its highest 64 bits.
    function _sum(uint256 word) private pure returns (uint256) {
        unchecked {
            word = _weights(word);
            return (((word & PAIRS) + ((word >> 32) & PAIRS)) * ADD_UP) >> 192;
        }
    }
}
