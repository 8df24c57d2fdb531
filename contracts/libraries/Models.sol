// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../interfaces/IModelRegistry.sol";
import {Parent, Status} from "../../interfaces/PdfedTypes.sol";
import {Grains} from "./Grains.sol";

/// @notice All that a pour reads of an ancestor, in one slot, lowest first: author (160 bits), status (8), gain (8),
///         referenceId (32), measured (40). Packed by hand, as are the words below: field by field, the compiler would read
///         and write the slot once a field.
type Descent is uint256;

/// @notice What else a reservation freezes and a conclusion sets, in one slot, lowest first: reservedAt (40), tau (8), q (24),
///         eligible (32); outcome (8), median (8), revealedWeight (32), yesWeight (32), previousId (32), level (40).
type Ballot is uint256;

using {author, status, gain, referenceId, measured} for Descent global;
using {reservedAt, tau, q, eligible, previousId, level} for Ballot global;

function author(Descent d) pure returns (address) {
    return address(uint160(Descent.unwrap(d)));
}

function status(Descent d) pure returns (Status) {
    return Status(uint8(Descent.unwrap(d) >> 160));
}

function gain(Descent d) pure returns (uint8) {
    return uint8(Descent.unwrap(d) >> 168);
}

function referenceId(Descent d) pure returns (uint32) {
    return uint32(Descent.unwrap(d) >> 176);
}

function measured(Descent d) pure returns (int40) {
    return int40(uint40(Descent.unwrap(d) >> 208));
}

function reservedAt(Ballot b) pure returns (uint40) {
    return uint40(Ballot.unwrap(b));
}

function tau(Ballot b) pure returns (int8) {
    return int8(uint8(Ballot.unwrap(b) >> 40));
}

function q(Ballot b) pure returns (uint24) {
    return uint24(Ballot.unwrap(b) >> 48);
}

function eligible(Ballot b) pure returns (uint32) {
    return uint32(Ballot.unwrap(b) >> 72);
}

function previousId(Ballot b) pure returns (uint32) {
    return uint32(Ballot.unwrap(b) >> 184);
}

function level(Ballot b) pure returns (int40) {
    return int40(uint40(Ballot.unwrap(b) >> 216));
}

