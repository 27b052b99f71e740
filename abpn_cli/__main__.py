"""`python -m abpn_cli` is the same command as `abpn`."""

from .cli import main

if __name__ == "__main__":
    main()
