"""URLs of notices."""

from django.urls import URLPattern, path

from portal.notices.pages import views

urlpatterns: list[URLPattern] = [
    path("notices/", views.notices, name="notices"),
    path("notices/new/", views.channel_add, name="notice_channel_add"),
    path("notices/channels/<uuid:pk>/", views.channel_edit, name="notice_channel"),
    path("notices/channels/<uuid:pk>/remove/", views.channel_remove, name="notice_channel_remove"),
    path("notices/channels/<uuid:pk>/key/", views.channel_key, name="notice_channel_key"),
    path("notices/channels/<uuid:pk>/test/", views.channel_test, name="notice_channel_test"),
    path("notices/messages/<uuid:pk>/", views.message_detail, name="notice"),
    path("notices/messages/<uuid:pk>/resend/", views.message_resend, name="notice_resend"),
]
