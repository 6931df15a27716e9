"""The process that has PJSIP in it: ``python -m connectors.sip.child FD``.

One thread calls `libHandleEvents` and every function of pjsua2; the media clock's own thread runs the two methods of
`ports.Tap` and nothing else, and these touch bytes only. A native crash ends the calls of this process and no others.
Only the standard library and pjsua2 are imported, for the memory of many such processes.
"""
