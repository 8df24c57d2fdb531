// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parent, Status, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";

/// @title A whole task in plain arithmetic: what is legal, and what every account and model must be after each act
/// @notice Written from the rules, not from the contracts; it reads nothing from them. Nodes are numbers.
abstract contract Ghost {
    uint256 private constant ONE = 1e18;
    uint256 private constant RATE = 2 ** 24; // rates of voters' pay
    uint256 private constant WHOLE = 10_000;

    struct Node {
        uint8 roles; // zero: not registered; 1 trains, 2 votes
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
        int256 measured;
        uint256 previous; // the best it took the place of, else its reference
        uint256 gain;
        uint256 weight;
        uint256 above;
        uint256 reveals;
        uint256 owed;
        uint256 pending;
        uint256 paid; // to its voters
        Parent[] parents;
    }

    struct Share {
        uint256 above;
        uint256 held;
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
    uint256 internal q = RATE / 2;
    uint256 internal usual; // running revealed weight, 2^16 = 1
    uint256 internal escrow;
    uint256 internal sponsors;
    uint256 internal commons;
    uint256 internal committed;
    uint256 internal allowance;
    uint256 internal keptWeight;
    uint256 internal accruedAt; // zero before the first reward
    uint256 internal grains; // of all gains
    uint256 internal divided;
    mapping(uint256 id => uint256) internal dividedTo;
    mapping(uint256 source => mapping(uint256 id => Share)) internal shares;
    uint256[2][] internal touched; // pairs (source, id) that ever held a share
    uint256 internal closedAt;
    uint256 internal pausedUntil;
    uint256 internal mayPauseAt;
    uint256 internal lastFinal;
    uint256 internal lineageIn; // rewards, royalties, divided commons
    uint256 internal lineageOut; // credited to authors, or commons again

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
        if (nodes[who].roles & 2 == 0) return 0;
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

    function feeAt(uint256 now_) internal view returns (uint256 fee) {
        uint256 open;
        for (uint256 id = 1; id < models.length; ++id) {
            if (now_ < revealEnd(id)) ++open;
        }
        fee = p.scoringFee;
        for (uint256 i; i < open / p.slots && i < 32; ++i) {
            fee *= 2;
        }
    }

    function mayReserve(uint256 who, uint256 now_) internal view returns (bool) {
        return nodes[who].roles & 1 != 0 && closedAt == 0 && now_ >= pausedUntil
            && nodes[who].free >= p.submissionBond + feeAt(now_);
    }

    function maySubmit(uint256 id, Parent[] memory list, uint256 now_) internal view returns (bool) {
        if (models[id].status != Status.Reserved || now_ >= models[id].reservedAt + p.submitWindow) return false;
        for (uint256 i; i < list.length; ++i) {
            if (list[i].id >= id || list[i].weightBps == 0) return false;
            Status s = models[list[i].id].status;
            if (s == Status.Reserved) return false;
            if (s == Status.Void && models[list[i].id].parents.length == 0) return false; // never submitted
            for (uint256 j; j < i; ++j) {
                if (list[i].id == list[j].id) return false;
            }
        }
        return true;
    }

    function mayCommit(uint256 who, uint256 id, uint256 now_) internal view returns (bool) {
        if (models[id].status != Status.Open || models[id].author == who || now_ >= commitEnd(id)) return false;
        if (nodes[who].roles & 2 == 0) return false;
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
        return ended(last, now_) && sponsors != 0;
    }

    function mayDivide(uint256 now_) internal view returns (bool) {
        return ended(closedAt > lastFinal ? closedAt : lastFinal, now_);
    }

    function ended(uint256 last, uint256 now_) private view returns (bool) {
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
        uint256 fee = feeAt(now_); // before the id is there
        uint256 eligible;
        for (uint256 i; i < people; ++i) {
            if (i != who) eligible += weightAt(i, now_ - p.warmUp);
        }
        Model storage m = models.push();
        (m.author, m.reservedAt, m.base, m.eligible) = (who, now_, best, eligible);
        (m.q, m.tau, m.status) = (q, tau, Status.Reserved);
        Node storage n = nodes[who];
        n.free -= p.submissionBond + fee;
        n.locked += p.submissionBond;
        escrow += p.scoringFee;
        commons += fee - p.scoringFee;
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
        uint256 rate = (n.yes * RATE + 4 * models[id].q) / (n.seen + 4);
        ballots[id][who] = Ballot(weight, rate, bondOf(weight), improvement, false, false);
        n.free -= bondOf(weight);
        n.locked += bondOf(weight);
    }

    function _reveal(uint256 who, uint256 id) internal {
        Ballot storage b = ballots[id][who];
        Model storage m = models[id];
        b.revealed = true;
        m.weight += b.weight;
        m.reveals += 1;
        if (b.improvement > m.tau) m.above += b.weight;
    }

    // ------------------------------------------------------------------------------------------------------- outcomes

    function atOrBelow(uint256 id, int8 v) internal view returns (uint256 weight) {
        for (uint256 who; who < people; ++who) {
            Ballot storage b = ballots[id][who];
            if (b.revealed && b.improvement <= v) weight += b.weight;
        }
    }

    /// @dev Smallest v such that the votes at or below v weigh at least kappa of all.
    function quantile(uint256 id) internal view returns (int8 v) {
        for (v = -8; v < 23; ++v) {
            if (atOrBelow(id, v) * WHOLE >= p.kappaBps * models[id].weight) return v;
        }
    }

    /// @dev Smallest v such that the votes at or below v weigh more than half of all.
    function upperMedian(uint256 id) internal view returns (int8 v) {
        for (v = -8; v < 23; ++v) {
            if (atOrBelow(id, v) * 2 > models[id].weight) return v;
        }
    }

    /// @dev Grains of an index: a list, where the contracts have bytes.
    function grainsOf(int8 index) internal pure returns (int256) {
        int16[8] memory low = [int16(-96), -48, -24, -12, -6, -3, -2, -1];
        uint8[15] memory high = [10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128];
        if (index < 0) return low[uint256(int256(index) + 8)];
        if (index <= 8) return index;
        return int256(uint256(high[uint256(int256(index)) - 9]));
    }

    /// @dev Revealed weight against floor, a sixth, and the smaller of a third and half of what is usual.
    function quorum(uint256 weight, uint256 eligible, uint256 usual_) internal view returns (bool) {
        bool third = weight * 3 >= eligible;
        bool half = weight * 2 * 65_536 >= usual_;
        return weight >= p.quorumFloor && weight * 6 >= eligible && (third || half);
    }

    function _finalize(uint256 now_) internal {
        uint256 id = next;
        Model storage m = models[id];
        bool submitted = m.status == Status.Open;
        uint256 usual_ = usual == 0 ? m.eligible * 65_536 : usual;
        bool valid = submitted && m.reveals >= p.minVoters && quorum(m.weight, m.eligible, usual_);
        if (submitted) usual = usual_ - usual_ / 32 + m.weight * 2_048;
        m.status = valid ? Status.Final : Status.Void;
        if (valid) (m.outcome, m.median) = (quantile(id), upperMedian(id));
        Node storage author = nodes[m.author];
        author.locked -= p.submissionBond;
        if (submitted && !(valid && m.median == -8)) author.free += p.submissionBond;
        else commons += p.submissionBond;
        if (valid) {
            commons += p.scoringFee % m.weight;
            escrow -= p.scoringFee % m.weight;
        } else {
            author.credit += p.scoringFee;
            escrow -= p.scoringFee;
        }
        _reweigh(m.author, now_);
        if (valid) _level(id, m, now_);
        next += 1;
        lastFinal = now_;
    }

    function _level(uint256 id, Model storage m, uint256 now_) private {
        m.level = models[m.base].level + grainsOf(m.outcome);
        m.measured = models[m.base].measured + grainsOf(m.median);
        int256 delta = m.level - bestLevel;
        if (m.base != best && m.outcome > -8) delta -= grainsOf(m.outcome) - grainsOf(m.outcome - 1);
        m.previous = m.base;
        if (delta >= int256(uint256(p.minStep))) {
            m.gain = uint256(delta);
            m.previous = best;
            (best, bestLevel) = (id, m.level);
        }
        if (m.median > -7) {
            q = 2 * m.above > m.weight ? q + (RATE - q) / 50 : q - q / 50;
            if (m.median > tau && tau < 23) tau += 1;
            else if (m.median < tau && tau > -2) tau -= 1;
        }
        if (m.gain == 0) return;
        allowance = allowanceAt(now_, m.eligible);
        (accruedAt, keptWeight) = (now_, m.eligible);
        uint256 part = ONE - powerUp((WHOLE - p.stepRateBps) * (ONE / WHOLE), m.gain);
        (uint256 a, uint256 c) = (allowance * part / ONE, commons * part / ONE);
        (allowance, sponsors, commons) = (allowance - a, sponsors - a, commons - c);
        grains += m.gain;
        _earn(m, a + c);
    }

    /// @dev A reward, a royalty, or a part of the commons.
    function _earn(Model storage m, uint256 amount) private {
        committed += amount;
        lineageIn += amount;
        m.owed += amount;
    }

    function _settle(uint256 who, uint256 id, uint256 now_) internal {
        Ballot storage b = ballots[id][who];
        Model storage m = models[id];
        b.settled = true;
        Node storage n = nodes[who];
        uint256 slice;
        uint256 paid;
        uint256 charged;
        if (!b.revealed) {
            charged = b.bond;
        } else if (m.status == Status.Final) {
            slice = p.scoringFee / m.weight * b.weight;
            if (m.median > -7) (paid, charged) = _payment(b, m, slice);
        }
        if (b.revealed && b.improvement > -7) {
            if (b.improvement > m.tau) n.yes += 1;
            n.seen += 1;
        }
        m.paid += paid;
        n.locked -= b.bond;
        n.free += b.bond - charged;
        n.credit += paid;
        escrow -= slice;
        commons += slice - paid + charged;
        _reweigh(who, now_);
    }

    /// @dev beta * c of the voters' pay: the bit against the voter's own rate, times the others' bit against theirs.
    function _payment(Ballot storage b, Model storage m, uint256 slice) private view returns (uint256, uint256) {
        bool x = b.improvement > m.tau;
        uint256 othersAbove = x ? m.above - b.weight : m.above;
        bool others = 2 * othersAbove > m.weight - b.weight;
        uint256 mine = x ? RATE - b.rate : b.rate;
        uint256 theirs = others ? RATE - m.q : m.q;
        uint256 amount = (slice < b.bond ? slice : b.bond) * (mine * theirs);
        uint256 unit = RATE * RATE;
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

    function totalWeightAt(uint256 when) internal view returns (uint256 sum) {
        for (uint256 i; i < people; ++i) {
            sum += weightAt(i, when);
        }
    }

    /// @dev The allowance when `weight` stands behind the task: one day's drip before the first reward.
    function allowanceAt(uint256 now_, uint256 weight) internal view returns (uint256) {
        if (accruedAt != 0 && keptWeight < weight) weight = keptWeight;
        uint256 daily = sponsors * p.dripBps;
        uint256 most = weight * p.minStake * p.stakeDripBps;
        if (daily > most) daily = most;
        if (accruedAt == 0) return daily / WHOLE;
        uint256 elapsed = now_ - accruedAt < 7 days ? now_ - accruedAt : 7 days;
        uint256 grown = allowance + daily * elapsed / (WHOLE * 1 days);
        most = 7 * daily / WHOLE;
        if (grown > most) grown = most;
        return grown > allowance ? grown : allowance;
    }

    function _fund(uint256 amount, uint256 now_) internal {
        if (accruedAt != 0) {
            uint256 weight = totalWeightAt(now_ - p.warmUp);
            allowance = allowanceAt(now_, weight);
            (accruedAt, keptWeight) = (now_, weight);
        }
        sponsors += amount;
    }

    function _royalty(uint256 id, uint256 amount) internal {
        _earn(models[id], amount);
    }

    function _divide(uint256 id) internal {
        if (models[id].gain == 0) return;
        uint256 amount = (commons + divided) * models[id].gain / grains - dividedTo[id];
        dividedTo[id] += amount;
        divided += amount;
        commons -= amount;
        _earn(models[id], amount);
    }

    function _reclaim() internal returns (uint256 amount) {
        amount = sponsors;
        (sponsors, allowance) = (0, 0);
    }

    // ---------------------------------------------------------------------------------------------------- contribution

    function holdsShare(uint256 id, uint256 source) internal view returns (bool) {
        if (id == source) return models[id].owed + models[id].pending != 0;
        return shares[source][id].above + shares[source][id].held != 0;
    }

    /// @dev M of a declared parent; zero, which is above nothing, if it is not Final.
    function parentM(uint256 id, uint256 i) internal view returns (int256) {
        Model storage one = models[models[id].parents[i].id];
        return one.status == Status.Final && one.measured > 0 ? one.measured : int256(0);
    }

    function highestParent(uint256 id) internal view returns (int256 top) {
        for (uint256 i; i < models[id].parents.length; ++i) {
            if (parentM(id, i) > top) top = parentM(id, i);
        }
    }

    function _pour(uint256 id, uint256 source) internal {
        if (!holdsShare(id, source)) return;
        Model storage m = models[id];
        int256 base = models[models[source].previous].measured;
        int256 floor = models[models[source].base].measured;
        uint256 own;
        if (id == source) {
            uint256 owed = m.owed;
            m.owed = 0;
            uint256 held = highestParent(id) > floor ? _heldDown(m, owed, base) : 0;
            own = _splitOff(id, source, owed - held, base, true);
            _among(id, source, held, floor, highestParent(id), false);
        } else {
            Share memory share = shares[source][id];
            delete shares[source][id];
            own = _splitOff(id, source, share.above, base, true);
            own += _splitOff(id, source, share.held, floor, false);
        }
        uint256 line = own * p.lineageBps / WHOLE;
        uint256 toAuthor = own - line;
        uint256 pending;
        if (id == source) {
            pending = m.pending;
            m.pending = 0;
            uint256 kept = pending * (ONE - powerUp(uint256(p.decayBps) * (ONE / WHOLE), ownGrains(id, base))) / ONE;
            toAuthor += kept;
            pending -= kept;
        }
        _give(m.base, line + pending);
        committed -= toAuthor;
        lineageOut += toAuthor;
        nodes[m.author].credit += toAuthor;
    }

    function _heldDown(Model storage m, uint256 owed, int256 base) private view returns (uint256) {
        if (m.gain == 0) return 0;
        uint256 backed = m.measured > base ? uint256(m.measured - base) : 0;
        return backed >= m.gain ? 0 : owed * (m.gain - backed) / m.gain;
    }

    function ownGrains(uint256 id, int256 base) internal view returns (uint256) {
        int256 from = highestParent(id) > base ? highestParent(id) : base;
        if (models[id].measured <= from) return 0;
        uint256 mine = uint256(models[id].measured - from);
        return mine < models[id].gain ? mine : models[id].gain;
    }

    /// @dev The author's part of an amount that stands for the grains above `base`; the rest goes among the parents.
    function _splitOff(uint256 id, uint256 source, uint256 amount, int256 base, bool above) private returns (uint256) {
        Model storage m = models[id];
        if (m.measured <= base) return amount;
        int256 floor = highestParent(id);
        if (floor > m.measured) floor = m.measured;
        if (floor < base) floor = base;
        uint256 own = amount * uint256(m.measured - floor) / uint256(m.measured - base);
        _among(id, source, amount - own, base, floor, above);
        return own;
    }

    /// @dev Grain by grain, each shared equally by the parents that reach it, counted in twelfths.
    function _among(uint256 id, uint256 source, uint256 amount, int256 base, int256 top, bool above) private {
        if (amount == 0) return;
        uint256 n = models[id].parents.length;
        uint256[] memory weights = new uint256[](n);
        uint256 left;
        for (int256 grain = base + 1; grain <= top; ++grain) {
            uint256 reach;
            for (uint256 i; i < n; ++i) {
                if (parentM(id, i) >= grain) ++reach;
            }
            for (uint256 i; i < n; ++i) {
                if (parentM(id, i) >= grain) weights[i] += 12 / reach;
            }
            left += 12;
        }
        for (uint256 i; i < n; ++i) {
            if (weights[i] == 0) continue;
            uint256 part = amount * weights[i] / left;
            (amount, left) = (amount - part, left - weights[i]);
            uint256 to = models[id].parents[i].id;
            touched.push([source, to]);
            if (above) shares[source][to].above += part;
            else shares[source][to].held += part;
        }
    }

    function _give(uint256 id, uint256 amount) private {
        if (id == 0) {
            committed -= amount;
            commons += amount;
            lineageOut += amount;
        } else {
            models[id].pending += amount;
        }
    }
}
