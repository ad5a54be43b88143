"""URLs of the help."""

from django.urls import URLPattern, path

from credentials.help import views

urlpatterns: list[URLPattern] = [
    path("help/", views.help_index, name="help"),
    path("help/<slug:name>/", views.help_topic, name="help_topic"),
]
