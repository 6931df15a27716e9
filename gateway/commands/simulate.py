"""`omnigate simulate`: signed provider traffic against a running gateway.

The commands of the webhook kinds are made when they are asked for (`gateway.commands.simulate_kind`); mail, chat
and calls have their own.
"""

from __future__ import annotations

from cyclopts import App

from gateway.simulate import registry
from gateway.simulate.registry import WORDS

HELP = "Signed provider traffic against a running gateway, and providers to send to."
EXAMPLES = """\
The channel must be configured: its secrets are what deliveries are signed
with. "omnigate simulate KIND --help" tells what a provider can do.

    omnigate simulate telegram --text "Where is my parcel?" --duplicates 1
    omnigate simulate whatsapp --count 5000 --batch 20 --rate 500 --reorder
    omnigate simulate wechat --handshake
    omnigate simulate email --kind html --attach invoice.pdf
    omnigate simulate chat --count 100 --messages 10 --cut 0.1
    omnigate simulate call --wav complaint.wav --record heard.wav
    omnigate simulate cloud whatsapp --listen 127.0.0.1:9000 --fail 429:0.1
"""
MAIL = "Mails by SMTP or LMTP: of customers, their programs, and mail servers."
CHAT = "Visitors of a web chat, by WebSocket or long polling."
CALL = "Telephone calls by SIP, with sound from a file."
CLOUD = "A provider's API on this machine: takes what the gateway sends, answers as the provider does."

app = App(name="simulate", help=HELP, help_epilogue=EXAMPLES, help_format="plaintext")
app.command("gateway.commands.simulate_cloud:cloud", name="cloud", help=CLOUD)
app.command("gateway.commands.simulate_email:app", name="email", help=MAIL)
app.command("gateway.commands.simulate_chat:app", name="chat", help=CHAT)
app.command("gateway.commands.simulate_call:app", name="call", help=CALL)
for kind in registry.kinds():
    app.command(f"gateway.commands.simulate_kind:{kind}", name=kind, help=WORDS[kind])
