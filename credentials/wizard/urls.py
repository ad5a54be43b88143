"""URLs of the wizard, below accounts/."""

from django.urls import URLPattern, path

from credentials.wizard import views

urlpatterns: list[URLPattern] = [
    path("new/", views.account_new, name="account_new"),
    path("<uuid:pk>/wizard/", views.wizard_resume, name="wizard_resume"),
    path("<uuid:pk>/wizard/<slug:step>/", views.wizard, name="wizard"),
    path("<uuid:pk>/delete/", views.draft_delete, name="draft_delete"),
]
