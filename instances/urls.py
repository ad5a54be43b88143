"""URLs of the inventory."""

from django.urls import URLPattern, path

from instances import views, views_containers, views_host_keys, views_import, views_jump_hosts

urlpatterns: list[URLPattern] = [
    path("instances/", views.instance_list, name="instances"),
    path("instances/add/", views.instance_add, name="instance_add"),
    path("instances/<uuid:pk>/", views.instance_detail, name="instance"),
    path("instances/<uuid:pk>/edit/", views.instance_edit, name="instance_edit"),
    path("instances/<uuid:pk>/installations/add/", views.installation_add, name="installation_add"),
    path("instances/import/", views_import.inventory_import, name="inventory_import"),
    path("instances/import/template.csv", views_import.inventory_template, name="inventory_template"),
    path("instances/import/<uuid:upload>/", views_import.inventory_preview, name="inventory_preview"),
    path(
        "installations/<uuid:pk>/take-over/",
        views_containers.installation_take_over,
        name="installation_take_over",
    ),
    path("installations/<uuid:pk>/remove/", views.installation_remove, name="installation_remove"),
    path("containers/", views_containers.container_list, name="containers"),
    path("containers/add/", views_containers.container_add, name="container_add"),
    path("containers/ssh-key/", views_containers.ssh_key, name="ssh_key"),
    path("containers/jump-hosts/", views_jump_hosts.jump_host_list, name="jump_hosts"),
    path("containers/jump-hosts/add/", views_jump_hosts.jump_host_add, name="jump_host_add"),
    path("containers/jump-hosts/<uuid:pk>/edit/", views_jump_hosts.jump_host_edit, name="jump_host_edit"),
    path(
        "containers/jump-hosts/<uuid:pk>/remove/", views_jump_hosts.jump_host_remove, name="jump_host_remove"
    ),
    path("containers/<uuid:pk>/", views_containers.container_detail, name="container"),
    path("containers/<uuid:pk>/edit/", views_containers.container_edit, name="container_edit"),
    path("containers/<uuid:pk>/switch/", views_containers.container_switch, name="container_switch"),
    path("containers/<uuid:pk>/scan/", views_containers.container_scan, name="container_scan"),
    path("containers/host-keys/", views_host_keys.host_keys, name="host_keys"),
    path("containers/host-keys/scan/", views_host_keys.host_key_scan, name="host_key_scan"),
    path("containers/host-keys/scan/stop/", views_host_keys.host_key_scan_stop, name="host_key_scan_stop"),
    path(
        "containers/host-keys/<int:pk>/approve/", views_containers.host_key_approve, name="host_key_approve"
    ),
    path("containers/host-keys/<int:pk>/revoke/", views_containers.host_key_revoke, name="host_key_revoke"),
]
