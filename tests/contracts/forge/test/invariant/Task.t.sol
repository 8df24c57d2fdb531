// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Parent, Status} from "../../../../../interfaces/PdfedTypes.sol";
import {Handler} from "./Handler.sol";
import {Vm} from "../support/Vm.sol";

/// @title What must hold after every act
contract Checks is Handler {
    /// @dev The vault owns what it owes, and every ledger is what the acts so far make it.
    function solvency() external view {
        uint256 sum;
        for (uint256 i; i < people; ++i) {
            IStakeVault.Account memory a = vault.account(who_[i]);
            Node storage n = nodes[i];
            vm.assertEq(a.stake, n.free, "free stake");
            vm.assertEq(a.locked, n.locked, "locked stake");
            vm.assertEq(a.unbonding, n.unbonding, "unbonding stake");
            vm.assertEq(a.credit, n.credit, "credit");
            sum += uint256(a.stake) + a.locked + a.unbonding + a.credit;
        }
        (uint128 held, uint128 e, uint128 treasury) = vault.totals();
        vm.assertEq(held, sum + e + treasury, "solvency");
        vm.assertEq(token.balanceOf(address(vault)), held, "what it holds");
        vm.assertEq(e, escrow, "escrow");
        vm.assertEq(treasury, sponsors + commons + committed, "treasury");
    }

    /// @dev Sum in = sum out + pending, to the unit; references and parents are earlier ids.
    function lineage() external view {
        IRewardPool.Balances memory b = pool.balances();
        vm.assertEq(lineageIn, lineageOut + b.committed, "in = out + pending");
        vm.assertEq(b.allowance, allowanceAt(time(), totalWeightAt(time() - p.warmUp)), "allowance");
        vm.assertEq(b.unreleased + b.allowance, sponsors, "funds");
        vm.assertEq(b.commons, commons, "commons");
        (uint256 g, uint256 d) = pool.division();
        vm.assertEq(g, grains, "grains");
        vm.assertEq(d, divided, "divided");
        uint256 sum;
        for (uint256 id; id < models.length; ++id) {
            uint256 owed = pool.owed(id);
            uint256 pending = pool.pending(id);
            vm.assertEq(owed, models[id].owed, "owed");
            vm.assertEq(pending, models[id].pending, "pending");
            sum += owed + pending;
        }
        sum += _shares();
        vm.assertEq(sum, b.committed, "pending adds up");
        uint256 last = models.length - 1;
        if (last == 0) return;
        vm.assertTrue(registry.submission(last).terms.referenceId < last, "reference is earlier");
        Parent[] memory list = registry.parents(last);
        for (uint256 i; i < list.length; ++i) {
            vm.assertTrue(list[i].id < last, "parent is earlier");
        }
    }

    /// @dev Every share that ever was, each pair once.
    function _shares() private view returns (uint256 sum) {
        for (uint256 i; i < touched.length; ++i) {
            (uint256 source, uint256 id) = (touched[i][0], touched[i][1]);
            bool seen;
            for (uint256 j; j < i && !seen; ++j) {
                seen = touched[j][0] == source && touched[j][1] == id;
            }
            if (seen) continue;
            IRewardPool.Share memory share = pool.shareOf(id, source);
            vm.assertEq(share.above, shares[source][id].above, "share above");
            vm.assertEq(share.held, shares[source][id].held, "share held");
            sum += share.above + share.held;
        }
    }

    /// @dev The id that became terminal last against the definition of quantile, median, level and gain.
    function outcome() external view {
        (uint256 id, int40 level) = registry.best();
        vm.assertEq(id, best, "best");
        vm.assertEq(level, bestLevel, "best level");
        IModelRegistry.Trend memory t = registry.trend();
        vm.assertEq(t.tau, tau, "tau");
        vm.assertEq(t.q, q, "q");
        vm.assertEq(t.activity, usual, "usual weight");
        (uint256 fee,) = registry.feeNow();
        vm.assertEq(fee, feeAt(time()), "fee");
        if (next == 1) return;
        Model storage m = models[next - 1];
        IModelRegistry.Submission memory s = registry.submission(next - 1);
        vm.assertEq(uint8(s.terms.status), uint8(m.status), "status");
        vm.assertEq(s.result.outcome, m.outcome, "outcome");
        vm.assertEq(s.result.median, m.median, "median");
        vm.assertEq(s.standing.level, m.level, "level");
        vm.assertEq(s.standing.measured, m.measured, "measured level");
        vm.assertEq(s.standing.gain, m.gain, "gain");
        if (m.status == Status.Final) vm.assertEq(s.standing.previousId, m.previous, "previous best");
        vm.assertEq(s.result.revealedWeight, m.weight, "revealed weight");
        vm.assertEq(s.result.yesWeight, m.above, "weight above tau");
        vm.assertEq(s.terms.eligible, m.eligible, "eligible");
        vm.assertTrue(m.status == Status.Void || s.result.outcome <= s.result.median, "kappa is at most one half");
        vm.assertTrue(m.paid <= p.scoringFee, "voters get at most the pot");
        vm.assertTrue(models[best].measured >= models[best].level, "no base is negative");
    }

    /// @dev The next id finalises in the first second it may, whatever has happened.
    function queueMoves() external {
        vm.assertEq(registry.nextToFinalize(), next, "next");
        if (next == models.length) return;
        uint256 here = vm.snapshotState();
        if (time() < revealEnd(next)) vm.warp(revealEnd(next));
        vm.prank(stranger);
        book.finalize(next);
        vm.assertEq(registry.nextToFinalize(), next + 1, "the queue moves");
        vm.revertToState(here);
    }

    /// @dev From here everyone leaves: what is open ends, all settle and pour, all claim and unstake, the sponsor
    ///      reclaims, and the vault is empty.
    function exit() external {
        uint256 here = vm.snapshotState();
        while (next < models.length) {
            if (time() < revealEnd(next)) vm.warp(revealEnd(next));
            _do(stranger, address(book), abi.encodeCall(IScoreBook.finalize, (next)), true);
            _finalized();
        }
        for (uint256 id = models.length - 1; id > 0; --id) {
            _do(stranger, address(book), abi.encodeCall(IScoreBook.settle, (id, who_)), true);
            for (uint256 i; i < people; ++i) {
                _settled(i, id);
            }
            vm.assertTrue(models[id].paid <= p.scoringFee, "voters get at most the pot");
        }
        if (closedAt == 0) {
            _do(sponsor, address(pool), abi.encodeCall(IRewardPool.close, ()), true);
            closedAt = time();
        }
        travel(p.grace);
        if (sponsors != 0) _do(sponsor, address(pool), abi.encodeCall(IRewardPool.reclaim, (sponsor)), true);
        _reclaim();
        for (uint256 round; round < 3; ++round) {
            for (uint256 id = models.length - 1; id > 0; --id) {
                _do(stranger, address(pool), abi.encodeCall(IRewardPool.divideCommons, (id)), true);
                _divide(id);
            }
            _poursAll();
        }
        vm.assertEq(committed, 0, "all that was earned is paid");
        for (uint256 i; i < people; ++i) {
            _leaves(i);
        }
        vm.assertEq(token.balanceOf(address(vault)), commons, "nothing is left but commons");
        vm.assertEq(pool.balances().commons, commons, "commons");
        vm.revertToState(here);
    }

    /// @dev Descendants first: every share of what each model earned, then what flows along references.
    function _poursAll() private {
        for (uint256 source = models.length - 1; source > 0; --source) {
            for (uint256 id = source; id > 0; --id) {
                if (!holdsShare(id, source)) continue;
                _do(stranger, address(pool), abi.encodeCall(IRewardPool.pour, (id, source)), true);
                _poured(id, source);
            }
        }
        for (uint256 id = models.length - 1; id > 0; --id) {
            if (!holdsShare(id, id)) continue;
            _do(stranger, address(pool), abi.encodeCall(IRewardPool.pour, (id, id)), true);
            _poured(id, id);
        }
    }

    function _leaves(uint256 i) private {
        Node storage n = nodes[i];
        vm.assertEq(n.locked, 0, "nothing stays locked");
        vm.assertEq(vault.account(who_[i]).locked, 0, "nothing stays locked");
        if (n.credit != 0) _do(who_[i], address(vault), abi.encodeCall(IStakeVault.claim, (who_[i])), true);
        for (uint256 round; round < 2; ++round) {
            if (n.unbonding != 0) {
                if (time() < n.unbondingAt) vm.warp(n.unbondingAt);
                _do(who_[i], address(vault), abi.encodeCall(IStakeVault.withdraw, (who_[i])), true);
                n.unbonding = 0;
            }
            if (n.free != 0) {
                _do(who_[i], address(vault), abi.encodeCall(IStakeVault.requestUnstake, (n.free)), true);
                _unstake(i, n.free, time());
            }
        }
        vm.assertEq(vault.account(who_[i]).stake, 0, "all stake left");
    }

    function acts() external view returns (Tale memory) {
        return tale;
    }
}

