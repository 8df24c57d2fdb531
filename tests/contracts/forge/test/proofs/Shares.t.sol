// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parent} from "../../../../../interfaces/PdfedTypes.sol";
import {Models} from "../../../../../contracts/libraries/Models.sol";
import {Power} from "../../../../../contracts/libraries/Power.sol";
import {Sealed} from "../../../../../contracts/libraries/Sealed.sol";

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

    function check_a_revealed_vote_survives_its_slot(int8 value, bool settled) public pure {
        if (value < -8 || value > 23) return;
        Sealed.Vote memory v;
        v.state = Sealed.opened(value);
        if (settled) v.state |= Sealed.SETTLED;
        assert(v.improvement() == value && v.revealed() && v.settled() == settled);
        v.state = settled ? Sealed.SETTLED : 0;
        assert(!v.revealed() && v.settled() == settled);
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

    /// @dev Not symbolic: every share of a basis point that a task can have (decay, or 1 - rate of a step) and every
    ///      gain are tried. Powers fall, are at most one, and a gain in two parts pays as one to 40 units of 1e-18.
    function test_powers_of_all_shares_and_gains() public pure {
        for (uint256 bps = 1; bps < 10_000; ++bps) {
            uint256[24] memory p;
            for (uint256 n; n < 24; ++n) {
                p[n] = Power.up(bps * 1e14, n);
                assert(n == 0 ? p[n] == WAD : p[n] <= p[n - 1] && p[n] + 40 >= p[n - 1] * bps / 10_000);
            }
            for (uint256 a = 1; a < 12; ++a) {
                for (uint256 b = a; a + b < 24; ++b) {
                    uint256 split = p[a] * p[b] / WAD;
                    assert(split <= p[a + b] + 40 && p[a + b] <= split + 40);
                }
            }
        }
    }
}
