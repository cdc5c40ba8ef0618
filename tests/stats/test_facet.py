"""Facets: what a reader sees, and that equal ones find each other in a table."""

import pytest

from raysweep.stats.facet import Facet, FacetKind


@pytest.mark.parametrize(
    ("facet", "text"),
    [
        (Facet(FacetKind.TASK, "sort"), "task sort"),
        (Facet(FacetKind.BUCKET), "bucket"),
        (Facet(FacetKind.BAND_BY_BUCKET, "night"), "band x bucket night"),
        (Facet(FacetKind.BANDS, ("1x", "2x")), "bands 1x/2x"),
        (Facet(FacetKind.LOOK, 3), "look 3"),
        (Facet(FacetKind.PERIOD, 23.96), "period 23.96 h"),
        (Facet(FacetKind.QUANTILE, 0.9, Facet(FacetKind.TRIALS, "passing")), "quantile 0.9 of trials passing"),
    ],
)
def test_a_facet_as_a_reader_sees_it(facet, text):
    assert str(facet) == text


def test_equal_facets_are_one_key_whatever_the_number_type():
    table = {
        Facet(FacetKind.MULTIPLE, 1.0): "spec",
        Facet(FacetKind.RUN): "between",
        Facet(FacetKind.RUN, "gke"): "gke",
    }
    assert table[Facet(FacetKind.MULTIPLE, 1)] == "spec"
    assert table[Facet(FacetKind.RUN)] != table[Facet(FacetKind.RUN, "gke")]
    assert Facet(FacetKind.TASK, "a") != Facet(FacetKind.DATE, "a")


def test_names_are_none_one_or_all_of_a_set():
    assert Facet(FacetKind.RUN).names == ()
    assert Facet(FacetKind.MULTIPLE, 1.5).names == ("1.5",)
    assert Facet(FacetKind.BANDS, ("1x", "2x")).names == ("1x", "2x")
