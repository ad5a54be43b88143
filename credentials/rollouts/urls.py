"""URLs of rollouts and pushes."""

from django.urls import URLPattern, path

from credentials.rollouts.pages import views

urlpatterns: list[URLPattern] = [
    path("", views.rollout_list, name="rollouts"),
    path("<uuid:pk>/", views.rollout_detail, name="rollout"),
    path("<uuid:pk>/cancel/", views.rollout_cancel, name="rollout_cancel"),
    path("failed/", views.failed_pushes, name="failed_pushes"),
    path("failed/retry/", views.failed_pushes_retry, name="failed_pushes_retry"),
    path("pushes/<uuid:pk>/", views.push_detail, name="push"),
    path("unproven/", views.unproven_successes, name="unproven_successes"),
    path("unproven/push-again/", views.unproven_push_again, name="unproven_push_again"),
    path("pushes/<uuid:pk>/look/", views.push_look, name="push_look"),
    path("pushes/<uuid:pk>/retry/", views.push_retry, name="push_retry"),
]
