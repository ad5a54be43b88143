"""URLs of the coverage map and of drift, below coverage/."""

from django.urls import URLPattern, path

from credentials.coverage.pages import confirming, drift, maps

urlpatterns: list[URLPattern] = [
    path("", maps.coverage_map, name="coverage"),
    path("export/", maps.coverage_export, name="coverage_export"),
    path("confirm/<uuid:pk>/", confirming.confirm_by_hand, name="confirm_by_hand"),
    path("drift/", drift.drift_list, name="drift"),
    path("drift/<uuid:pk>/accept/", drift.drift_accept, name="drift_accept"),
    path("drift/<uuid:pk>/push/", drift.drift_push, name="drift_push"),
]
