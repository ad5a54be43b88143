"""All URLs. The one place in `portal` that knows the apps."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("credentials.urls")),
    path("", include("instances.urls")),
    path("", include("portal.audit.urls")),
    path("", include("portal.people.urls")),
]
