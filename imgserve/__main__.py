"""`python -m imgserve` is the same as `imgserve`."""

from imgserve.cli import main

if __name__ == "__main__":
    main()
