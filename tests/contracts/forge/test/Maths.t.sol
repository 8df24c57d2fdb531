// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../interfaces/IModelRegistry.sol";
import {Parent} from "../../../../interfaces/PdfedTypes.sol";
import {Contribution} from "../../../../contracts/libraries/Contribution.sol";
import {Histogram} from "../../../../contracts/libraries/Histogram.sol";
import {Models} from "../../../../contracts/libraries/Models.sol";
import {Power} from "../../../../contracts/libraries/Power.sol";
import {Quorum} from "../../../../contracts/libraries/Quorum.sol";
import {VoterPay} from "../../../../contracts/libraries/VoterPay.sol";

/// @title Properties of the pure maths, for `forge test` (random inputs) and for symbolic execution (`check_` functions)
contract MathsTest {
    using Contribution for IModelRegistry.Lineage;
    using Histogram for Histogram.Votes;

    uint256 private constant WAD = 1e18;
    Histogram.Votes private _votes;

    // ------------------------------------------------------------------------------------------- voters' pay (rule 11)

    /// @dev pay <= slice, charge <= bond, never both; so the sum of all pay of an id is at most its pot.
    function check_payment_is_bounded(bool x, bool others, uint24 rate, uint24 q, uint104 slice, uint104 bond)
        public
        pure
    {
        (uint256 paid, uint256 charged) = VoterPay.payment(x, others, rate, q, slice, bond);
        assert(paid <= slice && charged <= bond);
        assert(paid == 0 || charged == 0);
        assert(x == others || paid == 0);
    }

    function testFuzz_payment_is_bounded(bool x, bool others, uint24 rate, uint24 q, uint104 slice, uint104 bond)
        public
        pure
    {
        check_payment_is_bounded(x, others, rate, q, slice, bond);
    }

    /// @dev rateOf stays below 2^24 for any history and any q that `move` can reach.
    function testFuzz_rate_is_a_share(uint32 yes, uint32 seen, uint24 q) public pure {
        if (yes > seen) (yes, seen) = (seen, yes);
        uint256 exact = ((uint256(yes) << 24) + 4 * uint256(q)) / (uint256(seen) + 4);
        assert(exact < 1 << 24 && VoterPay.rateOf(yes, seen, q) == exact);
    }

    function testFuzz_tau_and_q_stay_in_range(int8 tau, uint24 q, int8 median, uint32 yes, uint32 weight) public pure {
        tau = int8(int256(uint256(uint8(tau)) % 26)) - 2;
        median = int8(int256(uint256(uint8(median)) % 32)) - 8;
        (int8 nextTau, uint24 nextQ) = VoterPay.move(tau, q, median, yes, weight);
        assert(nextTau >= -2 && nextTau <= 23 && nextQ < 1 << 24);
        int256 step = int256(nextTau) - tau;
        assert(step >= -1 && step <= 1);
        if (median <= -7) assert(nextTau == tau && nextQ == q);
    }

    /// @dev A tie counts 0; each moves by one step and within its clamp.
    function test_tau_and_q_move_by_one_step() public pure {
        uint24 q = 1 << 23;
        (int8 tau, uint24 next) = VoterPay.move(0, q, 3, 5, 10);
        assert(tau == 1 && next == q - q / 50);
        (tau, next) = VoterPay.move(3, q, 3, 6, 10);
        assert(tau == 3 && next == q + ((1 << 24) - q) / 50);
        (tau,) = VoterPay.move(-1, q, -6, 0, 10);
        assert(tau == -2);
        (tau,) = VoterPay.move(-2, q, -6, 0, 10);
        assert(tau == -2);
        (tau, next) = VoterPay.move(2, q, -7, 0, 10);
        assert(tau == 2 && next == q);
    }

    /// @dev The majority of the others, without the voter's own weight; a tie counts 0.
    function test_a_majority_is_of_the_others() public pure {
        assert(VoterPay.majorityOfOthers(100, 60, 19, true) && !VoterPay.majorityOfOthers(100, 60, 20, true));
        assert(VoterPay.majorityOfOthers(100, 40, 21, false) && !VoterPay.majorityOfOthers(100, 40, 20, false));
    }

    // --------------------------------------------------------------------------------------------------------- quorum

    /// @dev max(floor, E / 6, min(E / 3, Q / 2)): each of them reached exactly is enough, a unit less is not.
    function test_a_quorum_is_reached_exactly() public pure {
        uint256 q = 120 << 16;
        assert(Quorum.reached(20, 60, q, 3) && !Quorum.reached(20, 61, q, 3));
        assert(Quorum.reached(12, 60, 24 << 16, 3) && !Quorum.reached(12, 60, (24 << 16) + 1, 3));
        assert(Quorum.reached(10, 60, 1, 3) && !Quorum.reached(10, 61, 1, 3));
        assert(Quorum.reached(20, 60, q, 20) && !Quorum.reached(20, 60, q, 21));
    }

    function test_what_is_usual_moves_by_a_thirty_second() public pure {
        assert(Quorum.known(0, 7) == 7 << 16 && Quorum.known(5, 7) == 5);
        assert(Quorum.move(33 << 16, 33) == 33 << 16 && Quorum.move(32 << 16, 0) == 31 << 16);
        assert(Quorum.move(63, 1) == 63 - 1 + (1 << 11));
        assert(Quorum.move(uint48(type(uint32).max) << 16, type(uint32).max) >> 16 == type(uint32).max);
    }

    // --------------------------------------------------------------------------------------------------------- powers

    /// @dev Rounded up, never above one, and falling in n.
    function testFuzz_power_is_a_share_that_falls(uint64 base, uint8 n) public pure {
        base = uint64(base % (WAD + 1));
        n = n % 128;
        uint256 here = Power.up(base, n);
        assert(here <= WAD && Power.up(base, n + 1) <= here);
        assert(here >= (base == 0 && n != 0 ? 0 : 1) || base < 1e9);
    }

    /// @dev Splitting a gain pays as one step: base^a * base^b and base^(a+b) differ by rounding only.
    function testFuzz_powers_multiply(uint64 base, uint8 a, uint8 b) public pure {
        base = uint64(base % (WAD + 1));
        a = a % 65;
        b = b % 65;
        uint256 split = Power.up(base, a) * Power.up(base, b) / WAD;
        uint256 whole = Power.up(base, uint256(a) + b);
        assert(split <= whole + 260 && whole <= split + 260);
    }

    // ----------------------------------------------------------------------------------------------- lineage, rewards

    /// @dev What a pour pays and passes is what came in; a model without gain is paid nothing.
    function check_pour_conserves(uint104 pending, uint16 decayBps, uint8 gain) public pure {
        decayBps = uint16(decayBps % 10_000);
        gain = gain % 129;
        uint256 left = Power.up(uint256(decayBps) * (WAD / 10_000), gain);
        uint256 part = uint256(pending) * (WAD - left) / WAD;
        assert(part <= pending);
        if (gain == 0) assert(part == 0);
    }

    function testFuzz_pour_conserves(uint104 pending, uint16 decayBps, uint8 gain) public pure {
        check_pour_conserves(pending, decayBps, gain);
    }

    /// @dev A path of two pours passes on what one pour of both gains passes, to the rounding.
    function testFuzz_pours_are_split_proof(uint96 pending, uint8 a, uint8 b) public pure {
        a = a % 65;
        b = b % 65;
        uint256 base = 0.974e18;
        uint256 first = uint256(pending) - uint256(pending) * (WAD - Power.up(base, a)) / WAD;
        uint256 second = first - first * (WAD - Power.up(base, b)) / WAD;
        uint256 once = uint256(pending) - uint256(pending) * (WAD - Power.up(base, uint256(a) + b)) / WAD;
        uint256 slack = uint256(pending) / 1e16 + 4;
        assert(second <= once + slack && once <= second + slack);
    }

    // --------------------------------------------------------------------------------------------------- contribution

    /// @dev What is split is conserved, to the unit, with any number of parents: Σ parts = amount.
    function testFuzz_contribution_is_conserved(
        uint88 amount,
        uint64 heldPart,
        uint8 gain,
        int16 m,
        uint16[2] memory bases,
        int16[4] memory parents,
        uint8 n
    ) public pure {
        IModelRegistry.Lineage memory l;
        (l.gain, l.measured) = (gain, m);
        (l.base, l.referenceBase) = (int40(uint40(bases[0] % 2_000)), int40(uint40(bases[1] % 2_000)));
        l.parents = new IModelRegistry.Ancestor[](n % 5);
        for (uint256 i; i < l.parents.length; ++i) {
            l.parents[i] = IModelRegistry.Ancestor(uint32(i), parents[i]);
        }
        _conserved(l.earned(amount), amount);
        bool lifted = Contribution.greatest(l.parents) > l.referenceBase; // else nothing is held for it
        uint256 held = lifted ? heldPart : 0;
        _conserved(l.inherited(amount, held), amount + held);
    }

    function _conserved(Contribution.Parts memory p, uint256 amount) private pure {
        uint256 shares;
        for (uint256 i; i < p.above.length; ++i) {
            shares += p.above[i] + p.held[i];
        }
        assert(p.own + p.below == amount && shares == p.below);
    }

    // ------------------------------------------------------------------------------------------------------ histogram

    /// @dev Quantile, total and yes weight against a plain sum over the votes; monotone in the share.
    function testFuzz_quantiles_equal_their_definition(uint8[9] memory buckets, uint32[9] memory weights, int8 tau)
        public
    {
        tau = int8(int256(uint256(uint8(tau)) % 26)) - 2;
        uint256 total;
        uint256 yes;
        for (uint256 i; i < 9; ++i) {
            int8 value = int8(int256(uint256(buckets[i]) % 32)) - 8;
            uint256 weight = uint256(weights[i]) / 9 + 1; // all of them near 2^32 together
            _votes.add(value, weight);
            total += weight;
            if (value > tau) yes += weight;
        }
        Histogram.Votes memory votes = _votes;
        Histogram.Tally memory t = votes.count(tau);
        assert(t.weight == total && t.voters == 9 && t.yes == yes);
        int8 last = -8;
        for (uint256 share = 1_000; share <= 5_000; share += 500) {
            int8 got = votes.quantile(total, share);
            uint256 atOrBelow;
            uint256 below;
            for (uint256 i; i < 9; ++i) {
                int8 value = int8(int256(uint256(buckets[i]) % 32)) - 8;
                if (value <= got) atOrBelow += uint256(weights[i]) / 9 + 1;
                if (value < got) below += uint256(weights[i]) / 9 + 1;
            }
            assert(atOrBelow * 10_000 >= share * total && below * 10_000 < share * total);
            assert(got >= last);
            last = got;
        }
        int8 median = votes.median(total);
        assert(median >= last);
        uint256 half;
        uint256 under;
        for (uint256 i; i < 9; ++i) {
            int8 value = int8(int256(uint256(buckets[i]) % 32)) - 8;
            if (value <= median) half += uint256(weights[i]) / 9 + 1;
            if (value < median) under += uint256(weights[i]) / 9 + 1;
        }
        assert(2 * half > total && 2 * under <= total);
    }

    /// @dev Any 32 bits of weight, beside full neighbours.
    function testFuzz_a_bucket_reads_as_it_was_written(uint8 bucket, uint32 weight) public {
        bucket %= 32;
        for (uint8 i; i < 32; ++i) {
            _votes.add(int8(i) - 8, i == bucket ? weight : type(uint32).max - i);
        }
        Histogram.Votes memory votes = _votes;
        for (uint8 i; i < 32; ++i) {
            assert(votes.weightOf(i) == (i == bucket ? weight : type(uint32).max - i));
        }
    }

    /// @dev All 32 bits of a weight count, wherever it is and wherever the threshold.
    function test_a_vote_of_all_the_weight_in_any_bucket() public pure {
        uint256 whole = type(uint32).max;
        for (uint256 bucket; bucket < 32; ++bucket) {
            Histogram.Votes memory votes;
            votes.words[bucket / 7] = (1 << 224) | (whole << (32 * (bucket % 7)));
            int8 value = int8(int256(bucket)) - 8;
            assert(votes.quantile(whole, 1_000) == value && votes.median(whole) == value);
            for (int8 tau = -2; tau <= 23; ++tau) {
                Histogram.Tally memory t = votes.count(tau);
                assert(t.weight == whole && t.voters == 1 && t.yes == (value > tau ? whole : 0));
            }
        }
    }

    /// @dev Two of three are more than half, two of four are not.
    function test_more_than_half_of_an_odd_weight() public {
        _votes.add(3, 2);
        _votes.add(9, 1);
        Histogram.Votes memory votes = _votes;
        assert(votes.median(3) == 3);
        _votes.add(9, 1);
        votes = _votes;
        assert(votes.median(4) == 9);
    }

    function test_an_empty_histogram_reads_as_lowest() public view {
        Histogram.Votes memory votes = _votes;
        assert(votes.count(0).weight == 0 && votes.quantile(0, 3_333) == -8 && votes.quantile(0, 5_000) == -8);
    }

    // -------------------------------------------------------------------------------------------------------- parents

    function testFuzz_parents_survive_packing(uint32[4] memory ids, uint16[4] memory bps, uint8 n) public pure {
        Parent[] memory list = new Parent[](n % 5);
        for (uint256 i; i < list.length; ++i) {
            list[i] = Parent(ids[i], bps[i] == 0 ? 1 : bps[i]);
        }
        Parent[] memory back = Models.unpack(Models.pack(list));
        assert(keccak256(abi.encode(back)) == keccak256(abi.encode(list)));
    }
}
