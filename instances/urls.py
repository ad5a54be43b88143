"""URLs of the inventory."""

from django.urls import URLPattern, path

from instances.pages import (
    contacts,
    containers,
    host_keys,
    importing,
    instances,
    jump_hosts,
    migration,
    proposals,
    readings,
    retiring,
    ssh_key,
    timelines,
)

urlpatterns: list[URLPattern] = [
    path("contacts/", contacts.contact_list, name="contacts"),
    path("contacts/<slug:environment>/", contacts.contact_edit, name="contact_edit"),
    path("instances/", instances.instance_list, name="instances"),
    path("instances/add/", instances.instance_add, name="instance_add"),
    path("instances/<uuid:pk>/", instances.instance_detail, name="instance"),
    path("instances/<uuid:pk>/edit/", instances.instance_edit, name="instance_edit"),
    path("instances/<uuid:pk>/installations/add/", instances.installation_add, name="installation_add"),
    path("instances/<uuid:pk>/timeline/", timelines.instance_timeline, name="instance_timeline"),
    path("instances/jwt-and-builds/", migration.jwt_and_builds, name="jwt_and_builds"),
    path("instances/import/", importing.inventory_import, name="inventory_import"),
    path("instances/import/template.csv", importing.inventory_template, name="inventory_template"),
    path("instances/import/<uuid:upload>/", importing.inventory_preview, name="inventory_preview"),
    path("installations/<uuid:pk>/", timelines.installation_detail, name="installation"),
    path(
        "installations/<uuid:pk>/take-over/",
        containers.installation_take_over,
        name="installation_take_over",
    ),
    path("installations/<uuid:pk>/remove/", instances.installation_remove, name="installation_remove"),
    *(
        path(f"{kind}s/<uuid:pk>/{words}/", view, {"kind": kind}, name=f"{kind}_{name}")
        for kind in retiring.KINDS
        for words, name, view in (
            ("retire", "retire", retiring.retire),
            ("take-back", "take_back", retiring.take_back),
        )
    ),
    path("containers/", containers.container_list, name="containers"),
    path("containers/add/", containers.container_add, name="container_add"),
    path("containers/ssh-key/", ssh_key.ssh_key, name="ssh_key"),
    path("containers/jump-hosts/", jump_hosts.jump_host_list, name="jump_hosts"),
    path("containers/jump-hosts/add/", jump_hosts.jump_host_add, name="jump_host_add"),
    path("containers/jump-hosts/<uuid:pk>/edit/", jump_hosts.jump_host_edit, name="jump_host_edit"),
    path("containers/jump-hosts/<uuid:pk>/remove/", jump_hosts.jump_host_remove, name="jump_host_remove"),
    path("containers/<uuid:pk>/", containers.container_detail, name="container"),
    path("containers/<uuid:pk>/edit/", containers.container_edit, name="container_edit"),
    path("containers/<uuid:pk>/switch/", containers.container_switch, name="container_switch"),
    path("containers/<uuid:pk>/read/", readings.container_read, name="container_read"),
    path("containers/<uuid:pk>/timeline/", timelines.container_timeline, name="container_timeline"),
    path("containers/proposals/", proposals.proposal_list, name="proposals"),
    path("containers/proposals/decide/", proposals.proposal_decide, name="proposal_decide"),
    path("containers/readings/", readings.readings, name="readings"),
    path("containers/readings/<uuid:pk>/", timelines.reading_detail, name="reading"),
    path("containers/readings/ask/", readings.readings_ask, name="readings_ask"),
    path("containers/<uuid:pk>/scan/", containers.container_scan, name="container_scan"),
    path("containers/host-keys/", host_keys.host_keys, name="host_keys"),
    path("containers/host-keys/scan/", host_keys.host_key_scan, name="host_key_scan"),
    path("containers/host-keys/scan/stop/", host_keys.host_key_scan_stop, name="host_key_scan_stop"),
    path("containers/host-keys/<int:pk>/approve/", containers.host_key_approve, name="host_key_approve"),
    path("containers/host-keys/<int:pk>/revoke/", containers.host_key_revoke, name="host_key_revoke"),
]
