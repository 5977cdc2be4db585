"""`python -m k4calofast` is the command `k4calofast`."""

from k4calofast.cli import main

if __name__ == "__main__":
    main()
