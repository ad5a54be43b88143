"""Every way in which a push can fail: code, plain cause and next step. The one table of them."""

from dataclasses import dataclass

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Code(models.TextChoices):
    """Outcome codes of pushes and attempts, stable for automation; their labels are headings for people."""

    NAME_NOT_RESOLVED = "name_not_resolved", _("Host name not found")
    ADDRESS_NOT_ALLOWED = "address_not_allowed", _("Address not allowed")
    CONNECTION_REFUSED = "connection_refused", _("Connection refused")
    HOST_UNREACHABLE = "host_unreachable", _("Host unreachable")
    TIMED_OUT = "timed_out", _("No answer in time")
    SSH_SILENT = "ssh_silent", _("Connected, but SSH did not answer")
    NOT_SSH = "not_ssh", _("Not an SSH server")
    TURNED_AWAY = "turned_away", _("Connection closed before SSH began")
    HOST_KEY_UNKNOWN = "host_key_unknown", _("Host key not approved")
    HOST_KEY_CHANGED = "host_key_changed", _("Host key changed")
    LOGIN_REFUSED = "login_refused", _("SSH login refused")
    LOGIN_BARRED = "login_barred", _("SSH account expired or blocked")
    PASSWORD_EXPIRED = "password_expired", _("Password of the SSH account must be changed")
    SSH_KEY_UNUSABLE = "ssh_key_unusable", _("The portal's own SSH key cannot be used")
    SSH_TOO_OLD = "ssh_too_old", _("SSH server too old")
    NO_COMMON_ALGORITHM = "no_common_algorithm", _("No common encryption with the SSH server")
    JUMP_HOST_UNREACHABLE = "jump_host_unreachable", _("Jump host not reachable")
    JUMP_HOST_NOT_ALLOWED = "jump_host_not_allowed", _("Address of the jump host not allowed")
    JUMP_HOST_KEY_CHANGED = "jump_host_key_changed", _("Host key of the jump host changed")
    JUMP_HOST_TOO_OLD = "jump_host_too_old", _("SSH server of the jump host too old")
    JUMP_HOST_NO_ALGORITHM = "jump_host_no_algorithm", _("No common encryption with the jump host")
    JUMP_HOST_LOGIN_REFUSED = "jump_host_login_refused", _("Jump host refused the login")
    JUMP_HOST_FORBIDS = "jump_host_forbids", _("Jump host forbids forwarding")
    JUMP_HOST_NO_WAY = "jump_host_no_way", _("Jump host cannot reach the container")
    CONNECTION_LOST = "connection_lost", _("Connection lost before anything was sent")
    SESSION_REFUSED = "session_refused", _("SSH server does not open a session")
    SCRIPT_NOT_RUN = "script_not_run", _("Remote shell did not run the script")
    BECOME_REFUSED = "become_refused", _("Not allowed to become neolane")
    SHELL_UNUSABLE = "shell_unusable", _("The shell of neolane cannot run the script")
    USER_MISSING = "user_missing", _("No neolane account on the container")
    WRONG_USER = "wrong_user", _("Logged in as the wrong user")
    TOOLS_MISSING = "tools_missing", _("Basic tools missing on the container")
    NLSERVER_NOT_FOUND = "nlserver_not_found", _("nlserver not found")
    INSTANCE_NOT_FOUND = "instance_not_found", _("Instance is not on this container")
    NOT_WRITABLE = "not_writable", _("Configuration cannot be written")
    BUILD_UNKNOWN = "build_unknown", _("Campaign build not recognized")
    BUILD_TOO_OLD = "build_too_old", _("Campaign build too old")
    INPUT_NOT_PRIVATE = "input_not_private", _("Something else reads what the portal sends")
    BUSY = "busy", _("Another change is running on the container")
    NEWER_PUSH = "newer_push", _("A newer push was already made")
    OTHER_PORTAL = "other_portal", _("Another portal pushes to this installation")
    TOO_LATE = "too_late", _("The values came too late")
    NOT_HANDED_OVER = "not_handed_over", _("The values did not reach nlserver")
    REFUSED_BY_NLSERVER = "refused_by_nlserver", _("Refused by nlserver")
    NOT_APPLIED = "not_applied", _("Reported as done, but not in the file")
    NOT_PROVEN = "not_proven", _("Reported as done, but the secret did not change")
    NOT_COMPARABLE = "not_comparable", _("Reported as done, but nothing to compare it with")
    CHANGED_AGAIN = "changed_again", _("The secret changed again after nlserver ended")
    OTHER_VERSION = "other_version", _("The file holds another version")
    DIGEST_AMBIGUOUS = "digest_ambiguous", _("The same digest is known for two versions")
    SEVERAL_SECRETS = "several_secrets", _("Several secrets in the file")
    ORGANIZATION_EMPTY = "organization_empty", _("Empty organization in the file")
    FILE_UNREADABLE = "file_unreadable", _("The file could not be read")
    ANSWER_MALFORMED = "answer_malformed", _("The container's answer is not understood")
    JOURNAL_NOT_UNDERSTOOD = "journal_not_understood", _("The container's journal is not understood")
    CHANGED_BY_OTHERS = "changed_by_others", _("Someone else changed the account")
    RELOAD_FAILED = "reload_failed", _("Written, but the reload failed")
    RELOAD_NOT_CONFIRMED = "reload_not_confirmed", _("Written, but the reload is not confirmed")
    NO_REPORT = "no_report", _("Sent, but no report came back")
    INTERRUPTED = "interrupted", _("Interrupted repeatedly")
    STOPPED_BY_LIMIT = "stopped_by_limit", _("nlserver took too long and was stopped")
    KILLED = "killed", _("nlserver was stopped from outside")
    WRITE_NOT_CONFIRMED = "write_not_confirmed", _("Written, but not confirmed by nlserver")
    SECRET_UNREADABLE = "secret_unreadable", _("Stored secret cannot be decrypted")
    WORKER_LOST = "worker_lost", _("The portal's worker stopped in the middle")
    PORTAL_ERROR = "portal_error", _("Error inside the portal")
    NO_LONGER_WANTED = "no_longer_wanted", _("No longer wanted")
    RETIRED = "retired", _("Retired in the inventory")
    BY_HAND = "by_hand", _("Marked by hand in the inventory")


