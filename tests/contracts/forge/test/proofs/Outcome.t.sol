// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Grains} from "../../../../../contracts/libraries/Grains.sol";
import {Histogram} from "../../../../../contracts/libraries/Histogram.sol";
import {VoterPay} from "../../../../../contracts/libraries/VoterPay.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of the histogram, the quantile, and the threshold
/// @notice `check_` functions are for halmos: they hold for every value of their parameters. Histograms come in two kinds:
///         `ends` has 8 buckets of any content, four at either end, the others empty; `full` has all 32 of any content,
///         but no word of seven is empty (so that empty words do not double the paths). All weight together fits
///         32 bits, as the vault sees to.
contract OutcomeProofs {
    using Histogram for Histogram.Votes;

    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    Histogram.Votes private _stored;

    /// @dev A histogram and, beside it, what it should say.
    struct Case {
        Histogram.Votes votes;
        uint256[32] weights;
        uint256 total;
    }

    function _put(Case memory c, uint256 i, uint32 bucket) private pure {
        unchecked {
            c.votes.words[i / 7] |= uint256(bucket) << (32 * (i % 7));
            c.weights[i] = bucket;
            c.total += bucket;
        }
    }

    function _ends(uint32[8] calldata buckets) private pure returns (Case memory c) {
        for (uint256 i; i < 8; ++i) {
            _put(c, _place(i), buckets[i]);
        }
        vm.assume(c.total <= type(uint32).max);
    }

    function _place(uint256 i) private pure returns (uint256) {
        return i < 4 ? i : 24 + i;
    }

    function _full(uint32[32] calldata buckets) private pure returns (Case memory c) {
        for (uint256 i; i < 32; ++i) {
            _put(c, i, buckets[i]);
        }
        vm.assume(c.total <= type(uint32).max);
        for (uint256 i; i < 5; ++i) {
            vm.assume(c.votes.words[i] != 0);
        }
    }

    function _sum(uint256[32] memory list, uint256 n) private pure returns (uint256 sum) {
        unchecked {
            for (uint256 i; i < n; ++i) {
                sum += list[i];
            }
        }
    }

    function _definition(Case memory c, uint256 share) private pure {
        unchecked {
            uint256 bucket = uint256(int256(c.votes.quantile(c.total, share)) + 8);
            uint256 upTo = _sum(c.weights, bucket + 1);
            assert(upTo * 10_000 >= share * c.total);
            assert(bucket == 0 || (upTo - c.weights[bucket]) * 10_000 < share * c.total);
        }
    }

    function check_the_kappa_quantile_at_the_ends(uint32[8] calldata buckets) public pure {
        _definition(_ends(buckets), 3_333);
    }

    function check_the_kappa_quantile_of_a_full_histogram(uint32[32] calldata buckets) public pure {
        _definition(_full(buckets), 3_333);
    }

    function _medianDefinition(Case memory c) private pure {
        vm.assume(c.total != 0);
        unchecked {
            uint256 bucket = uint256(int256(c.votes.median(c.total)) + 8);
            uint256 upTo = _sum(c.weights, bucket + 1);
            assert(2 * upTo > c.total);
            assert(bucket == 0 || 2 * (upTo - c.weights[bucket]) <= c.total);
        }
    }

    function check_the_median_at_the_ends(uint32[8] calldata buckets) public pure {
        _medianDefinition(_ends(buckets));
    }

    function check_the_median_of_a_full_histogram(uint32[32] calldata buckets) public pure {
        _medianDefinition(_full(buckets));
    }

    function check_the_quantile_rises_with_its_share(uint32[8] calldata buckets) public pure {
        Case memory c = _ends(buckets);
        vm.assume(c.total != 0);
        assert(c.votes.quantile(c.total, 3_333) <= c.votes.quantile(c.total, 5_000));
        assert(c.votes.quantile(c.total, 5_000) <= c.votes.median(c.total));
    }

    /// @dev Of each bucket any part is honest, the rest attackers'. Either some honest weight lies at the outcome or below,
    ///      or attackers hold kappa of all; and some lies at the outcome or above, or they hold 1 - kappa.
    function check_attackers_move_nothing_out_of_the_honest_range(uint32[8] calldata buckets, uint32[8] calldata honest)
        public
        pure
    {
        Case memory c = _ends(buckets);
        uint256[32] memory good;
        for (uint256 i; i < 8; ++i) {
            good[_place(i)] = honest[i];
            vm.assume(honest[i] <= c.weights[_place(i)]);
        }
        vm.assume(c.total != 0);
        unchecked {
            uint256 bucket = uint256(int256(c.votes.quantile(c.total, 3_333)) + 8);
            uint256 upTo = _sum(good, bucket + 1);
            uint256 all = _sum(good, 32);
            uint256 attackers = c.total - all;
            assert(upTo != 0 || attackers * 10_000 >= 3_333 * c.total);
            assert(all - upTo + good[bucket] != 0 || attackers * 10_000 >= 6_667 * c.total);
        }
    }

    function _tally(Case memory c, int8 tau) private pure {
        vm.assume(tau >= -2 && tau <= 23);
        for (int8 t = -2; t <= 23; ++t) {
            if (t != tau) continue;
            Histogram.Tally memory got = c.votes.count(t);
            unchecked {
                uint256 yes = c.total - _sum(c.weights, uint256(int256(t) + 9));
                assert(got.weight == c.total && got.voters == 0 && got.yes == yes);
            }
        }
    }

    function check_the_tally_at_the_ends(uint32[8] calldata buckets, int8 tau) public pure {
        _tally(_ends(buckets), tau);
    }

    function check_the_tally_of_a_full_histogram(uint32[32] calldata buckets, int8 tau) public pure {
        _tally(_full(buckets), tau);
    }

    /// @dev In any one bucket; the other buckets and the voters of this one do not get in its way.
    function check_a_vote_is_counted_once(uint256 before, uint32 weight, uint8 place) public {
        place %= 7;
        uint256 shift = 32 * uint256(place);
        uint256 weightBefore = (before >> shift) & type(uint32).max;
        if (weightBefore + weight > type(uint32).max || before >> 224 == type(uint32).max) return;
        for (uint8 k; k < 7; ++k) {
            if (k != place) continue;
            _stored.words[3] = before;
            _stored.add(int8(13 + int8(k)), weight);
        }
        uint256 afterwards = _stored.words[3];
        uint256 mask = (uint256(type(uint32).max) << shift) | (uint256(type(uint32).max) << 224);
        assert(afterwards & ~mask == before & ~mask);
        assert((afterwards >> shift) & type(uint32).max == weightBefore + weight);
        assert(afterwards >> 224 == (before >> 224) + 1);
    }

    function check_tau_and_q_stay_in_range(int8 tau, uint24 q, int8 median, uint32 yes, uint32 weight) public pure {
        if (tau < -2 || tau > 23 || median < -8 || median > 23 || q == 0 || yes > weight) return;
        (int8 nextTau, uint24 nextQ) = VoterPay.move(tau, q, median, yes, weight);
        assert(nextTau >= -2 && nextTau <= 23 && nextQ > 0);
        if (median <= -7) {
            assert(nextTau == tau && nextQ == q);
        } else {
            assert(nextTau == (median > tau ? tau + 1 : median < tau && tau > -2 ? tau - 1 : tau));
            assert(2 * uint256(yes) > weight ? nextQ == q + ((1 << 24) - q) / 50 : nextQ == q - q / 50);
        }
    }

    /// @dev Grains rise with the index, a width is the distance to the next lower one. All 32 are tried.
    function check_grains_rise_with_their_index(int8 index) public pure {
        if (index < -7 || index > 23) return;
        for (int8 i = -7; i <= 23; ++i) {
            if (i != index) continue;
            assert(Grains.at(i) > Grains.at(i - 1));
            assert(Grains.width(i) == Grains.at(i) - Grains.at(i - 1));
        }
        assert(Grains.at(-8) == -96 && Grains.at(0) == 0 && Grains.at(8) == 8 && Grains.at(23) == 128);
    }
}
