"""The front door: REST and WebSocket on one listener; needs the extra `server`.

words reads what clients say, told writes what they are told; front, app and server carry a request
there and back; trading, market and money are the routes.
"""
