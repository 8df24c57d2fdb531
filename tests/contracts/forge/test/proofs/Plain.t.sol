// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Plain} from "./Plain.sol";

/// @title What symbolic execution proves of OpenZeppelin's minimum and maximum
contract PlainProofs {
    function check_the_lesser_and_the_greater(uint256 a, uint256 b) public pure {
        assert(Math.min(a, b) == Plain.min(a, b));
        assert(Math.max(a, b) == Plain.max(a, b));
    }
}
