"""URLs of rotations."""

from django.urls import URLPattern, path

from credentials.rotation.pages import schedule_views, views

urlpatterns: list[URLPattern] = [
    path("rotations/", views.rotation_list, name="rotations"),
    path("rotations/windows/", schedule_views.window_list, name="rotation_windows"),
    path("rotations/windows/add/", schedule_views.window_add, name="rotation_window_add"),
    path("rotations/windows/<uuid:pk>/", schedule_views.window_edit, name="rotation_window"),
    path("rotations/windows/<uuid:pk>/remove/", schedule_views.window_remove, name="rotation_window_remove"),
    path("rotations/<uuid:pk>/", views.rotation_detail, name="rotation"),
    path("rotations/<uuid:pk>/<slug:name>/", views.rotation_verb, name="rotation_verb"),
    path("accounts/<uuid:pk>/rotate/", views.rotation_start, name="rotation_start"),
    path("accounts/<uuid:pk>/policy/", schedule_views.policy, name="rotation_policy"),
    path("accounts/<uuid:pk>/policy/remove/", schedule_views.policy_remove, name="rotation_policy_remove"),
]
