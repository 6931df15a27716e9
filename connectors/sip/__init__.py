"""The kind ``sip``: telephone calls, by PJSIP in child processes.

Nothing is imported here: a child process (`connectors.sip.child`) shall not pay for what its parent needs.
"""
