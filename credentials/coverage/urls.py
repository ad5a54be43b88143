"""URLs of the coverage map and of drift, below coverage/."""

from django.urls import URLPattern, path

from credentials.coverage.pages import by_hand, confirming, drift, maps

urlpatterns: list[URLPattern] = [
    path("", maps.coverage_map, name="coverage"),
    path("confirm/<uuid:pk>/", confirming.confirm_by_hand, name="confirm_by_hand"),
    path("by-hand/read-back.sh", by_hand.hand_script, name="hand_script"),
    path("by-hand/<uuid:pk>/runbook/", by_hand.hand_runbook, name="hand_runbook"),
    path("by-hand/<uuid:pk>/report/", by_hand.hand_report, name="hand_report"),
    path("drift/", drift.drift_list, name="drift"),
    path("drift/<uuid:pk>/accept/", drift.drift_accept, name="drift_accept"),
    path("drift/<uuid:pk>/push/", drift.drift_push, name="drift_push"),
]
