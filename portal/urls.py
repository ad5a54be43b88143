"""All URLs. The one place in `portal` that knows the apps."""

from django.urls import URLPattern, URLResolver, include, path

from portal.web.exports import list_export

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("credentials.urls")),
    path("", include("instances.urls")),
    path("", include("portal.audit.pages.urls")),
    path("", include("portal.people.urls")),
    path("", include("portal.notices.pages.urls")),
    path("exports/<slug:name>/", list_export, name="list_export"),
]

handler400 = "portal.web.error_pages.bad_request"
handler403 = "portal.web.error_pages.forbidden"
handler404 = "portal.web.error_pages.not_found"
handler500 = "portal.web.error_pages.server_error"
