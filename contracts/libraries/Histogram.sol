// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BPS, HIGHEST, LOWEST} from "../../interfaces/PdfedTypes.sol";

/// @title Votes of one id, counted into 32 buckets of an eighth of an octave
/// @notice Eight words of four buckets; a bucket is (uint24 voters, uint40 weight), weight lowest. Reading the result
///         costs the same for any number of voters.
/// @dev A bucket cannot overflow: the weight of a whole task fits 40 bits (StakeVault), and each voter of an id brings
///      at least one unit of weight and one transaction, of which 2^24 into one bucket cost more than 10^11 gas.
library Histogram {
    uint256 internal constant BUCKETS = 32;
    uint256 private constant WORDS = 8;

    struct Votes {
        uint256[WORDS] words;
    }

    /// @notice The tally of an id: what finalise reads.
    struct Result {
        uint256 weight;
        uint256 voters;
        uint256 yes; // weight strictly above tau
        int8 outcome; // lower weighted kappa-quantile
        int8 median; // lower weighted median
    }

    /// @notice Count a vote of `weight` for `improvement` in [LOWEST, HIGHEST].
    function add(Votes storage votes, int8 improvement, uint256 weight) internal {
        uint256 bucket = uint256(int256(improvement) - LOWEST);
        votes.words[bucket / 4] += ((uint256(1) << 40) | weight) << (64 * (bucket % 4));
    }

    function load(Votes storage votes) internal view returns (uint256[WORDS] memory words) {
        return votes.words;
    }

    function weightOf(uint256[WORDS] memory words, uint256 bucket) internal pure returns (uint256) {
        return uint40(words[bucket / 4] >> (64 * (bucket % 4)));
    }

    function votersOf(uint256[WORDS] memory words, uint256 bucket) internal pure returns (uint256) {
        return uint24(words[bucket / 4] >> (64 * (bucket % 4) + 40));
    }

    /// @notice Total, voters, weight above `tau`, and the two lower weighted quantiles.
    /// @dev outcome = the smallest v with W(<= v) * BPS >= kappaBps * W; median = the smallest v with 2 W(<= v) >= W.
    ///      Both LOWEST if nobody revealed. kappaBps <= BPS / 2, so outcome <= median.
    function read(uint256[WORDS] memory words, int8 tau, uint256 kappaBps) internal pure returns (Result memory r) {
        unchecked {
            // 32 buckets of 40-bit weights and 24-bit counts: no sum below reaches 2^64
            uint256 tauBucket = uint256(int256(tau) - LOWEST);
            for (uint256 i; i < BUCKETS; ++i) {
                if (i % 4 == 0 && words[i / 4] == 0) {
                    i += 3;
                    continue;
                }
                uint256 weight = weightOf(words, i);
                r.weight += weight;
                r.voters += votersOf(words, i);
                if (i > tauBucket) r.yes += weight;
            }
            r.outcome = quantile(words, r.weight, kappaBps);
            r.median = quantile(words, r.weight, BPS / 2);
        }
    }

    /// @notice Smallest v with W(<= v) * BPS >= shareBps * total; LOWEST for an empty histogram.
    function quantile(uint256[WORDS] memory words, uint256 total, uint256 shareBps) internal pure returns (int8) {
        unchecked {
            uint256 below;
            for (uint256 i; i < BUCKETS; ++i) {
                below += weightOf(words, i);
                if (below * BPS >= shareBps * total) return int8(int256(i) + LOWEST);
            }
            return HIGHEST; // not reached: below is total after the last bucket
        }
    }
}
