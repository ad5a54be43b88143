"""URLs of accounts in use, below accounts/."""

from django.urls import URLPattern, path

from credentials.accounts import secret_views, views

urlpatterns: list[URLPattern] = [
    path("", views.account_list, name="accounts"),
    path("<uuid:pk>/", views.account_detail, name="account"),
    path("<uuid:pk>/retire/", views.account_retire, name="account_retire"),
    path("<uuid:pk>/goal/<int:number>/", secret_views.account_goal, name="account_goal"),
    path("<uuid:pk>/secret/", secret_views.account_secret, name="account_secret"),
    path("<uuid:pk>/check/", secret_views.account_check, name="account_check"),
    path("<uuid:pk>/rollout/", secret_views.account_rollout, name="account_rollout"),
]
