// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Parent} from "../../interfaces/PdfedTypes.sol";

/// @title Up to four parents in one word
/// @notice 48 bits each, (uint16 weightBps, uint32 id), first parent lowest. No weight is zero, so zero ends the list.
library Parents {
    uint256 internal constant MOST = 4;
    uint256 private constant WIDTH = 48;

    function pack(Parent[] memory list) internal pure returns (uint256 word) {
        for (uint256 i; i < list.length; ++i) {
            word |= ((uint256(list[i].weightBps) << 32) | list[i].id) << (WIDTH * i);
        }
    }

    function unpack(uint256 word) internal pure returns (Parent[] memory list) {
        uint256 n;
        while (word >> (WIDTH * n) != 0) ++n;
        list = new Parent[](n);
        for (uint256 i; i < n; ++i) {
            uint256 one = word >> (WIDTH * i);
            list[i] = Parent(uint32(one), uint16(one >> 32));
        }
    }
}