@dataclass(frozen=True)
class Explanation:
    """What one code means to a person who knows no SSH."""

    cause: Promise
    next_step: Promise
    retries: bool = False
    """Whether the portal tries again by itself: it may pass by itself, and sending again does no harm."""
    if_again: Promise | None = None
    """What to do once a person's retry failed for the same reason, where `next_step` begins with a retry."""

    @property
    def after_retry(self) -> Promise:
        """What to do after a retry that failed for the same reason."""
        return self.if_again or self.next_step


WRITTEN = frozenset({Code.RELOAD_FAILED, Code.RELOAD_NOT_CONFIRMED})
"""Failures of a step after the write: the file holds the account, and Campaign was not seen to reload it."""
EXPLANATIONS: dict[str, Explanation] = {
    Code.NAME_NOT_RESOLVED: Explanation(
        _("The container's host name has no address in DNS, or DNS did not answer. Nothing was changed."),
        _("Ask an admin to check the address of this container; then retry."),
        retries=True,
    ),
    Code.ADDRESS_NOT_ALLOWED: Explanation(
        _(
            "The container's name resolves to an address that the portal must not contact (the portal's own "
            "machine, or outside the allowed networks). Nothing was changed."
        ),
        _("Ask an admin to correct the address of the container, or the allowed networks in the settings."),
    ),
    Code.CONNECTION_REFUSED: Explanation(
        _("The container is on, but nothing accepts SSH on its port. Nothing was changed."),
        _("Ask the server team whether the SSH service is running; then retry."),
        retries=True,
    ),
    Code.HOST_UNREACHABLE: Explanation(
        _("There is no network path to the container. Nothing was changed."),
        _("Ask the network team whether the portal may reach this container; then retry."),
        retries=True,
    ),
    Code.TIMED_OUT: Explanation(
        _(
            "The container did not answer in time. It may be down, overloaded or behind a firewall. "
            "Nothing was changed."
        ),
        _("Ask the server team whether the container is up and reachable; then retry."),
        retries=True,
    ),
    Code.SSH_SILENT: Explanation(
        _(
            "Something accepts connections on the container's SSH port, but sends nothing: the SSH service "
            "hangs or is overloaded, a firewall or load balancer answers in its place, or another service "
            "uses the port. Nothing was changed."
        ),
        _(
            "Ask the server team whether this container's SSH service answers when they use ssh from another "
            "machine. Ask an admin whether the port in the inventory is right. Then retry."
        ),
        retries=True,
    ),
    Code.NOT_SSH: Explanation(
        _("Something answers on the container's port, but it is not an SSH server. Nothing was changed."),
        _(
            "The attempt's notes quote what it said. Ask an admin to check address and port of the container "
            "in the inventory. If they are right, "
            "ask the server team what listens there instead of SSH; then retry."
        ),
    ),
    Code.TURNED_AWAY: Explanation(
        _(
            "The connection to the SSH port was closed before SSH began: the server is too busy "
            "(MaxStartups), or the server or a firewall blocks the portal's address, perhaps only for a "
            "while. Nothing was changed."
        ),
        _(
            "The portal tries again by itself a few times. If it has given up, ask the server team whether "
            "sshd's log, fail2ban or hosts.deny show the portal's address (the attempt's notes quote the "
            "server); then retry."
        ),
        retries=True,
    ),
    Code.HOST_KEY_UNKNOWN: Explanation(
        _("Nobody has confirmed yet that this SSH server is really the container. Nothing was changed."),
        _("Ask an admin to scan the container's host key and approve it, then retry."),
    ),
    Code.HOST_KEY_CHANGED: Explanation(
        _(
            "The SSH server did not show the host key that was approved or given in advance, but a different "
            "one. The server may have been reinstalled, the fingerprint that was given in advance may have "
            "been noted wrongly, or someone may be impersonating the server. Nothing was sent."
        ),
        _(
            "Ask the server team which fingerprint the server's host key has, and whether the server was "
            "reinstalled. If the key is theirs, ask an admin to approve it on the container's page, then "
            "retry. If it is not, tell your security team."
        ),
    ),
    Code.LOGIN_REFUSED: Explanation(
        _(
            "The container does not accept the portal's SSH key for its login user. SSH servers do not say "
            "why. Either the key is not installed there or has expired, or the account does not exist, is "
            "locked, has a shell that does not exist, or is not allowed by sshd_config (AllowUsers, "
            "DenyUsers, a second factor). Nothing was changed."
        ),
        _(
            "Ask the server team to install the portal's public key for that user (it is shown under "
            "Containers, Portal's SSH key). If it is already installed, sshd's log on the container says why "
            "it was refused. Then retry."
        ),
    ),
    Code.LOGIN_BARRED: Explanation(
        _(
            "The SSH server closed the connection twice, as soon as it had seen the portal's key. It does "
            "that when the key is right but the account may not log in: the account has expired, or a rule "
            "(PAM) blocks it. Nothing was changed."
        ),
        _(
            "Ask the server team to look at the login user on this container: chage -l shows whether it has "
            "expired, and sshd's log says which rule blocks it. Then retry."
        ),
    ),
    Code.PASSWORD_EXPIRED: Explanation(
        _(
            "The SSH server accepts the portal's key, but runs nothing until the password of the login user "
            "is changed, even though the portal does not use a password. Nothing was changed."
        ),
        _(
            "Ask the server team to turn off password expiry for the login user on this container (chage -l "
            "shows it, chage -M -1 turns it off), or to change the password. Then retry."
        ),
    ),
    Code.SSH_KEY_UNUSABLE: Explanation(
        _(
            "The portal cannot log in anywhere because its own SSH key cannot be used: the file is missing, "
            "is encrypted with a passphrase, or is not a private key. Nothing was sent."
        ),
        _(
            "Tell the people who run the portal. The page Containers, Portal's SSH key says why. When the "
            "key is fixed, retry."
        ),
    ),
    Code.SSH_TOO_OLD: Explanation(
        _("The SSH server offers only outdated encryption that the portal refuses. Nothing was changed."),
        _(
            "Ask the server team to update the SSH server of this container (the attempt's notes list what "
            "it offers), then retry."
        ),
    ),
    Code.NO_COMMON_ALGORITHM: Explanation(
        _(
            "The SSH server offers no encryption method that the portal supports, but the methods it offers "
            "are not all outdated. It may be set to allow very few. Nothing was changed."
        ),
        _(
            "Ask the server team to allow one of the portal's methods in sshd_config on this container "
            "(KexAlgorithms, HostKeyAlgorithms, Ciphers or MACs: the attempt's notes say which). Then retry."
        ),
    ),
    Code.JUMP_HOST_UNREACHABLE: Explanation(
        _(
            "The jump host that leads to the container did not answer, is not an SSH server, or broke the "
            "connection before it had connected the portal. The container itself was not reached. Nothing "
            "was changed."
        ),
        _(
            "Ask the network team whether the jump host is up and whether the portal may reach it. Every "
            "container behind it waits for this. Then retry."
        ),
        retries=True,
    ),
    Code.JUMP_HOST_NOT_ALLOWED: Explanation(
        _(
            "The jump host that leads to the container has an address that the portal must not contact (the "
            "portal's own machine, or outside the allowed networks). Nothing was changed."
        ),
        _("Ask an admin to correct the address of the jump host, or the allowed networks in the settings."),
    ),
    Code.JUMP_HOST_KEY_CHANGED: Explanation(
        _(
            "The jump host that leads to the container showed a host key that is not one of those an admin "
            "entered for it. It may have been reinstalled, or someone may be impersonating it. Nothing was "
            "sent."
        ),
        _(
            "Ask the network team whether the jump host was reinstalled. If it was, ask an admin to enter "
            "its new key under Containers, Jump hosts, then retry. If it was not, tell your security team."
        ),
    ),
    Code.JUMP_HOST_TOO_OLD: Explanation(
        _(
            "The SSH server of the jump host that leads to the container offers only outdated encryption "
            "that the portal refuses. Nothing was changed."
        ),
        _("Ask the network team to update the SSH server of the jump host, then retry."),
    ),
    Code.JUMP_HOST_NO_ALGORITHM: Explanation(
        _(
            "The SSH server of the jump host that leads to the container offers no encryption method that "
            "the portal supports, but the methods it offers are not all outdated. Nothing was changed."
        ),
        _(
            "Ask the network team to allow one of the portal's methods in sshd_config on the jump host "
            "(KexAlgorithms, HostKeyAlgorithms, Ciphers or MACs: the attempt's notes say which). Then retry."
        ),
    ),
    Code.JUMP_HOST_LOGIN_REFUSED: Explanation(
        _(
            "The jump host that leads to the container does not accept the portal's SSH key for its login "
            "user: the key is not installed there, or the account has expired, is locked or is blocked. The "
            "container itself was not reached. Nothing was changed."
        ),
        _(
            "Ask the network team to install the portal's line for jump hosts for that user (it is shown "
            "under Containers, Portal's SSH key). If it is already installed, sshd's log on the jump host "
            "says why it was refused. Then retry."
        ),
    ),
    Code.JUMP_HOST_FORBIDS: Explanation(
        _(
            "The jump host accepted the portal's login, but does not let it connect to the container. "
            "Nothing was changed."
        ),
        _(
            "Ask the network team to allow TCP forwarding to the container for the portal's login: "
            "AllowTcpForwarding and PermitOpen in sshd_config, and port-forwarding after restrict in "
            "authorized_keys. Then retry."
        ),
    ),
    Code.JUMP_HOST_NO_WAY: Explanation(
        _(
            "The jump host works, but could not connect to the container: it found no address for the "
            "container's name, nothing accepts SSH there, or a firewall is between them. Nothing was "
            "changed."
        ),
        _(
            "Ask the server team whether the container is up, and the network team whether the jump host may "
            "reach its address and port; then retry."
        ),
        retries=True,
    ),
    Code.CONNECTION_LOST: Explanation(
        _("The connection broke before the values were sent. Nothing was changed."),
        _(
            "If this keeps happening, ask the server team what sshd's log on the container says, and the "
            "network team whether connections to it are cut; then retry."
        ),
        retries=True,
    ),
    Code.SESSION_REFUSED: Explanation(
        _(
            "The login worked, but the SSH server does not open a session to run a command in, not even on a "
            "new connection. Nothing was changed."
        ),
        _(
            "Ask the server team to allow the login user a session on this container: MaxSessions in "
            "sshd_config must be 1 or more, and sshd's log says what else is in the way. Then retry."
        ),
    ),
    Code.SCRIPT_NOT_RUN: Explanation(
        _(
            "The login worked, but the login shell did not run the portal's script: it is not a shell (such "
            "as nologin), is an unusual one (such as csh), or is replaced by a forced command or limit. If "
            "it said anything, the page of the push shows it under Container output. Nothing was changed."
        ),
        _(
            "Ask the server team to give the login user a normal shell (such as bash) on this container; "
            "then retry."
        ),
    ),
    Code.BECOME_REFUSED: Explanation(
        _(
            "The login user may not act as neolane through sudo or su, or neolane's account has expired. If "
            "sudo or su said why, the page of the push shows it under Container output. Nothing was changed."
        ),
        _(
            "Ask the server team to set up the sudo rule from the operator guide, or a login as neolane; "
            "then retry."
        ),
    ),
    Code.SHELL_UNUSABLE: Explanation(
        _(
            "The login user may act as neolane through su, but neolane's own shell, or one of its start-up "
            "files, does not run the portal's script. The shell may be nologin, false, csh or a menu, or may "
            "not exist at all. Nothing was changed."
        ),
        _(
            "Ask the server team to give neolane a normal shell such as bash (getent passwd neolane shows "
            "the present one). Or ask an admin to let the portal log in with sudo, which does not use that "
            "shell. Then retry."
        ),
    ),
    Code.USER_MISSING: Explanation(
        _(
            "There is no account named neolane (or whatever name the portal's settings give) on this "
            "container. Nothing was changed."
        ),
        _(
            "Ask an admin whether this is the right server, and whether CAMPAIGN_USER in the portal's "
            "settings is the name of Campaign's account there. When it is right, retry."
        ),
    ),
    Code.WRONG_USER: Explanation(
        _("The script ran as a user other than neolane. Nothing was changed."),
        _("Ask an admin to correct the login user of this container, or how it becomes neolane; then retry."),
    ),
    Code.TOOLS_MISSING: Explanation(
        _("Basic commands that the script needs are missing on the container. Nothing was changed."),
        _("Show the server team what the container said: it names the missing commands. Then retry."),
    ),
    Code.NLSERVER_NOT_FOUND: Explanation(
        _("There is no nlserver program below the install root. Nothing was changed."),
        _(
            "Ask an admin to check the install root of this container, and whether Campaign is installed "
            "there; then retry."
        ),
    ),
    Code.INSTANCE_NOT_FOUND: Explanation(
        _("The container has no configuration file for this instance. Nothing was changed."),
        _(
            "Ask an admin whether the instance is really installed on this container, and under this name. "
            "When the inventory is right, retry or start a new rollout."
        ),
    ),
    Code.NOT_WRITABLE: Explanation(
        _(
            "neolane is not allowed to write the instance's configuration, or the disk is full. Nothing was "
            "changed."
        ),
        _(
            "Ask the server team to check the free disk space, and who owns the files that the container "
            "names (on the page of the push, under Container output); then retry."
        ),
    ),
    Code.BUILD_UNKNOWN: Explanation(
        _("nlserver did not say which build it is. Nothing was changed."),
        _(
            "Show the Campaign team what the container said: nlserver does not start properly there. Then "
            "retry."
        ),
    ),
    Code.BUILD_TOO_OLD: Explanation(
        _(
            "This Campaign build does not support OAuth accounts; they need 7.4.1 (build 9383) or later. "
            "Nothing was changed."
        ),
        _("Ask the Campaign team to upgrade this container to 7.4.1 or later; then retry."),
    ),
    Code.INPUT_NOT_PRIVATE: Explanation(
        _(
            "On the container, something other than the portal's script reads or records what the portal "
            "sends: a command in a start-up file (such as .bashrc or .profile), or a session recorder. The "
            "portal noticed it before the values could be read: they were not sent, or only enciphered. "
            "Nothing was changed."
        ),
        _(
            "Ask the server team to look for it in the start-up files of the login user and of neolane, and "
            "to switch it off for logins without a terminal; then retry."
        ),
    ),
    Code.BUSY: Explanation(
        _("Another change to this instance was still running on the container. Nothing was changed."),
        _("The portal tries again by itself a few times. If it has given up, retry."),
        retries=True,
        if_again=_("Ask the Campaign team what keeps changing this instance on the container."),
    ),
    Code.NEWER_PUSH: Explanation(
        _("The container already has a newer push of this instance, so it refused this older one."),
        _("Look at the newest rollout of this account; this push needs nothing more."),
    ),
    Code.OTHER_PORTAL: Explanation(
        _(
            "The container records who pushed to this installation last. It was not this portal in its "
            "present state, but another portal, a copy of this one, or this one before a backup was "
            "restored. This portal leaves what the other one wrote as it is."
        ),
        _(
            "Ask an admin to find out who else pushes there. If this portal is the right one, the admin "
            "takes over the installation on the container's page. Then retry."
        ),
    ),
    Code.TOO_LATE: Explanation(
        _("The portal was too slow to send the values, so the container refused them. Nothing was changed."),
        _("The portal tries again by itself a few times. If it has given up, retry."),
        retries=True,
        if_again=_("Ask the people who run the portal why it is so slow; its log has the details."),
    ),
    Code.NOT_HANDED_OVER: Explanation(
        _(
            "The container received the values, but could not start nlserver with them. It may be short of "
            "memory or processes. Nothing was changed."
        ),
        _(
            "The portal tries again by itself a few times. If it has given up, show the server team what the "
            "container said; then retry."
        ),
        retries=True,
    ),
    Code.REFUSED_BY_NLSERVER: Explanation(
        _("nlserver reported an error. The page of the push shows its own lines under Container output."),
        _("Show those lines to the Campaign team. When the cause is fixed, retry."),
    ),
    Code.NOT_APPLIED: Explanation(
        _("nlserver reported success, but the configuration file does not show the account."),
        _(
            "Show the Campaign team what the container said: another process may rewrite the file, or the "
            "disk may be full. When that is fixed, retry."
        ),
    ),
    Code.NOT_PROVEN: Explanation(
        _(
            "nlserver reported success, but the encrypted secret in the file is the same as before, and the "
            "portal has never learned which secret that is. Unless this very secret had already been set by "
            "hand, the old one is still in force."
        ),
        _(
            "Look again, then retry once. If the result is the same, ask an admin to enter a new secret and "
            "roll it out: the next version changes the file, and that is the proof. Do not delete the old "
            "secret at Adobe before that."
        ),
        if_again=_(
            "Ask an admin to enter a new secret and roll it out: the next version changes the file, and that "
            "is the proof. Do not delete the old secret at Adobe before that."
        ),
    ),
    Code.NOT_COMPARABLE: Explanation(
        _(
            "nlserver reported success, but the file could not be read just before that, so nobody can tell "
            "whether the secret in it is the new one."
        ),
        _("Retry: the next try compares again."),
        if_again=_(
            "Ask the Campaign team to check whether the configuration file of the instance is there and "
            "whole."
        ),
    ),
    Code.CHANGED_AGAIN: Explanation(
        _(
            "The secret in the file changed after nlserver had ended: nlserver writes late, Campaign's "
            "reload encrypts the secret again, or someone else wrote to the file. So nobody can tell which "
            "secret it is."
        ),
        _(
            "Retry once. If the result is the same, ask the Campaign team what changes the configuration "
            "file after nlserver. Do not delete the old secret at Adobe before that."
        ),
        if_again=_(
            "Ask the Campaign team what changes the configuration file after nlserver. Do not delete the old "
            "secret at Adobe before that."
        ),
    ),
    Code.OTHER_VERSION: Explanation(
        _(
            "nlserver reported success, but the file holds another version of the secret: the portal has "
            "proven that the encrypted secret in the file is that version."
        ),
        _(
            "Retry once. If the result is the same, ask the Campaign team why nlserver does not set the "
            "secret, or what restores the file. Do not delete the old secret at Adobe: this container uses "
            "it."
        ),
        if_again=_(
            "Ask the Campaign team why nlserver does not set the secret, or what restores the file. Do not "
            "delete the old secret at Adobe: this container uses it."
        ),
    ),
    Code.DIGEST_AMBIGUOUS: Explanation(
        _(
            "The encrypted secret in the file has been proven to be this version, and also to be another "
            "one. One of the two proofs must be wrong, so neither counts."
        ),
        _("Ask an admin to look into both proofs, and to enter a new secret and roll it out."),
    ),
    Code.SEVERAL_SECRETS: Explanation(
        _("The configuration file holds several different secrets. Campaign may use any of them."),
        _("Ask the Campaign team to leave one technical account in this file; then retry."),
    ),
    Code.ORGANIZATION_EMPTY: Explanation(
        _(
            "The configuration file has an empty organization (IMSOrgId), which overrides the server's: "
            "Adobe will refuse this instance."
        ),
        _("Ask the Campaign team to remove the empty IMSOrgId from this file or to fill it in; then retry."),
    ),
    Code.FILE_UNREADABLE: Explanation(
        _("The instance's configuration file could not be read as a whole: it may be cut off or damaged."),
        _(
            "Ask the Campaign team to check the file, and to restore it if it is damaged; then retry. "
            "Campaign itself may not start with it."
        ),
    ),
    Code.ANSWER_MALFORMED: Explanation(
        _(
            "The container's answer is not what the portal's script says, so the portal trusted none of it. "
            "Something on the container changes the output, or this is not the server it should be."
        ),
        _(
            "Ask the server team what runs when the portal's user logs in. If they find nothing, tell your "
            "security team. Then retry."
        ),
    ),
    Code.JOURNAL_NOT_UNDERSTOOD: Explanation(
        _(
            "The portal cannot read what its script noted on the container about this push: another release "
            "of the portal may have written it."
        ),
        _("Start a new rollout for this installation; it replaces this push."),
    ),
    Code.CHANGED_BY_OTHERS: Explanation(
        _("After the values were sent, someone else set a different account in this instance's file."),
        _("Find out who works on this container. If the portal's account is the right one, retry."),
    ),
    Code.RELOAD_FAILED: Explanation(
        _(
            "The account is in the file, but Campaign did not reload its configuration. It takes effect at "
            "the next restart of Campaign."
        ),
        _("Retry, or ask the Campaign team to restart Campaign on this container."),
        if_again=_("Ask the Campaign team to restart Campaign on this container."),
    ),
    Code.RELOAD_NOT_CONFIRMED: Explanation(
        _("The account is in the file, but the connection broke before the reload was reported."),
        _(
            "The portal pushes the same values again by itself, which is harmless, and reloads. If it "
            "has given up, retry."
        ),
        retries=True,
        if_again=_(
            "Ask the Campaign team to restart Campaign on this container: the account takes effect then."
        ),
    ),
    Code.NO_REPORT: Explanation(
        _(
            "The values were sent, but the connection broke before the container reported. They may or "
            "may not be in force."
        ),
        _("Nothing to do: the portal looks at the container's file as soon as it can, and decides."),
    ),
    Code.INTERRUPTED: Explanation(
        _(
            "Each try broke off after the values were sent. The portal looked afterwards: the secret had not "
            "been written."
        ),
        _("Tell the network team that connections to this container break. When that is fixed, retry."),
    ),
    Code.STOPPED_BY_LIMIT: Explanation(
        _("nlserver did not finish within its time limit and was stopped before it confirmed the change."),
        _("The Campaign server may be overloaded or stuck. Tell the Campaign team; then retry."),
    ),
    Code.KILLED: Explanation(
        _("Someone or something stopped nlserver within its time limit, before it confirmed the change."),
        _(
            "Ask the server team what ends processes on this container (a person, a lack of memory, a "
            "watchdog); then retry."
        ),
    ),
    Code.WRITE_NOT_CONFIRMED: Explanation(
        _(
            "The secret in the file changed, but nlserver reported an error, or nobody saw how it ended. So "
            "nobody can tell yet whether it is the new secret."
        ),
        _(
            "The portal pushes the same values once more by itself, which settles it. If it has given up, "
            "show the Campaign team what the container said, then retry."
        ),
        if_again=_("Show the Campaign team what the container said."),
    ),
    Code.SECRET_UNREADABLE: Explanation(
        _("The worker cannot decrypt the stored client secret with the keys it holds. Nothing was sent."),
        _(
            "Ask an admin. If the key ring was changed recently, this worker still has the former one: "
            "restart the worker and retry (the command keys list names such workers). Otherwise the key ring "
            "must be restored. The client secret must be entered again only if the key ring is lost."
        ),
    ),
    Code.WORKER_LOST: Explanation(
        _("The worker process of the portal ended before the values were sent. Nothing was changed."),
        _("The portal tries again by itself a few times. If it has given up, retry."),
        retries=True,
        if_again=_("Ask the people who run the portal why its worker stopped; its log has the details."),
    ),
    Code.PORTAL_ERROR: Explanation(
        _("An error occurred in the portal itself before the values were sent. Nothing was changed."),
        _("Tell the people who run the portal; its log has the details. Then retry."),
    ),
    Code.NO_LONGER_WANTED: Explanation(
        _("The account or its assignment changed, so this push is no longer wanted. Nothing was sent."),
        _("Nothing has to be done. Start a new rollout if the account should be pushed after all."),
    ),
    Code.RETIRED: Explanation(
        _(
            "The container, the instance or this installation was retired in the inventory before the portal "
            "had seen how this ended. So the portal no longer looks."
        ),
        _(
            "If it is gone, there is nothing to do. If it is used after all, ask an admin to take it back in "
            "the inventory; then the portal can look again."
        ),
    ),
    Code.BY_HAND: Explanation(
        _(
            "The container was marked by hand in the inventory before the portal had seen how this ended. "
            "The portal no longer connects to such a container."
        ),
        _(
            "Run the read-back script there, and paste what it prints. If the portal can reach the container "
            "after all, ask an admin to remove the mark; then the portal can look again."
        ),
    ),
}


def explain(code: str) -> Explanation:
    """Return cause and next step of a code; `KeyError` for a code that does not exist."""
    return EXPLANATIONS[Code(code)]
