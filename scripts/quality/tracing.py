"""A pytest plugin that tells the recorder which test the next requests belong to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


def tell(test: str) -> None:
    from support.chain import connect

    connect().rpc("pdfed_test", test)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[Any]:
    if fixturedef.scope != "session" or fixturedef.argname != "stage":
        return (yield)
    tell("stage")
    result = yield
    tell(request.node.nodeid)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[Any]:
    tell(item.nodeid)
    return (yield)
