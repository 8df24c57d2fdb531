// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title Plays scripts of votes on the real contracts and writes down what came of each vote
/// @notice Scripts lie in build/simulation/<number>.votes: two bytes kappaBps, a byte n, n bytes of weights, then n
///         bytes a submission, each a vote plus 128. The answer, <number>.paid, has n * 16 + 2 bytes a submission: an
///         int128 a voter (paid less charged), then outcome plus 128 and gain. PDFED_SCRIPTS tells how many there are.
contract ReplayTest is World {
    string private constant FOLDER = "../../../build/simulation/";
    uint256 private constant SPARE = 0.9e18; // of each stake, so that charges leave the weight alone

    address[] private voters;
    uint256[] private weights;
    mapping(address voter => uint256) private balance; // stake and credit after the last submission

    function defaults() internal view override returns (TaskParams memory p) {
        p = super.defaults();
        (p.submitWindow, p.commitWindow, p.revealGap, p.revealWindow, p.warmUp) = (1, 4, 1, 1, 1);
        (p.submissionBond, p.scoringFee, p.voteBondBps) = (1, uint128(UNIT), 3_333);
        p.slots = 1; // a bond is more than a voter's slice of the pot, at ten units of weight and more
    }

    function test_replay() public {
        uint256 scripts = vm.envOr("PDFED_SCRIPTS", uint256(0));
        for (uint256 i; i < scripts; ++i) {
            bytes memory script = vm.readFileBinary(string.concat(FOLDER, vm.toString(i), ".votes"));
            vm.writeFileBinary(string.concat(FOLDER, vm.toString(i), ".paid"), this.replay(script));
        }
    }

    function replay(bytes calldata script) external returns (bytes memory results) {
        uint256 n = uint8(script[2]);
        _begin(uint16(bytes2(script[:2])), script[3:3 + n]);
        uint256 submissions = (script.length - 3 - n) / n;
        results = new bytes(submissions * (n * 16 + 2));
        for (uint256 row; row < submissions; ++row) {
            uint256 at = 3 + n + row * n;
            bytes memory result = this.play(script[at:at + n]); // a call, so that memory does not grow with the rows
            uint256 to = row * (n * 16 + 2);
            for (uint256 i; i < result.length; ++i) {
                results[to + i] = result[i];
            }
        }
    }

    /// @dev A fresh task. This contract is author of all models and voting key of all voters.
    function _begin(uint16 kappaBps, bytes calldata shares) private {
        deploy();
        TaskParams memory p = defaults();
        p.kappaBps = kappaBps;
        create(p);
        delete voters;
        delete weights;
        for (uint256 i; i < shares.length; ++i) {
            voters.push(person(i));
            weights.push(uint8(shares[i]));
            join(voters[i], weights[i] * UNIT + SPARE);
            vm.prank(voters[i]);
            vault.setVotingKey(address(this));
            balance[voters[i]] = weights[i] * UNIT + SPARE;
        }
        token.mint(address(this), 1e6 * UNIT);
        token.approve(address(vault), type(uint256).max);
        vault.register(BOTH, address(0), 0);
        vault.deposit(1e6 * UNIT);
        travel(2);
    }

    function play(bytes calldata votes) external returns (bytes memory result) {
        uint256 id = registry.count();
        registry.reserve(reservation(address(this), id), type(uint256).max);
        registry.submit(id, record(id, only(0)), digest("salt", id));
        for (uint256 i; i < votes.length; ++i) {
            book.commit(voters[i], sealedVote(voters[i], id, _value(votes[i])));
        }
        travel(5);
        for (uint256 i; i < votes.length; ++i) {
            book.reveal(opening(voters[i], id, _value(votes[i])));
        }
        travel(1);
        book.finalize(id);
        book.settle(id, voters);
        for (uint256 i; i < votes.length; ++i) {
            result = bytes.concat(result, bytes16(uint128(int128(_gained(i)))));
        }
        IModelRegistry.Submission memory s = registry.submission(id);
        result = bytes.concat(result, bytes1(uint8(s.result.outcome) ^ 0x80), bytes1(s.standing.gain));
        travel(1);
    }

    function _value(bytes1 b) private pure returns (int8) {
        return int8(uint8(b) ^ 0x80);
    }

    /// @dev What the last submission brought the voter. A stake that has lost most of its spare part is refilled.
    function _gained(uint256 i) private returns (int256 gained) {
        address voter = voters[i];
        IStakeVault.Account memory a = vault.account(voter);
        require(a.locked == 0 && a.stake / UNIT == weights[i], "weight");
        gained = int256(uint256(a.stake) + a.credit) - int256(balance[voter]);
        uint256 missing = weights[i] * UNIT + SPARE - a.stake;
        if (missing > SPARE / 2) {
            token.mint(voter, missing);
            vm.prank(voter);
            vault.deposit(missing);
        } else {
            missing = 0;
        }
        balance[voter] = uint256(a.stake) + a.credit + missing;
    }
}
