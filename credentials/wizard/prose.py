"""What the wizard says at each step of the Developer Console: data, no logic, in the console's order."""

from dataclasses import replace
from typing import Final

from django.utils.translation import gettext_lazy as _

from credentials.adobe.guide import CONSOLE_LINK, ConsoleLink, Drawing, Label, Prose

GUIDE: Final = (
    "https://developer.adobe.com/developer-console/docs/guides/authentication/ServerToServerAuthentication/"
)
MIGRATION_GUIDE: Final = f"{GUIDE}migration"
ADMIN_ROLES: Final = "https://helpx.adobe.com/enterprise/using/admin-roles.html"
PROFILES: Final = "https://helpx.adobe.com/enterprise/using/manage-product-profiles.html"

SIGN_IN: Final = Prose(
    heading=_("Sign in to the Developer Console"),
    paragraphs=(
        _("Sign in as a System Administrator of the organization that owns Campaign."),
        _(
            "If you belong to several organizations, choose the right one at the top right: Adobe accepts a "
            "credential of another organization, but not for your Campaign."
        ),
    ),
    labels=(Label("System Administrator", "Administrateur système"),),
    links=(CONSOLE_LINK, ConsoleLink(ADMIN_ROLES, _("Which role do I have?"))),
    drawings=(Drawing("1-sign-in", _("The sign-in page, and the choice of the organization")),),
)
PROJECT: Final = Prose(
    heading=_("Create a project"),
    paragraphs=(
        _(
            "Create an empty project for Campaign. Give it a name that says what it is for, and note the "
            "name here."
        ),
        _("If a project for this purpose already exists, open it instead."),
    ),
    labels=(Label("Create new project", "Créer un projet"),),
    links=(CONSOLE_LINK,),
    drawings=(Drawing("2-create-project", _("The button Create new project on the console's home page")),),
)
API: Final = Prose(
    heading=_("Add an API to the project"),
    paragraphs=(
        _(
            "In the project, add an API, choose the product to integrate with Campaign, and continue with "
            "Next."
        ),
        _("Which API to add depends on what Campaign needs the account for: choose below what applies."),
    ),
    labels=(Label("Add to Project > API", "Ajouter au projet > API"), Label("Next", "Suivant")),
    links=(CONSOLE_LINK,),
    drawings=(
        Drawing("3-add-api", _("Add to Project, then API")),
        Drawing("4-choose-product", _("The list of products, and Next")),
    ),
    tip=_("One project can serve several APIs. An instance of Campaign holds one technical account."),
)
AUTHENTICATION: Final = Prose(
    heading=_("Choose the type of authentication"),
    paragraphs=(
        _("Choose OAuth Server-to-Server and continue with Next."),
        _("Do not choose Service Account (JWT), if it is still offered: Adobe has retired it."),
    ),
    labels=(Label("OAuth Server-to-Server", "OAuth serveur à serveur"), Label("Next", "Suivant")),
    links=(CONSOLE_LINK, ConsoleLink(GUIDE, _("Adobe's guide to OAuth Server-to-Server"))),
    drawings=(Drawing("5-oauth-server-to-server", _("The choice OAuth Server-to-Server, and Next")),),
)
PROFILE: Final = Prose(
    heading=_("Choose the product profile"),
    paragraphs=(
        _(
            "Choose the product profile linked to the project. If there is none, create it in the Admin "
            "Console first."
        ),
    ),
    labels=(Label("Product profile", "Profil de produit"),),
    links=(CONSOLE_LINK, ConsoleLink(PROFILES, _("How to manage product profiles"))),
    drawings=(Drawing("6-product-profile", _("The list of product profiles")),),
    tip=_(
        "For the Adobe Analytics connector the profile is called reserved_campaign_classic_ followed by "
        "your company name. For the deliverability service any profile will do."
    ),
)
SAVE: Final = Prose(
    heading=_("Save the API"),
    paragraphs=(_("Save the configured API. Adobe then creates the credential."),),
    labels=(Label("Save configured API", "Enregistrer l\u2019API configurée"),),
    links=(CONSOLE_LINK,),
    drawings=(Drawing("7-save", _("The button Save configured API")),),
)
VALUES: Final = Prose(
    heading=_("Copy the four values"),
    paragraphs=(
        _(
            "In the project, under Credentials, open OAuth Server-to-Server. Download JSON there is the most "
            "reliable way."
        ),
    ),
    labels=(
        Label("Client ID", "Identifiant du client"),
        Label("Client secret", "Secret client"),
        Label("Technical account ID", "Identifiant du compte technique"),
        Label("Organization ID", "Identifiant de l\u2019organisation"),
    ),
    links=(CONSOLE_LINK,),
    drawings=(Drawing("8-copy-values", _("The page of the credential with its four values")),),
)
VALUES_STORED: Final = replace(
    VALUES,
    heading=_("Compare the four values"),
    paragraphs=(_("Compare the values with those in the console. If they are the same, continue."),),
)
VERSION: Final = Prose(
    heading=_("Check the Campaign version first"),
    paragraphs=(
        _(
            "Campaign supports OAuth accounts from version 7.4.1 (build 9383). Upgrade older servers before "
            "you migrate their credential: they do not have the command, and only the old JWT credential "
            "still works there."
        ),
    ),
)
FILTER: Final = Prose(
    heading=_("Find the project with the JWT credential"),
    paragraphs=(
        _("In the Developer Console, open Projects and filter them by Has Service Account (JWT) credential."),
        _("Open the project that Campaign uses, and note its name here."),
    ),
    labels=(Label("Has Service Account (JWT) credential"),),
    links=(CONSOLE_LINK, ConsoleLink(MIGRATION_GUIDE, _("Adobe's guide to the migration"))),
    drawings=(Drawing("migration-1-filter", _("The list of projects with its filter")),),
)
OPEN: Final = Prose(
    heading=_("Add the OAuth credential"),
    paragraphs=(
        _(
            "Open the Service Account (JWT) credential. Its migration card adds an OAuth Server-to-Server "
            "credential with the same client ID, technical account, APIs, scopes and profiles: only the "
            "secret is new."
        ),
        _("Both credentials work in parallel, so nothing breaks while you continue."),
    ),
    labels=(Label("Add new credential"),),
    links=(CONSOLE_LINK, ConsoleLink(MIGRATION_GUIDE, _("Adobe's guide to the migration"))),
    drawings=(Drawing("migration-2-card", _("The migration card of the credential")),),
    tip=_(
        "Do not delete the old credential yet. While the migration is open, APIs cannot be added and "
        "secrets cannot be rotated."
    ),
)
CREDENTIAL: Final = Prose(
    heading=_("The account, and the console steps for comparison"),
    paragraphs=(
        _(
            "The file was made after these steps, so there is nothing to do here. Look through them if you "
            "are not sure that the credential was made the way Campaign needs it."
        ),
    ),
)
CHECK: Final = Prose(
    heading=_("Ask Adobe whether the values are right"),
    paragraphs=(
        _(
            "The portal asks Adobe's sign-in service (IMS) for a token with these values, and throws the "
            "token away."
        ),
    ),
)
INSTANCES: Final = Prose(
    heading=_("Choose the instances"),
    paragraphs=(
        _("Choose the instances that will use this account. All their containers are chosen with them."),
    ),
)
REVIEW: Final = Prose(
    heading=_("Review and start"),
    paragraphs=(_("Nothing has been sent yet. Start the rollout when everything below is as it should be."),),
)
