"""Pure helpers that read Internet mail (RFC 5322, MIME): bytes in, plain values out, nothing raised.

`mime` splits a mail into entities, `headers` and `charsets` turn bytes into text, `address` reads address lists,
`html` renders HTML as text, `quotes` parts an answer from what it quotes, `content` puts these together, and
`identity` and `classify` say which mail it is and whether a machine wrote it. `report` and `bounce` read what became of
mails we sent, `tokens` signs what answers bring back, and `threading` finds the conversation by it.
"""
