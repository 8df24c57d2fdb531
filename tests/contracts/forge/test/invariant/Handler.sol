// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Opening, Parent, SealedVote, Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {Ghost} from "../support/Ghost.sol";
import {World} from "../support/World.sol";

/// @title Random acts of everybody on one task
/// @notice Every act asks the ghost first. What is legal must succeed and moves the ghost; what is not must revert. So
///         an act never reverts unless contracts and ghost disagree.
contract Handler is World, Ghost {
    /// @dev What happened in a run, by kind.
    struct Tale {
        uint256 acts;
        uint256 legal;
        uint256 finals;
        uint256 voids;
        uint256 bests;
        uint256 commits;
        uint256 reveals;
        uint256 settles;
        uint256 silent;
        uint256 pours;
        uint256 royalties;
        uint256 claims;
        uint256 withdrawals;
        uint256 parents;
        uint256 hops;
        uint256 reclaims;
    }

    Tale internal tale;
    address[] internal who_;

    constructor() {
        deploy();
        create(defaults());
        p = defaults();
        people = 8;
        Model storage genesis = models.push();
        (genesis.reservedAt, genesis.status) = (START, Status.Final);
        lastFinal = START;
        for (uint256 i; i < people; ++i) {
            who_.push(person(i));
            give(who_[i], 1_000_000 * UNIT);
            if (i >= 6) continue; // two come later
            join(who_[i], (2 + 3 * i) * UNIT + i);
            nodes[i].roles = BOTH;
            _deposit(i, (2 + 3 * i) * UNIT + i, START);
        }
        give(sponsor, 1e30);
        vm.prank(sponsor);
        pool.fund(1_000 * UNIT + 1);
        _fund(1_000 * UNIT + 1, START);
        travel(3);
    }

    /// @dev Short windows, so that a run sees many models.
    function defaults() internal view override returns (TaskParams memory t) {
        t = super.defaults();
        (t.submissionBond, t.scoringFee) = (uint128(UNIT / 3), uint128(UNIT / 7 + 5));
        (t.submitWindow, t.commitWindow, t.revealGap, t.revealWindow) = (10, 40, 2, 25);
        (t.warmUp, t.unbonding, t.grace) = (3, 70, 30);
    }

    // ------------------------------------------------------------------------------------------------------- plumbing

    /// @dev The call succeeds if and only if the ghost allows it.
    function _do(address by, address target, bytes memory data, bool legal) internal returns (bool) {
        ++tale.acts;
        vm.prank(by);
        (bool ok, bytes memory why) = target.call(data);
        if (ok && !legal) revert("the ghost forbids what the contracts did");
        if (!ok && legal) {
            assembly ("memory-safe") {
                revert(add(why, 32), mload(why))
            }
        }
        if (ok) ++tale.legal;
        return ok;
    }

    /// @dev The fuzzer likes zero, small and huge numbers; this makes of any number an even choice, anew each act.
    function _mix(uint256 seed) internal view returns (uint256) {
        return uint256(keccak256(abi.encode(seed, tale.acts))) >> 64;
    }

    function _someone(uint256 seed) internal view returns (uint256) {
        return (seed >> 96) % people;
    }

    /// @dev One of the last few ids of status `a` or `b`, zero if there is none.
    function _pick(uint256 seed, Status a, Status b) internal view returns (uint256) {
        uint256[] memory found = new uint256[](3);
        uint256 n;
        for (uint256 id = models.length - 1; id > 0 && n < 3; --id) {
            if (models[id].status == a || models[id].status == b) found[n++] = id;
        }
        return n == 0 ? 0 : found[seed % n];
    }

    function _tick(uint256 seed) internal {
        travel(seed % 3);
    }

    // ---------------------------------------------------------------------------------------------------------- stake

    function registers(uint256 seed) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        address key = seed & 256 == 0 ? address(0) : person(100 + i);
        bool fresh = nodes[i].roles == 0;
        uint8 roles = uint8(1 + (seed >> 12) % 3);
        if (_do(who_[i], address(vault), abi.encodeCall(IStakeVault.register, (roles, key, 0)), fresh)) {
            (nodes[i].roles, nodes[i].hasKey) = (roles, key != address(0));
        }
    }

    function changesKey(uint256 seed, bool set) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        bytes memory data = abi.encodeCall(IStakeVault.setVotingKey, (set ? person(100 + i) : address(0)));
        if (_do(who_[i], address(vault), data, nodes[i].roles != 0)) nodes[i].hasKey = set;
    }

    function deposits(uint256 seed, uint256 amount) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        amount %= 4 * UNIT;
        bool legal = nodes[i].roles != 0 && amount != 0;
        if (_do(who_[i], address(vault), abi.encodeCall(IStakeVault.deposit, (amount)), legal)) {
            _deposit(i, amount, time());
        }
    }

    function unstakes(uint256 seed, uint256 amount) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        amount %= 2 * UNIT;
        Node storage n = nodes[i];
        bool legal = amount != 0 && n.roles != 0 && n.unbonding == 0 && amount <= n.free;
        if (_do(who_[i], address(vault), abi.encodeCall(IStakeVault.requestUnstake, (amount)), legal)) {
            _unstake(i, amount, time());
        }
    }

    function withdraws(uint256 seed) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        Node storage n = nodes[i];
        bool legal = n.unbonding != 0 && time() >= n.unbondingAt;
        if (_do(who_[i], address(vault), abi.encodeCall(IStakeVault.withdraw, (who_[i])), legal)) {
            n.unbonding = 0;
            ++tale.withdrawals;
        }
    }

    function claims(uint256 seed) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        if (_do(who_[i], address(vault), abi.encodeCall(IStakeVault.claim, (sponsor)), nodes[i].credit != 0)) {
            nodes[i].credit = 0;
            ++tale.claims;
        }
    }

    // --------------------------------------------------------------------------------------------------------- models

    function reserves(uint256 seed) public {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        _tick(seed >> 8);
        uint256 id = models.length;
        uint256 most = seed % 8 == 0 ? feeAt(time()) - 1 : feeAt(time()); // sometimes less than it costs
        bytes memory data = abi.encodeCall(IModelRegistry.reserve, (reservation(who_[i], id), most));
        bool legal = mayReserve(i, time()) && most == feeAt(time());
        if (_do(who_[i], address(registry), data, legal)) _reserve(i, time());
    }

    function submits(uint256 seed, uint256 parents) external {
        seed = _mix(seed);
        uint256 id = _pick(seed, Status.Reserved, Status.Reserved);
        if (id == 0) return;
        _tick(seed >> 8);
        _submit(id, parents);
    }

    function _submit(uint256 id, uint256 parents) private {
        Parent[] memory list = _parents(id, parents);
        address author = who_[models[id].author];
        bytes memory data = abi.encodeCall(IModelRegistry.submit, (id, record(id, list), digest("salt", id)));
        if (_do(author, address(registry), data, maySubmit(id, list, time()))) {
            _submit(id, list);
            tale.parents += list.length;
        }
    }

    /// @dev One to four of the newest ids that may be parents; sometimes with one that may not.
    function _parents(uint256 id, uint256 seed) private view returns (Parent[] memory list) {
        uint32[] memory able = new uint32[](5);
        uint256 n;
        for (uint256 i = id; i > 0 && n < 5; --i) {
            Status s = models[i - 1].status;
            bool gone = s == Status.Void && models[i - 1].parents.length == 0; // never submitted
            if (s != Status.Reserved && !gone) able[n++] = uint32(i - 1);
        }
        list = new Parent[](1 + seed % (n < 4 ? n : 4));
        uint256 left = 10_000;
        for (uint256 i; i < list.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 share = i + 1 == list.length ? left : 1 + (seed >> 128) % (left / 2);
            left -= share;
            list[i] = Parent(able[(seed % 2 + i) % n], uint16(share));
        }
        if (seed >> 253 == 0) list[0].id = uint32(id - seed % 2);
    }

    function opens(uint256 seed, uint256 parents) public {
        reserves(seed);
        if (models[models.length - 1].status == Status.Reserved) _submit(models.length - 1, parents);
    }

    // ---------------------------------------------------------------------------------------------------------- votes

    function _improvement(uint256 seed) internal pure returns (int8) {
        return seed % 8 == 0 ? int8(-8) : int8(uint8((seed >> 8) % 32)) - 8;
    }

    function _sealed(uint256 i, uint256 id, int8 improvement) internal view returns (SealedVote memory) {
        bytes32 hash;
        if (id < models.length) hash = recordHash(id);
        return SealedVote(id, hash, seal(vote(who_[i], id, improvement)));
    }

    /// @dev By the node itself, by its key, by a stranger, or by anyone with the node's or its key's signature.
    function commits(uint256 seed, uint256 which, uint256 how) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        uint256 id = _pick(which, Status.Open, Status.Reserved);
        if (id == 0) return;
        how = _mix(how);
        int8 improvement = _improvement(how >> 8);
        SealedVote memory c = _sealed(i, id, improvement);
        if ((how >> 4) % 16 == 0) c.recordHash = keccak256(abi.encode(c.recordHash)); // of another model
        bool byKey = how & 1 == 1;
        bool legal = mayCommit(i, id, time()) && (!byKey || nodes[i].hasKey) && (how >> 4) % 16 != 0;
        bool ok;
        if (how & 2 == 0) {
            address by = byKey ? person(100 + i) : who_[i];
            ok = _do(by, address(book), abi.encodeCall(IScoreBook.commit, (who_[i], c)), legal);
        } else {
            ok = _bySignature(i, c, byKey ? 100 + i : i, legal);
        }
        if (ok) _committed(i, id, improvement);
    }

    function _bySignature(uint256 i, SealedVote memory c, uint256 signer, bool legal) private returns (bool) {
        uint40 deadline = uint40(time());
        bytes memory data = abi.encodeCall(IScoreBook.commitBySig, (who_[i], c, deadline, _signature(i, c, signer)));
        return _do(stranger, address(book), data, legal);
    }

    function _signature(uint256 i, SealedVote memory c, uint256 signer) private view returns (bytes memory) {
        bytes32 kind = keccak256(
            "Commit(address voter,uint256 submissionId,bytes32 recordHash,bytes32 commitment,uint256 deadline)"
        );
        bytes32 digest_ = typed(keccak256(abi.encode(kind, who_[i], c, time())));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf(signer), digest_);
        return abi.encodePacked(r, s, v);
    }

    function _committed(uint256 i, uint256 id, int8 improvement) internal {
        _commit(i, id, improvement);
        ++tale.commits;
    }

    /// @dev One node votes on all ids that are not terminal, and once on an unknown one; bad entries are skipped.
    function commitsMany(uint256 seed, uint256 how) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        uint256 n = models.length - next;
        SealedVote[] memory list = new SealedVote[](n + 1);
        for (uint256 k; k <= n; ++k) {
            list[k] = _sealed(i, next + k, _improvement(uint256(keccak256(abi.encode(how, k)))));
        }
        _do(who_[i], address(book), abi.encodeCall(IScoreBook.commitMany, (who_[i], list)), true);
        for (uint256 k; k < n; ++k) {
            if (!mayCommit(i, next + k, time())) continue;
            _committed(i, next + k, _improvement(uint256(keccak256(abi.encode(how, k)))));
        }
    }

    /// @dev Everybody votes on one id around a common truth, but for those whom `seed` leaves out. Of some ids a third see no
    ///      good in it: these veto a gain, and whoever builds on it owes a share to it.
    function everybodyCommits(uint256 seed, uint256 which) public {
        seed = _mix(seed);
        uint256 id = _pick(which, Status.Open, Status.Open);
        if (id == 0) return;
        int256 truth = int256(seed % 12) - 3;
        bool vetoed = (seed >> 32) % 3 == 0;
        for (uint256 i; i < people; ++i) {
            uint256 mine = uint256(keccak256(abi.encode(seed, i)));
            if (mine % 8 == 0) continue;
            int8 improvement = int8(truth + int256((mine >> 8) % 3));
            if (vetoed && (mine >> 16) % 3 == 0) improvement = 0;
            bytes memory data = abi.encodeCall(IScoreBook.commit, (who_[i], _sealed(i, id, improvement)));
            if (_do(who_[i], address(book), data, mayCommit(i, id, time()))) _committed(i, id, improvement);
        }
    }

    /// @dev A model from its reservation to its last reveal or settled vote; what else is open goes on meanwhile.
    function whole(uint256 seed, uint256 parents) external {
        opens(seed, parents);
        uint256 id = models.length - 1;
        if (models[id].status != Status.Open) return;
        everybodyCommits(seed, 0);
        if (time() < revealStart(id)) vm.warp(revealStart(id));
        everybodyReveals(seed, 0);
        if (_mix(seed) % 3 == 0) return;
        if (time() < revealEnd(id)) vm.warp(revealEnd(id));
        while (next <= id) {
            _do(stranger, address(book), abi.encodeCall(IScoreBook.finalizeMany, (1)), true);
            _finalized();
        }
        if (_mix(seed) % 3 == 1) return;
        _settle(id, who_);
        uint256 shared = touched.length;
        _do(stranger, address(pool), abi.encodeCall(IRewardPool.pour, (id, id)), true);
        _poured(id, id);
        if (touched.length == shared) return;
        uint256 parent = touched[shared][1];
        _do(stranger, address(pool), abi.encodeCall(IRewardPool.pour, (parent, id)), true);
        _poured(parent, id);
    }

    function reveals(uint256 seed, uint256 which) external {
        seed = _mix(seed);
        uint256 i = _someone(seed);
        uint256 id = _pick(which, Status.Open, Status.Open);
        if (id == 0) return;
        Opening memory v = opening(who_[i], id, ballots[id][i].improvement);
        if (_do(stranger, address(book), abi.encodeCall(IScoreBook.reveal, (v)), mayReveal(i, id, time()))) {
            _reveal(i, id);
            ++tale.reveals;
        }
    }

    /// @dev All votes of one id at once, those left out that `seed` silences; entries of non-voters are skipped.
    function everybodyReveals(uint256 seed, uint256 which) public {
        seed = _mix(seed);
        uint256 id = _pick(which, Status.Open, Status.Open);
        if (id == 0) return;
        if (seed % 4 != 0 && time() < revealStart(id)) vm.warp(revealStart(id));
        Opening[] memory votes = new Opening[](people);
        for (uint256 i; i < people; ++i) {
            bool silent = (seed >> 16) % 8 == i;
            votes[i] = opening(who_[i], silent ? 0 : id, ballots[id][i].improvement);
        }
        _do(stranger, address(book), abi.encodeCall(IScoreBook.revealMany, (votes)), true);
        for (uint256 i; i < people; ++i) {
            if (votes[i].submissionId != id || !mayReveal(i, id, time())) continue;
            _reveal(i, id);
            ++tale.reveals;
        }
    }

    // --------------------------------------------------------------------------------------------------- outcomes

    function finalizes(uint256 seed) external {
        seed = _mix(seed);
        uint256 id = next + (seed % 5 == 0 ? 1 : 0);
        if (seed % 3 == 0 && id < models.length && time() < revealEnd(id)) vm.warp(revealEnd(id) - (seed >> 8) % 2);
        bool legal = mayFinalize(id, time());
        if (_do(stranger, address(book), abi.encodeCall(IScoreBook.finalize, (id)), legal)) _finalized();
    }

    function finalizesMany(uint256 seed) external {
        seed = _mix(seed);
        _do(stranger, address(book), abi.encodeCall(IScoreBook.finalizeMany, (seed % 4)), true);
        for (uint256 i; i < seed % 4 && mayFinalize(next, time()); ++i) {
            _finalized();
        }
        vm.assertEq(registry.nextToFinalize(), next);
    }

    function _finalized() internal {
        _finalize(time());
        Model storage m = models[next - 1];
        if (m.status == Status.Final) ++tale.finals;
        else ++tale.voids;
        if (m.gain != 0) ++tale.bests;
    }

    function settles(uint256 seed, uint256 which) external {
        seed = _mix(seed);
        uint256 id = _pick(which, Status.Final, seed & 1 == 0 ? Status.Void : Status.Open);
        if (id == 0) return;
        address[] memory list = new address[](seed % 3 == 0 ? 1 : people);
        for (uint256 i; i < list.length; ++i) {
            list[i] = who_[_someone(seed + (i << 96))];
        }
        _settle(id, list);
    }

    function _settle(uint256 id, address[] memory list) private {
        if (!_do(stranger, address(book), abi.encodeCall(IScoreBook.settle, (id, list)), terminal(id))) return;
        for (uint256 i; i < list.length; ++i) {
            for (uint256 j; j < people; ++j) {
                if (who_[j] == list[i]) _settled(j, id);
            }
        }
    }

    function _settled(uint256 i, uint256 id) internal {
        Ballot storage b = ballots[id][i];
        if (b.weight == 0 || b.settled) return;
        _settle(i, id, time());
        ++tale.settles;
        if (!b.revealed) ++tale.silent;
    }

    // ---------------------------------------------------------------------------------------------------------- money

    function _hop(uint256 seed) private view returns (uint256 id, uint256 source) {
        if (seed % 2 == 0 && touched.length != 0) {
            uint256[2] storage pair =
                touched[touched.length - 1 - (seed >> 8) % (touched.length < 6 ? touched.length : 6)];
            return (pair[1], pair[0]);
        }
        id = _pick(seed >> 16, Status.Final, seed & 2 == 0 ? Status.Void : Status.Open);
        source = seed % 16 == 1 ? _pick(seed >> 32, Status.Final, Status.Final) : id;
    }

    function pours(uint256 seed) external {
        (uint256 id, uint256 source) = _hop(_mix(seed));
        _do(stranger, address(pool), abi.encodeCall(IRewardPool.pour, (id, source)), true);
        _poured(id, source);
    }

    function poursMany(uint256 seed) external {
        seed = _mix(seed);
        IRewardPool.Hop[] memory hops = new IRewardPool.Hop[](1 + seed % 5);
        for (uint256 i; i < hops.length; ++i) {
            (hops[i].id, hops[i].source) = _hop(uint256(keccak256(abi.encode(seed, i))));
        }
        _do(stranger, address(pool), abi.encodeCall(IRewardPool.pourMany, (hops)), true);
        for (uint256 i; i < hops.length; ++i) {
            _poured(hops[i].id, hops[i].source);
        }
    }

    function _poured(uint256 id, uint256 source) internal {
        if (!holdsShare(id, source)) return;
        _pour(id, source);
        ++tale.pours;
        if (id != source) ++tale.hops;
    }

    function dividesCommons(uint256 seed) external {
        seed = _mix(seed);
        uint256 id = _pick(seed, Status.Final, Status.Final);
        bool legal = mayDivide(time());
        if (_do(stranger, address(pool), abi.encodeCall(IRewardPool.divideCommons, (id)), legal)) _divide(id);
    }

    function paysRoyalty(uint256 seed, uint256 amount) external {
        seed = _mix(seed);
        uint256 id = _pick(seed, Status.Final, seed & 1 == 0 ? Status.Final : Status.Open);
        amount %= seed & 2 == 0 ? 1_000 : 10 * UNIT;
        bool legal = id != 0 && models[id].status == Status.Final && amount != 0;
        if (_do(who_[0], address(pool), abi.encodeCall(IRewardPool.payRoyalty, (id, amount)), legal)) {
            _royalty(id, amount);
            ++tale.royalties;
        }
    }

    function funds(uint256 amount) external {
        amount %= 100 * UNIT;
        bool legal = closedAt == 0 && amount != 0;
        if (_do(sponsor, address(pool), abi.encodeCall(IRewardPool.fund, (amount)), legal)) _fund(amount, time());
    }

    /// @dev The sponsor closes rarely and not at once; a stranger never.
    function closes(uint256 seed) external {
        seed = _mix(seed);
        bool really = seed % 128 == 0 && tale.finals > 2;
        bool legal = really && closedAt == 0;
        if (_do(really ? sponsor : stranger, address(pool), abi.encodeCall(IRewardPool.close, ()), legal)) {
            closedAt = time();
        }
    }

    function reclaims(uint256 seed) external {
        seed = _mix(seed);
        bool really = seed % 4 != 0;
        bytes memory data = abi.encodeCall(IRewardPool.reclaim, (sponsor));
        if (_do(really ? sponsor : stranger, address(pool), data, really && mayReclaim(time()))) {
            _reclaim();
            ++tale.reclaims;
        }
    }

    function pauses(uint256 seed) external {
        seed = _mix(seed);
        uint256 seconds_ = seed % 16 == 0 ? 15 days : seed % 20;
        bool legal = time() >= mayPauseAt && seconds_ <= 14 days;
        if (_do(guardian, address(registry), abi.encodeCall(IModelRegistry.pause, (seconds_)), legal)) {
            (pausedUntil, mayPauseAt) = (time() + seconds_, time() + 60 days);
        }
    }

    // --------------------------------------------------------------------------------------------------------- clocks

    /// @dev A few seconds, to an edge of an open id's windows, or (rarely) days.
    function waits(uint256 seed) external {
        seed = _mix(seed);
        if (seed % 32 == 0) return travel(1 + (seed >> 8) % 3 days);
        uint256 id = _pick(seed >> 8, Status.Open, Status.Reserved);
        if (id == 0 || seed % 8 < 5) return travel(1 + (seed >> 16) % 6);
        uint256 edge = seed % 8 == 5 ? commitEnd(id) : seed % 8 == 6 ? revealStart(id) : revealEnd(id);
        edge = edge + 1 - (seed >> 32) % 3; // a second before, at, or after
        if (edge > time()) vm.warp(edge);
    }
}
