"""URLs of the home page and of accounts, with those of the wizard and of rollouts."""

from django.urls import URLPattern, URLResolver, include, path

from credentials.home import views
from credentials.search.views import search

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("search/", search, name="search"),
    path("accounts/", include("credentials.accounts.urls")),
    path("accounts/", include("credentials.wizard.urls")),
    path("coverage/", include("credentials.coverage.urls")),
    path("", include("credentials.evidence.urls")),
    path("", include("credentials.help.urls")),
    path("", include("credentials.rotation.urls")),
    path("rollouts/", include("credentials.rollouts.urls")),
]
