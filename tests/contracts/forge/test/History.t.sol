// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {History} from "../../../../contracts/libraries/History.sol";
import {Vm} from "./support/Vm.sol";

/// @title A quantity kept by History has, at any time, the value that OpenZeppelin's checkpoints give
contract HistoryTest {
    using Checkpoints for Checkpoints.Trace208;
    using History for mapping(uint256 time => History.Change);

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    mapping(uint256 time => History.Change) private _past;
    Checkpoints.Trace208 private _reference;
    uint40 private _since;
    uint256 private _value;
    uint40[] private _times;

    /// @dev As StakeVault keeps a weight.
    function _set(uint40 time, uint32 value) private {
        _past.push(time, _since, _value);
        (_since, _value) = (time, value);
        _reference.push(time, value);
        if (_times.length == 0 || _times[_times.length - 1] != time) _times.push(time);
    }

    function _agrees(uint40 time) private view {
        vm.assertEq(_past.valueAt(time, _since, _value), _reference.upperLookup(time), "value");
    }

    function _agreesAround(uint40 time) private view {
        if (time != 0) _agrees(time - 1);
        _agrees(time);
        if (time != type(uint40).max) _agrees(time + 1);
    }

    /// @dev `gaps` of zero are changes within one second.
    function testFuzz_history_is_what_checkpoints_say(uint40 first, uint16[48] memory gaps, uint32[48] memory values)
        public
    {
        uint40 time = first % 2 ** 39 + 1;
        for (uint256 i; i < gaps.length; ++i) {
            time += i == 0 || gaps[i] % 4 == 0 ? 0 : gaps[i] % 50 + 1;
            _set(time, values[i]);
        }
        for (uint256 i; i < _times.length; ++i) {
            _agreesAround(_times[i]);
        }
        _agreesAround(0);
        _agreesAround(type(uint40).max);
    }

    /// @dev Every length up to 300, every time, and never more than 3 log2(n + 1) steps.
    function test_every_time_of_a_long_history_is_found_in_few_steps() public {
        uint40 many = 300;
        for (uint40 n = 1; n <= many; ++n) {
            _set(2 * n, uint32(7 * n + 1));
            for (uint40 time = n < 20 || n == many ? 0 : 2 * n - 8; time <= 2 * n + 1; ++time) {
                _agrees(time);
                uint256 steps = _steps(time);
                vm.assertTrue(2 ** steps <= (uint256(n) + 1) ** 3, "steps");
            }
        }
        vm.assertEq(_past[2].since + _past[2].span + _past[0].span, 0, "the first value has no past");
    }

    /// @dev The jumps are those of Myers' list: of the changes after the first, the n-th spans as many as the last digit
    ///      that is not zero of n in skew binary numbers weighs.
    function test_the_jumps_of_the_first_changes() public {
        uint40[15] memory spans = [uint40(1), 1, 3, 1, 1, 3, 7, 1, 1, 3, 1, 1, 3, 7, 15];
        _set(1, 1);
        for (uint40 n; n < 15; ++n) {
            _set(n + 2, 1);
            vm.assertEq(_past[n + 2].span, spans[n], "span");
            vm.assertEq(_past[n + 2].jump, spans[n] > n ? 0 : n + 2 - spans[n], "jump");
        }
    }

    function test_an_empty_history_is_zero() public view {
        _agreesAround(0);
        _agreesAround(type(uint40).max);
    }

    function test_the_last_second_and_the_greatest_value() public {
        _set(1, type(uint32).max);
        _set(type(uint40).max - 1, 0);
        _set(type(uint40).max, type(uint32).max);
        _set(type(uint40).max, 5);
        _agreesAround(0);
        _agreesAround(1);
        _agreesAround(type(uint40).max - 1);
        _agreesAround(type(uint40).max);
    }

    /// @dev The slots that `valueAt` reads.
    function _steps(uint40 time) private view returns (uint256 steps) {
        for (uint40 since = _since; time < since; ++steps) {
            uint40 jump = _past[since].jump;
            since = time < jump ? jump : _past[since].since;
        }
    }
}