/// @title How ModelRegistry stores models
/// @notice Three views of a submission are enough, each with its own moment: `Terms` is frozen at reserve, `Result` and
///         `Standing` come with the conclusion. They lie in two words, cut by who reads them: a pour needs one word of each
///         ancestor.
library Models {
    uint256 internal constant MOST_PARENTS = 4;
    uint256 private constant PARENT_BITS = 48;

    /// @notice Everything that a reservation reads and a conclusion moves, in one slot, lowest first.
    struct Head {
        uint32 count;
        uint32 next;
        uint32 bestId;
        int40 bestLevel;
        int8 tau;
        uint24 q;
        uint48 activity;
        uint40 lastFinalizedAt;
    }

    /// @notice A model; `parents` is packed, see `pack`.
    struct Entry {
        Descent descent;
        Ballot ballot;
        bytes32 recordHash;
        bytes32 weightsDigest;
        uint256 parents;
    }

    /// @notice The slot of a head.
    function pack(Head memory h) internal pure returns (uint256) {
        uint256 ids =
            h.count | (uint256(h.next) << 32) | (uint256(h.bestId) << 64) | (uint256(uint40(h.bestLevel)) << 96);
        uint256 learnt = (uint256(uint8(h.tau)) << 136) | (uint256(h.q) << 144) | (uint256(h.activity) << 168);
        return ids | learnt | (uint256(h.lastFinalizedAt) << 216);
    }

    /// @notice The head in its slot.
    function headOf(uint256 word) internal pure returns (Head memory) {
        return Head({
            count: uint32(word),
            next: uint32(word >> 32),
            bestId: uint32(word >> 64),
            bestLevel: int40(uint40(word >> 96)),
            tau: int8(uint8(word >> 136)),
            q: uint24(word >> 144),
            activity: uint48(word >> 168),
            lastFinalizedAt: uint40(word >> 216)
        });
    }

    /// @notice The word of a model that was reserved, or of genesis.
    function descent(address author_, Status status_, uint32 referenceId_) internal pure returns (Descent) {
        return Descent.wrap(uint160(author_) | (uint256(status_) << 160) | (uint256(referenceId_) << 176));
    }

    /// @notice The word of what a reservation freezes.
    function ballot(uint40 reservedAt_, int8 tau_, uint24 q_, uint32 eligible_) internal pure returns (Ballot) {
        return
            Ballot.wrap(reservedAt_ | (uint256(uint8(tau_)) << 40) | (uint256(q_) << 48) | (uint256(eligible_) << 72));
    }

    /// @notice What its reservation froze.
    function terms(Entry storage e) internal view returns (IModelRegistry.Terms memory) {
        (Descent d, Ballot b) = (e.descent, e.ballot);
        return
            IModelRegistry.Terms(d.author(), b.reservedAt(), d.status(), d.referenceId(), b.tau(), b.q(), b.eligible());
    }

    /// @notice What its votes said.
    function result(Entry storage e) internal view returns (IModelRegistry.Result memory) {
        uint256 word = Ballot.unwrap(e.ballot);
        return IModelRegistry.Result(
            int8(uint8(word >> 104)), int8(uint8(word >> 112)), uint32(word >> 120), uint32(word >> 152)
        );
    }

    /// @notice All that the registry shows of it.
    function submission(Entry storage e) internal view returns (IModelRegistry.Submission memory) {
        (Descent d, Ballot b) = (e.descent, e.ballot);
        return IModelRegistry.Submission({
            terms: terms(e),
            result: result(e),
            standing: IModelRegistry.Standing(b.level(), d.measured(), d.gain(), b.previousId()),
            recordHash: e.recordHash,
            weightsDigest: e.weightsDigest
        });
    }

    /// @notice Give a model another status.
    function become(Entry storage e, Status status_) internal {
        uint256 rest = Descent.unwrap(e.descent) & ~(uint256(type(uint8).max) << 160);
        e.descent = Descent.wrap(rest | (uint256(status_) << 160));
    }

    /// @notice Write what became of it: one word each, in which these fields were zero.
    function conclude(Entry storage e, Status status_, IModelRegistry.Result memory r, IModelRegistry.Standing memory s)
        internal
    {
        uint256 rest = Descent.unwrap(e.descent) & ~(uint256(type(uint8).max) << 160);
        e.descent = Descent.wrap(
            rest | (uint256(status_) << 160) | (uint256(s.gain) << 168) | (uint256(uint40(s.measured)) << 208)
        );
        uint256 said = (uint256(uint8(r.outcome)) << 104) | (uint256(uint8(r.median)) << 112)
            | (uint256(r.revealedWeight) << 120) | (uint256(r.yesWeight) << 152);
        uint256 stands = (uint256(s.previousId) << 184) | (uint256(uint40(s.level)) << 216);
        e.ballot = Ballot.wrap(Ballot.unwrap(e.ballot) | said | stands);
    }

    /// @notice What becomes of a Final model. If its reference is no longer the best, its level and that of the best were
    ///         rounded apart, and the width of its bucket is no gain: copies of an open winner would earn it.
    /// @dev Levels never overflow: a step is at most 128 grains, ids fit 32 bits, and 2^32 * 2^7 = 2^39. The reference is a
    ///      best of an earlier time and the best level never falls, so delta <= outcome <= 128: the gain fits as well.
    function standing(
        mapping(uint256 id => Entry) storage entries,
        uint32 referenceId_,
        IModelRegistry.Result memory r,
        Head memory head,
        uint8 minStep
    ) internal view returns (IModelRegistry.Standing memory s) {
        Entry storage from = entries[referenceId_];
        s.level = int40(from.ballot.level() + Grains.at(r.outcome));
        s.measured = int40(from.descent.measured() + Grains.at(r.median));
        s.previousId = referenceId_;
        int256 delta = int256(s.level) - head.bestLevel;
        if (referenceId_ != head.bestId) delta -= Grains.width(r.outcome);
        if (delta >= int256(uint256(minStep))) (s.gain, s.previousId) = (uint8(uint256(delta)), head.bestId);
    }

    /// @notice Of packed parents those that are Final.
    function finalParents(mapping(uint256 id => Entry) storage entries, uint256 word)
        internal
        view
        returns (IModelRegistry.Ancestor[] memory list)
    {
        Parent[] memory declared = unpack(word);
        list = new IModelRegistry.Ancestor[](declared.length);
        uint256 n;
        for (uint256 i; i < declared.length; ++i) {
            Descent parent = entries[declared[i].id].descent;
            if (parent.status() == Status.Final) {
                list[n++] = IModelRegistry.Ancestor(declared[i].id, parent.measured());
            }
        }
        assembly ("memory-safe") {
            mstore(list, n) // at most as long as the list of the declared
        }
    }

    /// @notice Up to four parents in one word: 48 bits each, (uint16 weightBps, uint32 id), first parent lowest.
    function pack(Parent[] memory list) internal pure returns (uint256 word) {
        for (uint256 i; i < list.length; ++i) {
            word |= ((uint256(list[i].weightBps) << 32) | list[i].id) << (PARENT_BITS * i);
        }
    }

    /// @notice No weight is zero, so zero ends the list.
    function unpack(uint256 word) internal pure returns (Parent[] memory list) {
        uint256 n;
        while (word >> (PARENT_BITS * n) != 0) ++n;
        list = new Parent[](n);
        for (uint256 i; i < n; ++i) {
            uint256 one = word >> (PARENT_BITS * i);
            list[i] = Parent(uint32(one), uint16(one >> 32));
        }
    }
}
