"""`python -m trainer` is `catgan`."""

from trainer.cli.main import main

if __name__ == "__main__":
    main()
