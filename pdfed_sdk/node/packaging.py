"""The real packager: a trained pipeline folder becomes a signed package, its parents ingredients of its manifest."""

from __future__ import annotations

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import ParentLink, build_package
from pdfed_sdk.family import family_in
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.node.records import Attempt
from pdfed_sdk.types import Address


class SigningPackager:
    """Builds the signed package of an attempt; parents go in as ingredients from their own packages."""

    def __init__(self, identity: SigningIdentity, wallet: Address) -> None:
        self._identity, self._wallet = identity, wallet

    def __call__(self, attempt: Attempt, models: ModelCache) -> None:
        parents = [ParentLink(p.id, p.weight_bps, models.get(p.id).package) for p in attempt.parents]
        title = f"model {attempt.number} of {self._wallet}"
        facts = attempt.facts or {}
        family = family_in(attempt.model)
        write_card(attempt.model, family=family, title=title, wallet=self._wallet, facts=facts, parents=attempt.parents)
        build_package(
            attempt.model,
            attempt.package,
            identity=self._identity,
            wallet=self._wallet,
            training=facts,
            parents=parents,
            title=title,
        )