/// @title Invariants of a task under random acts, forge's fuzzer drives them
contract TaskInvariants {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Checks private checks;

    function setUp() public {
        checks = new Checks();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(checks);
    }

    /// @dev The acts of the handler, and nothing else.
    function targetSelectors() public view returns (FuzzSelector[] memory list) {
        bytes4[27] memory acts = [
            Handler.registers.selector,
            Handler.changesKey.selector,
            Handler.deposits.selector,
            Handler.unstakes.selector,
            Handler.withdraws.selector,
            Handler.claims.selector,
            Handler.reserves.selector,
            Handler.submits.selector,
            Handler.opens.selector,
            Handler.commits.selector,
            Handler.commitsMany.selector,
            Handler.everybodyCommits.selector,
            Handler.whole.selector,
            Handler.reveals.selector,
            Handler.everybodyReveals.selector,
            Handler.finalizes.selector,
            Handler.finalizesMany.selector,
            Handler.settles.selector,
            Handler.pours.selector,
            Handler.poursMany.selector,
            Handler.paysRoyalty.selector,
            Handler.dividesCommons.selector,
            Handler.funds.selector,
            Handler.closes.selector,
            Handler.reclaims.selector,
            Handler.pauses.selector,
            Handler.waits.selector
        ];
        list = new FuzzSelector[](1);
        list[0] = FuzzSelector(address(checks), new bytes4[](27));
        for (uint256 i; i < 27; ++i) {
            list[0].selectors[i] = acts[i];
        }
    }

    function invariant_solvency() public view {
        checks.solvency();
    }

    function invariant_lineage() public view {
        checks.lineage();
    }

    function invariant_outcome() public view {
        checks.outcome();
    }

    function invariant_queue_moves() public {
        checks.queueMoves();
    }

    /// @dev Leaving takes hundreds of calls: every 64th act here, and at the end of every run.
    function invariant_exit() public {
        if (checks.acts().acts % 64 == 0) checks.exit();
    }

    /// @dev A run that reached nothing proves nothing. (Runs that forge shortens to show a failure are shorter.)
    function afterInvariant() public {
        checks.exit();
        Handler.Tale memory t = checks.acts();
        vm.writeLine("../../../build/invariants.txt", _line(t));
        if (t.acts < 300) return;
        vm.assertGe(t.finals, 1, "a run without a final model");
    }

    function _line(Handler.Tale memory t) private pure returns (string memory line) {
        uint256[16] memory all = [
            t.acts,
            t.legal,
            t.finals,
            t.voids,
            t.bests,
            t.commits,
            t.reveals,
            t.settles,
            t.silent,
            t.pours,
            t.royalties,
            t.claims,
            t.withdrawals,
            t.parents,
            t.hops,
            t.reclaims
        ];
        for (uint256 i; i < 16; ++i) {
            line = string.concat(line, i == 0 ? "" : " ", vm.toString(all[i]));
        }
    }
}
