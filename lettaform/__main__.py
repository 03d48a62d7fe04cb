"""`python -m lettaform` is `lettaform`."""

from lettaform.cli import main

main()
