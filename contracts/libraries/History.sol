// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a quantity was at any time
/// @notice Its owner keeps the present value and the time of the last change in a word of his own, which is written
///         anyway. Under the time of each change but the first lies here, in one slot, what the change put an end to.
///         Nothing counts the changes, so the first of them pays for one fresh slot and not for two.
/// @dev Each change knows the one before it and an older one to jump to. The jumps of n changes are those of a skew
///      binary list (Myers, An applicative random-access stack, 1983): whatever n, at most 3 log2(n + 1) steps lead to any
///      time, and to a recent time fewer. Times grow: no value is kept for a second that is not over.
library History {
    /// @param value what it was until this change
    /// @param since time of the change before, which may be the first, of which nothing is kept
    /// @param jump time of an older change of which something is kept, at most `since`; zero if there is none
    /// @param span number of changes from this one down to `jump`; below 2^40, as there is one change a second
    struct Change {
        uint32 value;
        uint40 since;
        uint40 jump;
        uint40 span;
    }

    /// @notice Keep `value`, which held from `since` to `time`. A first value (`since` zero) has no past, and of the
    ///         values within one second only the last is one.
    function push(mapping(uint256 time => Change) storage past, uint40 time, uint40 since, uint256 value) internal {
        if (since == 0 || since == time) return;
        Change memory last = past[since];
        Change memory beyond;
        if (last.jump != 0) beyond = past[last.jump];
        (uint40 jump, uint40 span) = last.span == beyond.span ? (beyond.jump, 2 * last.span + 1) : (since, 1);
        past[time] = Change(uint32(value), since, jump, span);
    }

    /// @notice The value at `time`, given the present one and since when it holds. Zero before the first change.
    function valueAt(mapping(uint256 time => Change) storage past, uint40 time, uint40 since, uint256 value)
        internal
        view
        returns (uint256)
    {
        while (time < since) {
            Change memory change = past[since];
            if (time < change.jump) since = change.jump;
            else (value, since) = (change.value, change.since);
        }
        return value;
    }
}
