"""URLs of evidence packs."""

from django.urls import URLPattern, path

from credentials.evidence import pages

urlpatterns: list[URLPattern] = [
    path("accounts/<uuid:pk>/evidence/", pages.evidence_account, name="evidence_account"),
    path("rotations/<uuid:pk>/evidence-pack/", pages.evidence_rotation, name="evidence_rotation"),
    path("history/evidence/", pages.evidence_period, name="evidence_period"),
]
