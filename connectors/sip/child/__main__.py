"""See `connectors.sip.child`."""

import os
import sys

os.dup2(2, 1)  # PJSIP prints to stdout before its log level applies; and that before it is imported

if __name__ == "__main__":
    from connectors.sip.child.main import main

    main(int(sys.argv[1]))
