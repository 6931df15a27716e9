"""What is peculiar about a message, in yes and no; part of `normalizer.model`."""

from __future__ import annotations

from normalizer.parts import Base


class Flags(Base, frozen=True, kw_only=True):
    """What a helpdesk must know before it answers.

    Attributes:
        auto_generated: a machine wrote it; no automatic answer may go to it (RFC 3834 §2).
        bounce: a delivery report says that a mail of ours did not reach somebody (RFC 3464).
        forwarded: the sender passed on somebody else's words.
        view_once: the provider shows it once.
        delayed: a delivery report says that a mail of ours is still on its way.
        receipt: a report that a mail of ours was delivered, read or deleted (RFC 3464, RFC 8098).
        auto_reply: a machine's answer to a mail (RFC 3834).
        out_of_office: an automatic reply of somebody who is away; by its header, or by its subject in a reply.
        mailing_list: came through a mailing list, or is bulk mail that can be unsubscribed from (RFC 2919, RFC 2369).
        spam: a filter in front of us says so.
        loop: our own mail has come back, or the mail has passed too many servers.
        third_party: joins a conversation by a token of ours, but its sender is not whom that conversation is with: a
            colleague, or whoever the mail was forwarded to. Show it; do not take it for the customer.
        signed: with S/MIME or OpenPGP; nobody has verified the signature.
        encrypted: with S/MIME or OpenPGP; the content is in the attachments or in the text, as it came.
    """

    auto_generated: bool = False
    bounce: bool = False
    forwarded: bool = False
    view_once: bool = False
    delayed: bool = False
    receipt: bool = False
    auto_reply: bool = False
    out_of_office: bool = False
    mailing_list: bool = False
    spam: bool = False
    loop: bool = False
    signed: bool = False
    encrypted: bool = False
    third_party: bool = False
