// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "./TestToken.sol";

/// @notice Takes one percent of every transfer.
contract FeeToken is TestToken("Fee", "FEE", 18) {
    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) || to == address(0) ? 0 : value / 100;
        if (fee != 0) super._update(from, address(0), fee);
        super._update(from, to, value - fee);
    }
}

/// @notice Returns false where it should revert, and moves nothing.
contract FalseToken is TestToken("False", "FLS", 18) {
    bool public broken;

    function setBroken(bool value) external {
        broken = value;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        return broken ? false : super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        return broken ? false : super.transferFrom(from, to, value);
    }
}

/// @notice Refuses transfers from and to listed accounts.
contract BlacklistToken is TestToken("Blacklist", "BLK", 6) {
    error Blacklisted(address account);

    mapping(address account => bool) public listed;

    function list(address account, bool value) external {
        listed[account] = value;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (listed[from]) revert Blacklisted(from);
        if (listed[to]) revert Blacklisted(to);
        super._update(from, to, value);
    }
}

/// @notice Calls back in the middle of a transfer, once, and keeps what came of it.
contract ReentrantToken is TestToken("Reentrant", "REE", 18) {
    address public target;
    bytes public data;
    bool public called;
    bool public succeeded;
    bytes public result;

    function arm(address target_, bytes calldata data_) external {
        (target, data, called) = (target_, data_, false);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target != address(0) && !called) {
            called = true;
            (succeeded, result) = target.call(data);
        }
    }

    /// @dev The token itself registers and stakes, so that its call back is a legal node's.
    function act(address target_, bytes calldata data_) external returns (bytes memory) {
        (bool ok, bytes memory out) = target_.call(data_);
        require(ok, "act");
        return out;
    }
}
