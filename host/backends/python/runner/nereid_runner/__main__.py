"""`python -m nereid_runner`, with the server's connection as standard input."""

from nereid_runner.loop import main

main()
