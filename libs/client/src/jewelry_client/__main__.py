"""`python -m jewelry_client`: the same as the command `jewelry`."""

from jewelry_client.cli import main

if __name__ == "__main__":
    main()
