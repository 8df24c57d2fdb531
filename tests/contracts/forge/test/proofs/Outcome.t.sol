// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Histogram} from "../../../../../contracts/libraries/Histogram.sol";
import {VoterPay} from "../../../../../contracts/libraries/VoterPay.sol";

/// @title What symbolic execution proves of the histogram, the quantile, and the threshold
/// @notice `check_` functions are for halmos: they hold for every value of their parameters.
contract OutcomeProofs {
    using Histogram for Histogram.Votes;

    Histogram.Votes private _stored;

    /// @dev Two words of the histogram are anything, the others empty: 8 of the 32 buckets, at both ends.
    function _ends(uint256 low, uint256 high) private pure returns (Histogram.Votes memory v) {
        (v.words[0], v.words[7]) = (low, high);
    }

    function _sum(Histogram.Votes memory v, uint256 from, uint256 to) private pure returns (uint256 sum) {
        for (uint256 bucket = from; bucket < to; ++bucket) {
            sum += v.weightOf(bucket);
        }
    }

    function _definition(uint256 low, uint256 high, uint256 share) private pure {
        Histogram.Votes memory v = _ends(low, high);
        uint256 total = _sum(v, 0, 32);
        int8 got = v.quantile(total, share);
        uint256 bucket = uint256(int256(got) + 8);
        assert(_sum(v, 0, bucket + 1) * 10_000 >= share * total);
        assert(bucket == 0 || _sum(v, 0, bucket) * 10_000 < share * total);
    }

    function check_the_kappa_quantile_is_its_definition(uint256 low, uint256 high) public pure {
        _definition(low, high, 3_333);
    }

    function check_the_median_is_its_definition(uint256 low, uint256 high) public pure {
        _definition(low, high, 5_000);
    }

    function check_the_quantile_rises_with_its_share(uint256 low, uint256 high) public pure {
        Histogram.Votes memory v = _ends(low, high);
        uint256 total = _sum(v, 0, 32);
        assert(v.quantile(total, 3_333) <= v.quantile(total, 5_000));
    }

    /// @dev Honest voters in the buckets 12 to 15, attackers in the first four and the last four. With less than kappa of
    ///      the weight attackers push nothing below the honest range, with less than 1 - kappa nothing above.
    function check_attackers_move_nothing_out_of_the_honest_range(
        uint16[4] calldata honest,
        uint16[4] calldata low,
        uint16[4] calldata high
    ) public pure {
        Histogram.Votes memory v;
        uint256 attackers;
        uint256 total;
        unchecked {
            for (uint256 i; i < 4; ++i) {
                v.words[0] |= uint256(low[i]) << (64 * i);
                v.words[3] |= uint256(honest[i]) << (64 * i);
                v.words[7] |= uint256(high[i]) << (64 * i);
                attackers += uint256(low[i]) + high[i];
                total += honest[i];
            }
            total += attackers;
        }
        if (total == 0) return;
        int8 got = v.quantile(total, 3_333);
        assert(attackers * 10_000 >= 3_333 * total || got >= 12 - 8);
        assert(attackers * 10_000 >= 6_667 * total || got <= 15 - 8);
    }

    function check_the_tally_adds_up(uint256 low, int8 tau) public pure {
        if (tau < -2 || tau > 23) return;
        Histogram.Votes memory v = _ends(low, 0);
        Histogram.Tally memory t = v.count(tau);
        uint256 voters;
        uint256 yes;
        for (uint256 bucket; bucket < 32; ++bucket) {
            voters += (v.words[bucket / 4] >> (64 * (bucket % 4) + 32)) & type(uint32).max;
            if (int256(bucket) - 8 > tau) yes += v.weightOf(bucket);
        }
        assert(t.weight == _sum(v, 0, 32) && t.voters == voters && t.yes == yes);
    }

    /// @dev In any one bucket; the other buckets and the voters of this one do not get in its way.
    function check_a_vote_is_counted_once(uint256 before, uint32 weight, uint8 place) public {
        place %= 4;
        uint256 shift = 64 * uint256(place);
        uint256 weightBefore = (before >> shift) & type(uint32).max;
        uint256 votersBefore = (before >> (shift + 32)) & type(uint32).max;
        if (weightBefore + weight > type(uint32).max || votersBefore == type(uint32).max) return;
        for (uint8 k; k < 4; ++k) {
            if (k != place) continue;
            _stored.words[3] = before;
            _stored.add(int8(4 + int8(k)), weight);
        }
        uint256 afterwards = _stored.words[3];
        uint256 mask = uint256(type(uint64).max) << shift;
        assert(afterwards & ~mask == before & ~mask);
        assert((afterwards >> shift) & type(uint32).max == weightBefore + weight);
        assert((afterwards >> (shift + 32)) & type(uint32).max == votersBefore + 1);
    }

    function check_tau_and_q_stay_in_range(int8 tau, uint64 q, int8 median, uint32 yes, uint32 weight) public pure {
        if (tau < -2 || tau > 23 || median < -8 || median > 23 || q == 0 || q >= 1e18 || yes > weight) return;
        (int8 nextTau, uint64 nextQ) = VoterPay.move(tau, q, median, yes, weight);
        assert(nextTau >= -2 && nextTau <= 23 && nextQ > 0 && nextQ < 1e18);
        if (median == -8) {
            assert(nextTau == tau && nextQ == q);
        } else {
            assert(nextTau == (median > tau ? tau + 1 : median < tau && tau > -2 ? tau - 1 : tau));
            assert(2 * uint256(yes) > weight ? nextQ == q + (1e18 - q) / 50 : nextQ == q - q / 50);
        }
    }
}
