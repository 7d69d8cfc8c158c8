"""`python -m litellm_benchrouter` is `benchrouter`."""

from litellm_benchrouter.cli import main

if __name__ == "__main__":
    main()
