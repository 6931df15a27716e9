"""What the SMTP server says, always with an enhanced status code (RFC 2034, RFC 3463)."""

from __future__ import annotations

import re

ACCEPTED = "250 2.0.0 Accepted"
SENDER_OK = "250 2.1.0 Sender ok"
RECIPIENT_OK = "250 2.1.5 Recipient ok"
BUSY = "451 4.3.0 Cannot take the mail now, please try again"
FAILED = "451 4.3.0 Internal error, please try again"
NOT_YET = "451 4.3.2 The recipient's channel is not in service, please try again"
NO_ROOM = "452 4.3.1 Too many mails at once, please try again"
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients; send the rest in another mail"
UNKNOWN = "550 5.1.1 No such recipient here"
TOO_LARGE = "552 5.3.4 The mail is larger than this server takes"
NOT_UNDERSTOOD = "554 5.6.0 The mail could not be understood"
IMITATION = (
    "554 5.6.0 The mail imitates the end of data with bare CR or LF; send CRLF line ends and double leading dots"
)
BARE_LF = "554 5.6.0 The mail has a line feed without a carriage return before it; end lines with CRLF"
BARE_LF_COMMAND = "500 5.5.2 End lines with CRLF, and with nothing less"
TOO_MANY_MAILS = "450 4.7.1 Too many mails from your address, please try again"
NO_RECIPIENT = "503 5.5.1 Give a recipient first: RCPT TO"
AUTHENTICATED = "235 2.7.0 Authentication succeeded"
WRONG_PASSWORD = "535 5.7.8 Wrong user name or password"  # noqa: S105 -- a reply
TOO_MANY_FAILURES = "454 4.7.0 Too many wrong passwords from your address, come back later"
NEEDS_TLS = "538 5.7.11 Passwords are only taken over TLS: STARTTLS first"
NO_AUTH = "502 5.5.1 This server has no authentication"
NO_AUTH_NOW = "503 5.5.1 Authentication is not possible now"
NO_MECHANISM = "504 5.5.4 The mechanisms are PLAIN and LOGIN"
AUTH_CANCELLED = "501 5.7.0 Authentication cancelled"
BAD_RESPONSE = "501 5.5.2 This is no valid response"
RESPONSE_TOO_LONG = "500 5.5.6 The response is too long"
IS_LMTP = "500 5.5.1 This is LMTP: say LHLO"
CLOSING = "421 4.3.2 The service is closing, please try again"
TIMEOUT = "421 4.4.2 Too slow, closing the connection"
TOO_MANY_ERRORS = "421 4.7.0 Too many errors, closing the connection"
CROWDED = "421 4.7.0 Too many connections, please try again"
CROWDED_BY_YOU = "421 4.7.0 Too many connections from your address, please try again"
TOO_OFTEN = "421 4.7.0 You connect too often, please try again"

_HAS_STATUS = re.compile(r"\d{3} \d\.\d+\.\d+ ")
_STATUS = {
    "214": "2.0.0",
    "221": "2.0.0",
    "250": "2.0.0",
    "252": "2.5.0",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "530": "5.7.0",
    "552": "5.3.4",
    "553": "5.1.3",
    "554": "5.5.0",
    "555": "5.5.4",
}


def enhanced(reply: str) -> str:
    """Add the status code that aiosmtpd's own replies lack."""
    code = reply[:3]
    if code not in _STATUS or _HAS_STATUS.match(reply):
        return reply
    return f"{code} {_STATUS[code]} {reply[4:].removeprefix('Error: ')}"


def blames_client(reply: str) -> bool:
    """Tell a mistake of the client from a lack of room on our side."""
    return reply[0] == "5" or reply.startswith("421")
