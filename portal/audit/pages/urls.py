"""URLs of the history."""

from django.urls import URLPattern, path

from portal.audit.pages import views

urlpatterns: list[URLPattern] = [
    path("history/", views.history, name="history"),
    path("history/<int:seq>/", views.history_event, name="history_event"),
    path("history/export/", views.history_export, name="history_export"),
    path("history/verify/", views.history_verify, name="history_verify"),
]
