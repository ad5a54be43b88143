"""URLs of the home page and of accounts, with those of the wizard and of rollouts."""

from django.urls import URLPattern, URLResolver, include, path

from credentials.home import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("accounts/", include("credentials.accounts.urls")),
    path("accounts/", include("credentials.wizard.urls")),
    path("coverage/", include("credentials.coverage.urls")),
    path("rollouts/", include("credentials.rollouts.urls")),
]
