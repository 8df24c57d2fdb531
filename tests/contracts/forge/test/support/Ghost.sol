// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parent, Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";

/// @title A whole task in plain arithmetic: what is legal, and what every account and model must be after each act
/// @notice Written from the rules, not from the contracts; it reads nothing from them. Nodes are numbers.
abstract contract Ghost {
    uint256 private constant ONE = 1e18;
    uint256 private constant WHOLE = 10_000;

    struct Node {
        bool registered;
        bool hasKey;
        uint256 free;
        uint256 locked;
        uint256 unbonding;
        uint256 unbondingAt;
        uint256 credit;
        uint256 yes;
        uint256 seen;
        uint256[] changedAt; // when the weight took the value of the same place in `weights`
        uint256[] weights;
    }

    struct Ballot {
        uint256 weight; // zero: none
        uint256 rate;
        uint256 bond;
        int8 improvement;
        bool revealed;
        bool settled;
    }

    struct Model {
        uint256 author;
        uint256 reservedAt;
        uint256 base; // the reference
        uint256 eligible;
        uint256 q;
        int8 tau;
        Status status;
        int8 outcome;
        int8 median;
        int256 level;
        uint256 gain;
        uint256 weight;
        uint256 above;
        uint256 reveals;
        uint256 owed;
        uint256 pending;
        uint256 paid; // to its voters
        Parent[] parents;
    }

    TaskParams internal p;
    uint256 internal people; // accounts 0 .. people - 1
    mapping(uint256 who => Node) internal nodes;
    Model[] internal models;
    mapping(uint256 id => mapping(uint256 who => Ballot)) internal ballots;
    uint256 internal next = 1;
    uint256 internal best;
    int256 internal bestLevel;
    int8 internal tau;
    uint256 internal q = ONE / 2;
    uint256 internal escrow;
    uint256 internal inPool;
    uint256 internal allowance;
    uint256 internal committed;
    uint256 internal accruedAt;
    uint256 internal closedAt;
    uint256 internal pausedUntil;
    uint256 internal mayPauseAt;
    uint256 internal lastFinal;
    uint256 internal lineageIn; // rewards and royalties
    uint256 internal lineageOut; // credited to authors, or back in the pool

    // --------------------------------------------------------------------------------------------- clocks and weights

    function commitEnd(uint256 id) internal view returns (uint256) {
        return models[id].reservedAt + p.commitWindow;
    }

    function revealStart(uint256 id) internal view returns (uint256) {
        return commitEnd(id) + p.revealGap;
    }

    function revealEnd(uint256 id) internal view returns (uint256) {
        return revealStart(id) + p.revealWindow;
    }

    function weightNow(uint256 who) internal view returns (uint256) {
        return (nodes[who].free + nodes[who].locked) / p.minStake;
    }

    function weightAt(uint256 who, uint256 when) internal view returns (uint256) {
        Node storage n = nodes[who];
        for (uint256 i = n.weights.length; i > 0; --i) {
            if (n.changedAt[i - 1] <= when) return n.weights[i - 1];
        }
        return 0;
    }

    function _reweigh(uint256 who, uint256 now_) private {
        Node storage n = nodes[who];
        uint256 weight = weightNow(who);
        uint256 last = n.weights.length;
        if (last != 0 && n.weights[last - 1] == weight) return;
        n.changedAt.push(now_);
        n.weights.push(weight);
    }

    function mayWeigh(uint256 who, uint256 id) internal view returns (uint256) {
        uint256 then = weightAt(who, models[id].reservedAt - p.warmUp);
        uint256 now_ = weightNow(who);
        return then < now_ ? then : now_;
    }

    function bondOf(uint256 weight) internal view returns (uint256) {
        return (weight * p.minStake * p.voteBondBps + WHOLE - 1) / WHOLE;
    }

    // ---------------------------------------------------------------------------------------------------- is it legal?

    function mayReserve(uint256 who, uint256 now_) internal view returns (bool) {
        return nodes[who].registered && closedAt == 0 && now_ >= pausedUntil
            && nodes[who].free >= p.submissionBond + p.scoringFee;
    }

    function maySubmit(uint256 id, Parent[] memory list, uint256 now_) internal view returns (bool) {
        if (models[id].status != Status.Reserved || now_ >= models[id].reservedAt + p.submitWindow) return false;
        for (uint256 i; i < list.length; ++i) {
            if (list[i].id >= id || list[i].weightBps == 0) return false;
            Status s = models[list[i].id].status;
            if (s != Status.Open && s != Status.Final) return false;
            for (uint256 j; j < i; ++j) {
                if (list[i].id == list[j].id) return false;
            }
        }
        return true;
    }

    function mayCommit(uint256 who, uint256 id, uint256 now_) internal view returns (bool) {
        if (models[id].status != Status.Open || models[id].author == who || now_ >= commitEnd(id)) return false;
        uint256 weight = mayWeigh(who, id);
        return weight != 0 && ballots[id][who].weight == 0 && nodes[who].free >= bondOf(weight);
    }

    function mayReveal(uint256 who, uint256 id, uint256 now_) internal view returns (bool) {
        Ballot storage b = ballots[id][who];
        return b.weight != 0 && !b.revealed && now_ >= revealStart(id) && now_ < revealEnd(id);
    }

    function mayFinalize(uint256 id, uint256 now_) internal view returns (bool) {
        return id == next && id < models.length && now_ >= revealEnd(id);
    }

    function terminal(uint256 id) internal view returns (bool) {
        return models[id].status == Status.Final || models[id].status == Status.Void;
    }

    function mayReclaim(uint256 now_) internal view returns (bool) {
        uint256 last = closedAt > lastFinal ? closedAt : lastFinal;
        return closedAt != 0 && next == models.length && now_ >= last + p.grace;
    }

    // ---------------------------------------------------------------------------------------------------------- stake

    function _deposit(uint256 who, uint256 amount, uint256 now_) internal {
        nodes[who].free += amount;
        _reweigh(who, now_);
    }

    function _unstake(uint256 who, uint256 amount, uint256 now_) internal {
        Node storage n = nodes[who];
        n.free -= amount;
        (n.unbonding, n.unbondingAt) = (amount, now_ + p.unbonding);
        _reweigh(who, now_);
    }

    // --------------------------------------------------------------------------------------------------------- models

    function _reserve(uint256 who, uint256 now_) internal {
        uint256 eligible;
        for (uint256 i; i < people; ++i) {
            if (i != who) eligible += weightAt(i, now_ - p.warmUp);
        }
        Model storage m = models.push();
        (m.author, m.reservedAt, m.base, m.eligible) = (who, now_, best, eligible);
        (m.q, m.tau, m.status) = (q, tau, Status.Reserved);
        Node storage n = nodes[who];
        n.free -= p.submissionBond + p.scoringFee;
        n.locked += p.submissionBond;
        escrow += p.scoringFee;
        _reweigh(who, now_);
    }

    function _submit(uint256 id, Parent[] memory list) internal {
        models[id].status = Status.Open;
        for (uint256 i; i < list.length; ++i) {
            models[id].parents.push(list[i]);
        }
    }

    function _commit(uint256 who, uint256 id, int8 improvement) internal {
        Node storage n = nodes[who];
        uint256 weight = mayWeigh(who, id);
        uint256 rate = ((n.yes * ONE + 4 * models[id].q) * 2 ** 24) / ((n.seen + 4) * ONE);
        ballots[id][who] = Ballot(weight, rate, bondOf(weight), improvement, false, false);
        n.free -= bondOf(weight);
        n.locked += bondOf(weight);
    }

    function _reveal(uint256 who, uint256 id) internal {
        Ballot storage b = ballots[id][who];
        Model storage m = models[id];
        b.revealed = true;
        bool yes = b.improvement > m.tau;
        m.weight += b.weight;
        m.reveals += 1;
        if (yes) m.above += b.weight;
        if (b.improvement == -8) return;
        if (yes) nodes[who].yes += 1;
        nodes[who].seen += 1;
    }

    // ------------------------------------------------------------------------------------------------------- outcomes

    /// @dev Smallest v such that the votes at or below v weigh at least `share` of all.
    function quantile(uint256 id, uint256 share) internal view returns (int8 v) {
        for (v = -8; v < 23; ++v) {
            uint256 atOrBelow;
            for (uint256 who; who < people; ++who) {
                Ballot storage b = ballots[id][who];
                if (b.revealed && b.improvement <= v) atOrBelow += b.weight;
            }
            if (atOrBelow * WHOLE >= share * models[id].weight) return v;
        }
    }

    function _finalize(uint256 now_) internal {
        uint256 id = next;
        Model storage m = models[id];
        bool submitted = m.status == Status.Open;
        bool valid = submitted && m.reveals >= p.minVoters && m.weight >= p.quorumFloor
            && m.weight * WHOLE >= m.eligible * p.quorumBps;
        Node storage author = nodes[m.author];
        author.locked -= p.submissionBond;
        if (submitted) author.free += p.submissionBond;
        else inPool += p.submissionBond;
        if (m.weight == 0) {
            author.credit += p.scoringFee;
            escrow -= p.scoringFee;
        } else {
            uint256 rest = valid ? p.scoringFee % m.weight : p.scoringFee;
            inPool += rest;
            escrow -= rest;
        }
        _reweigh(m.author, now_);
        m.status = valid ? Status.Final : Status.Void;
        if (valid) _level(id, m, now_);
        next += 1;
        lastFinal = now_;
    }

    function _level(uint256 id, Model storage m, uint256 now_) private {
        (m.outcome, m.median) = (quantile(id, p.kappaBps), quantile(id, 5_000));
        m.level = models[m.base].level + m.outcome;
        if (m.level - bestLevel >= int256(uint256(p.minStep))) {
            m.gain = uint256(m.level - bestLevel);
            (best, bestLevel) = (id, m.level);
        }
        if (m.median != -8) {
            q = 2 * m.above > m.weight ? q + (ONE - q) / 50 : q - q / 50;
            if (m.median > tau && tau < 23) tau += 1;
            else if (m.median < tau && tau > -2) tau -= 1;
        }
        if (m.gain == 0) return;
        allowance = allowanceAt(now_);
        if (accruedAt != 0) accruedAt = now_;
        uint256 amount = allowance * (ONE - powerUp((WHOLE - p.stepRateBps) * (ONE / WHOLE), m.gain)) / ONE;
        allowance -= amount;
        committed += amount;
        lineageIn += amount;
        m.owed += amount;
    }

    function _settle(uint256 who, uint256 id, uint256 now_) internal {
        Ballot storage b = ballots[id][who];
        Model storage m = models[id];
        b.settled = true;
        uint256 slice;
        uint256 paid;
        uint256 charged;
        if (!b.revealed) {
            charged = b.bond;
        } else if (m.status == Status.Final) {
            slice = p.scoringFee / m.weight * b.weight;
            if (m.median != -8) (paid, charged) = _payment(b, m, slice);
        }
        m.paid += paid;
        Node storage n = nodes[who];
        n.locked -= b.bond;
        n.free += b.bond - charged;
        n.credit += paid;
        escrow -= slice;
        inPool += slice - paid + charged;
        _reweigh(who, now_);
    }

    /// @dev beta * c of the voters' pay: the bit against the voter's own rate, times the others' bit against theirs.
    function _payment(Ballot storage b, Model storage m, uint256 slice) private view returns (uint256, uint256) {
        bool x = b.improvement > m.tau;
        uint256 othersAbove = x ? m.above - b.weight : m.above;
        bool others = 2 * othersAbove > m.weight - b.weight;
        uint256 mine = x ? 2 ** 24 - b.rate : b.rate;
        uint256 theirs = others ? ONE - m.q : m.q;
        uint256 amount = (slice < b.bond ? slice : b.bond) * (mine * theirs);
        uint256 unit = 2 ** 24 * ONE;
        return x == others ? (amount / unit, uint256(0)) : (uint256(0), (amount + unit - 1) / unit);
    }

    /// @dev base^n of a share, rounded up at every squaring and product.
    function powerUp(uint256 base, uint256 n) internal pure returns (uint256) {
        if (n == 0) return ONE;
        if (n == 1) return base;
        uint256 result = ONE;
        for (uint256 bit = 1; bit <= n; bit *= 2) {
            if (n / bit % 2 == 1) result = (result * base + ONE - 1) / ONE;
            base = (base * base + ONE - 1) / ONE;
        }
        return result;
    }

    // ---------------------------------------------------------------------------------------------------------- money

    function allowanceAt(uint256 now_) internal view returns (uint256) {
        if (accruedAt == 0) return allowance;
        uint256 daily = (inPool - committed) * p.dripBps;
        uint256 elapsed = now_ - accruedAt < 7 days ? now_ - accruedAt : 7 days;
        uint256 grown = allowance + daily * elapsed / (WHOLE * 1 days);
        uint256 most = 7 * daily / WHOLE;
        if (grown > most) grown = most;
        return grown > allowance ? grown : allowance;
    }

    function _fund(uint256 amount, uint256 now_) internal {
        allowance = accruedAt == 0 ? (inPool - committed + amount) * p.dripBps / WHOLE : allowanceAt(now_);
        accruedAt = now_;
        inPool += amount;
    }

    function _royalty(uint256 id, uint256 amount) internal {
        models[id].owed += amount;
        committed += amount;
        inPool += amount;
        lineageIn += amount;
    }

    function _pour(uint256 id) internal {
        Model storage m = models[id];
        (uint256 owed, uint256 pending) = (m.owed, m.pending);
        (m.owed, m.pending) = (0, 0);
        uint256 line = owed * p.lineageBps / WHOLE;
        uint256 rest = line;
        for (uint256 i; i < m.parents.length; ++i) {
            Parent storage one = m.parents[i];
            if (models[one.id].status != Status.Final) continue;
            uint256 part = line / 2 * one.weightBps / WHOLE;
            rest -= part;
            _give(one.id, part);
        }
        uint256 kept = pending * (ONE - powerUp(uint256(p.decayBps) * (ONE / WHOLE), m.gain)) / ONE;
        _give(m.base, rest + pending - kept);
        uint256 toAuthor = owed - line + kept;
        committed -= toAuthor;
        inPool -= toAuthor;
        lineageOut += toAuthor;
        nodes[m.author].credit += toAuthor;
    }

    function _give(uint256 id, uint256 amount) private {
        if (id == 0) {
            committed -= amount;
            lineageOut += amount;
        } else {
            models[id].pending += amount;
        }
    }

    function _reclaim() internal returns (uint256 amount) {
        amount = inPool - committed;
        inPool -= amount;
        allowance = 0;
    }
}
