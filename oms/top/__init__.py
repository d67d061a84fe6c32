"""Top: a terminal's view of a running exchange, which only looks.

Flow:  sources (control socket, front door) -> watcher -> [lines] -> screen (Textual)
Everything but screen.py runs without the extra `tui`.
"""
