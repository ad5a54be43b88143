"""URLs of accounts, with those of the wizard and of rollouts."""

from django.urls import URLPattern, URLResolver, include, path

from credentials import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("accounts/", views.account_list, name="accounts"),
    path("accounts/<uuid:pk>/", views.account_detail, name="account"),
    path("accounts/<uuid:pk>/retire/", views.account_retire, name="account_retire"),
    path("accounts/", include("credentials.wizard.urls")),
    path("rollouts/", include("credentials.rollouts.urls")),
]
