"""URLs of sign-in, the own password, and users."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path

from portal.people import views

urlpatterns: list[URLPattern] = [
    path("login/", views.SignIn.as_view(), name="login"),
    # open to all: nobody has to sign in first in order to sign out after the session has ended
    path("logout/", login_not_required(LogoutView.as_view()), name="logout"),
    path("password/", views.password_change, name="password_change"),
    path("preferences/", views.preferences, name="preferences"),
    path("history/people/", views.history_people, name="history_people"),
    path("users/", views.user_list, name="users"),
    path("users/new/", views.user_add, name="user_add"),
    path("users/locks/", views.lock_list, name="locks"),
    path("users/locks/lift/", views.lock_lift, name="lock_lift"),
    path("users/<int:pk>/", views.user_detail, name="user"),
    path("users/<int:pk>/role/", views.user_role, name="user_role"),
    path("users/<int:pk>/password/", views.user_password, name="user_password"),
    path("users/<int:pk>/deactivate/", views.user_deactivate, name="user_deactivate"),
    path("users/<int:pk>/reactivate/", views.user_reactivate, name="user_reactivate"),
]
