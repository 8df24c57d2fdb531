// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Grains} from "../../../../../contracts/libraries/Grains.sol";
import {Histogram} from "../../../../../contracts/libraries/Histogram.sol";
import {VoterPay} from "../../../../../contracts/libraries/VoterPay.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of the histogram, the quantile, and the threshold
/// @notice `check_` functions are for halmos: they hold for every value of their parameters. Nothing is assumed of a
///         histogram but that all weight together fits 32 bits, as the vault sees to; a word may be empty or hold anything.
///
///         The contract adds up the weights of a word side by side (`_weigh` is the same line). That this is the sum of the
///         buckets is proved once, of a word at any place, by its tally. So a quantile is proved for the word in which its
///         target is reached first, with the weight of the words before it added up as the contract does.
contract OutcomeProofs {
    using Histogram for Histogram.Votes;

    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 private constant MASK = type(uint32).max;
    uint256 private constant ADD_UP = (1 << 192) | (1 << 128) | (1 << 64) | 1;

    Histogram.Votes private _stored;

    /// @dev Weight in the buckets `from` to `to - 1` of a word, added to `sum` one after the other.
    function _add(uint256 sum, uint256 word, uint256 from, uint256 to) private pure returns (uint256) {
        unchecked {
            for (uint256 i = from; i < to; ++i) {
                sum += (word >> (32 * i)) & MASK;
            }
            return sum;
        }
    }

    function _weigh(uint256 word) private pure returns (uint256) {
        unchecked {
            word &= (1 << 224) - 1;
            return (((word & (ADD_UP * MASK)) + ((word >> 32) & (ADD_UP * MASK))) * ADD_UP) >> 192;
        }
    }

    // ------------------------------------------------------------------------------------------------------ the tally

    /// @dev Any content of the word; `cut` is the first of its buckets that is above tau.
    function _tallyOfWord(uint256 word, uint256 place, int8 tau, uint256 cut) private pure {
        Histogram.Votes memory votes;
        votes.words[place] = word;
        Histogram.Tally memory got = votes.count(tau);
        assert(got.voters == word >> 224);
        assert(got.weight == _add(0, word, 0, 7) && got.yes == _add(0, word, cut, 7));
    }

    function check_the_tally_of_a_word(uint256 word, uint8 place, int8 tau) public pure {
        vm.assume(tau >= -2 && tau <= 23);
        assert(_weigh(word) == _add(0, word, 0, 7));
        for (uint8 p; p < 5; ++p) {
            if (p != place) continue;
            int8 first = int8(7 * p) - 9; // the highest tau below all buckets of the word
            for (int8 cut = 1; cut < 7; ++cut) {
                if (tau == first + cut) return _tallyOfWord(word, p, first + cut, uint8(cut));
            }
            _tallyOfWord(word, p, tau, tau <= first ? 0 : 7);
        }
    }

    function check_a_tally_is_the_sum_over_its_words(uint256[5] calldata words, int8 tau) public pure {
        vm.assume(tau >= -2 && tau <= 23);
        Histogram.Tally memory sum;
        for (uint256 i; i < 5; ++i) {
            Histogram.Votes memory one;
            one.words[i] = words[i];
            Histogram.Tally memory t = one.count(tau);
            unchecked {
                (sum.weight, sum.voters, sum.yes) = (sum.weight + t.weight, sum.voters + t.voters, sum.yes + t.yes);
            }
        }
        Histogram.Tally memory got = Histogram.Votes(words).count(tau);
        assert(got.weight == sum.weight && got.voters == sum.voters && got.yes == sum.yes);
    }

    // ----------------------------------------------------------------------------------------------------- quantiles

    /// @dev The word at `place` is the first in which `target` is reached.
    /// @return before the weight below it
    function _reachedIn(uint256[5] calldata words, uint256 place, uint256 target)
        private
        pure
        returns (uint256 before)
    {
        unchecked {
            for (uint256 i; i < place; ++i) {
                before += _weigh(words[i]);
                vm.assume(before < target);
            }
            vm.assume(before + _weigh(words[place]) >= target && _add(before, words[place], 0, 7) >= target);
        }
    }

    /// @dev W(<= v) and W(< v) of an answer in the word at `place`.
    function _around(uint256 before, uint256 word, uint256 place, int8 v) private pure returns (uint256, uint256) {
        unchecked {
            uint256 bucket = uint256(int256(v) + 8) - 7 * place;
            assert(bucket < 7);
            return (_add(before, word, 0, bucket + 1), _add(before, word, 0, bucket));
        }
    }

    function check_the_kappa_quantile_is_the_smallest(uint256[5] calldata words, uint32 total, uint8 place)
        public
        pure
    {
        unchecked {
            uint256 target = (3_333 * uint256(total) + 9_999) / 10_000;
            for (uint256 p; p < 5; ++p) {
                if (p != place) continue;
                uint256 before = _reachedIn(words, p, target);
                int8 v = Histogram.Votes(words).quantile(total, 3_333);
                (uint256 upTo, uint256 below) = _around(before, words[p], p, v);
                assert(upTo * 10_000 >= 3_333 * uint256(total));
                assert(v == -8 || below * 10_000 < 3_333 * uint256(total));
            }
        }
    }

    /// @dev What more than half of a weight is in whole numbers.
    function check_more_than_half_is_half_and_one(uint64 weight, uint32 total) public pure {
        assert((2 * uint256(weight) > total) == (weight >= uint256(total) / 2 + 1));
    }

    function check_the_median_is_the_smallest(uint256[5] calldata words, uint32 total, uint8 place) public pure {
        unchecked {
            uint256 target = uint256(total) / 2 + 1;
            for (uint256 p; p < 5; ++p) {
                if (p != place) continue;
                uint256 before = _reachedIn(words, p, target);
                int8 v = Histogram.Votes(words).median(total);
                (uint256 upTo, uint256 below) = _around(before, words[p], p, v);
                assert(upTo >= target && below < target);
            }
        }
    }

    // ------------------------------------------------------------------------- what follows, seen on the lowest word

    /// @dev A histogram of seven buckets at least one of which is not empty.
    function _seven(uint32[7] calldata buckets) private pure returns (Histogram.Votes memory votes, uint256 total) {
        unchecked {
            for (uint256 i; i < 7; ++i) {
                votes.words[0] |= uint256(buckets[i]) << (32 * i);
                total += buckets[i];
            }
            vm.assume(total != 0 && total <= type(uint32).max && _weigh(votes.words[0]) == total);
        }
    }

    function check_the_outcome_is_at_most_the_median(uint32[7] calldata buckets) public pure {
        (Histogram.Votes memory votes, uint256 total) = _seven(buckets);
        assert(votes.quantile(total, 3_333) <= votes.median(total));
    }

    /// @dev Of each bucket any part is honest, the rest attackers'. Either some honest weight lies at the outcome or below,
    ///      or attackers hold kappa of all; and some lies at the outcome or above, or they hold 1 - kappa.
    function check_attackers_move_nothing_out_of_the_honest_range(uint32[7] calldata buckets, uint32[7] calldata honest)
        public
        pure
    {
        (Histogram.Votes memory votes, uint256 total) = _seven(buckets);
        for (uint256 i; i < 7; ++i) {
            vm.assume(honest[i] <= buckets[i]);
        }
        unchecked {
            uint256 bucket = uint256(int256(votes.quantile(total, 3_333)) + 8);
            uint256 upTo;
            uint256 all;
            uint256 below;
            for (uint256 i; i < 7; ++i) {
                all += honest[i];
                if (i <= bucket) upTo += honest[i];
                if (i < bucket) below += honest[i];
            }
            uint256 attackers = total - all;
            assert(upTo != 0 || attackers * 10_000 >= 3_333 * total);
            assert(all != below || attackers * 10_000 >= 6_667 * total);
        }
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
