"""`python -m qos` is the command `qos`."""

from qos.cli import main

if __name__ == "__main__":
    main()
