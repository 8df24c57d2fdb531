// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parent} from "../../../../../interfaces/PdfedTypes.sol";
import {Models} from "../../../../../contracts/libraries/Models.sol";
import {Power} from "../../../../../contracts/libraries/Power.sol";
import {Quorum} from "../../../../../contracts/libraries/Quorum.sol";
import {Sealed} from "../../../../../contracts/libraries/Sealed.sol";
import {Specification} from "./Specification.sol";

/// @title What symbolic execution proves of powers and packing
contract SharesProofs {
    using Sealed for Sealed.Vote;

    uint256 private constant WAD = 1e18;

    /// @dev The one step that powers are made of: at most one and at most its factor; never below the true product, and
    ///      above it by less than one unit. By induction no power is above one or below the true value.
    function check_a_square_is_a_share(uint64 base) public pure {
        if (base <= WAD) assert(Power.up(base, 2) <= base);
    }

    function check_a_square_is_never_too_small(uint64 base) public pure {
        if (base > WAD) return;
        uint256 square = Power.up(base, 2);
        unchecked {
            assert(square * WAD >= uint256(base) * base);
        }
    }

    function check_a_square_is_too_large_by_less_than_a_unit(uint64 base) public pure {
        if (base > WAD) return;
        uint256 square = Power.up(base, 2);
        unchecked {
            assert(square * WAD < uint256(base) * base + WAD);
        }
    }

    function check_powers_of_zero_and_one(uint64 base) public pure {
        if (base > WAD) return;
        assert(Power.up(base, 0) == WAD && Power.up(base, 1) == base);
    }

    function check_a_cube_is_at_most_the_square(uint64 base) public pure {
        if (base > WAD) return;
        assert(Power.up(base, 3) <= Power.up(base, 2));
    }

    function check_a_vote_survives_its_slot(uint192 commitment, uint32 weight, uint24 rate, int8 value) public pure {
        if (value < -8 || value > 23) return;
        Sealed.Vote memory v = Sealed.Vote(bytes24(commitment), weight, rate, 0);
        Sealed.Vote memory kept = Sealed.unpack(Sealed.pack(v));
        assert(kept.commitment == v.commitment && kept.weight == weight && kept.rate == rate && !kept.revealed());
        v.state = Sealed.opened(value);
        kept = Sealed.unpack(Sealed.pack(v));
        assert(kept.revealed() && kept.improvement() == value && kept.weight == weight && kept.rate == rate);
    }

    function check_a_head_survives_its_slot(uint32 count, uint32 next, uint32 best, int40 level, int8 tau, uint24 q)
        public
        pure
    {
        Models.Head memory h = Models.headOf(Models.pack(Models.Head(count, next, best, level, tau, q, 7, 9)));
        assert(h.count == count && h.next == next && h.bestId == best && h.bestLevel == level);
        assert(h.tau == tau && h.q == q && h.activity == 7 && h.lastFinalizedAt == 9);
    }

    /// @dev Of the running weight: it stays in its 48 bits and never returns to zero.
    function check_the_usual_weight_stays_in_range(uint48 activity, uint32 revealed) public pure {
        if (activity == 0) return;
        unchecked {
            uint256 exact = uint256(activity) - activity / 32 + (uint256(revealed) << 11);
            if (exact > type(uint48).max) {
                assert(activity > (uint256(revealed) << 16)); // not to be reached from below
                return;
            }
            assert(Quorum.move(activity, revealed) == exact && exact != 0);
        }
    }

    function check_parents_survive_packing(uint32[4] calldata ids, uint16[4] calldata bps, uint8 n) public pure {
        if (n > 4) return;
        for (uint256 k; k <= 4; ++k) {
            if (n != k) continue;
            Parent[] memory list = new Parent[](k);
            for (uint256 i; i < k; ++i) {
                if (bps[i] == 0) return;
                list[i] = Parent(ids[i], bps[i]);
            }
            Parent[] memory back = Models.unpack(Models.pack(list));
            assert(back.length == k);
            for (uint256 i; i < k; ++i) {
                assert(back[i].id == ids[i] && back[i].weightBps == bps[i]);
            }
        }
    }

    // ------------------------------------------------------------------------------ all parameters, one after the other

    /// @dev Not symbolic: every share of a basis point that a task can have (decay, or 1 - rate of a step), every gain and
    ///      every way to cut it in two. Powers are at most one and fall, and a gain in two parts pays as one to 260 units of
    ///      1e-18.
    function test_powers_of_all_shares_and_gains() public pure {
        for (uint256 bps; bps <= 10_000; ++bps) {
            uint256[129] memory p;
            for (uint256 n; n < 129; ++n) {
                p[n] = Power.up(bps * 1e14, n);
                assert(Specification.power(n, p[n]));
            }
            for (uint256 a; a <= 64; ++a) {
                for (uint256 b = a; a + b < 129; ++b) {
                    assert(Specification.powers(p[a], p[b], p[a + b]));
                }
            }
        }
    }
}
