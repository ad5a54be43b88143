"""URLs of the wizard, below accounts/."""

from django.urls import URLPattern, path

from credentials.wizard import version_views, views

urlpatterns: list[URLPattern] = [
    path("new/", views.account_new, name="account_new"),
    path("<uuid:pk>/wizard/", views.wizard_resume, name="wizard_resume"),
    path("<uuid:pk>/wizard/<slug:step>/", views.wizard, name="wizard"),
    path("<uuid:pk>/delete/", views.draft_delete, name="draft_delete"),
    path("<uuid:pk>/secret/", version_views.account_secret, name="account_secret"),
    path("<uuid:pk>/check/", version_views.account_check, name="account_check"),
    path("<uuid:pk>/rollout/", version_views.account_rollout, name="account_rollout"),
]
